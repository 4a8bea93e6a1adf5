"""A piece of music in memory: notes, tempo map, metres and names.

Times are seconds, as in Magenta's NoteSequence. Positions are quarter notes, by integration of the tempo map. A `Piece`
keeps only what melodies need; a `Performance` is all that a file plays, for a NoteSequence.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

DEFAULT_QPM = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One note: MIDI pitch and velocity, start and end in seconds, General MIDI program, track index."""

    pitch: int
    velocity: int
    start: float
    end: float
    program: int = 0
    is_drum: bool = False
    track: int = 0


_ROW = operator.attrgetter(*(field.name for field in dataclasses.fields(Note)))


@dataclasses.dataclass(frozen=True, slots=True)
class Notes:
    """Many notes as columns of the fields of `Note`: int64 `[notes]`, times float64, `is_drum` bool."""

    pitch: np.ndarray
    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    program: np.ndarray
    is_drum: np.ndarray
    track: np.ndarray

    def __len__(self) -> int:
        return len(self.pitch)

    def columns(self) -> list[np.ndarray]:
        """The columns in the order of a `Note`'s fields."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def take(self, which: np.ndarray) -> Notes:
        """The notes at the given indices, or where a mask is True."""
        return Notes(*(column[which] for column in self.columns()))


@dataclasses.dataclass
class Piece:
    """A piece of music.

    The notes of a piece read from a file are columns, and become objects at the first access to `notes`.

    Attributes:
      notes: sorted by start, then pitch.
      tempos: `(time in seconds, quarters per minute)`, the first at time 0; of several at one time the last holds.
        To change them, make a new piece, because the tempo map is computed once.
      time_signatures: `(time in seconds, numerator, denominator)`; empty means 4/4.
      track_names: track index to name, for tracks with a name.
      name: its name in reports, usually the stem of the file.
      warnings: repairs and omissions of the reader, one sentence each.
    """

    notes: list[Note]
    tempos: list[tuple[float, float]] = dataclasses.field(default_factory=lambda: [(0.0, DEFAULT_QPM)])
    time_signatures: list[tuple[float, int, int]] = dataclasses.field(default_factory=list)
    track_names: dict[int, str] = dataclasses.field(default_factory=dict)
    name: str = ""
    warnings: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes = sorted(self.notes, key=lambda n: (n.start, n.pitch, n.track, n.end))
        tempos = [(max(float(t), 0.0), float(q)) for t, q in self.tempos if math.isfinite(t) and 0 < q < math.inf]
        tempos.sort(key=lambda tempo: tempo[0])
        if not tempos or tempos[0][0] > 0:
            # MIDI's own default holds until the first tempo event.
            tempos.insert(0, (0.0, DEFAULT_QPM))
        self.tempos = tempos
        # A stable sort, because of two at one time the later holds.
        self.time_signatures = sorted(self.time_signatures, key=lambda signature: signature[0])
        self._map = _tempo_map(tempos)

    @classmethod
    def of_columns(cls, notes: Notes, **fields: Any) -> Piece:
        """A piece of notes in any order, with the other fields as named."""
        piece = cls([], **fields)
        del piece.notes
        piece.__dict__["_columns"] = notes.take(_order(notes))
        return piece

    def __getattr__(self, name: str) -> list[Note]:
        if name != "notes" or "_columns" not in self.__dict__:
            raise AttributeError(f"a Piece has no attribute '{name}'")
        # From here on the list counts, because its user may change it.
        columns = self.__dict__.pop("_columns").columns()
        self.notes = [Note(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        return self.notes

    def columns(self) -> Notes:
        """The notes as columns, in their order."""
        if "_columns" in self.__dict__:
            return self.__dict__["_columns"]
        kinds = (np.int64, np.int64, np.float64, np.float64, np.int64, np.bool_, np.int64)
        rows = zip(*map(_ROW, self.notes), strict=True) if self.notes else [()] * len(kinds)
        return Notes(*(np.array(column, kind) for column, kind in zip(rows, kinds, strict=True)))

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the last note."""
        ends = self.columns().end
        return float(ends.max()) if len(ends) else 0.0

    def quarters(self, seconds: Iterable[float] | np.ndarray | float) -> np.ndarray:
        """Positions in quarter notes of the given times in seconds (any shape)."""
        knots, positions, slopes = self._map
        seconds = np.asarray(seconds, dtype=np.float64)
        if len(knots) == 1:
            return seconds * slopes[0]
        i = np.maximum(knots.searchsorted(seconds, side="right") - 1, 0)
        return positions[i] + (seconds - knots[i]) * slopes[i]

    def seconds(self, quarters: Iterable[float] | np.ndarray | float) -> np.ndarray:
        """Times in seconds of the given positions in quarter notes (any shape)."""
        knots, positions, slopes = self._map
        quarters = np.asarray(quarters, dtype=np.float64)
        i = np.maximum(positions.searchsorted(quarters, side="right") - 1, 0)
        return knots[i] + (quarters - positions[i]) / slopes[i]

    def mean_qpm(self, start: float = 0.0, end: float | None = None) -> float:
        """Mean tempo in quarters per minute between two times in seconds (default: the whole piece)."""
        end = self.duration if end is None else end
        if end <= start:
            return float(self.tempos[0][1])
        first, last = self.quarters([start, end])
        return float(60.0 * (last - first) / (end - start))

    def qpm_range(self, start: float, end: float) -> tuple[float, float]:
        """The slowest and the fastest tempo in quarters per minute between two times in seconds."""
        nexts = [at for at, _ in self.tempos[1:]] + [float("inf")]
        heard = [qpm for (at, qpm), until in zip(self.tempos, nexts, strict=True) if at < end and until > start]
        return (min(heard), max(heard)) if heard else (self.tempos[0][1], self.tempos[0][1])


