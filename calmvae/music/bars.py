"""The bars of a piece as a model takes them: at most 16 sixteenths each, in the piece's own metre."""

from __future__ import annotations

from collections.abc import Sequence

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


def metres(lengths: np.ndarray, known: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int, int]]:
    """The time signatures that write bars of some lengths: `(bar, numerator, denominator)` where they change.

    Args:
      lengths: of bars in sixteenths, int `[bars]`.
      known: signatures `(numerator, denominator)` to prefer where their bars fit, such as 6/8 to 3/4 for 12 sixteenths.
    """
    given = [(_parts(upper * STEPS_PER_BAR / lower), upper, lower) for upper, lower in known]
    # A 5/4 is known by its two parts, before one of them is taken for a bar.
    given.sort(key=lambda one: -len(one[0]))
    found: list[tuple[int, int, int]] = []
    bar, rest = 0, lengths.tolist()
    while bar < len(rest):
        fits = next((one for one in given if rest[bar : bar + len(one[0])] == one[0]), None)
        upper, lower = fits[1:] if fits else signature(rest[bar])
        if not found or found[-1][1:] != (upper, lower):
            found.append((bar, upper, lower))
        bar += len(fits[0]) if fits else 1
    return found


def signature(length: int) -> tuple[int, int]:
    """A bar of so many sixteenths in quarters if it can be, else in eighths or sixteenths."""
    unit = next(unit for unit in (4, 8, 16) if length * unit % STEPS_PER_BAR == 0)
    return length * unit // STEPS_PER_BAR, unit
