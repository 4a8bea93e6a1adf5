"""Windows of configs that are not of melodies, made from NoteSequences by Magenta's data converters.

It replaces the part of Magenta's `get_dataset` that reads a piece, which keeps only a few windows per piece and fails
for controls without depth. Here all windows are kept, and a piece without windows is counted with the reason.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from calmvae.common import magenta_import, text
from calmvae.common.errors import EmptyMusicError, OptionError
from calmvae.midi import note_sequence
from calmvae.midi.piece import Piece
from calmvae.model import config_catalog
from calmvae.model.interface import Excerpt, Voice
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY
from calmvae.music.melody_tokens import FIRST_PITCH


@dataclasses.dataclass(frozen=True)
class Packed:
    """The nonzero values of a matrix `[length, depth]`: an example has a few hundred ones in a hundred thousand."""

    shape: tuple[int, int]
    at: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, array: Any) -> Packed:
        array = np.asarray(array)
        at = np.flatnonzero(array).astype(np.int32)
        values = np.ones(1) if array.dtype == bool else array.ravel()[at]
        return cls(array.shape, at, values.astype(np.float32))

    def key(self) -> bytes:
        """A key that is equal for equal matrices."""
        return self.at.tobytes() + self.values.tobytes()

    def unpack(self) -> np.ndarray:
        """The matrix, float32 `[length, depth]`."""
        matrix = np.zeros(self.shape, np.float32)
        matrix.ravel()[self.at] = self.values
        return matrix


@dataclasses.dataclass(frozen=True)
class Window:
    """One example: inputs of the encoder, outputs of the decoder, controls of both, and its length or its segments'."""

    inputs: Packed
    outputs: Packed
    controls: Packed
    length: np.ndarray

    def key(self) -> tuple[bytes, ...]:
        """A key to sort windows by."""
        return self.outputs.key(), self.controls.key(), self.inputs.key()


