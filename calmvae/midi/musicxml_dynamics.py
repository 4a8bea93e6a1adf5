"""Dynamics of MusicXML: marks, hairpins and accents to velocities."""

from __future__ import annotations

import bisect
import itertools
from fractions import Fraction

from calmvae.midi.musicxml_part import Bar, Sound
from calmvae.midi.musicxml_signs import DEFAULT_LEVEL

# A hairpin without a mark within a bar of its end leads to the next louder or softer mark.
_NEAR, _LEVEL_STEP = Fraction(4), 16


class Loudness:
    """The velocities of a part: a mark holds until the next one, hairpins lead from one to the next."""

    def __init__(self, bars: list[Bar], written: list[Fraction]) -> None:
        self._written = written
        placed = [(begin, bar) for begin, bar in zip(written, bars, strict=False)]
        levels = sorted(((b + at, level) for b, bar in placed for at, level in bar.levels), key=lambda level: level[0])
        wedges = sorted((b + at, way) for b, bar in placed for at, way in bar.wedges)
        self._accents = {b + at: level for b, bar in placed for at, level in bar.accents.items()}
        self._ramps: list[tuple[Fraction, Fraction, int, int]] = []
        for (begin, way), (end, stop) in itertools.pairwise(wedges):
            if way and not stop and end > begin:
                self._ramp(levels, begin, end, way)
        self._levels = levels
        self._begins = [at for at, _ in levels]

    def _ramp(self, levels: list[tuple[Fraction, int]], begin: Fraction, end: Fraction, way: int) -> None:
        """Adds a hairpin that leads to the mark near its end, else to the next louder or softer mark."""
        begins = [at for at, _ in levels]
        now = _level(levels, begins, begin)
        i = bisect.bisect_right(begins, begin)
        near = i < len(levels) and levels[i][0] <= end + _NEAR
        aim = levels[i][1] if near else min(max(now + way * _LEVEL_STEP, 1), 127)
        if near and (aim - now) * way <= 0:
            return
        self._ramps.append((begin, end, now, aim))
        if not near:
            levels.insert(i, (end, aim))

    def at(self, measure: int, sound: Sound) -> int:
        """The velocity of a note of a measure."""
        if sound.velocity is not None:
            return sound.velocity
        at = self._written[measure] + sound.at
        if at in self._accents:
            return self._accents[at]
        # Ramps are sorted and overlap only at their ends.
        i = bisect.bisect_right(self._ramps, at, key=lambda ramp: ramp[0]) - 1
        if i >= 0 and at < self._ramps[i][1]:
            begin, end, now, aim = self._ramps[i]
            return round(now + (aim - now) * float((at - begin) / (end - begin)))
        return _level(self._levels, self._begins, at)


def _level(levels: list[tuple[Fraction, int]], begins: list[Fraction], at: Fraction) -> int:
    i = bisect.bisect_right(begins, at)
    return levels[i - 1][1] if i else DEFAULT_LEVEL
