"""A soft voice under a melody: a triad a bar, found by the melody's notes, with the smoothest way from chord to chord.

The chords of a phrase are the best path (Viterbi) through the key's triads: what the melody has in common with each, by
sounding time, and how usual it is that one follows another (Piston, "Harmony", table of usual root progressions).
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from calmvae.phrases import FIRST_PITCH, MIN_PITCH, STEPS_PER_BAR, sounding_tokens
from calmvae.tonality import Key

# Degree after degree (from 0): 2 usually, 1 sometimes. The diminished triad is left out.
_FOLLOWS = {
    0: {3: 2, 4: 2, 5: 1, 1: 1, 2: 1},
    1: {4: 2, 3: 1, 5: 1},
    2: {5: 2, 3: 1, 1: 1},
    3: {0: 2, 4: 2, 1: 1},
    4: {0: 2, 5: 1, 3: 1},
    5: {1: 2, 4: 2, 3: 1, 2: 1},
}
# Next to a share of the melody's time from 0 to 1: a usual step, staying, a cadence's chord.
_USUAL, _STAY, _CADENCE, _HOME, _CLASH = 0.06, 0.1, 0.6, 0.08, 0.7
# MIDI pitches of the bass and of the two voices above it.
_BASS, _MIDDLE = (38, 52), (50, 67)


@dataclasses.dataclass(frozen=True)
class Chord:
    """A triad.

    Attributes:
      degree: of its root, 0 the tonic.
      classes: pitch classes of root, third and fifth.
      pitches: what is played, the lowest first; empty before it is voiced.
    """

    degree: int
    classes: tuple[int, int, int]
    pitches: tuple[int, ...] = ()


def triads(key: Key) -> list[Chord]:
    """The triads on the first six degrees; on a minor key's fifth the major one."""
    found = []
    for degree in range(6):
        # In minor the second degree's triad is diminished too; the fourth degree's, which moves like it, stands for it.
        base = 3 if key.minor and degree == 1 else degree
        root, third, fifth = (key.degrees[(base + step) % 7] for step in (0, 2, 4))
        if key.minor and degree == 4:
            third = (key.tonic + 11) % 12
        found.append(Chord(degree, (root, third, fifth)))
    return found


def chords(tokens: np.ndarray, key: Key, full: bool, before: Chord | None = None) -> list[Chord]:
    """A voiced chord for each bar of a phrase.

    Args:
      tokens: `[steps]`, whole bars.
      key: of the music.
      full: whether the phrase closes on the tonic, or stays open on the dominant.
      before: the last chord before it.
    """
    choices = triads(key)
    bars = np.asarray(tokens).reshape(-1, STEPS_PER_BAR)
    heard = sounding_tokens(np.asarray(tokens)).reshape(bars.shape)
    fits = np.array([[_fit(bar, chord) for chord in choices] for bar in heard])
    if key.minor:
        # The raised seventh of its dominant does not go with a natural one in the melody.
        fits[:, 4] -= [_CLASH * bool(_sounds(bar, key.degrees[6])) for bar in heard]
    fits[:, 0] += _HOME
    fits[-1, 0 if full else 4] += _CADENCE
    moves = np.array([[_move(a.degree, b.degree) for b in choices] for a in choices])
    best = fits[0] + (moves[before.degree] if before else 0.0)
    back = []
    for row in fits[1:]:
        ways = best[:, None] + moves
        back.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    at = [int(best.argmax())]
    for ways_back in reversed(back):
        at.append(int(ways_back[at[-1]]))
    found: list[Chord] = []
    for bar, degree in zip(heard, reversed(at), strict=True):
        found.append(_voiced(choices[degree], bar, found[-1] if found else before))
    return found


def _fit(heard: np.ndarray, chord: Chord) -> float:
    """Share of a bar's sounding time on the chord's notes; what begins a half bar counts more."""
    weight = np.ones(len(heard))
    weight[[0, 1, 2, 3, 8, 9, 10, 11]] = 1.5
    sounds = heard >= FIRST_PITCH
    if not sounds.any():
        return 0.0
    classes = (heard.astype(np.int64) - FIRST_PITCH + MIN_PITCH) % 12
    return float(weight[sounds & np.isin(classes, chord.classes)].sum() / weight[sounds].sum())


def _sounds(heard: np.ndarray, pitch_class: int) -> bool:
    sounds = heard[heard >= FIRST_PITCH].astype(np.int64)
    return bool(((sounds - FIRST_PITCH + MIN_PITCH) % 12 == pitch_class).any())


def _move(a: int, b: int) -> float:
    return _STAY if a == b else _USUAL * _FOLLOWS[a].get(b, -1)


def _voiced(chord: Chord, heard: np.ndarray, before: Chord | None) -> Chord:
    """The chord where the voices move least, below the melody if there is room."""
    melody = heard[heard >= FIRST_PITCH].astype(int) - FIRST_PITCH + MIN_PITCH
    ceiling = max(min(int(melody.min()) - 1 if len(melody) else _MIDDLE[1], _MIDDLE[1]), _MIDDLE[0] + 11)
    root, *upper = chord.classes
    basses = [p for p in range(_BASS[0], _BASS[1] + 1) if p % 12 == root]
    middles = [[p for p in range(_MIDDLE[0], ceiling + 1) if p % 12 == c] for c in upper]
    last = before.pitches if before else (45, 55, 60)

    def cost(pitches: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        ordered = (pitches[0], *sorted(pitches[1:]))
        close = abs(ordered[2] - ordered[1]) < 3
        return sum(abs(a - b) for a, b in zip(ordered, last, strict=True)) + 12 * close, ordered

    pitches = min(itertools.product(basses, *middles), key=cost)
    return dataclasses.replace(chord, pitches=(pitches[0], *sorted(pitches[1:])))


def held(bars: list[Chord]) -> list[tuple[int, int, int]]:
    """Notes `(pitch, first bar, bar after the last)` of chords: what two neighbours share is held, not struck again."""
    notes: list[tuple[int, int, int]] = []
    for bar, chord in enumerate(bars):
        for pitch in chord.pitches:
            going = next((k for k, (p, _, end) in enumerate(notes) if p == pitch and end == bar), None)
            if going is None:
                notes.append((pitch, bar, bar + 1))
            else:
                notes[going] = (pitch, notes[going][1], bar + 1)
    return sorted(notes, key=lambda note: (note[1], note[0]))
