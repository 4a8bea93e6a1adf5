"""The result of a command: a piece, which begins with its first note, and the messages about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from calmvae.common.errors import EmptyMusicError
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.music import bars
from calmvae.music.melody_tokens import STEPS_PER_QUARTER

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
    """A piece without its first seconds. Notes that sound at the cut begin there; bar lines keep their places."""
    if not seconds:
        return piece
    notes = [
        dataclasses.replace(note, start=max(note.start - seconds, 0.0), end=note.end - seconds)
        for note in piece.notes
        if note.end > seconds + _LEAST
    ]
    before = [qpm for at, qpm in piece.tempos if at <= seconds]
    tempos = [(0.0, before[-1]), *((at - seconds, qpm) for at, qpm in piece.tempos if at > seconds)]
    return dataclasses.replace(piece, notes=notes, tempos=tempos, time_signatures=_metres_from(piece, seconds))


def _metres_from(piece: Piece, seconds: float) -> list[tuple[float, int, int]]:
    """The time signatures from a time on; the rest of the bar at that time gets one of its own."""
    given = piece.time_signatures or [(0.0, 4, 4)]
    begin, starts = float(piece.quarters(seconds)), piece.quarters([time for time, _, _ in given])
    now = max(int(np.searchsorted(starts, begin + _LEAST)) - 1, 0)
    (_, upper, lower), later = given[now], given[now + 1 :]
    bar = upper * 4 / lower
    steps = round((float(starts[now]) - begin) % bar * STEPS_PER_QUARTER)
    metres = [(0.0, upper, lower)]
    if 0 < steps < round(bar * STEPS_PER_QUARTER):
        line = float(piece.seconds(begin + steps / STEPS_PER_QUARTER)) - seconds
        metres = [(0.0, *bars.signature(steps)), (line, upper, lower)]
    return [
        *[metre for metre in metres if not later or metre[0] < later[0][0] - seconds - _LEAST],
        *((time - seconds, n, d) for time, n, d in later),
    ]
