"""Features of windows of several voices, by which `sample_statistics` compares two sets of them."""

from __future__ import annotations

import numpy as np

from calmvae.music import melody_tokens, voice_windows
from calmvae.music.melody_tokens import BAR_END, FIRST_PITCH, MIN_PITCH

# Upper ends, in steps, of the classes of note lengths; the last one takes longer notes too.
LENGTHS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 32])

FEATURES = {
    "pitch_count": "different pitches",
    "note_count": "notes",
    "pitch_range": "semitones from the lowest note to the highest",
    "polyphony": "pitches that sound at once, mean over steps",
    "chord_size": "notes that start at once, mean over onsets",
    "bass_interval": "semitones between neighbouring lowest notes",
    "top_interval": "semitones between neighbouring highest notes",
    "mean_ioi": "steps between neighbouring onsets",
    "voice_density": "onsets of each voice",
    "pitch_classes": "histogram of pitch classes",
    "note_lengths": "histogram of note lengths",
}


def features(windows: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `FEATURES` of windows uint8 `[n, steps, voices]` with a note in each: `[n]` or `[n, classes]`."""
    rows = [_features(window) for window in windows]
    return {name: np.array([row[name] for row in rows], np.float64) for name in FEATURES}


def _features(window: np.ndarray) -> dict[str, np.ndarray | float]:
    notes = voice_windows.window_notes(window[None])
    places, pitches = notes[:, 1], notes[:, 2] - FIRST_PITCH + MIN_PITCH
    starts, first = np.unique(places, return_index=True)
    # Sorted by place and pitch, so that the first note of a place is its lowest.
    bass, top = pitches[first], pitches[np.append(first[1:], len(pitches)) - 1]
    classes = length_classes(notes[:, 3] - places)
    return {
        "pitch_count": float(len(np.unique(pitches))),
        "note_count": float(len(pitches)),
        "pitch_range": float(np.ptp(pitches)),
        "polyphony": float(_sounding(window).sum(axis=1).mean()),
        "chord_size": len(pitches) / len(starts),
        "bass_interval": float(np.abs(np.diff(bass)).mean()) if len(bass) > 1 else 0.0,
        "top_interval": float(np.abs(np.diff(top)).mean()) if len(top) > 1 else 0.0,
        "mean_ioi": float(np.diff(starts).mean()) if len(starts) > 1 else 0.0,
        "voice_density": melody_tokens.is_onset(window).sum(axis=0).astype(np.float64),
        "pitch_classes": np.bincount(pitches % 12, minlength=12) / len(pitches),
        "note_lengths": np.bincount(classes, minlength=len(LENGTHS)) / len(pitches),
    }


def length_classes(steps: np.ndarray) -> np.ndarray:
    """The classes of note lengths in steps."""
    return np.minimum(np.searchsorted(LENGTHS, steps), len(LENGTHS) - 1)


def clashes(windows: np.ndarray) -> float:
    """Share of the steps with sound at which two pitches a semitone apart sound, octaves apart too."""
    clashing = heard = 0
    for window in windows:
        # Pitches 0 to 131 as rows of an octave each.
        octaves = np.pad(_sounding(window), ((0, 0), (0, 4))).reshape(-1, 11, 12)
        classes = np.any(octaves, axis=1)
        clashing += int((classes & np.roll(classes, 1, axis=1)).any(axis=1).sum())
        heard += int(classes.any(axis=1).sum())
    return clashing / max(heard, 1)


def _sounding(window: np.ndarray) -> np.ndarray:
    """Which pitches sound at the steps of a window's bars, bool `[steps, 128]`."""
    inside = (window != BAR_END).any(axis=1)
    tokens = np.where(window == BAR_END, melody_tokens.HOLD, window)
    heard = melody_tokens.sounding_voices(tokens)[inside].astype(np.int64)
    out = np.zeros((len(heard), 128), bool)
    steps, voices = np.nonzero(heard)
    out[steps, heard[steps, voices] - FIRST_PITCH + MIN_PITCH] = True
    return out
