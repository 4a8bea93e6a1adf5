"""The calmness of a piece, from 0 to 100: a weighted sum of features that research associates with calm.

Cues to emotion in music act linearly and add up (Eerola, Friberg and Bresin 2013: 77 to 89 % of the variance), so the
score is linear. Each feature adds its distance from a reference mean, in reference deviations (at most 3), times its
weight. 50 is the mean of the references; the sum is cut at 0 and 100. The weights follow how strongly the sources
associate a feature with calm or arousal; they were not fitted to a collection or to ratings. A missing feature counts
as the mean. The score does not claim that music calms anybody.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from calmvae.midi.piece import Notes, Piece
from calmvae.music import calm_features, melody_tokens, voice_windows

# Points per weighted deviation, chosen so that most music lies between 20 and 80.
POINTS = 30.0
_LIMIT = 3.0
# Tempo and velocity of samples.
DEFAULT_QPM, DEFAULT_VELOCITY = 72.0, 60
# A value within this many deviations of the mean counts as usual.
_SLIGHT = 0.3


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature of the score.

    Attributes:
      measure: its formula.
      unit: unit of its values.
      towards: -1 if lower values are calm, 1 if higher values are calm.
      weight: its share of the score; all shares add up to 1.
      mean, deviation: of the references, see resources/calmness.md.
      source: the publications.
      low, high: words for a value below or above the mean.
    """

    measure: Callable[[calm_features.Stretch], float]
    unit: str
    towards: int
    weight: float
    mean: float
    deviation: float
    source: str
    low: str
    high: str


