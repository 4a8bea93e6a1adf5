"""A second reader of MIDI files, to hold calmvae's to: on top of mido, event by event, slow and simple.

It follows a synthesizer's rules and shares no code with calmvae. Of the names in a file it reads none.
"""

from __future__ import annotations

import collections
import dataclasses
import io
from unittest import mock

import mido
from mido.midifiles import meta, midifiles

# A string of one channel of one port, as MIDI knows it: port, channel and pitch.
Key = tuple[int, int, int]


@dataclasses.dataclass
class Strike:
    """A note, from its note-on until all is known of it. Times are ticks."""

    key: Key
    track: int
    velocity: int
    program: int
    start: int
    hangs: bool  # no note-off is left for it
    off: int | None = None
    end: int | None = None
    cut: int | None = None  # the first "all notes off" after it
    next: int | None = None  # where its pitch is struck next


@dataclasses.dataclass
class Song:
    """What a file plays. The maps are by tick, one entry a tick; tempos are microseconds per quarter note."""

    resolution: int
    last: int
    strikes: list[Strike]
    tempos: dict[int, int]
    metres: dict[int, tuple[int, int]]

    def seconds(self, tick: int) -> float:
        """The time of a tick."""
        total, since, tempo = 0, 0, 500_000
        for at, following in self.tempos.items():
            if at >= tick:
                break
            total, since, tempo = total + (at - since) * tempo, at, following
        return (total + (tick - since) * tempo) / self.resolution / 1e6

    def notes(self) -> list[tuple[int, int, bool, int, float, float]]:
        """Pitch, program, whether it is a drum's, velocity, start and end in seconds."""
        return [
            (s.key[2], s.program, s.key[1] == 9, s.velocity, self.seconds(s.start), self.seconds(s.end))
            for s in self.strikes
        ]


def _known_meta(kind: int, data: list[int], delta: int = 0) -> mido.MetaMessage:
    """As mido's `build_meta_message`, which drops the delta time of meta events that mido does not know."""
    found = meta.build_meta_message(kind, data, delta)
    found.__dict__["time"] = delta
    return found


def read(data: bytes) -> Song:
    """Reads a file; raises what mido raises."""
    with mock.patch.object(midifiles, "build_meta_message", _known_meta):
        file = mido.MidiFile(file=io.BytesIO(data))
    events = []
    lasts = []
    for number, track in enumerate(file.tracks):
        tick = port = 0
        for message in track:
            tick += message.time
            if message.type == "midi_port":
                port = message.port
            events.append((tick, number, port, message))
        lasts.append(tick)
    events.sort(key=lambda event: event[0])
    tempos, metres = {}, {}
    for tick, _, _, message in events:
        if message.type == "set_tempo" and message.tempo:
            tempos[tick] = message.tempo
        elif message.type == "time_signature" and message.numerator:
            metres[tick] = (message.numerator, message.denominator)
    strikes = _play(events, lasts)
    for strike in strikes:
        _lengthen(strike, file.ticks_per_beat)
    return Song(file.ticks_per_beat, max(lasts, default=0), strikes, tempos, metres)


def _is_strike(message: mido.Message) -> bool:
    return message.type == "note_on" and message.velocity > 0


def _unpaired(events: list) -> set[int]:
    """The places of the strikes that no note-off is left for, and of the note-offs that have nothing to end."""
    opened: dict[Key, list[int]] = collections.defaultdict(list)
    unpaired = set()
    for place, (_, _, port, message) in enumerate(events):
        if message.type in ("note_on", "note_off"):
            stack = opened[port, message.channel, message.note]
            if _is_strike(message):
                stack.append(place)
            elif stack:
                stack.pop()
            else:
                unpaired.add(place)
        elif message.type == "control_change" and message.control in (120, 123):
            # What sounds ends here; no later note-off is for it.
            for key in [key for key in opened if key[:2] == (port, message.channel)]:
                unpaired.update(opened.pop(key))
    return unpaired.union(*opened.values())


def _play(events: list, lasts: list[int]) -> list[Strike]:
    """All strikes with their ends, as a synthesizer that hears one event after the other."""
    unpaired = _unpaired(events)
    strikes: list[Strike] = []
    programs: dict[tuple[int, int], int] = collections.defaultdict(int)
    pedals: set[tuple[int, int]] = set()
    sounding: dict[tuple[int, int], list[Strike]] = collections.defaultdict(list)  # by channel
    waiting: dict[Key, list[Strike]] = collections.defaultdict(list)  # for their note-offs
    latest: dict[Key, Strike] = {}
    for place, (tick, track, port, message) in enumerate(events):
        if message.is_meta or not hasattr(message, "channel"):
            continue
        channel = (port, message.channel)
        if message.type == "program_change":
            programs[channel] = message.program
        elif _is_strike(message):
            key = (*channel, message.note)
            if key in latest:
                latest[key].next = tick
            strike = Strike(key, track, message.velocity, programs[channel], tick, place in unpaired)
            latest[key] = strike
            strikes.append(strike)
            sounding[channel].append(strike)
            if not strike.hangs:
                waiting[key].append(strike)
        elif message.type in ("note_on", "note_off") and place not in unpaired:
            strike = waiting[(*channel, message.note)].pop(0)
            strike.off = tick
            if channel not in pedals:
                strike.end = tick
        elif message.type == "control_change":
            if message.control == 64 and message.value >= 64:
                pedals.add(channel)
            elif message.control in (64, 121):
                pedals.discard(channel)
                for strike in sounding[channel]:
                    if strike.off is not None and strike.end is None:
                        strike.end = tick
            elif message.control in (120, 123):
                for strike in sounding[channel]:
                    strike.cut = tick if strike.cut is None else strike.cut
        sounding[channel] = [strike for strike in sounding[channel] if strike.end is None]
    for strike in strikes:
        _finish(strike, lasts[strike.track])
    return strikes


def _finish(strike: Strike, last: int) -> None:
    """Lets what else ends the note do so: the next strike of its pitch, the end of its track, "all notes off"."""
    if strike.hangs:
        strike.end = last if strike.next is None else strike.next
    else:
        # Held by the pedal it sounds until its pitch is struck again, but it is not shorter than its note-off says.
        strike.end = last if strike.end is None else strike.end
        strike.end = max(strike.off, strike.end if strike.next is None else min(strike.end, strike.next))
    if strike.cut is not None:
        strike.end = min(strike.end, strike.cut)


def _lengthen(strike: Strike, resolution: int) -> None:
    """Gives a note of no length some, up to the next strike of its pitch."""
    if strike.end <= strike.start:
        strike.end = strike.start + max(1, resolution // 4)
        if strike.next is not None and strike.next > strike.start:
            strike.end = min(strike.end, strike.next)
