"""Edits windows into phrases: fewer notes, no long gaps, a cadence and a rest at the end, no rough joins.

A phrase is a row of tokens, see `melody_tokens`. Positions count from its start; all functions return new rows.
"""

from __future__ import annotations

import numpy as np

from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import (
    FIRST_PITCH,
    HOLD,
    MAX_PITCH,
    MIN_PITCH,
    NOTE_OFF,
    STEPS_PER_BAR,
    STEPS_PER_QUARTER,
    sounding_tokens,
)

# The comfortable range of a melody: above its accompaniment, and at most C6, above which notes count as extreme.
LOW, HIGH = 53, 84
# The widest step between neighbouring notes, a major sixth.
LEAP = 9
# A rest inside a phrase lasts a beat at most.
REST = STEPS_PER_QUARTER
# The last note of a phrase lasts a beat at least.
_CADENCE = STEPS_PER_QUARTER
# Rough intervals between phrases, in semitones within the octave.
_ROUGH = (1, 6, 10, 11)


def onsets(tokens: np.ndarray) -> np.ndarray:
    """Steps at which a note starts."""
    return np.flatnonzero(np.asarray(tokens) >= FIRST_PITCH)


def thin(tokens: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Removes the least important notes until `most` remain, and holds the note before each.

    Important notes are long and on a beat or, better, at a half bar. The first note stays.

    Returns:
      tokens `[steps]` and the number of notes left out.
    """
    out, at = np.array(tokens, np.uint8), onsets(tokens)
    surplus = len(at) - max(most, 1)
    if surplus <= 0:
        return out, 0
    ends = np.append(at, len(out))[1:]
    place = at % STEPS_PER_BAR
    weight = np.select([place == 0, place == 8, place % 4 == 0, place % 2 == 0], [4.0, 3.5, 3.0, 1.0], 0.0)
    weight += np.minimum((ends - at) / STEPS_PER_QUARTER, 2.0)
    weight[0] = np.inf
    # Of equally important notes the later is removed.
    for k in sorted(range(len(at)), key=lambda k: (weight[k], -k))[:surplus]:
        out[at[k]] = HOLD
        # A rest before it would become longer, so the note before the rest is held.
        before = np.flatnonzero(out[: at[k]])
        if len(before) and out[before[-1]] == NOTE_OFF:
            out[before[-1]] = HOLD
    return out, surplus


def fill(tokens: np.ndarray, rest: int = REST) -> tuple[np.ndarray, int]:
    """Shortens rests to `rest` steps: the note before is held longer, and the first note begins sooner.

    Returns:
      tokens `[steps]` and the number of lengthened notes.
    """
    out, at = np.array(tokens, np.uint8), onsets(tokens)
    if not len(at):
        return out, 0
    longer = 0
    if at[0] > rest:
        out[rest], out[at[0]] = out[at[0]], HOLD
        out[:rest] = HOLD
        longer += 1
    for off in np.flatnonzero(out == NOTE_OFF):
        after = out[off + 1 :]
        starts = np.flatnonzero(after >= FIRST_PITCH)
        end = off + 1 + int(starts[0]) if len(starts) else len(out)
        if end - off > rest and (out[:off] >= FIRST_PITCH).any():
            out[off:end] = HOLD
            out[end - rest] = NOTE_OFF
            longer += 1
    return out, longer


def longest_rest(tokens: np.ndarray) -> int:
    """The length in steps of the longest silence."""
    silent = np.flatnonzero(np.concatenate([[True], sounding_tokens(tokens) > 0, [True]]))
    return int(np.diff(silent).max()) - 1


def cadence(tokens: np.ndarray, key: Key, full: bool, rest: int) -> np.ndarray:
    """Ends a phrase: its last note, in the last bar, is held, and a rest follows.

    A closed phrase ends on the tonic. An open one ends on the nearest of the fifth and second degrees (in major also
    the seventh), the notes of the dominant.

    Args:
      tokens: `[steps]`, whole bars.
      key: key of the music.
      full: True to close the phrase, False to leave it open.
      rest: steps of silence at the end, at most 12.
    """
    out = np.array(tokens, np.uint8)
    bar = len(out) - STEPS_PER_BAR
    sounding = sounding_tokens(out)
    last = [step for step in onsets(out) if bar <= step <= min(len(out) - rest - _CADENCE, bar + STEPS_PER_BAR // 2)]
    step = int(last[-1]) if last else bar
    near = int(out[step]) if last else int(sounding[bar] or last_token(out[:bar]))
    if not near:
        return out
    # Not the seventh in minor: raised it is outside the scale, and lowered it does not lead to the tonic.
    wanted = [key.tonic] if full else [key.degrees[n] for n in ((4, 1) if key.minor else (4, 1, 6))]
    out[step:] = HOLD
    out[step] = _nearest(near, wanted)
    if rest:
        out[len(out) - rest] = NOTE_OFF
    return out


def last_token(tokens: np.ndarray) -> int:
    """The token of the last note, 0 if there is none."""
    at = onsets(tokens)
    return int(tokens[at[-1]]) if len(at) else 0


def _nearest(token: int, classes: list[int]) -> int:
    """The nearest token of these pitch classes; of two the lower one, because melodies fall towards their end."""
    pitch = token - FIRST_PITCH + MIN_PITCH
    near = [p for p in range(pitch - 11, pitch + 12) if p % 12 in classes and MIN_PITCH <= p <= MAX_PITCH]
    return min(near, key=lambda p: (abs(p - pitch), p)) - MIN_PITCH + FIRST_PITCH


def mean_pitch(tokens: np.ndarray) -> float:
    """Mean MIDI pitch of the sounding steps; NaN in silence."""
    heard = sounding_tokens(tokens).astype(np.float64)
    heard = heard[heard >= FIRST_PITCH]
    return float(heard.mean()) - FIRST_PITCH + MIN_PITCH if len(heard) else float("nan")


def in_register(tokens: np.ndarray, wanted: float) -> np.ndarray:
    """Moves a phrase by octaves towards a mean pitch, and then single notes that are too low or too high."""
    out, mean = np.array(tokens, np.uint8), mean_pitch(tokens)
    for step in onsets(out):
        out[step] = _comfortable(int(out[step]) + 12 * round((wanted - mean) / 12))
    return out


def smooth(tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """Moves notes by octaves if they are more than a major sixth from the note before.

    Returns:
      tokens `[steps]` and the number of notes moved.
    """
    out, before, moved = np.array(tokens, np.uint8), 0, 0
    for step in onsets(out):
        token = int(out[step])
        if before and abs(token - before) > LEAP:
            octave = 12 if token < before else -12
            while abs(token - before) > LEAP and abs(token + octave - before) <= abs(token - before):
                token += octave
            token = _comfortable(token)
            moved += int(token != out[step])
            out[step] = token
        before = token
    return out, moved


def _comfortable(token: int) -> int:
    """The token in the octave of the comfortable range."""
    low, high = (pitch - MIN_PITCH + FIRST_PITCH for pitch in (LOW, HIGH))
    while token > high:
        token -= 12
    while token < low:
        token += 12
    return token


def joined(tokens: np.ndarray, before: int, scale: np.ndarray) -> np.ndarray:
    """Joins a phrase to the note before: after a rough interval its first note moves to a neighbour in the scale.

    Args:
      tokens: `[steps]`.
      before: token of the last note before the phrase, 0 for none.
      scale: bool `[12]`.
    """
    out, at = np.array(tokens, np.uint8), onsets(tokens)
    if before < FIRST_PITCH or not len(at) or not is_rough(int(out[at[0]]) - before):
        return out
    first = int(out[at[0]])
    near = [
        token
        for token in range(first - 5, first + 6)
        if FIRST_PITCH <= token < FIRST_PITCH + MAX_PITCH - MIN_PITCH + 1
        and scale[(token - FIRST_PITCH + MIN_PITCH) % 12]
        and not is_rough(token - before)
    ]
    if near:
        out[at[0]] = min(near, key=lambda token: (abs(token - first), token))
    return out


def is_rough(interval: int) -> bool:
    """True if an interval in semitones is a tritone, a seventh, or wider than an octave; steps are smooth."""
    size = abs(interval)
    return size > 12 or (size > 2 and size % 12 in _ROUGH)
