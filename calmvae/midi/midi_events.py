"""Reads Standard MIDI Files as arrays of events, at the speed of numpy.

A running status lasts over meta events and system messages. Stray system bytes are passed over. An event that cannot be
read ends its track, not the file.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.common.errors import Damaged
from calmvae.common.text import are, count
from calmvae.midi import midi_chunks
from calmvae.midi.midi_chunks import Chunks

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, BEND = 0x8, 0x9, 0xB, 0xC, 0xE
TRACK_NAME, END_OF_TRACK, TEMPO, METRE, KEY = 0x03, 0x2F, 0x51, 0x58, 0x59
PORT = 0x21

# How many data bytes follow a system message that does not say its length.
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
# A time that is later than any music; later ones are cut to it, so that their sums stay numbers.
_LATEST = 1 << 40

# Length of an event from its status byte on, if it has two data bytes: with a status of its own, or a running one.
# All other events must be looked at one by one; their lengths are above any that adding a delta time can lead to.
_BY_HAND = 0x80
_LENGTHS = bytes([2] * 0x80 + [3] * 0x40 + [_BY_HAND] * 0x20 + [3] * 0x10 + [_BY_HAND] * 0x10)
# Room for looking a few bytes past the end.
_PADDING = bytes(8)


@dataclasses.dataclass(frozen=True, slots=True)
class Meta:
    """A meta event: its place among the events, its type and its content."""

    event: int
    kind: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Events:
    """The events of all tracks that have events, one track after the other.

    Attributes:
      form: the type of the file (0, 1 or 2).
      division: ticks per quarter note, or frames if negative (see `midi_chunks.Chunks`).
      tracks: number of tracks with events.
      track, tick: int64 `[events]`, the track and the time from its beginning.
      status, first, second: uint8 `[events]`, the status byte (running status resolved) and the data bytes; of meta
        and system exclusive events only the status counts.
      metas: the meta events, in order.
      said: repairs and omissions, one sentence each.
    """

    form: int
    division: int
    tracks: int
    track: np.ndarray
    tick: np.ndarray
    status: np.ndarray
    first: np.ndarray
    second: np.ndarray
    metas: list[Meta]
    said: list[str]


def read(data: bytes) -> Events:
    """Reads the bytes of a MIDI file.

    Raises:
      Damaged: they cannot be read; holds the reason.
    """
    found = read_all([data])[0]
    if isinstance(found, Damaged):
        raise found
    return found


def read_all(files: list[bytes], careful: bool = False) -> list[Events | Damaged]:
    """Reads MIDI files; returns the events of each, or the reason why it cannot be read.

    They are decoded together, because for a small file the calls of numpy take most of the time.

    Args:
      files: their bytes.
      careful: look at every event by hand, for numbers that are longer than they may be.
    """
    walk = _Walk(b"".join(data + _PADDING for data in files), careful)
    walked: list[_Walked | Damaged] = []
    begin = 0
    for data in files:
        walked.append(_walk_file(walk, data, begin))
        begin += len(data) + len(_PADDING)
    found = _decode(walk, walked)
    # What has a number that does not end where it must was stepped through wrongly.
    return [read_all([data], True)[0] if one is None else one for data, one in zip(files, found, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class _Walked:
    """A file after the walk: its chunks, and the ranges of its stops, tracks and meta events."""

    chunks: Chunks
    stops: tuple[int, int]
    tracks: tuple[int, int]
    metas: tuple[int, int]


def _walk_file(walk: _Walk, data: bytes, begin: int) -> _Walked | Damaged:
    """Walks through a file that begins at a place in the bytes of the walk."""
    try:
        chunks = midi_chunks.find(data)
    except Damaged as error:
        return error
    before = walk.lengths()
    walk.strays = walk.mended = walk.unread = 0
    for start, end in chunks.tracks:
        walk.track(begin + start, begin + end)
    if walk.strays:
        chunks.said.append(f"{count(walk.strays, 'stray system message')} {are(walk.strays)} passed over.")
    if n := walk.mended:
        has = "has a wrong length; its end was" if n == 1 else "have a wrong length; their ends were"
        chunks.said.append(f"{count(n, 'system exclusive message')} {has} found by its mark.")
    if walk.unread:
        chunks.said.append(
            f"{count(walk.unread, 'byte')} at the end of tracks cannot be read and {are(walk.unread)} passed over."
        )
    stops, tracks, metas = zip(before, walk.lengths(), strict=True)
    return _Walked(chunks, stops, tracks, metas)


class _Walk:
    """Finds the places of the events of all files, one after the other, because each length leads to the next event.

    Attributes:
      data: the bytes of all files, each padded.
      stops: places of events that were stepped over alone or, inverted (`~`), of the first of eight events.
      ends: for each track with events, the number of stops up to its end.
      metas: the meta events, their places counted in stops.
      strays: number of system messages without a length, which were passed over; `mended`, of those with a wrong
        length; `unread`, number of bytes passed over.
    """

    def __init__(self, data: bytes, careful: bool = False) -> None:
        self.data = data
        self.careful = careful
        self.one, self.two, self.four, eight = _steps(self.data)
        self._one, self._eight = self.one.tobytes(), eight.tobytes()
        self.stops: list[int] = []
        self.ends: list[int] = []
        self.metas: list[Meta] = []
        self.strays = self.mended = self.unread = 0

    def lengths(self) -> tuple[int, int, int]:
        """The number of stops, tracks and meta events so far."""
        return len(self.stops), len(self.ends), len(self.metas)

    def track(self, at: int, end: int) -> None:
        """Walks through a track's bytes from `at` to `end`, or to an event that cannot be read."""
        one, eight, quick = self._one, self._eight, not self.careful
        append, before = self.stops.append, len(self.stops)
        # Data bytes of the running status, 0 when there is none.
        running = 0
        while at < end:
            if running == 2 and quick:
                while (step := eight[at]) < _BY_HAND and at + step <= end:
                    append(~at)
                    at += step
                while at < end and (step := one[at]) < _BY_HAND and at + step <= end:
                    append(at)
                    at += step
                if at >= end:
                    break
            append(at)
            following, running = self._by_hand(at, end, running)
            if not at < following <= end:
                self.stops.pop()
                self.unread += end - at
                break
            at = following
        if len(self.stops) > before:
            self.ends.append(len(self.stops))

    def _by_hand(self, at: int, end: int, running: int) -> tuple[int, int]:
        """Steps over one event. Returns the place of the next one, and the number of data bytes of a running status.

        If the event cannot be read, the returned place is outside of the track.
        """
        data = self.data
        at = self._behind_number(at, end)
        status = data[at]
        if at >= end or (status == 0xFF and at + 1 >= end):
            return -1, running
        if status < 0x80:
            return at + running if running else -1, running
        if status < 0xF0:
            running = 1 if 0xC0 <= status < 0xE0 else 2
            return at + 1 + running, running
        if status == 0xFF:
            begin = self._behind_number(at + 2, end)
            following = begin + _number(data[at + 2 : begin])
            if following <= end:
                self.metas.append(Meta(len(self.stops) - 1, data[at + 1], data[begin:following]))
            return following, running
        if status in (0xF0, 0xF7):
            begin = self._behind_number(at + 1, end)
            following = begin + _number(data[at + 1 : begin])
            if following > end:
                # Its length is wrong; the mark of its end may tell.
                following = data.find(b"\xf7", begin, end) + 1
                self.mended += following > 0
            return following, running
        self.strays += 1
        return at + 1 + _SYSTEM_BYTES.get(status, 0), running

    def _behind_number(self, at: int, end: int) -> int:
        """The place after a variable-length number, at most the end of the track."""
        if at < end and self.data[at] < 0x80:
            # As nearly always.
            return at + 1
        while at < end and self.data[at] >= 0x80:
            at += 1
        return min(at + 1, end)


