"""The bars of a piece as a model takes them: at most 16 sixteenths each, in the piece's own metre."""

from __future__ import annotations

import numpy as np

from calmvae.midi.piece import Piece
from calmvae.music.melody_tokens import STEPS_PER_BAR, STEPS_PER_QUARTER

# Bars that are longer than 16 steps begin with a part of this length: 5/4 is 12 and 8, 12/8 is two of 12.
_PART = 12


def bar_lines(piece: Piece, steps: int) -> np.ndarray:
    """Where bars begin, and the end of the last, in sixteenths from the piece's beginning: int64 `[bars + 1]`.

    Short bars are put together (two of 2/4 make one of 16 steps), long ones divided. A new metre begins a new bar.

    Args:
      piece: its time signatures count.
      steps: length of the music; the last bar reaches at least so far.
    """
    signatures = piece.time_signatures or [(0.0, 4, 4)]
    starts = [round(float(q) * STEPS_PER_QUARTER) for q in piece.quarters([time for time, _, _ in signatures])]
    if starts[0] > 0:
        signatures, starts = [(0.0, 4, 4), *signatures], [0, *starts]
    lines: list[int] = []
    for (_, count, unit), start, end in zip(signatures, starts, [*starts[1:], None], strict=True):
        parts, k, at = _parts(count * STEPS_PER_BAR / unit), 0, float(start)
        stop = max(steps, start + 1) if end is None else min(end, steps)
        while round(at) < stop:
            lines.append(round(at))
            at += parts[k % len(parts)]
            k += 1
        if end is None or end >= steps:
            lines.append(round(at) if end is None else min(round(at), end))
            break
    return np.array(lines, np.int64)


def _parts(length: float) -> list[float]:
    """The lengths, of at most 16 steps, that bars of a length in steps are put together to or divided into, in turn."""
    if length < 1:
        return [float(STEPS_PER_BAR)]
    if length <= STEPS_PER_BAR:
        return [length * (STEPS_PER_BAR // length)]
    part = STEPS_PER_BAR if length % STEPS_PER_BAR == 0 else _PART
    parts = []
    while length > STEPS_PER_BAR:
        parts.append(float(part))
        length -= part
    return [*parts, length]


def metres(lengths: np.ndarray) -> list[tuple[int, int, int]]:
    """The time signatures that write bars of some lengths: `(bar, numerator, denominator)` where they change.

    Args:
      lengths: of bars in sixteenths, int `[bars]`.
    """
    changes = np.flatnonzero(np.diff(lengths, prepend=0))
    found = []
    for bar in changes.tolist():
        length, unit = int(lengths[bar]), STEPS_PER_BAR
        while unit > STEPS_PER_QUARTER and length % 2 == 0:
            length, unit = length // 2, unit // 2
        found.append((bar, length, unit))
    return found
