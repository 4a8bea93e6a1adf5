"""Harmonizes a melody softly: one triad per bar that fits its notes, with the smoothest voice leading.

The chords of a phrase are the best path (Viterbi) through the triads of the key. The path weighs the time that the
melody shares with each triad, and how usual each progression is (Piston, "Harmony", table of usual root progressions).
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import FIRST_PITCH, MIN_PITCH, STEPS_PER_BAR, sounding_tokens

# Degrees (from 0) that follow a degree: 2 usually, 1 sometimes. The diminished triad is left out; degree 6 is only in
# minor.
_FOLLOWS = {
    0: {3: 2, 4: 2, 5: 1, 1: 1, 2: 1, 6: 1},
    1: {4: 2, 3: 1, 5: 1},
    2: {5: 2, 3: 1, 1: 1, 6: 1},
    3: {0: 2, 4: 2, 1: 1, 6: 1},
    4: {0: 2, 5: 1, 3: 1},
    5: {1: 2, 4: 2, 3: 1, 2: 1, 6: 1},
    6: {2: 2, 0: 2, 5: 1, 3: 1},
}
# Weights beside the share of the melody's time (0 to 1): a usual progression, the same chord, the chord of a cadence,
# the tonic, a natural seventh with the raised one, time a semitone from a note of the chord, a triad without its third
# or fifth, a triad with a note outside the natural scale.
_USUAL, _STAY, _CADENCE, _HOME, _CLASH = 0.06, 0.1, 0.6, 0.08, 0.7
_RUB, _OPEN, _BORROWED = 1.5, 0.08, 0.04
# MIDI pitches of the bass and of the two voices above it.
_BASS, _MIDDLE = (38, 52), (50, 67)


@dataclasses.dataclass(frozen=True)
class Chord:
    """A triad.

    Attributes:
      degree: degree of its root, 0 for the tonic.
      classes: pitch classes of root, third and fifth; the root replaces a third or fifth that is left out.
      pitches: the played pitches, the lowest first; empty before voicing.
    """

    degree: int
    classes: tuple[int, int, int]
    pitches: tuple[int, ...] = ()


def triads(key: Key) -> list[Chord]:
    """The triads on the first six degrees; on the fifth degree of minor the major triad."""
    found = []
    for degree in range(6):
        # In minor the triad of the second degree is diminished; that of the fourth, which moves alike, replaces it.
        base = 3 if key.minor and degree == 1 else degree
        root, third, fifth = (key.degrees[(base + step) % 7] for step in (0, 2, 4))
        if key.minor and degree == 4:
            third = (key.tonic + 11) % 12
        found.append(Chord(degree, (root, third, fifth)))
    return found


def _choices(key: Key) -> list[tuple[Chord, float]]:
    """The triads and further chords, with a penalty for each.

    Further chords are, in minor, the triad of the seventh degree, the natural dominant and the Dorian subdominant; and
    all triads without the third or the fifth, which may be a semitone from the melody.
    """
    whole = [(chord, 0.0) for chord in triads(key)]
    if key.minor:
        degrees, raised = key.degrees, (key.tonic + 9) % 12
        whole.append((Chord(6, (degrees[6], degrees[1], degrees[3])), 0.0))
        whole.append((Chord(4, (degrees[4], degrees[6], degrees[1])), _BORROWED))
        whole.append((Chord(3, (degrees[3], raised, degrees[0])), _BORROWED))
    fewer = []
    for chord, against in whole:
        root, third, fifth = chord.classes
        fewer += [(Chord(chord.degree, (root, kept, root)), against + _OPEN) for kept in (fifth, third)]
    return whole + fewer


def chords(tokens: np.ndarray, key: Key, full: bool, before: Chord | None = None) -> list[Chord]:
    """A voiced chord for each bar of a phrase.

    Args:
      tokens: `[steps]`, whole bars.
      key: key of the music.
      full: True to close on the tonic, False to stay open on the dominant.
      before: the last chord before the phrase.
    """
    choices, against = zip(*_choices(key), strict=True)
    degrees = np.array([chord.degree for chord in choices])
    bars = np.asarray(tokens).reshape(-1, STEPS_PER_BAR)
    heard = sounding_tokens(np.asarray(tokens)).reshape(bars.shape)
    fits = np.array([[_fit(bar, chord) - _RUB * _rub(bar, chord) for chord in choices] for bar in heard]) - against
    if key.minor:
        # The raised seventh of the dominant does not fit a natural seventh in the melody.
        raised = [(key.tonic + 11) % 12 in chord.classes for chord in choices]
        fits -= np.outer([_sounds(bar, key.degrees[6]) for bar in heard], raised) * _CLASH
    fits[:, degrees == 0] += _HOME
    fits[-1, degrees == (0 if full else 4)] += _CADENCE
    moves = np.array([[_move(a.degree, b.degree) for b in choices] for a in choices])
    best = fits[0] + ([_move(before.degree, chord.degree) for chord in choices] if before else 0.0)
    back = []
    for row in fits[1:]:
        ways = best[:, None] + moves
        back.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    at = [int(best.argmax())]
    for ways_back in reversed(back):
        at.append(int(ways_back[at[-1]]))
    found: list[Chord] = []
    for bar, choice in zip(heard, reversed(at), strict=True):
        found.append(_voiced(choices[choice], bar, found[-1] if found else before))
    return found


def _fit(heard: np.ndarray, chord: Chord) -> float:
    """Share of a bar's sounding time on notes of the chord; the first beat of each half bar counts more."""
    weight = np.ones(len(heard))
    weight[[0, 1, 2, 3, 8, 9, 10, 11]] = 1.5
    sounds = heard >= FIRST_PITCH
    if not sounds.any():
        return 0.0
    return float(weight[sounds & np.isin(_classes(heard), chord.classes)].sum() / weight[sounds].sum())


def _rub(heard: np.ndarray, chord: Chord) -> float:
    """Share of a bar's sounding time that is a semitone from a note of the chord."""
    sounds = heard >= FIRST_PITCH
    near = [(c + step) % 12 for c in chord.classes for step in (-1, 1)]
    return float(np.isin(_classes(heard), near)[sounds].mean()) if sounds.any() else 0.0


def _classes(heard: np.ndarray) -> np.ndarray:
    return (heard.astype(np.int64) - FIRST_PITCH + MIN_PITCH) % 12


def _sounds(heard: np.ndarray, pitch_class: int) -> bool:
    return bool((_classes(heard)[heard >= FIRST_PITCH] == pitch_class).any())


def _move(a: int, b: int) -> float:
    return _STAY if a == b else _USUAL * _FOLLOWS[a].get(b, -1)


def _voiced(chord: Chord, heard: np.ndarray, before: Chord | None) -> Chord:
    """The chord with pitches to which the voices move least, below the melody if possible."""
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

    pitches = min((p for p in itertools.product(basses, *middles) if len(set(p)) == len(p)), key=cost)
    return dataclasses.replace(chord, pitches=(pitches[0], *sorted(pitches[1:])))


def held(bars: list[Chord]) -> list[tuple[int, int, int]]:
    """Notes `(pitch, first bar, bar after the last)` of chords; a pitch that two neighbours share is held."""
    notes: list[tuple[int, int, int]] = []
    for bar, chord in enumerate(bars):
        for pitch in chord.pitches:
            going = next((k for k, (p, _, end) in enumerate(notes) if p == pitch and end == bar), None)
            if going is None:
                notes.append((pitch, bar, bar + 1))
            else:
                notes[going] = (pitch, notes[going][1], bar + 1)
    return sorted(notes, key=lambda note: (note[1], note[0]))
