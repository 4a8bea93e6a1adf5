"""Plays MIDI files by a synthesizer's rules: notes, controls and bends of instruments, tempos.

The events of all tracks count in one order of time. Program, pedal and controllers belong to a channel, whichever track
they are in. Tempo and metre count in any track; of two at one place the later holds. A note struck again while it
sounds keeps its own end. The sustain pedal lengthens notes until it is lifted or their pitch is struck again. Where
pretty_midi reads the same, the seconds are equal to the last bit (`tests/test_midi_read.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calmvae.common.errors import Damaged
from calmvae.midi import midi_events, midi_names, midi_notes
from calmvae.midi.midi_channels import Channels
from calmvae.midi.midi_events import Events, Meta
from calmvae.midi.midi_notes import Strikes
from calmvae.midi.midi_tempo import Clock, in_time, say_unusable
from calmvae.midi.piece import Instrument, Notes, Performance

# Denominators of more than 2 to this power fit into no NoteSequence.
_MAX_DENOMINATOR = 30
# More than so many tracks with events in one file are no music, and fill the memory.
_MAX_TRACKS = 4096


def read(data: bytes) -> Performance:
    """Reads the bytes of a MIDI file.

    Raises:
      Damaged: they cannot be read; holds the reason.
    """
    played = of_all([midi_events.read(data)])[0]
    if isinstance(played, Damaged):
        raise played
    return played


def of_all(found: Sequence[Events | Damaged]) -> list[Performance | Damaged]:
    """The performances of files from their events, or the reason why a file cannot be read.

    They are computed together, because for a small file the calls of numpy take most of the time.
    """
    readable = [one for one in found if isinstance(one, Events) and one.tracks <= _MAX_TRACKS]
    played = iter(_played(readable) if readable else [])
    return [
        one
        if isinstance(one, Damaged)
        else Damaged(f"it has {one.tracks} tracks; up to {_MAX_TRACKS} can be read")
        if one.tracks > _MAX_TRACKS
        else next(played)
        for one in found
    ]


def _played(files: Sequence[Events]) -> list[Performance]:
    """The performances of files; their notes are paired, sorted and given to instruments in one pass."""
    said = [list(found.said) for found in files]
    clocks = [Clock(found, sentences) for found, sentences in zip(files, said, strict=True)]
    channels = Channels(files)
    strikes = midi_notes.of_channels(channels, [clock.short for clock in clocks], said)
    slots, instrument, order = _by_instrument(channels, strikes)
    opened = strikes.opened[order]
    program, drums = slots % 128, slots // 128 % channels.channels % 16 == 9
    rows = channels.tick[opened], strikes.end[order], channels.first[opened], channels.second[opened]
    controls, bends = _controls_and_bends(channels, slots)
    tracks = slots // (128 * channels.channels)
    # Where the instruments of each file begin, and its notes, controls and bends, which stand by instrument.
    first = tracks.searchsorted(channels.tracks)
    ends = [some.searchsorted(first) for some in (instrument, controls[:, 0], bends[:, 0])]
    out: list[Performance] = []
    for k, (found, clock) in enumerate(zip(files, clocks, strict=True)):
        parts, (mine, moved, bent) = slice(first[k], first[k + 1]), (slice(end[k], end[k + 1]) for end in ends)
        own = instrument[mine] - first[k]
        start, end, pitch, velocity = (row[mine] for row in rows)
        notes = Notes(
            pitch=pitch.astype(np.int64),
            velocity=velocity.astype(np.int64),
            start=clock.seconds(start),
            end=clock.seconds(end),
            program=program[parts][own],
            is_drum=drums[parts][own],
            track=own,
        )
        if found.form == 2 and found.tracks > 1:
            said[k].append(f"Its {found.tracks} independent sequences (type 2) are played together.")
        out.append(
            Performance(
                resolution=clock.resolution,
                tempos=clock.tempos(),
                time_signatures=_metres(found, clock, said[k]),
                key_signatures=_keys(found, clock, said[k]),
                instruments=_instruments(found, program[parts], drums[parts], tracks[parts] - channels.tracks[k]),
                notes=notes,
                controls=_timed(controls[moved], first[k], clock),
                bends=_timed(bends[bent], first[k], clock),
                warnings=said[k],
            )
        )
    return out


def _timed(rows: np.ndarray, first: int, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """Rows of controls or bends with instruments counted from `first`, and the times of their ticks (last column)."""
    if not len(rows):
        return rows[:, :-1], np.zeros(0)
    told = rows[:, :-1].copy()
    told[:, 0] -= first
    return told, clock.seconds(rows[:, -1])


def _by_instrument(channels: Channels, strikes: Strikes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups the notes by track, channel and program.

    Returns:
      slots: track, channel and program of each instrument in one number, in the order of tracks and, within a track, in
        the order in which their first notes end.
      instrument: the instrument of each note in the new order, int64 `[notes]`.
      order: the new order of the notes: by instrument, then by the events that close and open them.
    """
    order = _by_place(strikes, len(channels.tick))
    opened = strikes.opened[order]
    slot = channels.track[opened] * channels.channels + channels.channel[opened]
    slot = slot * 128 + channels.programs(opened)
    slots = _distinct(slot)
    instrument = slots.searchsorted(slot)
    first = np.zeros(len(slots), np.int64)
    # Backwards, so that the first of each is what stays.
    first[instrument[::-1]] = np.arange(len(slot))[::-1]
    rank = np.lexsort((first, slots // (128 * channels.channels)))
    number = np.empty(len(slots), np.uint16 if len(slots) < 1 << 16 else np.int64)
    number[rank] = np.arange(len(slots))
    instrument = number[instrument]
    last = instrument.argsort(kind="stable")
    return slots[rank], instrument[last].astype(np.int64), order[last]


def _by_place(strikes: Strikes, places: int) -> np.ndarray:
    """The order of notes by the events that close them, and then by those that open them."""
    note = np.full(places, -1)
    note[strikes.closed] = np.arange(len(strikes.closed))
    order = note[note >= 0]
    if len(order) == len(strikes.closed):
        return order
    # Some have no end of their own, but the file's. One number is sorted faster than two.
    return (strikes.closed << places.bit_length() | strikes.opened).argsort()


def _distinct(slot: np.ndarray) -> np.ndarray:
    """The distinct numbers, sorted; for small numbers (the usual case) with a table."""
    largest = int(slot.max(initial=0))
    if largest >= 1 << 20:
        return np.unique(slot)
    there = np.zeros(largest + 1, bool)
    there[slot] = True
    return there.nonzero()[0]


def _instruments(found: Events, program: np.ndarray, drums: np.ndarray, track: np.ndarray) -> list[Instrument]:
    """The instruments of programs and tracks, with the names of their tracks."""
    named = [meta for meta in found.metas if meta.kind == midi_events.TRACK_NAME]
    names = midi_names.decode((found.track.item(meta.event), meta.data) for meta in named)
    rows = zip(program.tolist(), drums.tolist(), track.tolist(), strict=True)
    return [Instrument(number, is_drum, names.get(at, "")) for number, is_drum, at in rows]


def _controls_and_bends(channels: Channels, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The controls and the bends, int64, by instrument: instrument, number and value or bend, and tick.

    Each belongs to the instrument of its track and channel with the current program or, if there is none, to the first
    instrument of its channel. On a channel without notes they are left out.
    """
    if not len(slots) or not channels.has(midi_events.CONTROL, midi_events.BEND):
        return np.zeros((0, 4), np.int64), np.zeros((0, 3), np.int64)
    bend = channels.kind == midi_events.BEND
    places = (bend | (channels.kind == midi_events.CONTROL)).nonzero()[0]
    # The line of each instrument's channel: of its file's, the track tells which.
    own = slots // 128 % channels.channels
    if len(channels.begins) > 1:
        own += np.repeat(channels.begins, np.diff(channels.tracks))[slots // (128 * channels.channels)]
    first = np.full(channels.lines, -1)
    # Backwards, so that the first of a channel is what stays.
    first[own[::-1]] = np.arange(len(slots))[::-1]
    instrument = first[channels.line[places]]
    if np.count_nonzero(first >= 0) < len(slots):
        slot = channels.track[places] * channels.channels + channels.channel[places]
        slot = slot * 128 + channels.programs(places)
        order = slots.argsort()
        at = np.minimum(slots.searchsorted(slot, sorter=order), len(slots) - 1)
        instrument = np.where(slots[order[at]] == slot, order[at], instrument)
    order = instrument.argsort(kind="stable")
    order = order[instrument[order].searchsorted(0) :]
    places, instrument = places[order], instrument[order]
    bent = bend[places]
    rows = np.empty((len(places), 4), np.int64)
    columns = instrument, channels.first[places], channels.second[places], channels.tick[places]
    for k, column in enumerate(columns):
        rows[:, k] = column
    if not bent.any():
        return rows, np.zeros((0, 3), np.int64)
    bends = rows[bent]
    bends[:, 1] += bends[:, 2] * 128 - 8192
    return rows[~bent], bends[:, [0, 1, 3]]


def _metres(found: Events, clock: Clock, said: list[str]) -> list[tuple[float, int, int]]:
    metas = in_time(found, midi_events.METRE)
    usable = [m for m in metas if len(m.data) >= 2 and m.data[0] and m.data[1] <= _MAX_DENOMINATOR]
    say_unusable(said, "time signature", len(metas) - len(usable))
    return _latest(found, clock, [(m, (m.data[0], 1 << m.data[1])) for m in usable])


def _keys(found: Events, clock: Clock, said: list[str]) -> list[tuple[float, int, int]]:
    metas = in_time(found, midi_events.KEY)
    usable = [m for m in metas if len(m.data) >= 2 and (m.data[0] + 7) % 256 <= 14 and m.data[1] <= 1]
    say_unusable(said, "key signature", len(metas) - len(usable))
    return _latest(found, clock, [(m, _tonic(m.data)) for m in usable])


def _tonic(data: bytes) -> tuple[int, int]:
    """Tonic and mode of a key signature from its sharps (flats are negative) and mode."""
    sharps = data[0] - 256 if data[0] >= 0x80 else data[0]
    return (sharps * 7 + (9 if data[1] else 0)) % 12, data[1]


def _latest(found: Events, clock: Clock, signatures: list[tuple[Meta, tuple[int, int]]]) -> list[Any]:
    """Signatures with their times; of several at one tick the last."""
    if not signatures:
        return []
    by_tick = {found.tick.item(meta.event): value for meta, value in signatures}
    times = clock.seconds(np.array(list(by_tick), np.int64)).tolist()
    return [(time, *value) for time, value in zip(times, by_tick.values(), strict=True)]