def _order(notes: Notes) -> np.ndarray:
    """The order of notes by start, pitch, track and end."""
    order = notes.start.argsort(kind="stable")
    start = notes.start[order]
    later = np.zeros(len(start), np.int64)
    later[1:] = start[1:] != start[:-1]
    chord = later.cumsum()
    # One number as key, nearly sorted by now; equal keys are rare and mostly in order.
    key = (chord << 14 | notes.pitch[order] & 0x3FFF) << 20 | notes.track[order]
    second = key.argsort(kind="stable")
    order, key = order[second], key[second]
    if np.count_nonzero(same := key[1:] == key[:-1]):
        end = notes.end[order]
        if (same & (end[1:] < end[:-1])).any():
            return order[np.lexsort((end, key))]
    return order


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """The notes of a track on one channel with one program."""

    program: int
    is_drum: bool
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Performance:
    """What a file plays. Times are seconds.

    Attributes:
      resolution: ticks per quarter note.
      tempos: `(time, quarters per minute)`.
      time_signatures: `(time, numerator, denominator)`.
      key_signatures: `(time, tonic from 0 = C, 1 if minor)`.
      instruments: in the order of the file.
      notes: by instrument, then by the place of their ends in the file; `track` is the index of the instrument.
      controls: int64 `[controls, 3]`, instrument, number and value, and their times float64 `[controls]`.
      bends: int64 `[bends, 2]`, instrument and bend (-8192 to 8191), and their times float64 `[bends]`.
      warnings: repairs and omissions, one sentence for each kind.
      encoding: the format of the file: midi, musicxml or abc.
    """

    resolution: int
    tempos: list[tuple[float, float]]
    time_signatures: list[tuple[float, int, int]]
    key_signatures: list[tuple[float, int, int]]
    instruments: list[Instrument]
    notes: Notes
    controls: tuple[np.ndarray, np.ndarray]
    bends: tuple[np.ndarray, np.ndarray]
    warnings: list[str]
    encoding: str = "midi"

    def piece(self, name: str) -> Piece:
        """The piece, with a copy of the warnings."""
        return Piece.of_columns(
            self.notes,
            tempos=list(self.tempos),
            time_signatures=list(self.time_signatures),
            track_names={i: part.name.strip() for i, part in enumerate(self.instruments) if part.name.strip()},
            name=name,
            warnings=list(self.warnings),
        )


def _tempo_map(tempos: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if len(tempos) == 1:
        return np.array([tempos[0][0]]), np.zeros(1), np.array([tempos[0][1] / 60.0])
    knots = np.array([t for t, _ in tempos])
    slopes = np.array([q / 60.0 for _, q in tempos])
    positions = np.concatenate([[0.0], np.cumsum(np.diff(knots) * slopes[:-1])])
    return knots, positions, slopes
