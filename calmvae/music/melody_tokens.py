"""The tokens of a melody: what they mean, as notes, transposed.

A melody is a row of tokens, one a step of a sixteenth note, in the vocabulary of Magenta's `OneHotMelodyConverter`
(depth 90): 0 holds whatever sounds, or the silence, 1 ends the note, and `2 + pitch - 21` starts a note. Sixteen steps
make a bar.
"""

from __future__ import annotations

import numpy as np

STEPS_PER_QUARTER = 4
STEPS_PER_BAR = 16
MIN_PITCH, MAX_PITCH = 21, 108
HOLD, NOTE_OFF, FIRST_PITCH = 0, 1, 2
DEPTH = FIRST_PITCH + MAX_PITCH - MIN_PITCH + 1
# In windows of several voices a bar of less than 16 steps is filled up with this token.
BAR_END = DEPTH
VOICE_DEPTH = DEPTH + 1


def sounding_tokens(tokens: np.ndarray) -> np.ndarray:
    """The pitch token that sounds during each step, 0 where it is silent. `[steps]` to `[steps]`."""
    tokens = np.asarray(tokens)
    events = np.where(tokens != HOLD, np.arange(1, len(tokens) + 1), 0)
    last = np.maximum.accumulate(events)
    values = np.concatenate([[0], tokens])[last]
    return np.where(values >= FIRST_PITCH, values, 0).astype(np.uint8)


def sounding_voices(tokens: np.ndarray) -> np.ndarray:
    """`sounding_tokens` of each voice, `[steps, voices]` to `[steps, voices]`."""
    return np.stack([sounding_tokens(column) for column in tokens.T], axis=1)


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


def shifted(tokens: np.ndarray, semitones: int | np.ndarray) -> np.ndarray:
    """Moves every note by semitones, which must leave it in range; an array of them fits the tokens' shape."""
    return np.where(is_onset(tokens), tokens + np.asarray(semitones, np.int16), tokens).astype(np.uint8)


def is_onset(tokens: np.ndarray) -> np.ndarray:
    """Where notes start, bool of the tokens' shape."""
    return (tokens >= FIRST_PITCH) & (tokens != BAR_END)


def onset_accuracy(tokens: np.ndarray, decoded: np.ndarray) -> float:
    """Share of agreement over the steps at which either of the two starts a note; 1 where neither does."""
    onsets = is_onset(tokens) | is_onset(decoded)
    return float((tokens == decoded)[onsets].mean()) if onsets.any() else 1.0
