"""Finds the keys of melodies and the notes outside them, and brings two pieces to one scale.

A key is found by correlation with the profiles of Krumhansl and Kessler (1982). All shares are sounding time by pitch
class, `[12]`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.music import melody_tokens
from calmvae.music.melody_tokens import FIRST_PITCH, MAX_PITCH, MIN_PITCH

# Krumhansl and Kessler (1982): the fit of each pitch class to a major and a minor key, from the tonic up.
MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_PROFILES = np.stack([np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)])
_PROFILES = (_PROFILES - _PROFILES.mean(axis=1, keepdims=True)) / _PROFILES.std(axis=1, keepdims=True)
# Semitones from the tonic to each degree.
_MAJOR, _NATURAL_MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# For each tonic the pitch classes of its major scale, bool `[12, 12]`.
MAJOR_SCALES = np.array([np.isin(np.arange(12), np.add(_MAJOR, tonic) % 12) for tonic in range(12)])
_NAMES = "C D♭ D E♭ E F G♭ G A♭ A B♭ B".split()
# Scales also count as best if they fit a share of time at most this much smaller.
_TIE = 0.02


@dataclasses.dataclass(frozen=True)
class Key:
    """A key: its tonic's pitch class, and whether it is minor."""

    tonic: int
    minor: bool

    def __str__(self) -> str:
        return f"{_NAMES[self.tonic]} {'minor' if self.minor else 'major'}"

    @property
    def relative_major(self) -> int:
        """Tonic of the major key with the same signature."""
        return (self.tonic + 3 * self.minor) % 12

    @property
    def degrees(self) -> list[int]:
        """The pitch classes of its seven degrees from the tonic up; in minor the natural ones."""
        return [(self.tonic + step) % 12 for step in (_NATURAL_MINOR if self.minor else _MAJOR)]

    @property
    def natural(self) -> np.ndarray:
        """True for each pitch class of its scale, bool `[12]`; in minor the natural scale."""
        return np.isin(np.arange(12), self.degrees)


def shares(tokens: np.ndarray) -> np.ndarray:
    """The number of steps that each pitch class sounds in tokens, `[12]`."""
    heard = melody_tokens.sounding_tokens(np.asarray(tokens).reshape(-1)).astype(np.int64)
    pitches = heard[heard >= FIRST_PITCH] - FIRST_PITCH + MIN_PITCH
    return np.bincount(pitches % 12, minlength=12).astype(np.float64)


def correlations(times: np.ndarray) -> np.ndarray:
    """Correlations `[n, 24]` of shares `[n, 12]` with each key, the major keys from C up, then the minor keys."""
    deviation = times - times.mean(axis=1, keepdims=True)
    spread = np.maximum(deviation.std(axis=1, keepdims=True), 1e-12)
    return deviation / spread @ _PROFILES.T / 12


def key_of(time: np.ndarray) -> Key:
    """The best-fitting key, of several the first of `correlations`; C major in silence."""
    # Rounded, so that equal fits are equal on every machine.
    best = int(np.argmax(np.round(correlations(time[None]), 9)))
    return Key(best % 12, best >= 12)


def shift_to(key: Key, other: Key) -> int:
    """The semitones, -6 to 5, that transpose `other` to the signature of `key`."""
    return (key.relative_major - other.relative_major + 6) % 12 - 6


def into_scale(tokens: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, int]:
    """Moves notes outside a scale by a semitone, towards the note before.

    Args:
      tokens: `[steps]`.
      scale: bool `[12]`, with neighbours at most two semitones apart.

    Returns:
      tokens `[steps]` and the number of notes moved.
    """
    out, moved, before = np.array(tokens, np.uint8), 0, 0
    for step in np.flatnonzero(out >= FIRST_PITCH):
        pitch = int(out[step]) - FIRST_PITCH + MIN_PITCH
        if not scale[pitch % 12]:
            near = [p for p in (pitch - 1, pitch + 1) if scale[p % 12] and MIN_PITCH <= p <= MAX_PITCH]
            if near:
                pitch, moved = min(near, key=lambda p: (abs(p - before) if before else 0, p)), moved + 1
                out[step] = pitch - MIN_PITCH + FIRST_PITCH
        before = pitch
    return out, moved


def foreign(time: np.ndarray, neighbours: np.ndarray) -> float:
    """Share of time on pitch classes that are neither in the neighbours nor in their best-fitting major scale.

    If several scales fit the neighbours equally, the one with the smallest share counts.

    Args:
      time: sounding time of the music.
      neighbours: sounding time of the music around it.
    """
    if time.sum() <= 0 or neighbours.sum() <= 0:
        return 0.0
    fits = MAJOR_SCALES @ neighbours / neighbours.sum()
    outside = (~MAJOR_SCALES & (neighbours == 0)) @ time / time.sum()
    return float(outside[fits >= fits.max() - _TIE].min())
