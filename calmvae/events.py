"""Standard MIDI Files to arrays of events, at the speed of numpy.

Only plain files are read here: whatever is damaged, rare or a matter of taste raises `NotPlain`, and mido decides what
it means. What is read, is read as mido reads it (`tests/test_performance.py` compares the two).
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, BEND = 0x8, 0x9, 0xB, 0xC, 0xE
TRACK_NAME, END_OF_TRACK, TEMPO, METRE, KEY = 0x03, 0x2F, 0x51, 0x58, 0x59

_CHANNEL_PREFIX, _SMPTE_OFFSET = 0x20, 0x54
_KNOWN_METAS = {*range(8), 0x09, _CHANNEL_PREFIX, 0x21, END_OF_TRACK, TEMPO, _SMPTE_OFFSET, METRE, KEY, 0x7F}
_LEAST_BYTES = {_CHANNEL_PREFIX: 1, TEMPO: 3, _SMPTE_OFFSET: 5, METRE: 4, KEY: 2}
# mido refuses longer messages.
_MAX_MESSAGE = 1_000_000
# Beyond so many, tables with a place for each track, channel and program take too much room.
_MAX_TRACKS = 1024

# Length of an event from its status byte on, if it has two data bytes: with a status of its own, or a running one.
# All other events must be looked at one by one; their lengths are above any that adding a delta time can lead to.
_BY_HAND = 0x80
_LENGTHS = bytes([2] * 0x80 + [3] * 0x40 + [_BY_HAND] * 0x20 + [3] * 0x10 + [_BY_HAND] * 0x10)
# Room for looking a few bytes past the end.
_PADDING = bytes(8)


class NotPlain(Exception):
    """The bytes are no plain MIDI file; a reader that knows the odd ones must decide."""


@dataclasses.dataclass(frozen=True, slots=True)
class Meta:
    """A meta event: its place among the events, its type and its content."""

    event: int
    kind: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Events:
    """The events of all tracks that have any, one track after the other.

    Attributes:
      form: the file's type (0, 1 or 2).
      resolution: ticks per quarter note.
      tracks: how many tracks have events.
      track, tick: int64 `[events]`, the track and the time from its beginning.
      status, first, second: uint8 `[events]`, the status byte (running status resolved) and the data bytes; of meta
        and system exclusive events only the status counts.
      metas: the meta events, in order.
    """

    form: int
    resolution: int
    tracks: int
    track: np.ndarray
    tick: np.ndarray
    status: np.ndarray
    first: np.ndarray
    second: np.ndarray
    metas: list[Meta]


def read(data: bytes) -> Events:
    """Reads the bytes of a MIDI file.

    Raises:
      NotPlain: the file is damaged or unusual.
    """
    found = read_all([data])[0]
    if found is None:
        raise NotPlain
    return found


def read_all(files: list[bytes]) -> list[Events | None]:
    """Reads some MIDI files, None for each that is damaged or unusual.

    They are decoded together: of a small file, most of the time goes into calling numpy at all.
    """
    walk = _Walk(b"".join(data + _PADDING for data in files))
    walked: list[_Walked | None] = []
    begin = 0
    for data in files:
        walked.append(_walk_file(walk, data, begin))
        begin += len(data) + len(_PADDING)
    return _decode(walk, walked) if walk.stops else [None] * len(files)


@dataclasses.dataclass(frozen=True, slots=True)
class _Walked:
    """A file that was walked through: its form and resolution, and which stops, tracks and meta events are its own."""

    form: int
    resolution: int
    stops: tuple[int, int]
    tracks: tuple[int, int]
    metas: tuple[int, int]


def _walk_file(walk: _Walk, data: bytes, begin: int) -> _Walked | None:
    """Walks through a file that begins at a place of the walk's bytes; None if it is not plain."""
    before = walk.lengths()
    try:
        form, count, resolution, at = _header(data)
        for _ in range(count):
            start = at + 8
            if data[at : at + 4] != b"MTrk" or start > len(data):
                raise NotPlain
            at = start + int.from_bytes(data[at + 4 : start], "big")
            if at > len(data):
                raise NotPlain
            walk.track(begin + start, begin + at)
        after = walk.lengths()
        if after[0] == before[0]:
            raise NotPlain
    except NotPlain:
        walk.forget(before)
        return None
    stops, tracks, metas, _ = zip(before, after, strict=True)
    return _Walked(form, resolution, stops, tracks, metas)


