"""From a few pieces to a personal prior: reads them, encodes them, fits the prior and reports every file.

The pieces are not transposed. Transposed copies would teach the prior that this music is in all keys: 2-bar samples
after the ten embedded pieces would overlap them in pitch classes by .78 instead of .90.

A tenth of the bars of every piece measures the prior: a prior fitted to the other bars is compared with the standard
prior there. The prior that is kept is fitted to all bars, because a few pieces have no window to spare.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.cli.console import Console, say_records
from calmvae.common import output_folder, thread_pool
from calmvae.common.defaults import DEFAULT_MELODY_MODEL
from calmvae.common.errors import CalmvaeError, DataError, EmptyMusicError, OptionError
from calmvae.common.text import command, count
from calmvae.data import convert_folder, training_windows
from calmvae.data.convert_file import REASONS, skipped, why
from calmvae.latent import mixture_prior, personal_prior
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.model.model_spec import ModelSpec
from calmvae.model.numpy_model import NumpyModel

# Windows used at most: of 16 bars the encoding of so many takes about as long as the fit.
MOST = 2048
_HELD_OUT = 0.1


@dataclasses.dataclass
class Material:
    """Pieces that were read.

    Attributes:
      records: for each piece its file, name, status ("kept" or "skipped") and reason, as in a manifest.
      tokens: windows uint8 `[n, steps]`, of voices `[n, steps, voices]`, piece by piece, those of
        a piece in their order.
      pieces: number of each window's piece, `[n]`.
    """

    records: list[dict[str, Any]]
    tokens: np.ndarray
    pieces: np.ndarray

    def skipped(self) -> Counter[str]:
        """Number of pieces left out, by reason."""
        return Counter(record["reason"] for record in self.records if record["status"] == "skipped")


def personalize(
    paths: list[Path],
    model: NumpyModel,
    out: Path | None,
    console: Console,
    *,
    melody: str = "skyline",
    seed: int = 0,
    most: int = MOST,
) -> personal_prior.Prior:
    """Fits a personal prior to music files and writes personal.safetensors and run.json.

    Args:
      paths: files and folders.
      model: the model of the latent space.
      out: the folder; default where `personal_prior.load_prior` looks.
      console: prints.
      melody: see `training_windows.piece_windows`.
      seed: of every draw.
      most: the most windows to use, drawn by the seed.

    Raises:
      InputError, OptionError, DataError, OutputError: nothing to read, an option out of range, no file of use, or
        nowhere to write.
    """
    began = time.monotonic()
    if melody not in training_windows.MELODIES:
        raise OptionError(f"unknown melody method '{melody}'; choose one of {', '.join(training_windows.MELODIES)}.")
    if model.spec.voices > 1 and melody != "skyline":
        raise OptionError(
            f"--melody is '{melody}', but {model.name} takes all voices; leave it out, or add "
            f"--model {DEFAULT_MELODY_MODEL}."
        )
    if most < 1:
        raise OptionError(f"at most {most} windows were asked for; give 1 or more.")
    files, others = convert_folder.find_files(paths)
    arguments = {"paths": [str(p) for p in paths], "model": str(model.source), "melody": melody, "seed": seed}
    arguments |= {"most": most}
    where = out or personal_prior.place(model)
    with output_folder.OutputFolder(where, "personalize", arguments) as folder:
        folder.protect(files)
        with console.progress("reading") as progress:
            material = read(files, model.spec, melody, progress)
        say_records(material.records, console)
        prior = _fit(material, model, seed, most, console)
        kept, read_in_all = int(material.pieces[-1]) + 1, len(material.records)
        prior.record |= {"name": "personal", "melody": melody, "seed": seed, "pieces": kept}
        prior.record |= {"model": {"config": model.spec.name, "sha256": personal_prior.sha256_of(model)}}
        mixture_prior.write(prior, folder.path(personal_prior.PRIOR_FILE))
        folder.record |= {"model": model.describe(), "pieces": material.records, "result": prior.record}
    reasons = ", ".join(f"{count} {reason}" for reason, count in material.skipped().items())
    ignored = f"; other files ignored: {others}" if others else ""
    console.result(
        folder.record,
        f"{where}: {read_in_all} pieces read = {kept} kept + {read_in_all - kept} skipped"
        f"{f' ({reasons})' if reasons else ''}; {prior.record['windows']} windows of {model.spec.bars} bars, "
        f"{count(prior.record['components'], 'Gaussian')}, {time.monotonic() - began:.0f} s{ignored}.",
        f"Try it: {command('sample', '--model', personal_prior.name_of(model), '--prior', out or 'personal')}",
    )
    return personal_prior.load_prior(model, where)


def read(
    files: list[Path], spec: ModelSpec, melody: str = "skyline", progress: Callable[[int, int], None] | None = None
) -> Material:
    """Every file's windows of a spec that have a note, one at each bar.

    Raises:
      DataError: no file can be used. The message says why.
    """
    records: list[dict[str, Any]] = []
    found: list[np.ndarray] = []
    first: dict[bytes, str] = {}
    for k, file in enumerate(files, 1):
        for name, piece in read_music.try_pieces(file):
            record, windows = _examine(file, name, piece, spec, melody)
            if windows is not None:
                digest = hashlib.sha256(windows.tobytes()).digest()
                if digest in first:
                    record = skipped(str(file), "duplicate", f"the same music as {first[digest]}", name)
                else:
                    first[digest] = name
                    found.append(windows)
            records.append(record)
        if progress:
            progress(k, len(files))
    if not found:
        counts = Counter(record["reason"] for record in records)
        reasons = ", ".join(f"{n} {reason} ({REASONS[reason]})" for reason, n in counts.most_common())
        raise DataError(f"none of {len(records)} pieces can be used: {reasons}; give files with pitched notes.")
    return Material(records, np.concatenate(found), np.repeat(np.arange(len(found)), list(map(len, found))))


def _examine(
    file: Path, name: str, piece: Piece | Exception, spec: ModelSpec, melody: str
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The record of a piece, and its windows if it is kept."""
    if isinstance(piece, Exception):
        return skipped(str(file), why(piece), str(piece), name), None
    try:
        windows, _ = training_windows.piece_windows(piece, spec.steps, melody, spec.voices)
    except EmptyMusicError as error:
        return skipped(str(file), "drums-only" if len(piece.columns()) else "no-notes", str(error), name), None
    except (CalmvaeError, OverflowError) as error:
        return skipped(str(file), "unreadable", str(error), name), None
    if not len(windows):
        return skipped(str(file), "no-windows", REASONS["no-windows"], name), None
    record = {"file": str(file), "name": name, "status": "kept", "windows": len(windows)}
    return record | {"warnings": piece.warnings}, windows