class Reader:
    """Reads windows with a config's augmenter and converter.

    Args:
      config: Magenta's Config; it is not changed.
      mode: mode of the converter: train, eval or infer.
    """

    def __init__(self, config: Any, mode: str = "train") -> None:
        self.converter = copy.deepcopy(config.data_converter)
        self.converter.set_mode(mode)
        self.converter.max_tensors_per_notesequence = None
        self.augmenter = config.note_sequence_augmenter
        self.steps = int(config.hparams.max_seq_len)
        data = magenta_import.load().data
        self.is_groove = isinstance(self.converter, data.GrooveConverter)
        self.is_melody = isinstance(self.converter, data.OneHotMelodyConverter)
        self.is_trio = isinstance(self.converter, data.TrioConverter)
        self.is_drums = self.is_groove or isinstance(self.converter, data.DrumsConverter)
        self.is_band = hasattr(self.converter, "_max_num_instruments")
        self.bars = config_catalog.window_bars(config)

    def varies(self) -> bool:
        """True if each reading of a piece differs: it is transposed, or notes are left out at random."""
        drops = ("_max_note_dropout_probability", "_drop_tracks_and_truncate")
        return bool(self.augmenter) or any(getattr(self.converter, name, None) for name in drops)

    def windows(self, sequence: Any, draw: Sequence[int] = (0,), augment: bool = False) -> list[Window]:
        """All windows of a NoteSequence, which is not changed.

        Args:
          sequence: the piece.
          draw: seed of all draws.
          augment: transpose it as in training.

        Raises:
          Exception: any error of Magenta's converter.
        """
        ours = self._prepared(sequence)
        with magenta_import.seeded(draw):
            if augment and self.augmenter:
                ours = self.augmenter.augment(ours)
            tensors = self.converter.to_tensors(ours)
        found = []
        for inputs, outputs, controls, length in zip(*tensors, strict=True):
            packed = Packed.of(inputs)
            same = packed if outputs is inputs else Packed.of(outputs)
            # Stock Magenta and its graphs cut windows that are longer than the model's.
            found.append(Window(packed, same, Packed.of(controls), np.asarray(length, np.int32)))
        # Magenta's order is that of a set of strings, which differs between processes.
        return sorted(found, key=Window.key)

    def _prepared(self, sequence: Any) -> Any:
        ours = copy.deepcopy(sequence)
        if not ours.tempos:
            ours.tempos.add(qpm=120.0)
        if self.is_groove:
            # Its converter treats every note as a drum, and fails for unknown pitches.
            _keep(ours, [note for note in ours.notes if note.is_drum and note.pitch in self._drums])
            for note in ours.notes:
                note.pitch = self._drums[note.pitch]
        return ours

    @functools.cached_property
    def _drums(self) -> dict[int, int]:
        """Pitches of a drum config to the pitches of their classes."""
        converter = self.converter
        if not self.is_groove:
            return {pitch: pitch for pitch in converter._pitch_class_map}
        # It was trained on one drum kit with fewer pitches than General MIDI; inference uses General MIDI's.
        known = {pitch: converter.pitch_classes[k][0] for pitch, k in converter._infer_pitch_class_map.items()}
        return known | {pitch: pitch for pitch in converter.pitch_class_map}

    def unknown_drums(self, sequence: Any) -> int:
        """The number of drum notes in a piece for which a config of drums has no class."""
        return sum(n.is_drum and n.pitch not in self._drums for n in sequence.notes) if self.is_drums else 0

    def why_none(self, sequence: Any) -> str:
        """The likely reason why a piece gives no window, in a few words after "a piece"."""
        drums = [note for note in sequence.notes if note.is_drum]
        pitched = [note for note in sequence.notes if not note.is_drum]
        metres = {(s.numerator, s.denominator) for s in sequence.time_signatures} or {(4, 4)}
        programs = {note.program for note in pitched}
        voices = len({(note.instrument, note.program, note.is_drum) for note in sequence.notes})
        reasons = (
            (not sequence.notes, "without notes"),
            (self.is_drums and not drums, "without drums"),
            (self.is_drums and all(n.pitch not in self._drums for n in drums), "of drums that it has no class for"),
            (
                self.is_trio and not (drums and programs & set(range(32)) and programs & set(range(32, 40))),
                "without melody (programs 0 to 31), bass (32 to 39) and drums together",
            ),
            (self.is_melody and not pitched, "without a melody"),
            (self.is_band and not 2 <= voices <= 8, "of fewer than 2 or more than 8 instruments"),
            (not any(n == d for n, d in metres), "not in 4/4"),
            (self.is_groove and len(metres) > 1, "of several metres"),
            (self.is_groove and len({round(t.qpm, 3) for t in sequence.tempos}) > 1, "of several tempos"),
            (_longest_stretch(sequence) < self.bars, f"shorter than {self.bars} bars at one tempo and metre"),
        )
        return next((why for holds, why in reasons if holds), "of nothing that its converter takes")

    def batch(self, windows: Sequence[Window]) -> list[np.ndarray]:
        """A batch like Magenta's: inputs, outputs, controls `[n, length, depth]`, padded to the longest; lengths."""
        parts = []
        for name in ("inputs", "outputs", "controls"):
            arrays = [getattr(window, name).unpack()[: self.steps] for window in windows]
            longest = max(map(len, arrays))
            parts.append(np.stack([np.pad(array, ((0, longest - len(array)), (0, 0))) for array in arrays]))
        lengths = np.stack([window.length for window in windows])
        return [*parts, np.minimum(lengths, self.steps)]


def _longest_stretch(sequence: Any) -> float:
    """The most bars of 4/4 between two changes of tempo or metre."""
    marks = [(t.time, t.qpm) for t in sequence.tempos] or [(0.0, 120.0)]
    changes = sorted({0.0, sequence.total_time, *(t for t, _ in marks), *(s.time for s in sequence.time_signatures)})
    most = 0.0
    for begin, end in itertools.pairwise(changes):
        qpm = next((qpm for time, qpm in sorted(marks, reverse=True) if time <= begin), 120.0)
        most = max(most, (end - begin) * qpm / 240)
    return float(np.ceil(most))


