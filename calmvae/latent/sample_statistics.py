"""How alike two sets of melody windows are: feature distributions, overlapping area, copying.

It follows Yang and Lerch, "On the evaluation of generative models in music" (2018). For each feature there are two
densities: of the distances within one set, and of the distances between the two sets. The area under both is their
agreement. Both densities are evaluated on one grid.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from calmvae.data.training_windows import intervals, sounding
from calmvae.latent import voice_statistics
from calmvae.music import key_finding, melody_tokens
from calmvae.music.melody_tokens import FIRST_PITCH, HOLD, MIN_PITCH, STEPS_PER_BAR

# Windows of a set that are compared with each other; distances grow with the square.
_MOST = 400
_GRID = 512

FEATURES = {
    "pitch_count": "different pitches",
    "note_count": "notes",
    "pitch_range": "semitones from the lowest note to the highest",
    "mean_interval": "semitones between neighbouring notes",
    "mean_ioi": "steps between neighbouring onsets",
    "pitch_classes": "histogram of pitch classes",
    "pitch_class_transitions": "from pitch class to pitch class",
    "note_lengths": "histogram of note lengths",
    "note_length_transitions": "from length to length",
}


@dataclasses.dataclass
class Comparison:
    """A set of windows beside a reference set.

    Attributes:
      overlap: feature to overlapping area with the reference, 0 to 1.
      mean_overlap: mean of those.
      in_key: share of notes in the best-fitting major or natural minor key, mean over windows: set, reference.
      repetition: share of steps at which a bar has an onset just where the bar before it has: set, reference.
      nearest: mean Hamming distance (steps, transposition apart) to the nearest training window: set, reference; None
        without training windows.
      exact: share of windows that stand in the training windows, in any transposition: set, reference.
    """

    overlap: dict[str, float]
    mean_overlap: float
    in_key: tuple[float, float]
    repetition: tuple[float, float]
    nearest: tuple[float, float] | None = None
    exact: tuple[float, float] | None = None


@dataclasses.dataclass
class VoiceComparison(Comparison):
    """Of windows of several voices.

    Attributes:
      clashes: share of the steps with sound at which pitch classes a semitone apart sound: set, reference.
    """

    clashes: tuple[float, float] = (0.0, 0.0)


def compare(windows: np.ndarray, reference: np.ndarray, train: np.ndarray | None = None, seed: int = 0) -> Comparison:
    """Compares windows of a melody or of several voices with reference windows, and both with training windows.

    Windows without a note are left out. From a larger set 400 windows are drawn by the seed.

    Raises:
      ValueError: fewer than two windows with notes in either set.
    """
    rng = np.random.default_rng(seed)
    mine, theirs = (_thinned(some, rng) for some in (windows, reference))
    if min(len(mine), len(theirs)) < 2:
        raise ValueError("two windows with notes are needed on either side")
    ours, wanted = features(mine), features(theirs)
    overlap = {name: overlapping_area(ours[name], wanted[name]) for name in wanted}
    parts: dict[str, Any] = {
        "overlap": overlap,
        "mean_overlap": float(np.mean(list(overlap.values()))),
        "in_key": (float(in_key(mine).mean()), float(in_key(theirs).mean())),
        "repetition": (repetition(mine), repetition(theirs)),
    }
    if train is not None and len(train):
        distances = [nearest(some, train) for some in (mine, theirs)]
        parts["nearest"] = (float(distances[0].mean()), float(distances[1].mean()))
        parts["exact"] = (float((distances[0] == 0).mean()), float((distances[1] == 0).mean()))
    if mine.ndim == 2:
        return Comparison(**parts)
    return VoiceComparison(**parts, clashes=(voice_statistics.clashes(mine), voice_statistics.clashes(theirs)))


def features(windows: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `FEATURES`, or of `voice_statistics.FEATURES`: `[n]` or `[n, classes]`.

    Windows of one note have interval and distance 0.
    """
    if windows.ndim == 3:
        return voice_statistics.features(windows)
    rows = [_features(window) for window in windows]
    return {name: np.array([row[name] for row in rows], np.float64) for name in FEATURES}


def _features(window: np.ndarray) -> dict[str, np.ndarray | float]:
    onsets = np.flatnonzero(window >= FIRST_PITCH)
    pitches = window[onsets].astype(np.int64) - FIRST_PITCH + MIN_PITCH
    events = np.flatnonzero(window != HOLD)
    ends = np.append(events, len(window))[np.searchsorted(events, onsets) + 1]
    classes = voice_statistics.length_classes(ends - onsets)
    return {
        "pitch_count": float(len(np.unique(pitches))),
        "note_count": float(len(pitches)),
        "pitch_range": float(np.ptp(pitches)),
        "mean_interval": float(np.abs(np.diff(pitches)).mean()) if len(pitches) > 1 else 0.0,
        "mean_ioi": float(np.diff(onsets).mean()) if len(onsets) > 1 else 0.0,
        "pitch_classes": _shares(pitches % 12, 12),
        "pitch_class_transitions": _transitions(pitches % 12, 12),
        "note_lengths": _shares(classes, len(voice_statistics.LENGTHS)),
        "note_length_transitions": _transitions(classes, len(voice_statistics.LENGTHS)),
    }


def _shares(values: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(values, minlength=classes) / max(len(values), 1)


def _transitions(values: np.ndarray, classes: int) -> np.ndarray:
    return _shares(values[:-1] * classes + values[1:], classes**2)


def overlapping_area(ours: np.ndarray, reference: np.ndarray) -> float:
    """Area under both the density of distances within the reference and that of distances between the sets.

    Args:
      ours, reference: a feature of each window, `[n]` or `[n, classes]`.

    Returns:
      0 to 1.
    """
    within = _distances(reference, reference)[np.triu_indices(len(reference), 1)]
    between = _distances(ours, reference).ravel()
    high = max(within.max(), between.max())
    if high == 0:
        return 1.0
    # Far enough beyond both ends for the densities' tails.
    grid = np.linspace(-0.25 * high, 1.25 * high, _GRID)
    return float(np.minimum(_density(within, grid), _density(between, grid)).sum() * (grid[1] - grid[0]))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density with Scott's bandwidth, from a histogram of the values on a fine grid."""
    step = grid[1] - grid[0]
    # Values that are all the same still make a peak of some width.
    width = max(values.std() * len(values) ** -0.2, 2 * step)
    counts, _ = np.histogram(values, np.append(grid - step / 2, grid[-1] + step / 2))
    reach = int(np.ceil(4 * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = np.convolve(counts, kernel)[reach : reach + len(grid)]
    return smooth / (smooth.sum() * step)


def in_key(windows: np.ndarray) -> np.ndarray:
    """The share of each window's notes in the major (or natural minor) key that holds most of them, `[n]`."""
    shares = features(windows)["pitch_classes"]
    return (shares @ key_finding.MAJOR_SCALES.T).max(axis=1)


def repetition(windows: np.ndarray) -> float:
    """Share of steps at which a bar and the one before it both have an onset or both none (grooving similarity)."""
    onsets = melody_tokens.is_onset(windows).reshape(*windows.shape[:2], -1).any(axis=2)
    bars = onsets.reshape(len(windows), -1, STEPS_PER_BAR)
    return float((bars[:, 1:] == bars[:, :-1]).mean())


def nearest(windows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The smallest number of steps in which each window differs from a training window, in any transposition."""
    ours, theirs = intervals(windows), intervals(train)
    return np.array([(theirs != row).sum(axis=1).min() for row in ours])


def _thinned(windows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    heard = sounding(windows)
    return heard[np.sort(rng.permutation(len(heard))[:_MOST])]
