"""The events of MIDI files by channel, and the state of a channel at an event, whichever track set it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from calmvae.midi import midi_events
from calmvae.midi.midi_events import Events

_NONE = np.zeros(0, np.int64)


class Channels:
    """The events of several files; the events of a channel are in the order of time, whichever track they are in.

    Attributes:
      tracks: the first track of each file among all tracks, and the number of all tracks.
      lines: number of channels, sixteen per port of each file.
      line: int64 `[events]`, the channel of each event among all channels; `channel`, among those of its file.
      begins: the first channel of each file among all channels.
      ends: the last tick of each track.
      track: int64 `[events]`, among the tracks of all files.
      tick, status, first, second: as in `Events`.
    """

    def __init__(self, files: Sequence[Events]) -> None:
        self.tracks = np.array([0, *itertools.accumulate(found.tracks for found in files)])
        begins = [found.track.searchsorted(np.arange(found.tracks)) for found in files]
        held = [_columns(found, begin) for found, begin in zip(files, begins, strict=True)]
        ends = [
            found.tick[_behind(begin[1:], len(found.tick))[: found.tracks] - 1]
            for found, begin in zip(files, begins, strict=True)
        ]
        self.ends = ends[0] if len(ends) == 1 else np.concatenate(ends)
        columns = held[0] if len(held) == 1 else [np.concatenate(column) for column in zip(*held, strict=True)]
        sizes = [len(found.tick) for found in files]
        wide = [16 * (1 + int(found[5].max(initial=0)) // 16) for found in held]
        self.track, self.tick, self.status, self.first, self.second, self.channel = columns
        self.begins = [0, *itertools.accumulate(wide[:-1])]
        self.line = self.channel
        if len(held) > 1:
            self.track = self.track + self.tracks[:-1].repeat(sizes)
            self.line = self.channel + np.repeat(self.begins, sizes)
        self.lines, self.channels = sum(wide), max(wide)
        self.kind = self.status >> 4
        # One number for the channel of an event and its place.
        self._numbers = self.line * len(self.line) + np.arange(len(self.line))
        self._kinds = np.bincount(self.kind, minlength=16).tolist()
        self._changes = self.on_lines(self.kind == midi_events.PROGRAM) if self.has(midi_events.PROGRAM) else _NONE

    def has(self, *kinds: int) -> bool:
        """True if there is an event of one of these kinds; most files lack most kinds."""
        return any(self._kinds[kind] for kind in kinds)

    def on_lines(self, wanted: np.ndarray) -> np.ndarray:
        """Numbers of the wanted events (bool `[events]`), sorted by channel and then by place."""
        return np.sort(self._numbers[wanted])

    def before(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """For each place, the last of `events` (from `on_lines`) before it on its channel; -1 for none."""
        return self.taken(events, self.after_all(events, places) - 1, places)

    def after(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """For each place, the first of `events` (from `on_lines`) after it on its channel; -1 for none."""
        return self.taken(events, self.after_all(events, places), places)

    def after_all(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The number of `events` (from `on_lines`) before each place, including those of lower channels."""
        return events.searchsorted(self._numbers[places])

    def taken(self, events: np.ndarray, which: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The `which`-th of `events` if it is on the channel of a place, else -1."""
        # Beyond both ends stands a number of no channel; index -1 reaches the one at the end.
        found = _behind(events, -len(self.line))[which] - self.line[places] * len(self.line)
        return np.where((found >= 0) & (found < len(self.line)), found, -1)

    def programs(self, places: np.ndarray) -> np.ndarray:
        """The program of each event's channel: the last one set before it."""
        if not len(self._changes):
            return np.zeros(len(places), np.int64)
        change = self.before(self._changes, places)
        return np.where(change >= 0, self.first[change], 0).astype(np.int64)


def _behind(numbers: np.ndarray, last: int) -> np.ndarray:
    """Numbers with one more at the end; faster than np.append, which matters for small files."""
    longer = np.empty(len(numbers) + 1, np.int64)
    longer[:-1], longer[-1] = numbers, last
    return longer


def _columns(found: Events, begins: np.ndarray) -> list[np.ndarray]:
    """Track, tick, status, data and channel of a file's events, in the order of time where tracks share channels.

    `begins` says where each track begins.
    """
    channel = (found.status & 15).astype(np.int64)
    ports = _ports(found, begins)
    if ports is not None:
        channel += 16 * ports
    columns = [found.track, found.tick, found.status, found.first, found.second, channel]
    if found.tracks > 1 and _are_shared(found, channel, begins):
        order = found.tick.argsort(kind="stable")
        columns = [column[order] for column in columns]
    return columns


def _are_shared(found: Events, channel: np.ndarray, begins: np.ndarray) -> bool:
    """True if tracks share a channel, and always for several ports; otherwise the order of the file is right."""
    if int(channel.max()) >= 48:
        return True
    # A bit for each channel of an event, and of each track all that it uses.
    used = np.where(found.status < 0xF0, np.int64(1) << channel, 0)
    tracks = np.bitwise_or.reduceat(used, begins)
    return bool(np.bitwise_or.reduce(tracks) != tracks.sum())


def _ports(found: Events, begins: np.ndarray) -> np.ndarray | None:
    """The number of the port that holds at each event, int64 `[events]`; None where none is named.

    A track is on the first port until it names another; each has sixteen channels of its own.
    """
    named = [meta for meta in found.metas if meta.kind == midi_events.PORT and meta.data]
    if not named:
        return None
    numbers = {0: 0}
    port = np.zeros(len(found.tick), np.int64)
    source = np.zeros(len(found.tick), np.int64)
    source[begins] = begins
    for meta in named:
        port[meta.event] = numbers.setdefault(meta.data[0], len(numbers))
        source[meta.event] = meta.event
    return port[np.maximum.accumulate(source)]