def _header(data: bytes) -> tuple[int, int, int, int]:
    if len(data) < 14 or data[:4] != b"MThd":
        raise NotPlain
    size, form, count, resolution = struct.unpack(">Lhhh", data[4:14])
    if size < 6 or form not in (0, 1, 2) or not 0 < count <= _MAX_TRACKS or resolution <= 0:
        raise NotPlain
    return form, count, resolution, 8 + size


class _Walk:
    """Finds where the events of all files begin: a chain, for each one's length tells where the next begins.

    Attributes:
      data: the bytes of all files, each padded.
      stops: where an event begins that was stepped over alone, or, inverted (`~`), the first of eight.
      ends: for each track that has events, the number of stops up to its end.
      metas: the meta events, their places counted in stops.
      timeless: stops at events that take no time, whatever is written before them.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.one, self.two, self.four, eight = _steps(self.data)
        self._one, self._eight = self.one.tobytes(), eight.tobytes()
        self.stops: list[int] = []
        self.ends: list[int] = []
        self.metas: list[Meta] = []
        self.timeless: list[int] = []

    def lengths(self) -> tuple[int, int, int, int]:
        """How many stops, tracks, meta events and timeless stops there are so far."""
        return len(self.stops), len(self.ends), len(self.metas), len(self.timeless)

    def forget(self, lengths: tuple[int, int, int, int]) -> None:
        """Goes back to earlier `lengths`."""
        stops, ends, metas, timeless = lengths
        del self.stops[stops:], self.ends[ends:], self.metas[metas:], self.timeless[timeless:]

    def track(self, at: int, end: int) -> None:
        """Walks through a track's bytes from `at` to `end`."""
        one, eight = self._one, self._eight
        append, before = self.stops.append, len(self.stops)
        # Data bytes of the running status, 0 when there is none.
        running = 0
        while at < end:
            if running == 2:
                while (step := eight[at]) < _BY_HAND and at + step <= end:
                    append(~at)
                    at += step
                while at < end and (step := one[at]) < _BY_HAND:
                    append(at)
                    at += step
                if at >= end:
                    break
            append(at)
            at, running = self._by_hand(at, running)
        if at != end:
            raise NotPlain
        if len(self.stops) > before:
            self.ends.append(len(self.stops))

    def _by_hand(self, at: int, running: int) -> tuple[int, int]:
        """Steps over one event of any kind: where the next begins, and how many data bytes a running status has."""
        data = self.data
        _, at = _number(data, at)
        status = data[at]
        if status < 0x80:
            if not running:
                raise NotPlain
            return at + running, running
        if status < 0xF0:
            running = 1 if 0xC0 <= status < 0xE0 else 2
            return at + 1 + running, running
        if status == 0xFF:
            length, begin = _number(data, at + 2)
            self._meta(data[at + 1], data[begin : begin + length])
            return begin + length, running
        if status not in (0xF0, 0xF7):
            raise NotPlain
        length, begin = _number(data, at + 1)
        content = data[begin : begin + length].removeprefix(b"\xf0").removesuffix(b"\xf7")
        if length > _MAX_MESSAGE or not content.isascii():
            raise NotPlain
        return begin + length, 0

    def _meta(self, kind: int, content: bytes) -> None:
        stop = len(self.stops) - 1
        if not _is_plain(kind, content):
            raise NotPlain
        if kind not in _KNOWN_METAS:
            # mido forgets the delta time of meta events it does not know.
            self.timeless.append(stop)
        self.metas.append(Meta(stop, kind, content))


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length number at a place, and the place after it."""
    number = 0
    for place in range(at, min(at + 4, len(data))):
        number = number << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return number, place + 1
    raise NotPlain


def _is_plain(kind: int, content: bytes) -> bool:
    """Whether mido and pretty_midi take a meta event without remark."""
    if len(content) > _MAX_MESSAGE or len(content) < _LEAST_BYTES.get(kind, 0):
        return False
    if kind == 0x00:
        return len(content) != 1
    if kind == TEMPO:
        return any(content[:3])
    if kind == METRE:
        return content[0] > 0 and content[1] < 16
    if kind == KEY:
        return (content[0] + 7) % 256 <= 14 and content[1] <= 1
    if kind == _SMPTE_OFFSET:
        return content[0] >> 5 < 4 and content[1] < 60 and content[2] < 60 and content[4] < 100
    return True


def _steps(data: bytes) -> list[np.ndarray]:
    """For every place how far it is to the next event, and the second, fourth and eighth next: uint8 `[bytes]`.

    The place is taken for the begin of an event that has a running status, should it have none of its own. Where one
    of the events must be looked at by hand, the distance is `_BY_HAND` or more.
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
    """Where every event begins, and the number of events up to each stop (its own included)."""
    stops = np.array(walk.stops)
    eights = stops < 0
    if not eights.any():
        return stops, np.arange(1, len(stops) + 1)
    upto = np.cumsum(np.where(eights, 8, 1))
    starts = np.repeat(np.where(eights, ~stops, stops), np.where(eights, 8, 1))
    at = upto[eights] - 8
    starts[at + 4] += walk.four[starts[at]]
    at = np.concatenate([at, at + 4])
    starts[at + 2] = starts[at] + walk.two[starts[at]]
    at = np.concatenate([at, at + 2])
    starts[at + 1] = starts[at] + walk.one[starts[at]]
    return starts, upto


