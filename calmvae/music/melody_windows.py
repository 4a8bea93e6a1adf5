"""The windows that a MusicVAE takes: a melody's tokens cut into windows, and windows joined to one melody."""

from __future__ import annotations

import math

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.music.melody_tokens import FIRST_PITCH, HOLD, NOTE_OFF, sounding_tokens


def cut_windows(tokens: np.ndarray, steps: int, hop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a melody into windows, the last one padded with silence.

    A note held over a window's start is struck again there, so that each window stands alone; silence before a
    window's first note is written as holds, as Magenta does.

    Args:
      tokens: `[length]`.
      steps: window length.
      hop: distance of window starts, default `steps`.

    Returns:
      `windows` uint8 `[n, steps]` with n >= 1, and `tied` bool `[n]`: the window's first note is such a held one.

    Raises:
      OptionError: `steps` or `hop` is below 1.
    """
    hop = steps if hop is None else hop
    if steps < 1 or hop < 1:
        raise OptionError(f"windows of {steps} steps every {hop} steps were asked for; both must be 1 or more.")
    n = max(1, math.ceil((len(tokens) - steps) / hop) + 1)
    padded = np.zeros(max((n - 1) * hop + steps, len(tokens)), np.uint8)
    padded[: len(tokens)] = tokens
    sounding = sounding_tokens(padded)
    if 0 < len(tokens) < len(padded) and sounding[len(tokens) - 1]:
        padded[len(tokens)] = NOTE_OFF
        sounding[len(tokens) :] = 0
    starts = np.arange(n) * hop
    windows = np.lib.stride_tricks.as_strided(padded, (n, steps), (hop, 1)).copy()
    held = np.where(starts > 0, sounding[np.maximum(starts - 1, 0)], 0)
    tied = (windows[:, 0] == HOLD) & (held > 0)
    windows[tied, 0] = held[tied]
    windows[windows[:, 0] == NOTE_OFF, 0] = HOLD
    return windows, tied


def join_windows(windows: np.ndarray, tied: np.ndarray | None = None) -> np.ndarray:
    """Puts windows one after the other; the inverse of `cut_windows` with hop = steps, padding apart.

    Args:
      windows: `[n, steps]`.
      tied: bool `[n]`: where True, a first note equal to what sounds is held instead of struck.

    Returns:
      tokens uint8 `[n * steps]`.
    """
    out = np.asarray(windows, np.uint8).copy()
    before = HOLD
    for i, row in enumerate(out):
        # Each window stands alone in the model: what it begins with decides, not what rang before.
        if before >= FIRST_PITCH:
            if row[0] == HOLD:
                row[0] = NOTE_OFF
            elif tied is not None and tied[i] and row[0] == before:
                row[0] = HOLD
        events = np.flatnonzero(row)
        if len(events):
            before = int(row[events[-1]])
    return out.reshape(-1)
