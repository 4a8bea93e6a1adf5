"""From a few pieces to a personal prior: read, encode, fit, and say what became of every file.

The pieces are taken as they are. Transposed copies, which training likes, would teach a prior that the keys of this
music are all keys: 2-bar samples after the ten pieces in resources/ overlap them in pitch classes by .78 then, and by
.90 without.

How much a prior says of this music is told by a tenth of the bars of every piece: one fitted to the others is measured
there, beside the standard prior. The one that is kept is fitted to all, for a few pieces have no window to spare.
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

from calmvae.cli.console import Console
from calmvae.common import output_folder, thread_pool
from calmvae.common.errors import CalmvaeError, DataError, EmptyMusicError, OptionError
from calmvae.common.text import by_kind, command, count
from calmvae.data import convert_folder, training_windows
from calmvae.data.convert_file import REASONS, why
from calmvae.latent import mixture_prior, personal_prior
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.model.melody_model import MelodyModel

# Windows used at most: of 16 bars the encoding of so many takes about as long as the fit.
MOST = 2048
_HELD_OUT = 0.1


@dataclasses.dataclass
class Material:
    """What was read.

    Attributes:
      records: of each piece what is to be said: its file, name, "kept" or "skipped", and why.
      tokens: windows uint8 `[n, steps]`, piece by piece, those of a piece in their order.
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
    model: MelodyModel,
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
      model: whose prior it becomes.
      out: the folder; default where `personal_prior.load_prior` looks.
      console: to speak with.
      melody: see `training_windows.piece_windows`.
      seed: of every draw.
      most: windows used at most, drawn by the seed.

    Raises:
      InputError, OptionError, DataError, OutputError: nothing to read, an option out of range, no file of use, or
        nowhere to write.
    """
    began = time.monotonic()
    _check(melody, most)
    files, others = convert_folder.find_files(paths)
    arguments = {"paths": [str(p) for p in paths], "model": str(model.source), "melody": melody, "seed": seed}
    arguments |= {"most": most}
    where = out or personal_prior.place(model)
    with output_folder.OutputFolder(where, "personalize", arguments) as folder:
        folder.protect(files)
        with console.progress("reading") as progress:
            material = read(files, model.spec.steps, melody, progress)
        _say_read(material, console)
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


def _check(melody: str, most: int) -> None:
    if melody not in training_windows.MELODIES:
        raise OptionError(f"unknown melody method '{melody}'; choose one of {', '.join(training_windows.MELODIES)}.")
    if most < 1:
        raise OptionError(f"at most {most} windows were asked for; it must be 1 or more.")


def read(
    files: list[Path], steps: int, melody: str = "skyline", progress: Callable[[int, int], None] | None = None
) -> Material:
    """Every file's windows that have a note, one at each bar.

    Raises:
      DataError: no file is of use; says why.
    """
    records: list[dict[str, Any]] = []
    found: list[np.ndarray] = []
    first: dict[bytes, str] = {}
    for k, file in enumerate(files, 1):
        for record, windows in _read_file(file, steps, melody):
            kept = record["status"] == "kept"
            twin = first.setdefault(hashlib.sha256(windows.tobytes()).digest(), record["name"]) if kept else ""
            # Of two tunes of one name and one melody the second is a copy too, hence not by the name.
            if kept and len(first) == len(found):
                record = _skipped(file, record["name"], "duplicate", f"the same melody as {twin}")
            elif kept:
                found.append(windows)
            records.append(record)
        if progress:
            progress(k, len(files))
    material = Material(records, np.zeros((0, steps), np.uint8), np.zeros(0, np.int64))
    if not found:
        reasons = ", ".join(f"{n} {reason} ({REASONS[reason]})" for reason, n in material.skipped().most_common())
        raise DataError(f"none of {len(records)} pieces can be used: {reasons}; give files with pitched notes.")
    return Material(records, np.concatenate(found), np.repeat(np.arange(len(found)), list(map(len, found))))


def _read_file(file: Path, steps: int, melody: str) -> list[tuple[dict[str, Any], np.ndarray]]:
    """The record of every piece of a file, and the windows of those that are kept."""
    nothing = np.zeros((0, steps), np.uint8)
    return [
        (_skipped(file, name, why(piece), str(piece)), nothing)
        if isinstance(piece, Exception)
        else _examine(file, piece, steps, melody)
        for name, piece in read_music.try_pieces(file)
    ]


def _examine(file: Path, piece: Piece, steps: int, melody: str) -> tuple[dict[str, Any], np.ndarray]:
    nothing = np.zeros((0, steps), np.uint8)
    try:
        windows, _ = training_windows.piece_windows(piece, steps, melody)
    except EmptyMusicError as error:
        reason = "drums-only" if len(piece.columns()) else "no-notes"
        return _skipped(file, piece.name, reason, str(error)), nothing
    except (CalmvaeError, OverflowError) as error:
        return _skipped(file, piece.name, "unreadable", str(error)), nothing
    if not len(windows):
        return _skipped(file, piece.name, "no-windows", REASONS["no-windows"]), nothing
    record = {"file": str(file), "name": piece.name, "status": "kept", "windows": len(windows)}
    return record | {"warnings": piece.warnings}, windows


def _skipped(file: Path, name: str, reason: str, detail: str) -> dict[str, Any]:
    return {"file": str(file), "name": name, "status": "skipped", "reason": reason, "detail": detail}


def _say_read(material: Material, console: Console) -> None:
    """What was skipped, and what readers mended or left out."""
    for record in material.records:
        if record["status"] == "skipped":
            console.remark(f"{record['file']} is skipped, {record['reason']}: {record['detail']}")
    for line in by_kind([(record["name"], record.get("warnings", [])) for record in material.records]):
        console.remark(line)


def _fit(material: Material, model: MelodyModel, seed: int, most: int, console: Console) -> mixture_prior.Mixture:
    """The prior; its record has the numbers of windows, and held-out nats beside those of the standard prior."""
    rng = np.random.default_rng([seed, 3])
    train, held_out = split(material.pieces, model.spec.bars, rng)
    rows = np.sort(rng.permutation(len(train))[:most])
    if len(rows) < len(train):
        console.remark(f"{len(rows)} of {len(train)} windows are used, drawn by the seed.")
    mu, sigma = model.engine.encode(material.tokens[rows])
    train, held_out = train[rows], held_out[rows] & train[rows].any()
    with thread_pool.one_blas_thread():
        prior = mixture_prior.fit_few(mu, sigma, seed, spread=personal_prior.SPREAD)
        prior.record |= {"windows": len(rows), "held_out": int(held_out.sum())}
        if not held_out.any():
            console.remark("No window is held out, for the pieces are short; how good the prior is remains unmeasured.")
            return prior
        x = mu[held_out] + sigma[held_out] * rng.standard_normal(mu[held_out].shape)
        measured = mixture_prior.fit_few(mu[train], sigma[train], seed)
    nats = -float(measured.log_likelihood(x).mean())
    standard = 0.5 * float((x**2).sum(axis=1).mean() + x.shape[1] * math.log(2 * math.pi))
    prior.record |= {"train": int(train.sum()), "held_out_nats": round(nats, 3), "standard_nats": round(standard, 3)}
    console.remark(
        f"{count(int(held_out.sum()), 'held-out window')}, when fitted to {int(train.sum())}: {nats:.1f} nats, "
        f"{standard:.1f} under the standard prior."
    )
    return prior


def split(pieces: np.ndarray, bars: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of every piece a run of windows is held out, and those that share bars with it are not trained on either.

    A piece that would lose more than half of its windows by that lends none.

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