def _number(data: bytes) -> int:
    """The value of a variable-length number; numbers with too many bytes are huge or begin with zeros."""
    if len(data) == 1:
        return data[0] & 0x7F
    number = 0
    for byte in data:
        number = min(number << 7 | byte & 0x7F, _LATEST)
    return number


def _steps(data: bytes) -> list[np.ndarray]:
    """The distance from every place to the next, second, fourth and eighth next event, uint8 `[bytes]` each.

    The place counts as the beginning of an event, with a running status if it has no status byte. If one of the events
    must be read one by one, the distance is `_BY_HAND` or more.
    """
    high = np.frombuffer(data, np.uint8)[:-2] >= 0x80
    # With a delta time of one byte, then of two, three, four. At the end nothing begins any more.
    step = np.frombuffer(data.translate(_LENGTHS), np.uint8)[1:] + np.uint8(1)
    short = step[:-1].copy()
    for _ in range(3):
        step[:-1] = np.where(high, step[1:] + np.uint8(1), short)
    steps = [step]
    places = np.arange(len(step))
    for _ in range(3):
        following = step.take(places + step, mode="clip")
        step = step + following | (step | following) & np.uint8(_BY_HAND)
        steps.append(step)
    return steps


def _starts(walk: _Walk) -> tuple[np.ndarray, np.ndarray]:
    """The place of every event, and the number of events up to and including each stop."""
    stops = np.array(walk.stops)
    eights = stops < 0
    if not eights.any():
        return stops, np.arange(1, len(stops) + 1)
    events = np.where(eights, 8, 1)
    upto = events.cumsum()
    starts = np.where(eights, ~stops, stops).repeat(events)
    at = upto[eights] - 8
    starts[at + 4] += walk.four[starts[at]]
    at = np.concatenate([at, at + 4])
    starts[at + 2] = starts[at] + walk.two[starts[at]]
    at = np.concatenate([at, at + 2])
    starts[at + 1] = starts[at] + walk.one[starts[at]]
    return starts, upto


