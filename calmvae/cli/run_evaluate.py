"""The command `calmvae evaluate`: chooses windows, measures the model on them and prints the result."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.cli import run_data, run_generate
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Evaluating
from calmvae.common import output_folder, text
from calmvae.common.errors import CalmvaeError, DataError, InputError, OptionError
from calmvae.data import load_dataset, training_windows
from calmvae.latent import evaluation, prior_draws, sample_statistics
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.model import model_spec
from calmvae.model.numpy_model import NumpyModel
from calmvae.music import calmness

# Of the metrics, what the lines of single collections show.
_SHOWN = {
    "accuracy": "steps right",
    "onset_accuracy": "onsets right",
    "note_f1": "note F1",
    "exact": "whole windows",
    "kl_bits": "KL bits",
}


def evaluate(model: str, config: str | None, wanted: Evaluating, console: Console, out: Path | None = None) -> None:
    """Prints metrics on the held-out part of a data set, or on all windows of music files; with `out`, a page too."""
    if out is not None and wanted.samples < 2:
        raise OptionError("the page of -o compares samples with held-out music; leave --samples at 2 or more.")
    opened = open_model.load_numpy_model(model, config)
    if opened.spec.voices > 1 and out is not None:
        raise OptionError(f"the page of -o is for models of melodies, and {opened.name} is none; leave -o out.")
    held_out, train = _windows(wanted, opened.spec, console)
    if not len(held_out.tokens):
        where = ", ".join(map(str, wanted.data))
        raise DataError(f"no window of {opened.spec.length()} with a note in {where}; give more music.")
    tokens = held_out.tokens
    measured = evaluation.Reconstruction.of(opened.engine, tokens)
    values: dict[str, Any] = dataclasses.asdict(measured.metrics())
    values["elbo"], values["bits_per_step"] = evaluation.elbo(opened.engine, tokens, wanted.seed)
    parts = {name: dataclasses.asdict(measured.metrics(rows)) for name, rows in _parts(held_out).items()}
    drawn, compared = _compare_samples(opened, tokens, train, wanted)
    smooth = {}
    if wanted.paths and len(tokens) > 1:
        smooth = dataclasses.asdict(evaluation.smoothness(opened.engine, tokens, wanted.paths, seed=wanted.seed))
    record = {"model": opened.describe(), **values, "parts": parts, "paths": smooth or None}
    record["samples"] = dataclasses.asdict(compared) if compared else None
    listed = values | {f"path_{name}": value for name, value in smooth.items()}
    listed |= _of_comparison(compared) if compared else {}
    listed |= _calmness(drawn, tokens) if drawn is not None else {}
    record["calmness"] = {name: value for name, value in listed.items() if name.startswith("calmness")}
    if out is not None and drawn is not None and compared is not None:
        from calmvae.latent import evaluation_page

        arguments = {"model": model, **dataclasses.asdict(wanted), "data": [str(path) for path in wanted.data]}
        with output_folder.OutputFolder(out, "evaluate", arguments) as folder:
            title = f"{Path(model).name} on {', '.join(path.name for path in wanted.data)}"
            evaluation_page.write_page(folder.path("evaluation.png"), title, listed, drawn, tokens, compared)
            folder.record |= record
    wide = max(map(len, [*listed, *parts]))
    lines = [f"{name.replace('_', ' '):>{wide}}  {value:.4g}" for name, value in listed.items()]
    for name, metrics in parts.items():
        shown = ", ".join(f"{said} {metrics[key]:.4g}" for key, said in _SHOWN.items() if key in metrics)
        lines.append(f"{name:>{wide}}  {text.count(metrics['windows'], 'window')}: {shown}")
    console.result(record, *lines)


def _calmness(drawn: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Mean calmness of samples and of as many held-out windows."""
    few = held_out[np.random.default_rng(0).permutation(len(held_out))[: len(drawn)]]
    ours, theirs = (float(calmness.of_windows(some).mean()) for some in (drawn, few))
    return {"calmness": ours, "calmness_held_out": theirs}


def _parts(windows: training_windows.WindowSet) -> dict[str, np.ndarray]:
    """Rows of the sparse windows, and of each collection where there are several."""
    parts = {}
    if windows.tokens.ndim == 2:
        sparse = evaluation.is_sparse(windows.tokens)
        parts = {"sparse": sparse} if 0 < sparse.sum() < len(sparse) else {}
    if len(windows.collections) > 1:
        parts |= {name: windows.origins == k for k, name in enumerate(windows.collections)}
    return {name: rows for name, rows in parts.items() if rows.any()}


