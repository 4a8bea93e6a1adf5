"""The geometry of a piano roll: where its notes, bars and rows are; drawn by `piano_roll`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from calmvae.midi.piece import Piece

LEFT, RIGHT, STRIP, TICKS = 0.72, 0.42, 0.22, 0.54  # Inches.
MAX_ROWS, MAX_PIXELS = 8, 7.5e6


@dataclasses.dataclass(frozen=True)
class Section:
    """A labelled stretch of a piece; start and end in quarter notes. `emphasis` marks the given pieces."""

    start: float
    end: float
    label: str
    emphasis: bool = False


@dataclasses.dataclass(frozen=True)
class Grid:
    """Bars of a length in quarter notes; `lead` of them are missing at the start of the first bar."""

    bar_quarters: float
    lead: float

    @classmethod
    def of(cls, piece: Piece, bar_quarters: float) -> Grid:
        """The grid of a piece, whose first time signature is shorter than a bar if it begins with an upbeat."""
        begins = [float(piece.quarters(at)) for at, _, _ in piece.time_signatures[:2]]
        upbeat = len(begins) == 2 and not begins[0] and begins[1] < bar_quarters
        return cls(bar_quarters, bar_quarters - begins[1] if upbeat else 0.0)

    def bars(self, quarters: np.ndarray) -> np.ndarray:
        """Positions in bars of positions in quarter notes."""
        return (quarters + self.lead) / self.bar_quarters


@dataclasses.dataclass(frozen=True)
class Rectangles:
    """Notes in the order of drawing, `[notes]` each.

    Attributes:
      track: place of the track in the legend.
      velocity: MIDI velocity.
      start, end: in bars.
      lower, thick: lower edge and height in semitones.
      low, high: lowest and highest pitch of a row.
      lane: height of the lane of drums below the pitches, 0 without drums.
    """

    track: np.ndarray
    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    lower: np.ndarray
    thick: np.ndarray
    low: int
    high: int
    lane: int


def rectangles(piece: Piece, tracks: Sequence[int], behind: int | None, grid: Grid) -> Rectangles:
    """The rectangles of a piece's notes.

    The pitches have a margin of two semitones and span at least an octave; the lane of drums has five.

    Args:
      piece: the piece.
      tracks: in the order of the legend.
      behind: the track to draw under the others.
      grid: the bars.
    """
    index = {track: i for i, track in enumerate(tracks)}
    # The loudest of voices in unison is on top.
    drawn = sorted(piece.notes, key=lambda n: (n.track != behind, n.velocity))
    table = [(index[n.track], n.is_drum, n.pitch, n.velocity, n.start, n.end) for n in drawn]
    track, drums, pitch, velocity, start, end = np.array(table, dtype=np.float64).reshape(-1, 6).T
    drum = drums > 0
    used = pitch[~drum]
    low, high = (int(used.min()) - 2, int(used.max()) + 2) if len(used) else (60, 59 if len(pitch) else 72)
    missing = max(12 - (high - low), 0) if len(used) else 0
    low, high, lane = low - (missing + 1) // 2, high + missing // 2, 5 if drum.any() else 0
    kinds, kind = np.unique(pitch[drum], return_inverse=True)
    thick = np.where(drum, min(4 / max(len(kinds), 1), 2), 1)
    lower = pitch.copy()
    lower[drum] = low - lane + 0.5 + kind * thick[drum]
    start, end = (grid.bars(piece.quarters(at)) for at in (start, end))
    return Rectangles(track, velocity, start, end, lower, thick, low, high, lane)


def count_bars(notes: Rectangles, sections: Sequence[Section], bar_quarters: float) -> tuple[int, int]:
    """The number of bars, and the number in a row.

    A release less than half a beat after a bar line does not open another bar.
    """
    ends = [*(notes.end - 0.5 / bar_quarters), *(notes.start + 0.001), *(s.end / bar_quarters for s in sections)]
    bars = max(1, math.ceil(max(ends, default=4) - 1e-6))
    return bars, bars_per_row(bars, {round(s.start / bar_quarters, 3) for s in sections})


def bars_per_row(bars: int, section_starts: set[float]) -> int:
    """All bars up to 24, else 16 to 24 in a row, more beyond 8 rows; rows begin with a section if possible."""
    least = max(16, math.ceil(bars / MAX_ROWS))

    def cost(size: int) -> tuple[int, bool, int, int]:
        torn = sum(row not in section_starts for row in range(size, bars, size)) if section_starts else 0
        return torn, size % 4 > 0 and not section_starts, -bars % size, size

    return bars if bars <= 24 else min(range(least, max(24, least * 5 // 4) + 1), key=cost)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The places of the rows, in inches except `rows` and `dpi`. A semitone's `step` is a whole number of pixels, so
    that all look alike."""

    rows: int
    width: float
    height: float
    dpi: float
    head: float
    strip: float
    step: float
    roll: float
    bar_width: float

    @classmethod
    def make(cls, bars: int, row_bars: int, notes: Rectangles, head: float, strip: float, dpi: float) -> Layout:
        """The layout of rows of notes under a head."""
        rows, semitones = math.ceil(bars / row_bars), notes.high - notes.low + 1 + notes.lane
        width = min(max(13.0 * row_bars / 24, 13.0), 20.0)
        step = min(max(((3.6, 2.9, 2.4, 2.1)[rows - 1] if rows <= 4 else 1.9) / semitones, 0.036), 0.16)
        dpi = min(dpi, math.sqrt(MAX_PIXELS / (width * (head + rows * (semitones * step + strip + TICKS)))))
        step = max(round(step * dpi), 2) / dpi
        roll, bar_width = semitones * step, (width - LEFT - RIGHT) / row_bars
        height = math.ceil((head + rows * (roll + strip + TICKS)) * dpi) / dpi
        return cls(rows, width, height, dpi, head, strip, step, roll, bar_width)

    def box(self, row: int, bars: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a row of so many bars, as shares of the page."""
        below = self.head + (row + 1) * (self.strip + self.roll) + row * TICKS
        bottom = 1 - round(below * self.dpi) / self.dpi / self.height
        return LEFT / self.width, bottom, bars * self.bar_width / self.width, self.roll / self.height
