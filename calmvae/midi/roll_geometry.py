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


class Grid:
    """The bars of a piece by its time signatures; the last metre goes on for ever.

    Attributes:
      lines: where bars begin, in quarter notes, float64 `[bars + 1]`; the first is below 0 if there is an upbeat.
    """

    def __init__(self, piece: Piece) -> None:
        signatures = piece.time_signatures or [(0.0, 4, 4)]
        starts = [float(piece.quarters(time)) for time, _, _ in signatures]
        lengths = [upper * 4 / lower for _, upper, lower in signatures]
        # Bars that are shorter than a beat are drawn together.
        lengths = [length * math.ceil(1 / length) for length in lengths]
        if len(starts) > 1 and not starts[0] and starts[1] < lengths[1]:
            # An upbeat is at the end of the first bar.
            starts, lengths = [starts[1] - lengths[1], *starts[2:]], lengths[1:]
        end = float(piece.quarters(piece.duration))
        lines: list[float] = []
        for start, length, stop in zip(starts, lengths, [*starts[1:], max(end, starts[-1] + 1e-6)], strict=True):
            # A metre that comes earlier than a bar line by less than this makes no bar of its own.
            count = max(math.ceil((stop - start) / length - 1e-3), 0)
            lines += [start + k * length for k in range(count)]
        self.lines, self._last = np.array(lines or starts[-1:]), lengths[-1]

    def bars(self, quarters: np.ndarray | float) -> np.ndarray:
        """Positions in bars of positions in quarter notes."""
        quarters = np.asarray(quarters, np.float64)
        bar = np.maximum(np.searchsorted(self.lines, quarters + 1e-9, side="right") - 1, 0)
        within = (quarters - self.lines[bar]) / self.lengths(bar)
        return bar + within

    def section(self, section: Section) -> Section:
        """A section with start and end in bars."""
        return dataclasses.replace(section, start=float(self.bars(section.start)), end=float(self.bars(section.end)))

    def lengths(self, bars: np.ndarray) -> np.ndarray:
        """The lengths of bars in quarter notes."""
        return np.append(np.diff(self.lines), self._last)[np.minimum(bars, len(self.lines) - 1)]

    def quarters(self, bars: np.ndarray) -> np.ndarray:
        """Where bars begin, in quarter notes from the piece's beginning."""
        last = len(self.lines) - 1
        begins = self.lines[np.minimum(bars, last)] + np.maximum(bars - last, 0) * self._last
        return np.maximum(begins, 0)


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


def count_bars(notes: Rectangles, sections: Sequence[Section], grid: Grid) -> tuple[int, int]:
    """The number of bars, and the number in a row.

    A release less than half a beat after a bar line does not open another bar.

    Args:
      notes: of the piece.
      sections: with start and end in bars.
      grid: the bars.
    """
    late = 0.5 / grid.lengths(np.floor(notes.end).astype(int))
    ends = [*(notes.end - late), *(notes.start + 0.001), *(section.end for section in sections)]
    bars = max(1, math.ceil(max(ends, default=4) - 1e-6))
    return bars, bars_per_row(bars, {round(section.start, 3) for section in sections})


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

    def strip_above(self, head: float, room: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of the strip between the header and the rows, as shares of the page."""
        return LEFT / self.width, 1 - head / self.height, 1 - (LEFT + RIGHT) / self.width, (head - room) / self.height

    def box(self, row: int, bars: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a row of so many bars, as shares of the page."""
        below = self.head + (row + 1) * (self.strip + self.roll) + row * TICKS
        bottom = 1 - round(below * self.dpi) / self.dpi / self.height
        return LEFT / self.width, bottom, bars * self.bar_width / self.width, self.roll / self.height
