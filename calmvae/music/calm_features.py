"""Features of a piece, or of a stretch of it, that music perception research associates with calm.

Rates and lengths are logarithms to base 2, because they are heard as ratios. A feature that a stretch does not have is
NaN, such as the intervals of a single note.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.midi.piece import Notes, Piece
from calmvae.music import key_finding

# Seconds; closer onsets are heard as one chord.
CHORD = 0.035
# Huron (1994), "Interval-class content in equally tempered pitch-class sets": consonance of interval classes 1 to 6, in
# standard deviations over three experiments; unison and octave have the best value.
CONSONANCE = np.array([1.240, -1.428, -0.582, 0.594, 0.386, 1.240, -0.453])
# General MIDI programs without a lasting pitch: timpani, and the percussive group.
PERCUSSIVE = (47, *range(112, 120))
LOW, HIGH = 43, 84
_TONAL_SECONDS = 10.0
_REACH = 24


@dataclasses.dataclass(frozen=True)
class Stretch:
    """The notes that begin within a stretch of a piece, cut at its end.

    Attributes:
      begin, end: in seconds.
      notes: all notes, by start.
      pitched: the notes without percussion.
      onsets: times of chords of pitched notes, `[chords]`.
      chord: index of the chord of each pitched note, `[notes]`.
      qpm: mean tempo.
    """

    begin: float
    end: float
    notes: Notes
    pitched: Notes
    onsets: np.ndarray
    chord: np.ndarray
    qpm: float

    @property
    def seconds(self) -> float:
        """The length."""
        return self.end - self.begin


def stretch(piece: Piece, begin: float | None = None, end: float | None = None) -> Stretch:
    """The stretch between two times in seconds; by default from the first note to the end of the last."""
    notes = piece.columns()
    if begin is None:
        begin = float(notes.start.min()) if len(notes) else 0.0
    if end is None:
        end = max(float(notes.end.max()) if len(notes) else 0.0, begin)
    inside = notes.take((notes.start >= begin) & (notes.start < end))
    inside = dataclasses.replace(inside, end=np.minimum(inside.end, end))
    pitched = inside.take(~(inside.is_drum | np.isin(inside.program, PERCUSSIVE)))
    chord = _chords(pitched.start)
    onsets = pitched.start[np.flatnonzero(np.diff(chord, prepend=-1))] if len(chord) else np.zeros(0)
    return Stretch(begin, end, inside, pitched, onsets, chord, piece.mean_qpm(begin, end))


def _chords(starts: np.ndarray) -> np.ndarray:
    """Numbers the chords of sorted onsets: a chord lasts until an onset comes later than `CHORD` after its first."""
    chord = np.zeros(len(starts), np.int64)
    at = count = 0
    while at < len(starts):
        after = int(np.searchsorted(starts, starts[at] + CHORD, side="right"))
        chord[at:after] = count
        at, count = after, count + 1
    return chord


def _log_rate(count: int, seconds: float) -> float:
    return float(np.log2(count / seconds)) if count and seconds > 0 else float("nan")


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    if not len(values) or (weights is not None and weights.sum() <= 0):
        return float("nan")
    return float(np.average(values, weights=weights))


def tempo(s: Stretch) -> float:
    """Mean notated tempo, quarters per minute."""
    return s.qpm


def onset_rate(s: Stretch) -> float:
    """log2 of onsets of chords or single notes per second."""
    return _log_rate(len(s.onsets), s.seconds)


def note_rate(s: Stretch) -> float:
    """log2 of onsets of notes per second, percussion included."""
    return _log_rate(len(s.notes), s.seconds)


def note_length(s: Stretch) -> float:
    """Mean log2 of the lengths of notes in seconds."""
    lengths = s.pitched.end - s.pitched.start
    return _mean(np.log2(np.maximum(lengths, 0.02)))


def legato(s: Stretch) -> float:
    """Share of the time between two onsets that is filled by the notes of the first, mean over onsets."""
    if len(s.onsets) < 2:
        return float("nan")
    ends = np.full(len(s.onsets), -np.inf)
    np.maximum.at(ends, s.chord, s.pitched.end)
    between = np.diff(s.onsets)
    return float(np.clip((ends[:-1] - s.onsets[:-1]) / between, 0, 1).mean())


def velocity(s: Stretch) -> float:
    """Mean MIDI velocity."""
    return _mean(s.notes.velocity.astype(np.float64))


def velocity_change(s: Stretch) -> float:
    """Standard deviation of the loudest velocity of each chord."""
    if len(s.onsets) < 2:
        return float("nan")
    loudest = np.zeros(len(s.onsets))
    np.maximum.at(loudest, s.chord, s.pitched.velocity)
    return float(loudest.std())


def percussion(s: Stretch) -> float:
    """Share of notes that are drums or percussive programs."""
    return 1 - len(s.pitched) / len(s.notes) if len(s.notes) else float("nan")


def melody(s: Stretch) -> np.ndarray:
    """The melody: the highest pitch of each chord, without chords below a note that still sounds."""
    top = np.zeros(len(s.onsets), np.int64)
    np.maximum.at(top, s.chord, s.pitched.pitch)
    covered, notes = np.zeros(len(top), bool), s.pitched
    for k in range(1, min(_REACH, len(notes) - 1) + 1):
        after = s.chord[k:]
        held = (notes.end[:-k] > s.onsets[after] + CHORD) & (s.chord[:-k] < after)
        np.logical_or.at(covered, after, held & (notes.pitch[:-k] > top[after]))
    return top[~covered]


def interval(s: Stretch) -> float:
    """Mean size of the melody's steps in semitones."""
    return _mean(np.abs(np.diff(melody(s))).astype(np.float64))


