"""The result of a command: a piece, which begins with its first note, and the messages about it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from calmvae.common.errors import EmptyMusicError
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece

# A bar of 4/4, the metre of every piece made, in quarter notes and in sixteenths.
_QUARTERS, _SIXTEENTHS = 4, 16
# A silence shorter than this many seconds is none.
_LEAST = 1e-6


@dataclasses.dataclass
class Made:
    """A piece that calmvae made.

    Attributes:
      piece: the music.
      sections: its parts.
      info: measurements for run.json.
      remarks: sentences for the user.
      parts: the sections as pieces of their own (for an interpolation, its steps).
      beside: another piece to show in the picture (for a reconstruction, the given melody).
    """

    piece: Piece
    sections: list[Section]
    info: dict[str, Any]
    remarks: list[str]
    parts: list[Piece] = dataclasses.field(default_factory=list)
    beside: Piece | None = None

    def begun(self, grid: float = 0.0) -> Made:
        """The same from its first note on.

        Args:
          grid: only whole steps of this many quarter notes are removed, so that notes off the grid stay off it.

        Raises:
          EmptyMusicError: it has no notes.
        """
        if not self.piece.notes:
            raise EmptyMusicError(
                f"'{self.piece.name}' would be silent, because the model decodes no note; give a piece with more "
                "notes, or choose another model with --model."
            )
        silence = lead(self.piece, grid)
        begin = float(self.piece.quarters(silence))
        return dataclasses.replace(
            self,
            piece=without(self.piece, silence),
            sections=[
                dataclasses.replace(section, start=max(section.start - begin, 0.0), end=section.end - begin)
                for section in self.sections
            ],
            parts=[without(part, lead(part, grid)) for part in self.parts],
            beside=self.beside and without(self.beside, silence),
        )


def lead(piece: Piece, grid: float = 0.0) -> float:
    """Seconds of silence before the first note, in whole steps of a grid if one is given (in quarter notes); 0 for a
    piece without notes."""
    starts = piece.columns().start
    found = float(starts.min()) if len(starts) else 0.0
    if grid:
        found = float(piece.seconds(np.floor(piece.quarters(found) / grid + _LEAST) * grid))
    return found if found > _LEAST else 0.0


def without(piece: Piece, seconds: float) -> Piece:
    """A piece in 4/4 without its first seconds. Notes that sound at the cut begin there; bar lines keep their places.

    Args:
      piece: with bar lines at every fourth quarter note.
      seconds: how much to remove.
    """
    if not seconds:
        return piece
    notes = [
        dataclasses.replace(note, start=max(note.start - seconds, 0.0), end=note.end - seconds)
        for note in piece.notes
        if note.end > seconds + _LEAST
    ]
    before = [qpm for at, qpm in piece.tempos if at <= seconds]
    tempos = [(0.0, before[-1]), *((at - seconds, qpm) for at, qpm in piece.tempos if at > seconds)]
    begin = float(piece.quarters(seconds))
    metres = [(0.0, _QUARTERS, 4)]
    if left := round(-begin * 4) % _SIXTEENTHS:
        shared = math.gcd(left, _SIXTEENTHS // 4)
        bar = float(piece.seconds(np.ceil(begin / _QUARTERS - _LEAST) * _QUARTERS)) - seconds
        metres = [(0.0, left // shared, _SIXTEENTHS // shared), (bar, _QUARTERS, 4)]
    return dataclasses.replace(piece, notes=notes, tempos=tempos, time_signatures=metres)
