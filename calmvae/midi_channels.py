"""The events of a MIDI file by their channels: what holds on a channel at an event, whichever track it was set in."""

from __future__ import annotations

import numpy as np

from calmvae import midi_events
from calmvae.midi_events import Events


class Channels:
    """The events of a file with those of a channel in the order of time, whichever track they stand in.

    Attributes:
      lines: how many channels there are, sixteen a port.
      line: int64 `[events]`, the channel of each event.
      ends: the last tick of each track.
      track, tick, status, first, second: as in `Events`.
    """

    def __init__(self, found: Events) -> None:
        begins = np.searchsorted(found.track, np.arange(found.tracks))
        self.ends = found.tick[np.append(begins[1:], len(found.tick))[: len(begins)] - 1]
        line = (found.status & 15).astype(np.int64)
        ports = _ports(found, begins)
        self.lines = 16
        if ports is not None:
            self.lines += 16 * int(ports.max())
            line += 16 * ports
        columns = [found.track, found.tick, found.status, found.first, found.second, line]
        if found.tracks > 1 and self._are_shared(found, line, begins):
            order = np.argsort(found.tick, kind="stable")
            columns = [column[order] for column in columns]
        self.track, self.tick, self.status, self.first, self.second, self.line = columns
        self.kind = self.status >> 4
        # One number for the channel of an event and its place.
        self._numbers = self.line * len(self.line) + np.arange(len(self.line))
        self._changes = self.on_lines(self.kind == midi_events.PROGRAM)

    def _are_shared(self, found: Events, line: np.ndarray, begins: np.ndarray) -> bool:
        """Whether tracks share a channel, which is taken for granted of many ports; if not, the file's order serves."""
        if self.lines > 48:
            return True
        # A bit for each channel of an event, and of each track all that it uses.
        used = np.where(found.status < 0xF0, np.int64(1) << line, 0)
        tracks = np.bitwise_or.reduceat(used, begins)
        return bool(np.bitwise_or.reduce(tracks) != tracks.sum())

    def on_lines(self, wanted: np.ndarray) -> np.ndarray:
        """Numbers of the events that are wanted (bool `[events]`), sorted by channel and then by place."""
        return np.sort(self._numbers[wanted])

    def before(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of each place, the last of `events` (made by `on_lines`) before it on its channel; -1 for none."""
        return self.taken(events, self.after_all(events, places) - 1, places)

    def after(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of each place, the first of `events` (made by `on_lines`) after it on its channel; -1 for none."""
        return self.taken(events, self.after_all(events, places), places)

    def after_all(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """How many of `events` (made by `on_lines`) lie before each place, those of lower channels among them."""
        return np.searchsorted(events, self._numbers[places])

    def taken(self, events: np.ndarray, which: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The `which`-th of `events` where it lies on the channel of a place, else -1."""
        # Beyond both ends stands a number of no channel; index -1 reaches the one at the end.
        found = np.append(events, -len(self.line))[which] - self.line[places] * len(self.line)
        return np.where((found >= 0) & (found < len(self.line)), found, -1)

    def programs(self, places: np.ndarray) -> np.ndarray:
        """The program of each event's channel: the last one set before it."""
        if not len(self._changes):
            return np.zeros(len(places), np.int64)
        change = self.before(self._changes, places)
        return np.where(change >= 0, self.first[change], 0).astype(np.int64)


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