def _decode(walk: _Walk, walked: list[_Walked | Damaged]) -> list[Events | Damaged | None]:
    """The events of each file; None if a number of more than four bytes was stepped over in fours."""
    if not walk.stops:
        return [_silent(file) for file in walked]
    data = np.frombuffer(walk.data, np.uint8)
    at, upto = _starts(walk)
    delta, endless = _deltas(data, at, walk.careful)
    status = data[at]
    stated = status >= 0x80
    first_at = at + stated
    if not stated.all():
        lasting = np.where(stated & (status < 0xF0), np.arange(len(at)), 0)
        status = np.where(stated, status, status[np.maximum.accumulate(lasting)])
    first, second = data[first_at], data[first_at + 1]
    high = _too_high(status, first, second)
    tick = delta.cumsum()
    ends = upto[np.array(walk.ends) - 1]
    begins = np.zeros_like(ends)
    begins[1:] = ends[:-1]
    lengths = ends - begins
    tick -= (tick[begins] - delta[begins]).repeat(lengths)
    track = np.arange(len(ends)).repeat(lengths)

    def of_file(file: _Walked | Damaged) -> Events | Damaged | None:
        if isinstance(file, Damaged) or file.stops[0] == file.stops[1]:
            return _silent(file)
        (low, high_stop), (track_low, track_high) = file.stops, file.tracks
        mine = slice(upto.item(low - 1) if low else 0, upto.item(high_stop - 1))
        if _within(endless, mine):
            return None
        metas = [
            Meta(upto.item(meta.event) - 1 - mine.start, meta.kind, meta.data)
            for meta in walk.metas[slice(*file.metas)]
        ]
        columns = track[mine] - track_low, tick[mine], status[mine], first[mine], second[mine]
        clipped = _within(high, mine)
        said = [f"{count(clipped, 'event')} with data bytes above 127 {are(clipped)} read with 127."] if clipped else []
        chunks = file.chunks
        return Events(chunks.form, chunks.division, track_high - track_low, *columns, metas, chunks.said + said)

    return [of_file(file) for file in walked]


def _too_high(status: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The places of channel events with data bytes above 127, which become 127; a program has no second one."""
    high = ((first | second) >= 0x80).nonzero()[0]
    kinds, one, two = status[high], first[high], second[high]
    high = high[(kinds < 0xF0) & ((one >= 0x80) | (two >= 0x80) & ((kinds < 0xC0) | (kinds >= 0xE0)))]
    if len(high):
        first[high], second[high] = np.minimum(first[high], 127), np.minimum(second[high], 127)
    return high


def _silent(file: _Walked | Damaged) -> Events | Damaged:
    """A file whose tracks have no events."""
    if isinstance(file, Damaged):
        return file
    times, data = np.zeros(0, np.int64), np.zeros(0, np.uint8)
    return Events(file.chunks.form, file.chunks.division, 0, times, times, data, data, data, [], file.chunks.said)


def _within(places: np.ndarray, span: slice) -> int:
    """The number of sorted places within a span."""
    return int(places.searchsorted(span.stop) - places.searchsorted(span.start)) if len(places) else 0


def _deltas(data: np.ndarray, at: np.ndarray, careful: bool) -> tuple[np.ndarray, np.ndarray]:
    """The delta times at the given places, and which of them do not end in four bytes; moves the places after them."""
    byte = data[at]
    delta = (byte & 0x7F).astype(np.int64)
    longer = (byte >= 0x80).nonzero()[0]
    reach = 1
    while len(longer) and (reach < 4 or careful):
        at[longer] += 1
        byte = data[at[longer]]
        delta[longer] = np.minimum(delta[longer] << 7 | byte & 0x7F, _LATEST)
        longer = longer[byte >= 0x80]
        reach += 1
    at += 1
    return delta, longer
