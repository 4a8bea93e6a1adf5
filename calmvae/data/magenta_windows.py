"""Examples for the configs that are not of melodies: what Magenta's own data converter makes of a NoteSequence.

Stands in for Magenta's `get_dataset`, which keeps a few windows a piece, freezes the transposition after the first
epoch, drops the last part of a batch, hangs below one and stops at controls of no depth. Here every window counts, in
an order that depends on the music alone, and a piece that gives none is counted with the reason.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from calmvae.common import magenta_import
from calmvae.data import training_windows
from calmvae.model import config_catalog


@dataclasses.dataclass(frozen=True)
class Packed:
    """A matrix `[length, depth]` by what is not 0 in it: an example is a few hundred ones among a hundred thousand."""

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
        """Equal for equal matrices."""
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
        """To put windows in an order by."""
        return self.outputs.key(), self.controls.key(), self.inputs.key()


class Reader:
    """A config's converter, and what goes before it.

    Args:
      config: Magenta's Config; it is not changed.
      mode: of the converter: train, eval or infer.
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
        """True where a piece is read otherwise each time: transposed, or with notes left out at random."""
        drops = ("_max_note_dropout_probability", "_drop_tracks_and_truncate")
        return bool(self.augmenter) or any(getattr(self.converter, name, None) for name in drops)

    def windows(self, sequence: Any, draw: Sequence[int] = (0,), augment: bool = False) -> list[Window]:
        """All windows of a NoteSequence, which is not changed.

        Args:
          sequence: the piece.
          draw: seed of all that is drawn.
          augment: transpose it as in training.

        Raises:
          Exception: whatever Magenta's converter stops at.
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
            # Stock cuts what is longer than the model's window, and so do its graphs.
            found.append(Window(packed, same, Packed.of(controls), np.asarray(length, np.int32)))
        # Magenta's order is that of a set of strings, another in each process.
        return sorted(found, key=Window.key)

    def _prepared(self, sequence: Any) -> Any:
        ours = copy.deepcopy(sequence)
        if not ours.tempos:
            ours.tempos.add(qpm=120.0)
        if self.is_groove:
            # Its converter takes every note for a drum and stops at a pitch that it does not know.
            drums = [note for note in ours.notes if note.is_drum and note.pitch in self._drums]
            kept = [copy.deepcopy(note) for note in drums]
            del ours.notes[:]
            for note in kept:
                note.pitch = self._drums[note.pitch]
            ours.notes.extend(kept)
        return ours

    @functools.cached_property
    def _drums(self) -> dict[int, int]:
        """Pitches of a drum config to the pitch that stands for them."""
        converter = self.converter
        if not self.is_groove:
            return {pitch: pitch for pitch in converter._pitch_class_map}
        # Trained on one drum kit, whose pitches are fewer than General MIDI's; those are the ones to infer with.
        known = {pitch: converter.pitch_classes[k][0] for pitch, k in converter._infer_pitch_class_map.items()}
        return known | {pitch: pitch for pitch in converter.pitch_class_map}

    def unknown_drums(self, sequence: Any) -> int:
        """Drum notes of a piece that a config of drums has no class for."""
        return sum(n.is_drum and n.pitch not in self._drums for n in sequence.notes) if self.is_drums else 0

    def why_none(self, sequence: Any) -> str:
        """Why a piece gives no window, in a few words, as far as can be told from outside."""
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
        """Inputs, outputs and controls `[n, length, depth]`, padded to the longest, and lengths, as Magenta batches."""
        parts = []
        for name in ("inputs", "outputs", "controls"):
            arrays = [getattr(window, name).unpack()[: self.steps] for window in windows]
            longest = max(map(len, arrays))
            parts.append(np.stack([np.pad(array, ((0, longest - len(array)), (0, 0))) for array in arrays]))
        lengths = np.stack([window.length for window in windows])
        return [*parts, np.minimum(lengths, self.steps)]


def _longest_stretch(sequence: Any) -> float:
    """Bars of 4/4 between changes of tempo or metre, where there are most."""
    marks = [(t.time, t.qpm) for t in sequence.tempos] or [(0.0, 120.0)]
    changes = sorted({0.0, sequence.total_time, *(t for t, _ in marks), *(s.time for s in sequence.time_signatures)})
    most = 0.0
    for begin, end in itertools.pairwise(changes):
        qpm = next((qpm for time, qpm in sorted(marks, reverse=True) if time <= begin), 120.0)
        most = max(most, (end - begin) * qpm / 240)
    return float(np.ceil(most))


@dataclasses.dataclass
class Examples:
    """The windows of some pieces.

    Attributes:
      reader: what read them.
      pieces: serialized NoteSequences of the pieces that gave windows.
      windows: of each of them, as it is.
      left_out: pieces without a window, by reason.
      unknown_drums: notes left out, see `Reader.unknown_drums`.
    """

    reader: Reader
    pieces: list[bytes]
    windows: list[list[Window]]
    left_out: Counter[str]
    unknown_drums: int = 0

    @classmethod
    def read(cls, reader: Reader, sequences: Iterator[Any]) -> Examples:
        """Reads NoteSequences."""
        found = cls(reader, [], [], Counter())
        for sequence in sequences:
            windows, why = look(reader, sequence)
            if why:
                found.left_out[why] += 1
                continue
            found.unknown_drums += reader.unknown_drums(sequence)
            found.pieces.append(sequence.SerializeToString(deterministic=True))
            found.windows.append(windows)
        return found

    def __len__(self) -> int:
        return sum(map(len, self.windows))

    def slots(self) -> list[tuple[int, int]]:
        """Piece, and place among its windows, of every window."""
        return [(piece, k) for piece, windows in enumerate(self.windows) for k in range(len(windows))]

    def batches(self, batch_size: int, seed: int, start_step: int = 0) -> Iterator[list[np.ndarray]]:
        """Endless batches, shuffled and, where the config transposes, transposed anew each epoch.

        A step's batch depends on the seed and the step alone. A transposed piece may have fewer windows, or more, than
        it has as it is: an epoch takes as many as of the piece as it is, or that where nothing is left.

        Yields:
          what `Reader.batch` makes.
        """
        slots, varies = self.slots(), self.reader.varies()

        @functools.lru_cache(maxsize=max(len(self.pieces), 1))
        def anew(epoch: int, piece: int) -> list[Window]:
            sequence = magenta_import.load_note_seq().NoteSequence.FromString(self.pieces[piece])
            try:
                windows = self.reader.windows(sequence, (seed, 2, epoch, piece), augment=True)
            except Exception:
                # As it is, the piece was read.
                windows = []
            return windows or self.windows[piece]

        for epochs, rows in training_windows.drawn_rows(len(slots), batch_size, seed, start_step):
            batch = []
            for epoch, row in zip(epochs.tolist(), rows.tolist(), strict=True):
                piece, k = slots[row]
                windows = anew(epoch, piece) if varies else self.windows[piece]
                batch.append(windows[k % len(windows)])
            yield self.reader.batch(batch)


def look(reader: Reader, sequence: Any) -> tuple[list[Window], str]:
    """The windows of a piece, or why there are none."""
    try:
        windows = reader.windows(sequence)
    except Exception as error:
        # Whatever comes first where a converter meets what it was not written for.
        return [], f"that Magenta's converter stops at ({type(error).__name__})"
    return windows, "" if windows else reader.why_none(sequence)


@functools.lru_cache(maxsize=1)
def reader_of(config: str) -> Reader:
    """The reader of one of Magenta's configs, for training."""
    return Reader(magenta_import.load().configs.CONFIG_MAP[config])


def count(config: str, data: bytes) -> tuple[int, str]:
    """How many windows a serialized NoteSequence has for a config, and if none, why."""
    windows, why = look(reader_of(config), magenta_import.load_note_seq().NoteSequence.FromString(data))
    return len(windows), why
