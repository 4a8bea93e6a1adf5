"""Windows of several voices moved to C major or A minor."""

from __future__ import annotations

import numpy as np

from calmvae.music import key_finding, melody_tokens, voice_windows
from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import DEPTH, FIRST_PITCH, MIN_PITCH

_HOME = Key(0, False)


def in_home_keys(windows: np.ndarray) -> np.ndarray:
    """Windows uint8 `[n, steps, voices]`, each moved from its best-fitting key to C major or A minor.

    The interval is -6 to 5 semitones, or an octave from that where a note would leave the range; where neither fits,
    the window stays.
    """
    return np.stack([_moved(window) for window in windows]) if len(windows) else windows


def _moved(window: np.ndarray) -> np.ndarray:
    notes = voice_windows.window_notes(window[None])
    if not len(notes):
        return window
    times = np.bincount((notes[:, 2] - FIRST_PITCH + MIN_PITCH) % 12, weights=notes[:, 3] - notes[:, 1], minlength=12)
    shift = key_finding.shift_to(_HOME, key_finding.key_of(times))
    lowest, highest = notes[:, 2].min(), notes[:, 2].max()
    for moved in (shift, shift - 12 if shift > 0 else shift + 12, 0):
        if lowest + moved >= FIRST_PITCH and highest + moved < DEPTH:
            return melody_tokens.shifted(window, moved)
    return window