def look(reader: Reader, sequence: Any) -> tuple[list[Window], str]:
    """The windows of a piece, and the reason if there are none."""
    try:
        windows = reader.windows(sequence)
    except Exception as error:
        # A converter can raise anything for music that it was not written for.
        return [], f"that Magenta's converter stops at ({type(error).__name__})"
    return windows, "" if windows else reader.why_none(sequence)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A stretch of a piece from a bar (counted from 1), at one tempo."""

    bar: int
    qpm: float
    sequence: Any


def excerpt(
    config: str, reader: Reader, piece: Piece, whole: bool, start_bar: int | None, remarks: list[str]
) -> Excerpt:
    """The first window of a piece, the window of a bar, or all consecutive windows; see `interface.Model.excerpt`."""
    name = piece.name or "the piece"
    remarks += [f"{name}: {warning}" for warning in piece.warnings]
    sequence = note_sequence.of_piece(piece)
    cuts = list(_cuts(sequence, reader.bars))
    if start_bar is not None and not 1 <= start_bar <= len(cuts):
        raise OptionError(f"bar {start_bar} of {name} was asked for; it has bars 1 to {len(cuts)}.")
    found: list[tuple[_Cut, list[Window]]] = []
    for cut in cuts if start_bar is None else [cuts[start_bar - 1]]:
        if found and (not whole or cut.bar < found[-1][0].bar + reader.bars):
            continue
        windows, why = look(reader, cut.sequence)
        if windows:
            found.append((cut, windows))
        elif start_bar is not None:
            chosen = text.bars(start_bar, start_bar + reader.bars - 1)
            raise OptionError(
                f"{chosen} of {name} give {config} no window: it is a piece {why} there; choose another bar."
            )
    if not found:
        raise EmptyMusicError(
            f"{name} gives {config} no window of {reader.bars} bars: it is a piece {reader.why_none(sequence)}; "
            "give another one."
        )
    first, windows = found[0]
    if whole:
        remarks.append(f"{name}: {text.count(len(found) * reader.bars, 'bar')} of {len(cuts)} are used.")
    else:
        one = "" if len(windows) == 1 else f" in one reading of {len(windows)}"
        remarks.append(f"{name}: {text.bars(first.bar, first.bar + reader.bars - 1)} of {len(cuts)}{one} are used.")
    if unknown := sum(reader.unknown_drums(cut.sequence) for cut, _ in found):
        left_out = f"{text.count(unknown, 'drum note')} {text.are(unknown)} left out"
        remarks.append(f"{name}: {left_out}: {config} has no class for their pitches.")
    velocity = float(np.mean([note.velocity for cut, _ in found for note in cut.sequence.notes]))
    chosen_windows = [max(some, key=_height) if reader.is_melody else some[0] for _, some in found]
    outputs = [window.outputs.unpack() for window in chosen_windows]
    tied = np.zeros(len(found), bool)
    bars, qpms = len(found) * reader.bars, [cut.qpm for cut, _ in found]
    players = [Voice("melody", 0, velocity)]
    return Excerpt(name, chosen_windows, outputs, bars, tied, first.qpm, players, {}, qpms)


def excerpt_of(window: Window, bars: int) -> Excerpt:
    """A window of `bars` bars as an excerpt without a piece."""
    tied = np.zeros(1, bool)
    return Excerpt(
        "", [window], [window.outputs.unpack()], bars, tied, DEFAULT_QPM, [Voice("melody", 0, DEFAULT_VELOCITY)]
    )


def counted(window: Window) -> np.ndarray:
    """True for the steps of a window that are not padding, bool `[length]`."""
    lengths = np.atleast_1d(window.length)
    places = np.arange(window.outputs.shape[0]).reshape(len(lengths), -1)
    return (places - places[:, :1] < lengths[:, None]).ravel()


def _height(window: Window) -> float:
    """Mean pitch of a window; the highest of several instruments is most likely the melody."""
    tokens = window.outputs.at % window.outputs.shape[1]
    return float(tokens[tokens >= FIRST_PITCH].mean())


def _cuts(sequence: Any, bars: int) -> Iterator[_Cut]:
    """Yields `bars` bars from each bar; like Magenta's windows, none crosses a change of tempo or metre."""
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
    """A stretch of a NoteSequence; notes that start less than half a step before a bar belong to the bar."""
    ours = copy.deepcopy(part)
    _keep(ours, [n for n in ours.notes if begin - near <= n.start_time < begin + length - near])
    for note in ours.notes:
        note.start_time = max(note.start_time, begin)
        note.end_time = max(note.end_time, note.start_time + 1e-3)
    ours.total_time = max(ours.total_time, begin + length)
    ours = sequences.extract_subsequence(ours, begin, begin + length)
    ours.ClearField("subsequence_info")
    ours.total_time = length
    return ours


def _keep(sequence: Any, notes: list[Any]) -> None:
    """Removes all other notes from a NoteSequence."""
    kept = copy.deepcopy(notes)
    del sequence.notes[:]
    sequence.notes.extend(kept)
