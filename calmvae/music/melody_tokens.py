"""The tokens of a melody, and the windows that a MusicVAE takes: cut, joined, transposed.

A melody is a row of tokens, one a step of a sixteenth note, in the vocabulary of Magenta's `OneHotMelodyConverter`
(depth 90): 0 holds whatever sounds, or the silence, 1 ends the note, and `2 + pitch - 21` starts a note. Sixteen steps
make a bar.
"""

from __future__ import annotations

import math

import numpy as np

from calmvae.common.errors import OptionError

STEPS_PER_QUARTER = 4
STEPS_PER_BAR = 16
MIN_PITCH, MAX_PITCH = 21, 108
HOLD, NOTE_OFF, FIRST_PITCH = 0, 1, 2
DEPTH = FIRST_PITCH + MAX_PITCH - MIN_PITCH + 1


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


def sounding_tokens(tokens: np.ndarray) -> np.ndarray:
    """The pitch token that sounds during each step, 0 where it is silent. `[steps]` to `[steps]`."""
    tokens = np.asarray(tokens)
    events = np.where(tokens != HOLD, np.arange(1, len(tokens) + 1), 0)
    last = np.maximum.accumulate(events)
    values = np.concatenate([[0], tokens])[last]
    return np.where(values >= FIRST_PITCH, values, 0).astype(np.uint8)


def token_notes(tokens: np.ndarray) -> list[tuple[int, int, int]]:
    """The notes of a row of tokens as `(MIDI pitch, first step, step after the last)`."""
    notes = []
    events = np.flatnonzero(np.asarray(tokens) != HOLD)
    ends = np.append(events, len(tokens))[1:]
    for start, end in zip(events.tolist(), ends.tolist(), strict=True):
        token = int(tokens[start])
        if token >= FIRST_PITCH:
            notes.append((token - FIRST_PITCH + MIN_PITCH, start, end))
    return notes


def transpose(tokens: np.ndarray, semitones: int) -> np.ndarray:
    """Moves every pitch by `semitones`; a pitch that would leave the range is moved back by octaves."""
    tokens = np.asarray(tokens)
    pitches = fold_pitches(tokens.astype(np.int64) - FIRST_PITCH + MIN_PITCH + semitones)
    return np.where(tokens >= FIRST_PITCH, pitches - MIN_PITCH + FIRST_PITCH, tokens).astype(np.uint8)


def fold_pitches(pitches: np.ndarray) -> np.ndarray:
    """MIDI pitches, int `[n]`, each moved by octaves into the range of the tokens."""
    if pitches.size and pitches.min() >= MIN_PITCH and pitches.max() <= MAX_PITCH:
        return pitches
    low = np.maximum(0, -((pitches - MIN_PITCH) // 12)) * 12
    high = np.maximum(0, -((MAX_PITCH - pitches) // 12)) * 12
    return pitches + np.where(pitches < MIN_PITCH, low, 0) - np.where(pitches > MAX_PITCH, high, 0)


def onset_accuracy(tokens: np.ndarray, decoded: np.ndarray) -> float:
    """Share of agreement over the steps at which either of the two starts a note; 1 where neither does."""
    onsets = (tokens >= FIRST_PITCH) | (decoded >= FIRST_PITCH)
    return float((tokens == decoded)[onsets].mean()) if onsets.any() else 1.0