FEATURES: dict[str, Feature] = {
    "onset_rate": Feature(
        calm_features.onset_rate,
        "log2 onsets/s", -1, 0.20, 1.65, 0.60, "Dickson & Schubert 2020; Tan & Herremans 2020",
        "few onsets", "many onsets",
    ),
    "velocity": Feature(
        calm_features.velocity, "MIDI velocity", -1, 0.18, 66, 16, "Scarratt 2023; Tan 2012; Gabrielsson & Lindstrom",
        "soft", "loud",
    ),
    "note_length": Feature(
        calm_features.note_length,
        "log2 s", 1, 0.11, -1.30, 0.55, "Dickson & Schubert 2020", "short notes", "long notes",
    ),
    "tempo": Feature(
        calm_features.tempo, "quarters/min", -1, 0.10, 100, 30, "Bernardi 2006; van der Zwaag 2011; Scarratt 2023",
        "slow", "fast",
    ),
    "note_rate": Feature(
        calm_features.note_rate, "log2 notes/s", -1, 0.08, 2.90, 0.60, "Dickson & Schubert 2020", "thin", "dense",
    ),
    "percussion": Feature(
        calm_features.percussion, "share of notes", -1, 0.06, 0.05, 0.15, "van der Zwaag 2011",
        "little percussion", "much percussion",
    ),
    "legato": Feature(
        calm_features.legato, "share of time", 1, 0.05, 0.95, 0.06, "Gabrielsson & Lindstrom", "detached", "legato",
    ),
    "velocity_change": Feature(
        calm_features.velocity_change, "MIDI velocity", -1, 0.05, 10, 7, "Bernardi 2009; Tan 2012",
        "even loudness", "changing loudness",
    ),
    "dissonance": Feature(
        calm_features.dissonance, "Huron's index", -1, 0.05, -0.69, 0.11, "Proverbio 2015; Lahdelma & Eerola 2020",
        "consonant", "dissonant",
    ),
    "interval": Feature(
        calm_features.interval, "semitones", -1, 0.03, 3.4, 1.2, "Tan 2012; Elliott 2011", "small steps", "large leaps",
    ),
    "tonal_clarity": Feature(
        calm_features.tonal_clarity, "correlation", 1, 0.03, 0.83, 0.06, "Proverbio 2015; McDermott 2010",
        "no clear key", "a clear key",
    ),
    "extremes": Feature(
        calm_features.extremes, "share of time", -1, 0.02, 0.06, 0.06, "mixed findings: avoid extremes",
        "middle register", "very low or high notes",
    ),
    "irregularity": Feature(
        calm_features.irregularity, "octaves", -1, 0.02, 0.40, 0.22, "Tan 2012; Bernardi 2006",
        "even rhythm", "uneven rhythm",
    ),
    "silence": Feature(
        calm_features.silence, "share of time", 1, 0.01, 0.02, 0.03, "Bernardi 2006", "hardly a rest", "rests",
    ),
    "mode": Feature(
        calm_features.mode, "difference of correlations", 1, 0.01, 0.07, 0.12, "Eerola 2013 (separates calm from sad)",
        "minor", "major",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Score:
    """A calmness and its parts.

    Attributes:
      calmness: 0 to 100.
      values: the value of each feature, NaN if the music does not have it.
      points: the points that each feature adds to 50, before the sum is cut.
    """

    calmness: float
    values: dict[str, float]
    points: dict[str, float]

    @property
    def remarks(self) -> list[str]:
        """The limits of the score, one sentence each."""
        if self.values.get("percussion") != 1:
            return []
        return ["There are only drums; calmness is of tempo, notes a second, loudness and rests alone."]

    def explained(self, most: int = 3) -> str:
        """The features that raise and lower it most, in words."""
        ordered = sorted(self.points, key=lambda name: -abs(self.points[name]))
        told = [n for n in ordered if abs(self.points[n]) >= 0.5 and not _is_usual(n, self.values[n])][: 2 * most]
        parts = []
        for word, sign in (("raised", 1), ("lowered", -1)):
            of = [n for n in told if self.points[n] * sign > 0][:most]
            if of:
                said = (f"{words(n, self.values[n])} ({self.points[n]:+.1f})" for n in of)
                parts.append(f"{word} by {', '.join(said)}")
        return "; ".join(parts) or "like the mean in everything"


def words(name: str, value: float) -> str:
    """A feature's value in words."""
    feature, plain = FEATURES[name], name.replace("_", " ")
    if math.isnan(value):
        return f"no {plain}"
    if _is_usual(name, value):
        return f"usual {plain}"
    return feature.low if value < feature.mean else feature.high


def _is_usual(name: str, value: float) -> bool:
    return abs(value - FEATURES[name].mean) < _SLIGHT * FEATURES[name].deviation


def score(piece: Piece, begin: float | None = None, end: float | None = None) -> Score:
    """The calmness of a piece, from 0 to 100, or of the notes that begin between two times in seconds.

    It is a weighted sum of features that research associates with calm; `FEATURES` has units, weights and sources. A
    missing feature counts as the reference mean.
    """
    stretch = calm_features.stretch(piece, begin, end)
    return of_values({name: feature.measure(stretch) for name, feature in FEATURES.items()})


def of_tokens(tokens: np.ndarray, qpm: float = DEFAULT_QPM) -> Score:
    """The calmness of a window, of a melody `[steps]` or of voices `[steps, voices]`, uint8, played like a sample."""
    if tokens.ndim == 2:
        lines, _ = voice_windows.join_windows(tokens[None])
    else:
        lines = tokens[:, None]
    rows = [note for line in lines.T for note in melody_tokens.token_notes(line)]
    notes = np.array(rows, np.int64).reshape(-1, 3)
    seconds = 60 / qpm / melody_tokens.STEPS_PER_QUARTER
    zeros = np.zeros(len(notes), np.int64)
    begin, end = notes[:, 1] * seconds, notes[:, 2] * seconds
    columns = Notes(notes[:, 0], zeros + DEFAULT_VELOCITY, begin, end, zeros, zeros.astype(bool), zeros)
    return score(Piece.of_columns(columns, tempos=[(0.0, qpm)]), 0.0, len(lines) * seconds)


def of_windows(tokens: np.ndarray) -> np.ndarray:
    """The calmness `[n]` of windows uint8 `[n, steps]`, or `[n, steps, voices]`, all at one tempo and loudness."""
    return np.array([of_tokens(row).calmness for row in tokens])


def of_values(values: Mapping[str, float]) -> Score:
    """The calmness of music with these values of features."""
    points = {name: FEATURES[name].weight * POINTS * deviation(name, value) for name, value in values.items()}
    return Score(float(np.clip(50 + sum(points.values()), 0, 100)), dict(values), points)


def deviation(name: str, value: float) -> float:
    """The distance of a value from the mean towards calm, in deviations, from -3 to 3; 0 for NaN."""
    feature = FEATURES[name]
    if math.isnan(value):
        return 0.0
    return float(np.clip(feature.towards * (value - feature.mean) / feature.deviation, -_LIMIT, _LIMIT))


def over_time(piece: Piece, seconds: float = 20.0, hop: float = 5.0) -> Iterator[tuple[float, Score]]:
    """Yields the middle (seconds) and the score of stretches of a piece, one every `hop` seconds."""
    length = piece.duration
    begins = np.arange(0.0, max(length - seconds, 0.0) + 1e-9, hop)
    for begin in begins:
        end = min(begin + seconds, length)
        yield (begin + end) / 2, score(piece, float(begin), float(end))