def _compare_samples(
    opened: NumpyModel, tokens: np.ndarray, train: np.ndarray | None, wanted: Evaluating
) -> tuple[np.ndarray | None, sample_statistics.Comparison | None]:
    """Samples from the prior, and how they compare; None for none."""
    if wanted.samples < 2:
        return None, None
    rng, prior = np.random.default_rng([wanted.seed, 1]), run_generate.prior_of(wanted.prior, opened)
    z = prior_draws.draw(opened, prior, rng, wanted.samples)
    temperature = opened.sample_temperature if wanted.temperature is None else wanted.temperature
    drawn = opened.engine.decode(z, temperature, wanted.seed)
    drawn = np.stack([prior_draws.in_some_key(prior, row, [wanted.seed, k, 2]) for k, row in enumerate(drawn)])
    try:
        return drawn, sample_statistics.compare(drawn, tokens, train, wanted.seed)
    except ValueError as error:
        raise DataError(f"samples and held-out windows cannot be compared: {error}; give more music.") from error


def _of_comparison(compared: sample_statistics.Comparison) -> dict[str, float]:
    """The comparison as the rows that are listed."""
    rows = {f"overlap_{name}": value for name, value in compared.overlap.items()} | {"overlap": compared.mean_overlap}
    pairs = {"in_key": compared.in_key, "repetition": compared.repetition}
    if isinstance(compared, sample_statistics.VoiceComparison):
        pairs["clashes"] = compared.clashes
    if compared.nearest and compared.exact:
        pairs |= {"nearest_steps": compared.nearest, "copied": compared.exact}
    for name, (ours, theirs) in pairs.items():
        rows |= {name: ours, f"{name}_held_out": theirs}
    return rows


def _windows(
    wanted: Evaluating, spec: model_spec.ModelSpec, console: Console
) -> tuple[training_windows.WindowSet, np.ndarray | None]:
    """Windows to measure on, and those that were trained on if they are wanted."""
    train = None
    if run_data.is_data_set(wanted.data):
        train_files, eval_files = load_dataset.data_files(wanted.data[0])
        load = functools.partial(
            training_windows.load_windows,
            steps=spec.steps,
            melody=wanted.melody,
            max_onsets=wanted.max_onsets,
            voices=spec.voices,
        )
        held_out = load(eval_files or train_files)
        if wanted.copying:
            train = training_windows.without(load(train_files), held_out).tokens
    elif wanted.copying:
        raise OptionError("--copying compares samples with training windows; give a folder of `calmvae convert`.")
    else:
        held_out = _windows_of_files(wanted, spec, console)
    return held_out.drawn(wanted.most, [wanted.seed, 2]).narrowed(0, wanted.calmest), train


def files_of(path: Path) -> list[Path]:
    """Music files of a path, or of a part of music21's corpus."""
    from calmvae.data import convert_folder, corpus_sources

    if str(path).startswith("music21:"):
        return corpus_sources.files_of(*corpus_sources.resolve(str(path)))
    return convert_folder.find_files([path])[0]


def _windows_of_files(wanted: Evaluating, spec: model_spec.ModelSpec, console: Console) -> training_windows.WindowSet:
    """The windows of every piece that has some; what is skipped, mended or left out is reported."""
    kept: list[Piece] = []
    found: list[np.ndarray] = []
    skipped: list[tuple[str, list[str]]] = []
    for file in (file for path in wanted.data for file in files_of(path)):
        for name, piece in read_music.try_pieces(file):
            try:
                if isinstance(piece, Exception):
                    raise piece
                found.append(training_windows.piece_windows(piece, spec.steps, wanted.melody, spec.voices)[0])
                kept.append(piece)
            except CalmvaeError as error:
                skipped.append((name, [str(error)]))
    console.remark(*(f"Skipped: {line}" for line in text.by_kind(skipped)))
    console.remark(*text.by_kind([(piece.name, piece.warnings) for piece in kept]))
    if not kept:
        raise InputError(skipped[0][1][0])
    tokens = np.unique(np.concatenate(found), axis=0)
    windows = training_windows.WindowSet(tokens, np.zeros(len(tokens), np.int32), {"files": Counter(pieces=len(kept))})
    return windows.narrowed(wanted.max_onsets, 1.0)