def _fit(material: Material, model: NumpyModel, seed: int, most: int, console: Console) -> mixture_prior.Mixture:
    """The prior; its record has the numbers of windows, and held-out nats beside those of the standard prior."""
    rng = np.random.default_rng([seed, 3])
    train, held_out = split(material.pieces, model.spec.bars, rng)
    rows = np.sort(rng.permutation(len(train))[:most])
    if len(rows) < len(train):
        console.remark(f"{len(rows)} of {len(train)} windows were drawn by the seed.")
    mu, sigma = model.engine.encode(material.tokens[rows])
    train, held_out = train[rows], held_out[rows] & train[rows].any()
    with thread_pool.one_blas_thread():
        prior = mixture_prior.fit_few(mu, sigma, seed, spread=personal_prior.SPREAD)
        prior.record |= {"windows": len(rows), "held_out": int(held_out.sum())}
        if not held_out.any():
            console.remark("The pieces are too short to hold windows out, so the prior was not measured.")
            return prior
        x = mu[held_out] + sigma[held_out] * rng.standard_normal(mu[held_out].shape)
        measured = mixture_prior.fit_few(mu[train], sigma[train], seed)
    nats = -float(measured.log_likelihood(x).mean())
    standard = 0.5 * float((x**2).sum(axis=1).mean() + x.shape[1] * math.log(2 * math.pi))
    prior.record |= {"train": int(train.sum()), "held_out_nats": round(nats, 3), "standard_nats": round(standard, 3)}
    console.remark(
        f"A prior fitted to {count(int(train.sum()), 'window')} has {nats:.1f} nats a window on "
        f"{int(held_out.sum())} held-out ones; the standard prior has {standard:.1f}."
    )
    return prior


def split(pieces: np.ndarray, bars: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Holds out a run of windows of every piece. Windows that share bars with the run are not trained on either.

    A piece that would lose more than half of its windows keeps all of them.

    Args:
      pieces: number of each window's piece, `[n]`; those of a piece stand together, one a bar.
      bars: length of a window.
      rng: chooses the run.

    Returns:
      which windows to train on, and which to hold out, bool `[n]` each.
    """
    train, held_out = np.ones(len(pieces), bool), np.zeros(len(pieces), bool)
    for piece in np.unique(pieces):
        rows = np.flatnonzero(pieces == piece)
        count = max(1, round(len(rows) * _HELD_OUT))
        start = int(rng.integers(0, len(rows) - count + 1))
        run, near = rows[start : start + count], rows[max(0, start - bars + 1) : start + count + bars - 1]
        if len(near) <= len(rows) / 2:
            train[near], held_out[run] = False, True
    return train, held_out
