"""Makes notes from the events of channels: which note-off ends which note-on, and which notes the pedal holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from calmvae.common.text import no_end, no_length
from calmvae.midi import midi_events
from calmvae.midi.midi_channels import Channels

_SUSTAIN, _SOUND_OFF, _RESET, _NOTES_OFF = 64, 120, 121, 123
_PEDAL_DOWN = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Strikes:
    """Notes: the places of the events that open and close them, and the ticks at which they end."""

    opened: np.ndarray
    closed: np.ndarray
    end: np.ndarray


def of_channels(channels: Channels, short: Sequence[int], said: Sequence[list[str]]) -> Strikes:
    """The notes that the events of channels make.

    Args:
      channels: the events.
      short: for each file, the ticks of a note without a length.
      said: for each file, gets remarks on the notes without an end and without a length.
    """
    control, hush = None, np.zeros(0, np.int64)
    if channels.has(midi_events.CONTROL):
        control = channels.kind == midi_events.CONTROL
        hush = channels.on_lines(control & ((channels.first == _SOUND_OFF) | (channels.first == _NOTES_OFF)))
    pairs = _pair(channels, hush)
    end, open_ended = channels.tick[pairs.closed], pairs.closed < 0
    if np.count_nonzero(open_ended):
        latest = np.where(pairs.again >= 0, pairs.again, channels.ends[channels.track[pairs.opened]])
        end = np.where(open_ended, latest, end)
    if control is not None:
        end = _pedalled(channels, pairs, end, control)
    if len(hush):
        silenced = channels.after(hush, pairs.opened)
        cut = (silenced >= 0) & (channels.tick[silenced] <= end)
        end = np.where(cut, channels.tick[silenced], end)
        open_ended &= ~cut
    track = channels.track[pairs.opened]
    _say(said, channels, track[open_ended], no_end)
    start = channels.tick[pairs.opened]
    zero = end <= start
    if np.count_nonzero(zero):
        longest = start + np.repeat(short, np.diff(channels.tracks))[track]
        end = np.where(zero, np.where(pairs.again > start, np.minimum(longest, pairs.again), longest), end)
        _say(said, channels, track[zero], no_length)
    closed = np.where(pairs.closed >= 0, pairs.closed, len(channels.tick) - 1)
    return Strikes(pairs.opened, closed, end)


def _say(said: Sequence[list[str]], channels: Channels, tracks: np.ndarray, words: Callable[[int], str]) -> None:
    """Adds to each file a remark on the number of its notes; the notes are given by their tracks."""
    if len(tracks):
        files = channels.tracks.searchsorted(tracks, side="right") - 1
        for file, number in enumerate(np.bincount(files).tolist()):
            if number:
                said[file].append(words(number))


@dataclasses.dataclass(frozen=True, slots=True)
class _Pairs:
    """Strikes (note-ons) by channel, pitch and time.

    Attributes:
      opened, closed: the places of each strike and of the note-off that ends it, -1 for none.
      again: the tick of the next strike of the pitch, -1 for none.
    """

    opened: np.ndarray
    closed: np.ndarray
    again: np.ndarray


def _pair(channels: Channels, hush: np.ndarray) -> _Pairs:
    """Pairs each note-off with the first open strike of its pitch.

    Events that silence a channel (`hush`, from `on_lines`) end all its notes, so a later note-off cannot end a strike
    before them. A note-off without a note does not count. If there are more strikes than note-offs, strikes that have
    none left, like unclosed brackets, have no end of their own: the pitch is struck again over them.
    """
    strike = (channels.kind == midi_events.NOTE_ON) & (channels.second > 0)
    places = ((channels.kind == midi_events.NOTE_ON) | (channels.kind == midi_events.NOTE_OFF)).nonzero()[0]
    key = channels.line[places] * 128 + channels.first[places]
    # Small numbers are sorted faster.
    key = key.astype(np.uint16) if channels.lines <= 512 else key
    order = key.argsort(kind="stable")
    places, key = places[order], key[order]
    on = strike[places]
    if len(hush):
        key = key * np.int64(len(hush) + 1) + channels.after_all(hush, places)
    ons, offs = on.nonzero()[0], (~on).nonzero()[0]
    if len(ons) == len(offs) and (ons < offs).all() and (key[ons] == key[offs]).all():
        # As nearly always: the first note-off after the first strike, the second after the second.
        return _pairs(channels, places[ons], places[offs])
    depth, group = _depth(on, key)
    # A note-off that reaches a new depth below nothing ends no note.
    apart = depth - (len(places) + 1) * group
    before = np.minimum(np.append(0, np.minimum.accumulate(apart)[:-1]), -(len(places) + 1) * group)
    idle = ~on & (apart < before)
    if idle.any():
        places, key, on = places[~idle], key[~idle], on[~idle]
        depth, group = _depth(on, key)
    ons = on.nonzero()[0]
    closed = places[~on]
    if len(ons) > len(closed):
        # Open for good: what comes after it never gets below it.
        apart = depth + (len(places) + 1) * group
        lowest = np.minimum.accumulate(apart[::-1])[::-1]
        closed = np.full(len(ons), -1)
        closed[lowest[ons] < apart[ons]] = places[~on]
    return _pairs(channels, places[ons], closed)


def _pairs(channels: Channels, opened: np.ndarray, closed: np.ndarray) -> _Pairs:
    ticks, pitch, line = channels.tick[opened], channels.first[opened], channels.line[opened]
    same = (pitch[1:] == pitch[:-1]) & (line[1:] == line[:-1])
    again = np.full(len(opened), -1)
    again[:-1] = np.where(same, ticks[1:], -1)
    return _Pairs(opened, closed, again)


def _depth(on: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of open notes of a key after each event, and the number of the key, both int64 `[events]`."""
    if not len(on):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    total = np.cumsum(np.where(on, 1, -1))
    fresh = np.append(True, key[1:] != key[:-1])
    group = fresh.cumsum() - 1
    begins = fresh.nonzero()[0]
    return total - np.append(0, total[begins[1:] - 1])[group], group


def _pedalled(channels: Channels, pairs: _Pairs, end: np.ndarray, control: np.ndarray) -> np.ndarray:
    """The ticks at which notes end if the sustain pedal holds the notes that end while it is down."""
    pedal = control & (channels.first == _SUSTAIN)
    down = pedal & (channels.second >= _PEDAL_DOWN)
    if not down.any():
        return end
    # Resetting all controllers lifts it.
    moves = channels.on_lines(pedal | (control & (channels.first == _RESET)))
    lifts = ~down[moves % len(down)]
    # The next lift from each move on.
    following = np.where(lifts, np.arange(len(moves)), len(moves))
    following = np.append(np.minimum.accumulate(following[::-1])[::-1], len(moves))
    ended = pairs.closed >= 0
    place = np.where(ended, pairs.closed, pairs.opened)
    at = channels.after_all(moves, place)
    move = channels.taken(moves, at - 1, place)
    held = (ended & (move >= 0) & down[move]).nonzero()[0]
    lift = channels.taken(moves, following[at[held]], place[held])
    last = np.maximum(channels.ends[channels.track[pairs.opened[held]]], end[held])
    until, again = np.where(lift >= 0, channels.tick[lift], last), pairs.again[held]
    until = np.where(again >= 0, np.minimum(until, again), until)
    end[held] = np.maximum(end[held], until)
    return end
