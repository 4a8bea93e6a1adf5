"""From one piece to another in the latent space of a config that is not of melodies: a window of each, encoded by
Magenta's encoder, and what its decoder makes of the points between."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import magenta_import, text
from calmvae.common.errors import EmptyMusicError, OptionError
from calmvae.data import magenta_windows
from calmvae.data.magenta_windows import Reader, Window
from calmvae.generate import sampling
from calmvae.generate.made_piece import Made
from calmvae.generate.magenta_model import OtherModel, arranged
from calmvae.latent import latent_path
from calmvae.midi import note_sequence
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model import config_catalog
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY
from calmvae.music.melody_tokens import FIRST_PITCH

# A sixteenth, in quarter notes: grooves play beside it.
_STEP = 0.25


@dataclasses.dataclass(frozen=True)
class _Cut:
    """So many bars of a piece, from a bar (counted from 1) on, at a tempo."""

    bar: int
    qpm: float
    sequence: Any


@dataclasses.dataclass(frozen=True)
class _End:
    """One end: its window, tempo and mean velocity."""

    name: str
    window: Window
    qpm: float
    velocity: float


def interpolate(
    a: str | Path,
    b: str | Path,
    model: OtherModel,
    *,
    steps: int = 8,
    bars: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    tracks: tuple[int | str | None, int | str | None] = (None, None),
    start_bars: tuple[int | None, int | None] = (None, None),
    endpoints: str | None = None,
) -> Made:
    """A piece that travels from one piece to another, a window of the config's at each step.

    Tempo glides from A's to B's, and so does the velocity where the config has no dynamics of its own. A config of
    chords plays over A's in the first half and over B's in the second.

    Args:
      a, b: music files.
      model: see `magenta_model.load_model`.
      steps: sections, both ends included, at least 2.
      bars: if given, must be the config's window.
      temperature: 0 decodes the likeliest notes.
      seed: of the draws at a temperature above 0.
      melody, tracks: for melody configs; to be left alone.
      start_bars: first bar (from 1) to take of A, of B; default the first that gives a window.
      endpoints: "decoded" (default) begins and ends with what the model makes of the pieces, "original" with what its
        converter reads of them.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: an option, a file or the model is not usable.
    """
    window = config_catalog.window_bars(model.config)
    _check(model, steps, bars, temperature, endpoints, (melody, *tracks))
    reader = Reader(model.config, "infer")
    # A cut may begin or end with silence, which splitting it (at no change) would take off.
    reader.converter._pad_to_total_time, reader.converter._presplit_on_time_changes = True, False
    remarks: list[str] = []
    ends = [_end(Path(file), reader, model, start, remarks) for file, start in zip((a, b), start_bars, strict=True)]
    mu = model.encode(reader.batch([end.window for end in ends]))
    decoded = _decoded(model, ends, latent_path.path(mu[0], mu[1], steps), temperature, seed)
    targets = [end.window.outputs.unpack() for end in ends]
    accuracy = [
        float(_same(reader, target, made)[_counted(end.window)].mean())
        for end, target, made in zip(ends, targets, (decoded[0], decoded[-1]), strict=True)
    ]
    if endpoints == "original":
        decoded[0], decoded[-1] = targets
    share = np.linspace(0.0, 1.0, steps)
    qpms = [round(float(ends[0].qpm ** (1 - t) * ends[1].qpm ** t), 6) for t in share]
    velocities = [round((1 - t) * ends[0].velocity + t * ends[1].velocity) for t in share]
    parts = [note_sequence.piece_of(sequence) for sequence in model.sequences(decoded)]
    if not model.has_dynamics():
        parts = [_at_velocity(part, velocity) for part, velocity in zip(parts, velocities, strict=True)]
    labels = ["A", *(f"{k}/{steps - 1}" for k in range(1, steps - 1)), "B"]
    sections = [
        Section(4.0 * window * k, 4.0 * window * (k + 1), label, label in "AB") for k, label in enumerate(labels)
    ]
    name = f"{ends[0].name} to {ends[1].name}"
    info = {
        "bars_per_step": window,
        "qpm": [round(qpm, 2) for qpm in qpms],
        "reconstruction_accuracy": [round(value, 4) for value in accuracy],
        "changes_between_steps": [
            round(1 - float(_same(reader, x, y).mean()), 4) for x, y in itertools.pairwise(decoded)
        ],
    }
    single = [
        arranged([part], window, [qpm], f"{name}, step {label}")
        for part, qpm, label in zip(parts, qpms, labels, strict=True)
    ]
    piece = arranged(parts, window, qpms, name)
    return Made(piece, sections, info, remarks, single).begun(_STEP)


def _check(
    model: OtherModel,
    steps: int,
    bars: int | None,
    temperature: float,
    endpoints: str | None,
    melodic: tuple[Any, Any, Any],
) -> None:
    converter, window = model.config.data_converter, config_catalog.window_bars(model.config)
    if steps < 2:
        raise OptionError(f"--steps is {steps}; an interpolation has at least 2, its two ends.")
    if endpoints not in (None, "original", "decoded"):
        raise OptionError(f"--endpoints is '{endpoints}'; choose original or decoded.")
    sampling.check_sampling(1, temperature, DEFAULT_QPM, DEFAULT_VELOCITY, sampling.DEFAULT_PROGRAM)
    for option, value, default in zip(("melody", "track-a", "track-b"), melodic, ("skyline", None, None), strict=True):
        if value != default:
            raise OptionError(f"--{option} goes with melody configs, and {model.name} is none; leave it out.")
    if bars not in (None, window):
        raise OptionError(f"--bars is {bars}; a step of {model.name} has {window}, leave it out.")
    if not model.config.hparams.z_size:
        raise OptionError(f"{model.name} has no latent space to travel through (z_size is 0); sample it instead.")
    if converter.control_depth and not getattr(converter, "_chord_encoding", None):
        raise OptionError(
            f"{model.name} plays hits that are given to it, so that there is nothing between two pieces; choose a "
            "config without controls, or with chords."
        )


def _end(file: Path, reader: Reader, model: OtherModel, start_bar: int | None, remarks: list[str]) -> _End:
    read = note_sequence.read_note_sequences(file)
    name, sequence, warnings = read[0]
    remarks += [f"{name}: {warning}" for warning in warnings]
    if len(read) > 1:
        remarks.append(f"{file.name} holds {len(read)} tunes; only {name} is used.")
    cuts = list(_cuts(sequence, reader.bars))
    if start_bar is not None and not 1 <= start_bar <= len(cuts):
        raise OptionError(f"bar {start_bar} of {name} was asked for; it has bars 1 to {len(cuts)}.")
    for cut in cuts if start_bar is None else [cuts[start_bar - 1]]:
        windows, why = magenta_windows.look(reader, cut.sequence)
        if windows:
            break
        if start_bar is not None:
            chosen = text.bars(start_bar, start_bar + reader.bars - 1)
            raise OptionError(
                f"{chosen} of {name} give {model.name} no window: it is a piece {why} there; choose another bar."
            )
    else:
        raise EmptyMusicError(
            f"{name} gives {model.name} no window of {reader.bars} bars: it is a piece {reader.why_none(sequence)}; "
            "give another one."
        )
    one = "" if len(windows) == 1 else f" in one reading of {len(windows)}"
    remarks.append(f"{name}: {text.bars(cut.bar, cut.bar + reader.bars - 1)} of {len(cuts)}{one} are used.")
    if unknown := reader.unknown_drums(cut.sequence):
        remarks.append(f"{name}: {unknown} drum notes are left out: {model.name} has no class for their pitches.")
    velocity = float(np.mean([note.velocity for note in cut.sequence.notes]))
    return _End(name, max(windows, key=_height) if reader.is_melody else windows[0], cut.qpm, velocity)


def _height(window: Window) -> float:
    """Mean pitch of a window of a melody, for the highest of several instruments is most likely the melody."""
    tokens = window.outputs.at % window.outputs.shape[1]
    return float(tokens[tokens >= FIRST_PITCH].mean())


def _cuts(sequence: Any, bars: int) -> Iterator[_Cut]:
    """So many bars from each bar on, none across a change of tempo or metre, as Magenta's windows."""
    sequences = magenta_import.load_note_seq().sequences_lib
    number = 0
    for part in sequences.split_note_sequence_on_time_changes(sequence):
        qpm = part.tempos[0].qpm if part.tempos else 120.0
        metre = part.time_signatures[0] if part.time_signatures else None
        bar = 240 / qpm * (metre.numerator / metre.denominator if metre else 1.0)
        for k in range(math.ceil(part.total_time / bar - 1e-6)):
            number += 1
            yield _Cut(number, qpm, _cut(sequences, part, k * bar, bars * bar, 7.5 / qpm))