def _decode(walk: _Walk, walked: list[_Walked | None]) -> list[Events | None]:
    data = np.frombuffer(walk.data, np.uint8)
    at, upto = _starts(walk)
    delta, endless = _deltas(data, at)
    delta[upto[np.array(walk.timeless, np.int64)] - 1] = 0
    status = data[at]
    stated = status >= 0x80
    first_at = at + stated
    if not stated.all():
        lasting = np.where(stated & (status < 0xF0), np.arange(len(at)), 0)
        status = np.where(stated, status, status[np.maximum.accumulate(lasting)])
    first, second = data[first_at], data[first_at + 1]
    single = (status >= 0xC0) & (status < 0xE0)
    wrong = np.flatnonzero((status < 0xF0) & ((first | np.where(single, 0, second)) >= 0x80))
    odd = np.sort(np.append(wrong, endless))
    tick = np.cumsum(delta)
    ends = upto[np.array(walk.ends) - 1]
    begins = np.append(0, ends[:-1])
    tick -= np.repeat(tick[begins] - delta[begins], ends - begins)
    track = np.repeat(np.arange(len(ends)), ends - begins)

    def of_file(file: _Walked | None) -> Events | None:
        if file is None:
            return None
        (low, high), (track_low, track_high) = file.stops, file.tracks
        mine = slice(upto.item(low - 1) if low else 0, upto.item(high - 1))
        if len(odd) and np.searchsorted(odd, mine.start) != np.searchsorted(odd, mine.stop):
            return None
        metas = [
            Meta(upto.item(meta.event) - 1 - mine.start, meta.kind, meta.data)
            for meta in walk.metas[slice(*file.metas)]
        ]
        columns = track[mine] - track_low, tick[mine], status[mine], first[mine], second[mine]
        return Events(file.form, file.resolution, track_high - track_low, *columns, metas)

    return [of_file(file) for file in walked]


def _deltas(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The delta times at the given places, which it moves behind them; and which of them do not end."""
    byte = data[at]
    delta = (byte & 0x7F).astype(np.int64)
    longer = np.flatnonzero(byte >= 0x80)
    for _ in range(3):
        if not len(longer):
            break
        at[longer] += 1
        byte = data[at[longer]]
        delta[longer] = delta[longer] << 7 | byte & 0x7F
        longer = longer[byte >= 0x80]
    at += 1
    return delta, longer
