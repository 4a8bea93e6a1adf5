"""Ties of MusicXML: tied notes are one note, over bar lines and repeats too."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from calmvae.midi.musicxml_part import Bar, Sound


def joined(
    order: Sequence[tuple[int, int]], begins: Sequence[Fraction], bars: list[Bar]
) -> list[tuple[Fraction, Fraction, Sound, int]]:
    """A part's notes as played, tied notes as one.

    Args:
      order: the measures in the order of play, each with the number of the pass.
      begins: where each begins, in quarter notes.
      bars: the part's measures as written.

    Returns:
      start, end, note, and measure of each.
    """
    found: list[tuple[Fraction, Fraction, Sound, int]] = []
    # Notes with an open tie, by pitch: index, end, and number of the played measure.
    open_ties: dict[int, list[tuple[int, Fraction, int]]] = {}
    for k, ((measure, number), begin) in enumerate(zip(order, begins, strict=False)):
        if measure >= len(bars):
            continue
        for sound in sorted(bars[measure].sounds, key=lambda sound: sound.at):
            if sound.passes is not None and number not in sound.passes:
                continue
            start = begin + sound.at
            end = start + sound.length
            at = _tied_to(open_ties.get(sound.pitch, []), start, k) if sound.stops_tie else None
            if at is None:
                at = len(found)
                found.append((start, end, sound, measure))
            else:
                found[at] = (found[at][0], end, *found[at][2:])
            if sound.starts_tie:
                open_ties.setdefault(sound.pitch, []).append((at, end, k))
    return found


def _tied_to(waiting: list[tuple[int, Fraction, int]], start: Fraction, k: int) -> int | None:
    """Removes from the waiting notes the one that a tie continues, and returns it: it ends here or a measure before."""
    latest = range(len(waiting) - 1, -1, -1)
    exact = (i for i in latest if waiting[i][1] == start)
    near = (i for i in latest if waiting[i][1] < start and k - waiting[i][2] <= 1)
    i = next(exact, next(near, None))
    return None if i is None else waiting.pop(i)[0]