def _cut(sequences: Any, part: Any, begin: float, length: float, near: float) -> Any:
    """A stretch of a NoteSequence; what starts less than half a step before a bar belongs to it."""
    ours = copy.deepcopy(part)
    notes = [n for n in ours.notes if begin - near <= n.start_time < begin + length - near]
    kept = [copy.deepcopy(note) for note in notes]
    del ours.notes[:]
    for note in kept:
        note.start_time = max(note.start_time, begin)
        note.end_time = max(note.end_time, note.start_time + 1e-3)
    ours.notes.extend(kept)
    ours.total_time = max(ours.total_time, begin + length)
    ours = sequences.extract_subsequence(ours, begin, begin + length)
    ours.ClearField("subsequence_info")
    ours.total_time = length
    return ours


def _decoded(
    model: OtherModel, ends: Sequence[_End], points: np.ndarray, temperature: float, seed: int
) -> list[np.ndarray]:
    """A window `[max_seq_len, output_depth]` of each point `[steps, z_size]`."""
    if not model.config.data_converter.control_depth:
        return model.decode([None], points, temperature, seed)[0]
    both = model.decode([end.window.controls.unpack() for end in ends], points, temperature, seed)
    return [both[2 * k >= len(points)][k] for k in range(len(points))]


def _same(reader: Reader, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """At which steps two windows agree, bool `[length]`; of grooves only the hits, not how hard and when exactly."""
    depth = x.shape[1] // 3 if reader.is_groove else x.shape[1]
    return ((x[:, :depth] > 0.5) == (y[:, :depth] > 0.5)).all(axis=1)


def _counted(window: Window) -> np.ndarray:
    """Which steps of a window are no padding, bool `[length]`."""
    lengths = np.atleast_1d(window.length)
    places = np.arange(window.outputs.shape[0]).reshape(len(lengths), -1)
    return (places - places[:, :1] < lengths[:, None]).ravel()


def _at_velocity(piece: Piece, velocity: int) -> Piece:
    piece.notes = [dataclasses.replace(note, velocity=velocity) for note in piece.notes]
    return piece
