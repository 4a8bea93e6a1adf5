"""Features of a piece, or of a stretch of it, that music perception research ties to calm; numpy alone.

Rates and lengths are logarithms to base 2, as differences in them are heard as ratios. A feature that a stretch does
not have (intervals of a single note, say) is NaN.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.midi.piece import Notes, Piece
from calmvae.music import key_finding

# Onsets closer than this (seconds) are heard as one chord.
CHORD = 0.035
# Huron (1994), "Interval-class content in equally tempered pitch-class sets": consonance of interval classes 1 to 6, in
# standard deviations over the three experiments he puts together; unison and octave take the best.
CONSONANCE = np.array([1.240, -1.428, -0.582, 0.594, 0.386, 1.240, -0.453])
# General MIDI programs of struck things without lasting pitch: timpani, and the percussive group.
PERCUSSIVE = (47, *range(112, 120))
LOW, HIGH = 43, 84
_TONAL_SECONDS = 10.0
_REACH = 24


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Notes that begin within a stretch of a piece, cut at its end, and the pitched ones by onsets.

    Attributes:
      begin, end: in seconds.
      notes: all of them, by start.
      pitched: those that are no percussion.
      onsets: times of chords, `[chords]`.
      chord: of each pitched note the chord it belongs to, `[notes]`.
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
        """Its length."""
        return self.end - self.begin


def stretch(piece: Piece, begin: float | None = None, end: float | None = None) -> Stretch:
    """A stretch between two times in seconds; by default all that sounds."""
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


def _log2(value: float) -> float:
    return float(np.log2(value)) if value > 0 else float("nan")


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    if not len(values) or (weights is not None and weights.sum() <= 0):
        return float("nan")
    return float(np.average(values, weights=weights))


def tempo(s: Stretch) -> float:
    """Mean notated tempo, quarters a minute."""
    return s.qpm


def onset_rate(s: Stretch) -> float:
    """log2 of chords (or single notes) begun a second."""
    return _log2(len(s.onsets) / s.seconds) if s.seconds > 0 else float("nan")


def note_rate(s: Stretch) -> float:
    """log2 of notes begun a second, percussion too."""
    return _log2(len(s.notes) / s.seconds) if s.seconds > 0 else float("nan")


def note_length(s: Stretch) -> float:
    """Mean of log2 of notes' lengths in seconds."""
    lengths = s.pitched.end - s.pitched.start
    return _mean(np.log2(np.maximum(lengths, 0.02)))


def legato(s: Stretch) -> float:
    """Share of the time from one onset to the next that is filled by what began at the first, mean over onsets."""
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
    """Standard deviation of chords' loudest velocities."""
    if len(s.onsets) < 2:
        return float("nan")
    loudest = np.zeros(len(s.onsets))
    np.maximum.at(loudest, s.chord, s.pitched.velocity)
    return float(loudest.std())


def percussion(s: Stretch) -> float:
    """Share of notes that are drums or percussive programs."""
    return 1 - len(s.pitched) / len(s.notes) if len(s.notes) else float("nan")


def melody(s: Stretch) -> np.ndarray:
    """The highest pitch of each chord over which no note still sounds higher: the melody, not what moves below it."""
    top = np.zeros(len(s.onsets), np.int64)
    np.maximum.at(top, s.chord, s.pitched.pitch)
    covered, notes = np.zeros(len(top), bool), s.pitched
    for k in range(1, min(_REACH, len(notes) - 1) + 1):
        after = s.chord[k:]
        held = (notes.end[:-k] > s.onsets[after] + CHORD) & (s.chord[:-k] < after)
        np.logical_or.at(covered, after, held & (notes.pitch[:-k] > top[after]))
    return top[~covered]


def interval(s: Stretch) -> float:
    """Mean size in semitones of the melody's steps."""
    return _mean(np.abs(np.diff(melody(s))).astype(np.float64))


def dissonance(s: Stretch) -> float:
    """Minus Huron's consonance of pairs of notes that sound together, weighted by how long they do."""
    notes, total, weight = s.pitched, 0.0, 0.0
    for k in range(1, min(_REACH, len(notes) - 1) + 1):
        together = np.minimum(notes.end[:-k], notes.end[k:]) - notes.start[k:]
        together = np.where(together > CHORD, together, 0.0)
        steps = np.abs(notes.pitch[k:] - notes.pitch[:-k]) % 12
        total -= float((together * CONSONANCE[np.minimum(steps, 12 - steps)]).sum())
        weight += float(together.sum())
    return total / weight if weight > 0 else float("nan")


def _profiles(s: Stretch) -> tuple[np.ndarray, np.ndarray]:
    """Correlations with the best major and the best minor key of each stretch of ten seconds with at least 4 notes, and
    its seconds of sound: `[stretches, 2]`, `[stretches]`."""
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
    """How much better the best major key fits than the best minor key, difference of correlations."""
    r, seconds = _profiles(s)
    return _mean(r[:, 0] - r[:, 1], seconds) if len(r) else float("nan")


def extremes(s: Stretch) -> float:
    """Share of the notes' time below G2 or above C6."""
    outside = (s.pitched.pitch < LOW) | (s.pitched.pitch > HIGH)
    return _mean(outside.astype(np.float64), s.pitched.end - s.pitched.start)


def irregularity(s: Stretch) -> float:
    """Mean absolute difference, in octaves, of neighbouring times between onsets."""
    return _mean(np.abs(np.diff(np.log2(np.diff(s.onsets)))))


def silence(s: Stretch) -> float:
    """Share of the time in which nothing sounds."""
    if s.seconds <= 0 or not len(s.notes):
        return float("nan")
    reach = np.maximum.accumulate(s.notes.end)
    gaps = np.maximum(s.notes.start[1:] - reach[:-1], 0).sum()
    gaps += s.notes.start[0] - s.begin + s.end - reach[-1]
    return float(gaps / s.seconds)
