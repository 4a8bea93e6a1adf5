"""What a MIDI file plays, by a synthesizer's rules: notes, controls and bends of instruments, tempos.

The events of all tracks count in one order of time. Program, pedal and controllers belong to a channel, whichever
track they stand in; tempo and metre count in any track, and of two at one place the later holds. A note struck again
while it sounds keeps its own end; the sustain pedal lengthens notes until it is lifted or their pitch is struck
again. What pretty_midi reads in the same way has the same seconds, to the last bit (`tests/test_midi_read.py`).
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import numpy as np

from calmvae import midi_events, midi_names
from calmvae.errors import Damaged
from calmvae.midi_events import Events, Meta
from calmvae.piece import Instrument, Notes, Performance
from calmvae.text import are, count, no_length

_SUSTAIN, _SOUND_OFF, _RESET, _NOTES_OFF = 64, 120, 121, 123
_PEDAL_DOWN = 64
# Denominators of more than 2 to this power fit into no NoteSequence.
_MAX_DENOMINATOR = 30
# A file in frames has no beats of its own: they are MIDI's default, two a second, until it gives a tempo.
_DEFAULT_QPM = 120.0
# More than so many tracks with events in one file are no music, and fill the memory.
_MAX_TRACKS = 4096


def read(data: bytes) -> Performance:
    """Reads the bytes of a MIDI file.

    Raises:
      Damaged: they cannot be read; says why.
    """
    return of_events(midi_events.read(data))


def of_events(found: Events) -> Performance:
    """What the events of a file play.

    Raises:
      Damaged: there are more tracks than can be read.
    """
    if found.tracks > _MAX_TRACKS:
        raise Damaged(f"it has {found.tracks} tracks; up to {_MAX_TRACKS} can be read")
    said = list(found.said)
    clock = _Clock(found, said)
    channels = _Channels(found)
    strikes = _strikes(channels, clock, said)
    program = channels.programs(strikes.opened)
    slot = (channels.track[strikes.opened] * channels.lines + channels.line[strikes.opened]) * 128 + program
    slots, instrument = np.unique(slot, return_inverse=True)
    # In the order of tracks, and within a track in the order in which their first notes end.
    first = np.full(len(slots), len(channels.tick), np.int64)
    np.minimum.at(first, instrument, strikes.closed)
    rank = np.lexsort((first, slots // (128 * channels.lines)))
    number = np.argsort(rank)
    instrument = number[instrument]
    order = _sorted(instrument, strikes.closed, strikes.opened, len(channels.tick))
    parts = _instruments(found, slots[rank], channels)
    opened, instrument = strikes.opened[order], instrument[order]
    notes = Notes(
        pitch=channels.first[opened].astype(np.int64),
        velocity=channels.second[opened].astype(np.int64),
        start=clock.seconds(channels.tick[opened]),
        end=clock.seconds(strikes.end[order]),
        program=program[order],
        is_drum=np.array([part.is_drum for part in parts], bool)[instrument],
        track=instrument,
    )
    controls, bends = _controls_and_bends(channels, slots[rank], clock)
    if found.form == 2 and found.tracks > 1:
        said.append(f"Its {found.tracks} independent sequences (type 2) are played together.")
    return Performance(
        resolution=clock.resolution,
        tempos=clock.tempos(),
        time_signatures=_metres(found, clock, said),
        key_signatures=_keys(found, clock, said),
        instruments=parts,
        notes=notes,
        controls=controls,
        bends=bends,
        warnings=said,
    )


def _sorted(instrument: np.ndarray, closed: np.ndarray, opened: np.ndarray, events: int) -> np.ndarray:
    """The order of notes by instrument, by the event that closes them and by the one that opens them."""
    bits = events.bit_length()
    if 2 * bits + int(instrument.max(initial=0)).bit_length() > 62:
        return np.lexsort((opened, closed, instrument))
    # One number is sorted faster than three.
    return np.argsort((instrument << bits | closed) << bits | opened)


class _Clock:
    """Ticks to seconds by the tempos of all tracks: each holds from a tick on, with a time there and a slope."""

    def __init__(self, found: Events, said: list[str]) -> None:
        self.resolution, ticks_a_second = _division(found.division)
        ticks, slopes = [0], [60.0 / (_DEFAULT_QPM * self.resolution)]
        metas = _in_time(found, midi_events.TEMPO)
        usable = [meta for meta in metas if len(meta.data) >= 3 and any(meta.data[:3])]
        _say_unusable(said, "tempo", len(metas) - len(usable))
        for meta in usable:
            tick = int(found.tick[meta.event])
            bpm = 6e7 / int.from_bytes(meta.data[:3], "big")
            slope = 60.0 / (bpm * self.resolution)
            if tick == ticks[-1]:
                slopes[-1] = slope
            elif slope != slopes[-1]:
                ticks.append(tick)
                slopes.append(slope)
        self._qpms = [60.0 / (slope * self.resolution) for slope in slopes]
        if ticks_a_second:
            # Times are given in frames; tempos only say where the beats are.
            slopes = [1 / ticks_a_second] * len(slopes)
            said.append(
                "Its times are counted in film frames, not in beats; beats are placed by its tempo marks, else at 120."
            )
        times = [0.0]
        for i in range(1, len(ticks)):
            times.append(times[-1] + slopes[i - 1] * (ticks[i] - ticks[i - 1]))
        self._ticks, self._slopes, self._times = np.array(ticks), np.array(slopes), np.array(times)
        # A sixteenth at the default tempo in frames.
        self.short = max(1, round(ticks_a_second / 8) if ticks_a_second else self.resolution // 4)

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        if len(self._ticks) == 1:
            return self._slopes[0] * ticks
        i = np.searchsorted(self._ticks, ticks, side="right") - 1
        return self._times[i] + self._slopes[i] * (ticks - self._ticks[i])

    def tempos(self) -> list[tuple[float, float]]:
        return list(zip(self._times.tolist(), self._qpms, strict=True))


def _division(division: int) -> tuple[int, float]:
    """Ticks a quarter note, and ticks a second where time is counted in frames, else 0."""
    if division > 0:
        return division, 0.0
    frames, ticks = struct.unpack("bB", struct.pack(">h", division))
    # 29 stands for the 29.97 frames of NTSC.
    rate = (30000 / 1001 if frames == -29 else -frames) * ticks
    return max(1, round(rate * 60 / _DEFAULT_QPM)), rate


class _Channels:
    """The events in the order of time, as far as channels need it: those of a channel stand in it.

    Attributes:
      lines: how many channels there are, sixteen a port.
      line: int64 `[events]`, the channel of each event.
      ends: the last tick of each track.
      track, tick, status, first, second: as in `Events`.
    """

    def __init__(self, found: Events) -> None:
        port = np.zeros(found.tracks, np.int64)
        ports: dict[int, int] = {}
        for meta in found.metas:
            if meta.kind == midi_events.PORT and meta.data:
                port[found.track[meta.event]] = ports.setdefault(meta.data[0], len(ports))
        self.lines = 16 * max(1, len(ports))
        line = (found.status & 15).astype(np.int64) + 16 * port[found.track] if len(ports) > 1 else found.status & 15
        columns = [found.track, found.tick, found.status, found.first, found.second, line]
        self.ends = found.tick[np.searchsorted(found.track, np.arange(found.tracks), side="right") - 1]
        if found.tracks > 1 and self._are_shared(found, line):
            order = np.argsort(found.tick, kind="stable")
            columns = [column[order] for column in columns]
        self.track, self.tick, self.status, self.first, self.second, self.line = columns
        self.line = self.line.astype(np.int64)
        self.kind = self.status >> 4
        # One number for the channel of an event and its place.
        self._numbers = self.line * len(self.line) + np.arange(len(self.line))
        self._changes = self.on_lines(self.kind == midi_events.PROGRAM)

    def _are_shared(self, found: Events, line: np.ndarray) -> bool:
        """Whether tracks share a channel; if not, the order of the file serves."""
        played = found.status < 0xF0
        used = np.zeros(found.tracks * self.lines, bool)
        used[found.track[played] * self.lines + line[played]] = True
        return bool((used.reshape(-1, self.lines).sum(axis=0) > 1).any())

    def on_lines(self, wanted: np.ndarray) -> np.ndarray:
        """Numbers of the events that are wanted (bool `[events]`), sorted by channel and then by place."""
        return np.sort(self._numbers[wanted])

    def before(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of each place, the last of `events` (made by `on_lines`) before it on its channel; -1 for none."""
        return self._beside(events, places, -1)

    def after(self, events: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of each place, the first of `events` (made by `on_lines`) after it on its channel; -1 for none."""
        return self._beside(events, places, 0)

    def _beside(self, events: np.ndarray, places: np.ndarray, step: int) -> np.ndarray:
        if not len(events):
            return np.full(len(places), -1)
        # Beyond both ends stands a number of no channel; index -1 reaches the one at the end.
        event = np.append(events, -len(self.line))[np.searchsorted(events, self._numbers[places]) + step]
        found = event - self.line[places] * len(self.line)
        return np.where((found >= 0) & (found < len(self.line)), found, -1)

    def programs(self, places: np.ndarray) -> np.ndarray:
        """The program of each event's channel: the last one set before it."""
        if not len(self._changes):
            return np.zeros(len(places), np.int64)
        change = self.before(self._changes, places)
        return np.where(change >= 0, self.first[change], 0).astype(np.int64)


@dataclasses.dataclass(frozen=True, slots=True)
class _Strikes:
    """Notes: the places of the events that open them and that close them, and the ticks at which they fall silent."""

    opened: np.ndarray
    closed: np.ndarray
    end: np.ndarray


def _strikes(channels: _Channels, clock: _Clock, said: list[str]) -> _Strikes:
    """Pairs strikes with their ends, by pedal and controllers; says which had none, and which no length."""
    pairs = _pair(channels)
    end, open_ended = channels.tick[pairs.closed], pairs.closed < 0
    if open_ended.any():
        latest = np.where(pairs.again >= 0, pairs.again, channels.ends[channels.track[pairs.opened]])
        end = np.where(open_ended, latest, end)
    control = channels.kind == midi_events.CONTROL
    if control.any():
        end = _pedalled(channels, pairs, end, control)
        hush = control & ((channels.first == _SOUND_OFF) | (channels.first == _NOTES_OFF))
        if hush.any():
            silenced = channels.after(channels.on_lines(hush), pairs.opened)
            cut = (silenced >= 0) & (channels.tick[silenced] <= end)
            end = np.where(cut, channels.tick[silenced], end)
            open_ended &= ~cut
    if unended := int(open_ended.sum()):
        they = "has no end; it sounds" if unended == 1 else "have no end; each sounds"
        said.append(f"{count(unended, 'note')} {they} until its pitch is struck again or its track ends.")
    start = channels.tick[pairs.opened]
    if zero := int((end <= start).sum()):
        again = np.where(pairs.again > start, pairs.again, start + clock.short)
        end = np.where(end <= start, np.minimum(start + clock.short, again), end)
        said.append(no_length(zero))
    closed = np.where(pairs.closed >= 0, pairs.closed, len(channels.tick) - 1)
    return _Strikes(pairs.opened, closed, end)


@dataclasses.dataclass(frozen=True, slots=True)
class _Pairs:
    """Strikes by channel and pitch, and in the order of time within.

    Attributes:
      opened, closed: the places of each strike and of the note-off that ends it, -1 for none.
      again: the tick of the next strike of the pitch, -1 for none.
    """

    opened: np.ndarray
    closed: np.ndarray
    again: np.ndarray


def _pair(channels: _Channels) -> _Pairs:
    """Note-offs end the strikes of their pitch in turn, the first one first.

    A note-off with no note to end does not count. Where strikes are more than note-offs, those of which no note-off
    is left, as of brackets that do not close, have no end of their own: the pitch is struck again over them.
    """
    strike = (channels.kind == midi_events.NOTE_ON) & (channels.second > 0)
    places = np.flatnonzero((channels.kind == midi_events.NOTE_ON) | (channels.kind == midi_events.NOTE_OFF))
    key = channels.line[places] * 128 + channels.first[places]
    # Small numbers are sorted faster.
    key = key.astype(np.uint16) if channels.lines <= 512 else key
    order = np.argsort(key, kind="stable")
    places, key = places[order], key[order]
    on = strike[places]
    ons, offs = np.flatnonzero(on), np.flatnonzero(~on)
    if len(ons) == len(offs) and (ons < offs).all() and (key[ons] == key[offs]).all():
        # As nearly always: the first note-off after the first strike, the second after the second.
        return _pairs(channels, places[ons], key[ons], places[offs])
    depth, group = _depth(on, key)
    # A note-off that reaches a new depth below nothing ends no note.
    apart = depth - (len(places) + 1) * group
    before = np.minimum(np.append(0, np.minimum.accumulate(apart)[:-1]), -(len(places) + 1) * group)
    idle = ~on & (apart < before)
    if idle.any():
        places, key, on = places[~idle], key[~idle], on[~idle]
        depth, group = _depth(on, key)
    ons = np.flatnonzero(on)
    closed = places[~on]
    if len(ons) > len(closed):
        # Open for good: what comes after it never gets below it.
        apart = depth + (len(places) + 1) * group
        lowest = np.minimum.accumulate(apart[::-1])[::-1]
        closed = np.full(len(ons), -1)
        closed[lowest[ons] < apart[ons]] = places[~on]
    return _pairs(channels, places[ons], key[ons], closed)


def _pairs(channels: _Channels, opened: np.ndarray, key: np.ndarray, closed: np.ndarray) -> _Pairs:
    ticks = channels.tick[opened]
    again = np.append(np.where(key[1:] == key[:-1], ticks[1:], -1), -1)[: len(opened)]
    return _Pairs(opened, closed, again)


def _depth(on: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many notes of a key are open after each event, and the number of the key, both int64 `[events]`."""
    if not len(on):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    total = np.cumsum(np.where(on, 1, -1))
    fresh = np.append(True, key[1:] != key[:-1])
    group = np.cumsum(fresh) - 1
    begins = np.flatnonzero(fresh)
    return total - np.append(0, total[begins[1:] - 1])[group], group


def _pedalled(channels: _Channels, pairs: _Pairs, end: np.ndarray, control: np.ndarray) -> np.ndarray:
    """The ticks at which notes fall silent when the sustain pedal holds those that end while it is down."""
    pedal = control & (channels.first == _SUSTAIN)
    down = pedal & (channels.second >= _PEDAL_DOWN)
    if not down.any():
        return end
    # Resetting all controllers lifts it.
    moved = pedal | (control & (channels.first == _RESET))
    moves, lifts = channels.on_lines(moved), channels.on_lines(moved & ~down)
    ended = pairs.closed >= 0
    place = np.where(ended, pairs.closed, pairs.opened)
    move = channels.before(moves, place)
    held = ended & (move >= 0) & down[move]
    lift = channels.after(lifts, place)
    last = np.maximum(channels.ends[channels.track[pairs.opened]], end)
    until = np.where(lift >= 0, channels.tick[lift], last)
    until = np.where(pairs.again >= 0, np.minimum(until, pairs.again), until)
    return np.where(held, np.maximum(end, until), end)


def _instruments(found: Events, slots: np.ndarray, channels: _Channels) -> list[Instrument]:
    """The instruments of slots (track, channel, program in one number), named as their tracks."""
    named = [meta for meta in found.metas if meta.kind == midi_events.TRACK_NAME]
    names = midi_names.decode((int(found.track[meta.event]), meta.data) for meta in named)
    parts = []
    for slot in slots.tolist():
        line, program = divmod(slot, 128)
        track, channel = divmod(line, channels.lines)
        parts.append(Instrument(program, channel % 16 == 9, names.get(track, "")))
    return parts


def _controls_and_bends(channels: _Channels, slots: np.ndarray, clock: _Clock) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of the controls and of the bends: the numbers of each, its instrument first, by instrument, and their times.

    Each belongs to the instrument of its track and channel with the program of that moment, if there is none to the
    first of its channel; a channel without notes has none, and what it holds is left out.
    """
    bend = channels.kind == midi_events.BEND
    places = np.flatnonzero(bend | (channels.kind == midi_events.CONTROL))
    instrument = np.full(len(places), -1)
    if len(places) and len(slots):
        line = channels.line[places]
        first = np.full(channels.lines, -1)
        # Backwards, so that the first of a channel is what stays.
        first[(slots // 128 % channels.lines)[::-1]] = np.arange(len(slots))[::-1]
        instrument = first[line]
        if np.count_nonzero(first >= 0) < len(slots):
            slot = (channels.track[places] * channels.lines + line) * 128 + channels.programs(places)
            order = np.argsort(slots)
            at = np.minimum(np.searchsorted(slots, slot, sorter=order), len(slots) - 1)
            instrument = np.where(slots[order[at]] == slot, order[at], instrument)
    order = np.argsort(instrument, kind="stable")
    order = order[np.searchsorted(instrument[order], 0) :]
    places, instrument = places[order], instrument[order]
    bent = bend[places]
    first, second, times = channels.first[places], channels.second[places].astype(np.int64), channels.tick[places]
    seconds = clock.seconds(times)
    controls = np.stack([instrument, first, second], axis=1)
    if not bent.any():
        return [(controls, seconds), (controls[:0, :2], seconds[:0])]
    bends = np.stack([instrument, first + second * 128 - 8192], axis=1)
    return [(controls[~bent], seconds[~bent]), (bends[bent], seconds[bent])]


def _metres(found: Events, clock: _Clock, said: list[str]) -> list[tuple[float, int, int]]:
    metas = _in_time(found, midi_events.METRE)
    usable = [m for m in metas if len(m.data) >= 2 and m.data[0] and m.data[1] <= _MAX_DENOMINATOR]
    _say_unusable(said, "time signature", len(metas) - len(usable))
    return _latest(found, clock, [(m, (m.data[0], 1 << m.data[1])) for m in usable])


def _keys(found: Events, clock: _Clock, said: list[str]) -> list[tuple[float, int, int]]:
    metas = _in_time(found, midi_events.KEY)
    usable = [m for m in metas if len(m.data) >= 2 and (m.data[0] + 7) % 256 <= 14 and m.data[1] <= 1]
    _say_unusable(said, "key signature", len(metas) - len(usable))
    return _latest(found, clock, [(m, _tonic(m.data)) for m in usable])


def _tonic(data: bytes) -> tuple[int, int]:
    """A key signature's tonic and mode from its sharps (flats below 0) and mode."""
    sharps = data[0] - 256 if data[0] >= 0x80 else data[0]
    return (sharps * 7 + (9 if data[1] else 0)) % 12, data[1]


def _latest(found: Events, clock: _Clock, signatures: list[tuple[Meta, tuple[int, int]]]) -> list[Any]:
    """Signatures with their times, of several at one tick the last."""
    if not signatures:
        return []
    by_tick = {int(found.tick[meta.event]): value for meta, value in signatures}
    times = clock.seconds(np.array(list(by_tick), np.int64)).tolist()
    return [(time, *value) for time, value in zip(times, by_tick.values(), strict=True)]


def _in_time(found: Events, kind: int) -> list[Meta]:
    """The meta events of a kind, of all tracks, in the order of time."""
    return sorted((meta for meta in found.metas if meta.kind == kind), key=lambda meta: int(found.tick[meta.event]))


def _say_unusable(said: list[str], what: str, number: int) -> None:
    if number:
        said.append(f"{count(number, what)} that cannot be used {are(number)} passed over.")
