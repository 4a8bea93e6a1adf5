"""Tempos of a MIDI file: ticks to seconds, and meta events in the order of time."""

from __future__ import annotations

import struct

import numpy as np

from calmvae.common.text import are, count
from calmvae.midi import midi_events
from calmvae.midi.midi_events import Events, Meta

# A file in frames has no beats of its own: they are MIDI's default, two a second, until it gives a tempo.
_DEFAULT_QPM = 120.0


class Clock:
    """Converts ticks to seconds by the tempos of all tracks; each holds from a tick on, with its time and a slope."""

    def __init__(self, found: Events, said: list[str]) -> None:
        self.resolution, ticks_a_second = _division(found.division)
        ticks, slopes = [0], [60.0 / (_DEFAULT_QPM * self.resolution)]
        metas = in_time(found, midi_events.TEMPO)
        usable = [meta for meta in metas if len(meta.data) >= 3 and any(meta.data[:3])]
        say_unusable(said, "tempo", len(metas) - len(usable))
        for meta in usable:
            tick = found.tick.item(meta.event)
            bpm = 6e7 / int.from_bytes(meta.data[:3], "big")
            slope = 60.0 / (bpm * self.resolution)
            if tick == ticks[-1]:
                slopes[-1] = slope
            elif slope != slopes[-1]:
                ticks.append(tick)
                slopes.append(slope)
        self._qpms = [60.0 / (slope * self.resolution) for slope in slopes]
        if ticks_a_second:
            # Times are given in frames; tempos only say where the beats are.
            slopes = [1 / ticks_a_second] * len(slopes)
            said.append(
                "Its times are counted in film frames, not in beats; beats are placed by its tempo marks, else at 120."
            )
        times = [0.0]
        for i in range(1, len(ticks)):
            times.append(times[-1] + slopes[i - 1] * (ticks[i] - ticks[i - 1]))
        self._ticks, self._slopes, self._times = np.array(ticks), np.array(slopes), np.array(times)
        # A sixteenth at the default tempo in frames.
        self.short = max(1, round(ticks_a_second / 8) if ticks_a_second else self.resolution // 4)

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        if len(self._ticks) == 1:
            return self._slopes[0] * ticks
        i = self._ticks.searchsorted(ticks, side="right") - 1
        return self._times[i] + self._slopes[i] * (ticks - self._ticks[i])

    def tempos(self) -> list[tuple[float, float]]:
        return list(zip(self._times.tolist(), self._qpms, strict=True))


def _division(division: int) -> tuple[int, float]:
    """Ticks per quarter note, and ticks per second if time is counted in frames, else 0."""
    if division > 0:
        return division, 0.0
    frames, ticks = struct.unpack("bB", struct.pack(">h", division))
    # 29 stands for the 29.97 frames of NTSC.
    rate = (30000 / 1001 if frames == -29 else -frames) * ticks
    return max(1, round(rate * 60 / _DEFAULT_QPM)), rate


def in_time(found: Events, kind: int) -> list[Meta]:
    """The meta events of a kind, of all tracks, in the order of time."""
    metas = [meta for meta in found.metas if meta.kind == kind]
    return sorted(metas, key=lambda meta: found.tick.item(meta.event)) if len(metas) > 1 else metas


def say_unusable(said: list[str], what: str, number: int) -> None:
    """Adds a sentence about meta events that cannot be used, if there are some."""
    if number:
        said.append(f"{count(number, what)} that cannot be used {are(number)} passed over.")
