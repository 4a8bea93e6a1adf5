"""The windows that a model of several voices takes: bars of 16 places, shorter ones filled up with `BAR_END`."""

from __future__ import annotations

import itertools
import math

import numpy as np

from calmvae.midi.piece import Piece
from calmvae.music.melody_tokens import BAR_END, FIRST_PITCH, HOLD, NOTE_OFF, STEPS_PER_BAR, is_onset, sounding_voices
from calmvae.music.voice_extraction import Voices, extract_voices


def cut_windows(voices: Voices, bars: int, hop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a piece into windows of whole bars, the last one padded with silent bars.

    Notes held over a window's start are struck again there, so that each window stands alone.

    Args:
      voices: the piece.
      bars: of a window.
      hop: distance of window starts in bars, default `bars`.

    Returns:
      windows uint8 `[n, 16 * bars, voices]` with n >= 1, and `tied` bool `[n, voices]`: a voice's first note is held
      over.
    """
    hop, lines = hop or bars, voices.bar_lines
    lengths = np.diff(lines)
    n = max(1, math.ceil((len(lengths) - bars) / hop) + 1)
    missing = max(0, (n - 1) * hop + bars - len(lengths))
    lengths = np.append(lengths, np.full(missing, lengths[-1]))
    begins = np.append(lines[:-1], lines[-1] + lengths[-1] * np.arange(missing))
    tokens = np.zeros((int(begins[-1] + lengths[-1]), voices.tokens.shape[1]), np.uint8)
    tokens[: len(voices.tokens)] = voices.tokens
    sounding = sounding_voices(tokens)
    if missing:
        last = len(voices.tokens)
        tokens[last] = np.where(sounding[last - 1] > 0, NOTE_OFF, HOLD)
        sounding[last:] = 0
    inside = np.arange(STEPS_PER_BAR) < lengths[:, None]
    places = np.minimum(begins[:, None] + np.arange(STEPS_PER_BAR), len(tokens) - 1)
    filled = np.where(inside[:, :, None], tokens[places], BAR_END).astype(np.uint8)
    starts = np.arange(n) * hop
    windows = np.concatenate([filled[starts + k] for k in range(bars)], axis=1)
    held = np.where(begins[starts, None] > 0, sounding[np.maximum(begins[starts] - 1, 0)], 0)
    first = windows[:, 0]
    tied = (first == HOLD) & (held > 0)
    first[tied] = held[tied]
    first[first == NOTE_OFF] = HOLD
    return windows, tied


def piece_windows(piece: Piece, voices: int, bars: int) -> tuple[np.ndarray, int]:
    """Every window of a piece that has a note, sliding by a bar.

    Args:
      piece: with pitched notes.
      voices: how many.
      bars: of a window.

    Returns:
      windows uint8 `[n, 16 * bars, voices]`, and the number of those without a note.

    Raises:
      EmptyMusicError, InputError: see `extract_voices`.
    """
    windows, _ = cut_windows(extract_voices(piece, voices), bars, 1)
    heard = is_onset(windows).any(axis=(1, 2))
    return windows[heard], int((~heard).sum())


def bar_lengths(windows: np.ndarray) -> np.ndarray:
    """How many steps each bar of windows has: it ends where more than half of the voices say so, after a step at least.

    Args:
      windows: `[n, 16 * bars, voices]`.

    Returns:
      int64 `[n, bars]`.
    """
    n, _, voices = windows.shape
    ended = (windows == BAR_END).sum(axis=2).reshape(n, -1, STEPS_PER_BAR) * 2 > voices
    ended[:, :, 0] = False
    return np.where(ended.any(axis=2), ended.argmax(axis=2), STEPS_PER_BAR)


def join_windows(windows: np.ndarray, tied: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Puts windows one after the other; the inverse of `cut_windows` with hop = bars, padding apart.

    Args:
      windows: `[n, 16 * bars, voices]`.
      tied: bool `[n, voices]`: where True, a first note equal to what sounds is held instead of struck.

    Returns:
      tokens uint8 `[steps, voices]`, and bar lines int64 `[n * bars + 1]`.
    """
    windows = np.asarray(windows, np.uint8)
    lengths = bar_lengths(windows)
    n, steps, voices = windows.shape
    inside = (np.arange(STEPS_PER_BAR) < lengths[:, :, None]).reshape(n, steps)
    # A stray end of a bar in one voice says nothing.
    out = np.where(windows == BAR_END, HOLD, windows).astype(np.uint8)
    before = np.zeros(voices, np.uint8)
    for k, window in enumerate(out):
        ringing = before >= FIRST_PITCH
        again = ringing & (window[0] == before) & (tied[k] if tied is not None else False)
        window[0] = np.where(again, HOLD, np.where(ringing & (window[0] == HOLD), NOTE_OFF, window[0]))
        mine = window[inside[k]]
        for voice in range(voices):
            events = np.flatnonzero(mine[:, voice])
            if len(events):
                before[voice] = mine[events[-1], voice]
    return out[inside], np.append(0, np.cumsum(lengths.ravel()))


def longest_run(windows: np.ndarray) -> int:
    """How often a voice strikes one pitch in a row, at most, in windows uint8 `[n, steps, voices]` that follow."""
    tokens, _ = join_windows(windows)
    struck = [column[is_onset(column)].tolist() for column in tokens.T]
    return max((len(list(same)) for row in struck for _, same in itertools.groupby(row)), default=0)


def window_notes(windows: np.ndarray) -> np.ndarray:
    """The notes of windows, whichever voice has them, each once: int64 `[notes, 4]`, sorted.

    Columns: the window, the place where the note starts, its token, and the place where its voice says the next thing.
    """
    steps = windows.shape[1]
    events = (windows != HOLD) & (windows != BAR_END)
    places = np.where(events, np.arange(steps)[None, :, None], steps)
    following = np.full_like(places, steps)
    following[:, :-1] = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1][:, 1:]
    window, step, voice = np.nonzero(is_onset(windows))
    columns = window, step, windows[window, step, voice], following[window, step, voice]
    return np.unique(np.stack([column.astype(np.int64) for column in columns], axis=1), axis=0)


def note_f1(given: np.ndarray, decoded: np.ndarray, lengths: bool = False) -> float:
    """F1 of the notes of decoded windows: same place and pitch, with `lengths` same end too; 1 where there are none.

    Args:
      given, decoded: uint8 `[n, steps, voices]`.
    """
    ours, theirs = (
        np.unique(_numbers(window_notes(windows)[:, : 4 if lengths else 3])) for windows in (given, decoded)
    )
    both = len(np.intersect1d(ours, theirs, assume_unique=True))
    return 2 * both / (len(ours) + len(theirs)) if len(ours) + len(theirs) else 1.0


def _numbers(rows: np.ndarray) -> np.ndarray:
    """One number for each row of small ones."""
    number = rows[:, 0]
    for column in rows.T[1:]:
        number = number << 10 | column
    return number