def dissonance(s: Stretch) -> float:
    """Negative mean of Huron's consonance of pairs of notes that sound together, weighted by time."""
    notes, total, weight = s.pitched, 0.0, 0.0
    for k in range(1, min(_REACH, len(notes) - 1) + 1):
        together = np.minimum(notes.end[:-k], notes.end[k:]) - notes.start[k:]
        together = np.where(together > CHORD, together, 0.0)
        steps = np.abs(notes.pitch[k:] - notes.pitch[:-k]) % 12
        total -= float((together * CONSONANCE[np.minimum(steps, 12 - steps)]).sum())
        weight += float(together.sum())
    return total / weight if weight > 0 else float("nan")


def _profiles(s: Stretch) -> tuple[np.ndarray, np.ndarray]:
    """For each ten seconds with at least 4 notes, correlations with the best major and the best minor key,
    `[stretches, 2]`, and the seconds of sound, `[stretches]`."""
    if not len(s.pitched):
        return np.zeros((0, 2)), np.zeros(0)
    window = ((s.pitched.start - s.begin) / _TONAL_SECONDS).astype(np.int64)
    counts = np.bincount(window)
    shares = np.zeros((len(counts), 12))
    np.add.at(shares, (window, s.pitched.pitch % 12), s.pitched.end - s.pitched.start)
    heard = counts >= 4
    shares, seconds = shares[heard], shares[heard].sum(axis=1)
    r = key_finding.correlations(shares)
    return np.stack([r[:, :12].max(axis=1), r[:, 12:].max(axis=1)], axis=1) if len(r) else np.zeros((0, 2)), seconds


def tonal_clarity(s: Stretch) -> float:
    """Correlation of pitch classes with the best-fitting key, mean over stretches of ten seconds."""
    r, seconds = _profiles(s)
    return _mean(r.max(axis=1), seconds) if len(r) else float("nan")


def mode(s: Stretch) -> float:
    """Correlation with the best major key minus that with the best minor key."""
    r, seconds = _profiles(s)
    return _mean(r[:, 0] - r[:, 1], seconds) if len(r) else float("nan")


def extremes(s: Stretch) -> float:
    """Share of the notes' time below G2 or above C6."""
    outside = (s.pitched.pitch < LOW) | (s.pitched.pitch > HIGH)
    return _mean(outside.astype(np.float64), s.pitched.end - s.pitched.start)


def irregularity(s: Stretch) -> float:
    """Mean absolute difference between consecutive inter-onset times, in octaves."""
    return _mean(np.abs(np.diff(np.log2(np.diff(s.onsets)))))


def silence(s: Stretch) -> float:
    """Share of time without sound."""
    if s.seconds <= 0 or not len(s.notes):
        return float("nan")
    reach = np.maximum.accumulate(s.notes.end)
    gaps = np.maximum(s.notes.start[1:] - reach[:-1], 0).sum()
    gaps += s.notes.start[0] - s.begin + s.end - reach[-1]
    return float(gaps / s.seconds)
