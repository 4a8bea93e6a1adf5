"""The plan of a journey: how tempo, density, velocity and the place in the latent space change from bar to bar.

Music meets the listener where A is and then changes gradually (the iso principle). Tempo falls by 30 to 45 %, to about
60 quarters per minute; such a fall lowered heart rate, and a fall of 15 % did not (van Dyck 2017). Velocity and density
fall with it. Rests at the ends of phrases grow longer (Bernardi 2006).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.music.melody_tokens import STEPS_PER_BAR, STEPS_PER_QUARTER

PHRASE_BARS = 4
PHRASE_STEPS = PHRASE_BARS * STEPS_PER_BAR
DEFAULT_QPM, END_QPM = 96.0, 60.0
LEAST_FALL, MOST_FALL = 0.30, 0.45
# Phrases of A at the beginning; a place in the latent space gives as many.
OPENING_PHRASES = 4
MINUTES = (1.0, 180.0)
# At the end: velocity and onsets as shares of those at the beginning, and their lowest values.
_SOFTER, _SOFTEST = 0.62, 34
_SPARSER, _SPARSEST = 0.55, 9
# Steps of rest after a phrase, at the beginning of the journey and at its end.
_RESTS = (2, 8)
# When the path through the latent space leaves A and reaches B, as shares of the journey.
_DEPART, _ARRIVE = 0.08, 0.88


@dataclasses.dataclass(frozen=True)
class Itinerary:
    """The plan, bar by bar and phrase by phrase (all phrases have 4 bars).

    Attributes:
      qpm: tempo of each bar, `[bars]`.
      velocity, onsets, rest, place: of each phrase: MIDI velocity, the most notes, steps of silence at its end, place
        between A (0) and B (1), `[phrases]`.
      stages: first phrase of each stage.
    """

    qpm: np.ndarray
    velocity: np.ndarray
    onsets: np.ndarray
    rest: np.ndarray
    place: np.ndarray
    stages: tuple[int, ...]

    @property
    def phrases(self) -> int:
        """The number of phrases."""
        return len(self.place)

    @functools.cached_property
    def begins(self) -> np.ndarray:
        """Seconds at which each bar begins and the last one ends, `[bars + 1]`."""
        return np.concatenate([[0.0], np.cumsum(4 * 60 / self.qpm)])

    def seconds(self, step: int) -> float:
        """When a step begins; steps are sixteenths from the beginning."""
        bar = min(step // STEPS_PER_BAR, len(self.qpm) - 1)
        return float(self.begins[bar] + (step - bar * STEPS_PER_BAR) / STEPS_PER_QUARTER * 60 / self.qpm[bar])

    def stage(self, phrase: int) -> int:
        """The stage of a phrase, from 0."""
        return int(np.searchsorted(self.stages, phrase, side="right")) - 1


def end_tempo(start: float) -> float:
    """The tempo at the end: 60 quarters per minute, or the nearest tempo that is 30 to 45 % below the start."""
    return float(np.clip(END_QPM, start * (1 - MOST_FALL), start * (1 - LEAST_FALL)))


def plan(
    minutes: float, start_qpm: float, end_qpm: float, velocity: float, onsets: float, silence: float = 0.0
) -> Itinerary:
    """Plans a journey of a given length.

    The tempo of a bar is `start_qpm * (end_qpm / start_qpm) ** x ** p` with x from 0 to 1; p, close to 1, makes the
    whole phrases last `minutes`.

    Args:
      minutes: 1 to 180.
      start_qpm, end_qpm: quarters per minute.
      velocity, onsets: of A: mean MIDI velocity, notes in a phrase of 4 bars.
      silence: seconds before A's first note, which are not played.

    Raises:
      OptionError: `minutes` or a tempo is out of range.
    """
    if not MINUTES[0] <= minutes <= MINUTES[1]:
        raise OptionError(f"--minutes is {minutes:g}; it must be from {MINUTES[0]:g} to {MINUTES[1]:g}.")
    for name, qpm in (("start", start_qpm), ("end", end_qpm)):
        if not 10 <= qpm <= 400:
            raise OptionError(f"the {name} tempo is {qpm:g}; it must be from 10 to 400 quarters per minute.")
    if end_qpm > start_qpm:
        raise OptionError(f"the end tempo {end_qpm:g} is above the start tempo {start_qpm:g}; a journey slows down.")
    tempos = _tempos(minutes * 60 + silence, start_qpm, end_qpm)
    count = len(tempos) // PHRASE_BARS
    x = np.linspace(0.0, 1.0, count) if count > 1 else np.zeros(1)
    softest, sparsest = min(_SOFTEST, velocity), min(_SPARSEST, onsets)
    # 5 stages in 6 minutes, 8 in 20.
    stages = int(np.clip(round(5 + (minutes - 6) * 3 / 14), 3, 8))
    firsts = sorted({round(k * count / stages) for k in range(stages)})
    way = np.clip((x - _DEPART) / (_ARRIVE - _DEPART), 0, 1)
    return Itinerary(
        qpm=tempos,
        velocity=velocity + x * (max(velocity * _SOFTER, softest) - velocity),
        onsets=np.round(onsets * (max(onsets * _SPARSER, sparsest) / onsets) ** x).astype(int),
        rest=np.round(_RESTS[0] + x * (_RESTS[1] - _RESTS[0])).astype(int),
        # Slow at both ends, so that A and B can be recognised.
        place=way * way * (3 - 2 * way),
        stages=tuple(firsts),
    )


def _tempos(seconds: float, start: float, end: float) -> np.ndarray:
    """Tempo of each bar: as many phrases as come nearest to the time, and a curve whose bend meets it."""
    ratio = end / start

    def curve(bars: int, bend: float) -> np.ndarray:
        return start * ratio ** np.linspace(0.0, 1.0, bars) ** bend

    def lasts(bars: int, bend: float = 1.0) -> float:
        return float((240 / curve(bars, bend)).sum())

    count = max(1, round(seconds / lasts(64) * 64 / PHRASE_BARS))
    count = min((max(1, count + k) for k in (0, -1, 1)), key=lambda n: abs(lasts(n * PHRASE_BARS) - seconds))
    bars, low, high = count * PHRASE_BARS, 0.25, 4.0
    for _ in range(60):
        # A greater bend keeps the tempo high for longer, so that the bars take less time.
        middle = (low * high) ** 0.5
        low, high = (middle, high) if lasts(bars, middle) > seconds else (low, middle)
    return curve(bars, (low * high) ** 0.5)
