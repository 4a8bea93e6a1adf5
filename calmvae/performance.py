"""What a plain MIDI file plays, as pretty_midi understands it: notes, controls and bends of instruments, tempos.

The rules are pretty_midi's, odd ones included, worked out over arrays instead of event by event, and the seconds are
its own to the last bit: a NoteSequence made from here is the one note_seq makes (`tests/test_performance.py`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae import events
from calmvae.events import Events, Meta, NotPlain
from calmvae.piece import Notes, Piece

# pretty_midi keeps a time for every tick; this many are hours of music and a gigabyte.
MAX_TICK = 30_000_000

# Controls and bends times instruments: beyond this no one made the file by playing.
_MAX_SHARED = 1 << 28

# What pretty_midi warns of, cut after its first sentence as all its warnings are.
_MISPLACED = "Tempo, Key or Time signature change events found on non-zero tracks."


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """The notes of a track on one channel with one program."""

    program: int
    is_drum: bool
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Performance:
    """What a file plays. Times are seconds.

    Attributes:
      resolution: ticks per quarter note.
      tempos: `(time, quarters per minute)`.
      time_signatures: `(time, numerator, denominator)`.
      key_signatures: `(time, tonic from 0 = C, 1 if minor)`.
      instruments: in the order in which their first notes end.
      notes: by instrument, then by the place of their ends in the file; `track` is the instrument's index.
      controls: int64 `[controls, 3]`, instrument, number and value, and their times float64 `[controls]`.
      bends: int64 `[bends, 2]`, instrument and bend (-8192 to 8191), and their times float64 `[bends]`.
      warnings: what had to be mended or ignored, one sentence each.
    """

    resolution: int
    tempos: list[tuple[float, float]]
    time_signatures: list[tuple[float, int, int]]
    key_signatures: list[tuple[float, int, int]]
    instruments: list[Instrument]
    notes: Notes
    controls: tuple[np.ndarray, np.ndarray]
    bends: tuple[np.ndarray, np.ndarray]
    warnings: list[str]

    def piece(self, name: str, strip: bool = False) -> Piece:
        """The piece, with a copy of the warnings; `strip` takes the blanks around the tracks' names away."""
        names = {i: part.name.strip() if strip else part.name for i, part in enumerate(self.instruments)}
        return Piece.of_columns(
            self.notes,
            tempos=list(self.tempos),
            time_signatures=list(self.time_signatures),
            track_names={i: name for i, name in names.items() if name},
            name=name,
            warnings=list(self.warnings),
        )


def read(data: bytes) -> Performance:
    """Reads the bytes of a MIDI file.

    Raises:
      NotPlain: the file is damaged or unusual.
    """
    return of_events(events.read(data))


def of_events(found: Events) -> Performance:
    """What the events of a file play.

    Raises:
      NotPlain: the file is unusual.
    """
    if found.tick.max() > MAX_TICK:
        raise NotPlain
    clock = _Clock(found)
    programs = _Programs(found)
    opened, closed = _pair_notes(found)
    program, slot = programs.at(closed)
    order, instrument, slots, created = _instruments(found.tracks, slot)
    opened, closed, created = opened[order], closed[order], closed[created]
    parts = _name_instruments(found, slots, created)
    notes = Notes(
        pitch=found.first[opened].astype(np.int64),
        velocity=found.second[opened].astype(np.int64),
        start=clock.seconds(found.tick[opened]),
        end=clock.seconds(found.tick[closed]),
        program=program[order],
        is_drum=np.array([part.is_drum for part in parts], bool)[instrument],
        track=instrument,
    )
    times, keys = _signatures(found, clock)
    controls, bends = _controls_and_bends(found, programs, slots, created)
    place, event = controls
    numbers = np.stack([place, found.first[event], found.second[event]], axis=1)
    bent, wheel = bends
    amounts = np.stack([bent, found.first[wheel] + found.second[wheel].astype(np.int64) * 128 - 8192], axis=1)
    return Performance(
        resolution=found.resolution,
        tempos=clock.tempos(found.resolution),
        time_signatures=times,
        key_signatures=keys,
        instruments=parts,
        notes=notes,
        controls=(numbers, clock.seconds(found.tick[event])),
        bends=(amounts, clock.seconds(found.tick[wheel])),
        warnings=_warnings(found, len(opened)),
    )


class _Clock:
    """Ticks to seconds by the first track's tempos: each holds from a tick on, with a time there and a slope."""

    def __init__(self, found: Events) -> None:
        ticks, slopes = [0], [60.0 / (120.0 * found.resolution)]
        for meta in _metas(found, events.TEMPO):
            tick = int(found.tick[meta.event])
            bpm = 6e7 / int.from_bytes(meta.data[:3], "big")
            slope = 60.0 / (bpm * found.resolution)
            if tick == 0:
                ticks, slopes = [0], [slope]
            elif slope != slopes[-1]:
                ticks.append(tick)
                slopes.append(slope)
        times = [0.0]
        for i in range(1, len(ticks)):
            times.append(times[-1] + slopes[i - 1] * (ticks[i] - ticks[i - 1]))
        end = times[-1] + slopes[-1] * (int(found.tick.max()) - ticks[-1])
        # So late and so slow that neighbouring ticks fall on one time.
        if not min(slopes) > 4 * np.spacing(end):
            raise NotPlain
        self._ticks, self._slopes, self._times = np.array(ticks), np.array(slopes), np.array(times)

    def seconds(self, ticks: np.ndarray) -> np.ndarray:
        if len(self._ticks) == 1:
            return self._slopes[0] * ticks
        i = np.searchsorted(self._ticks, ticks, side="right") - 1
        return self._times[i] + self._slopes[i] * (ticks - self._ticks[i])

    def tempos(self, resolution: int) -> list[tuple[float, float]]:
        spans = zip(self._times.tolist(), self._slopes.tolist(), strict=True)
        return [(time, 60.0 / (slope * resolution)) for time, slope in spans]


class _Programs:
    """The program that plays at an event: the last one set before it on its track and channel."""

    def __init__(self, found: Events) -> None:
        self._line = found.track * 16 + (found.status & 15)
        self._first = found.first
        changes = np.flatnonzero(found.status >> 4 == events.PROGRAM)
        self._changes = np.sort(self._line[changes] * len(self._line) + changes)

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Programs of the events at the given places, and their slots: one for each track, channel and program."""
        line, count = self._line[places], len(self._line)
        program = np.zeros(len(places), np.int64)
        if len(self._changes):
            before = self._changes[np.searchsorted(self._changes, line * count + places) - 1]
            # Where no change comes before, index -1 wraps around to the last change, which comes after.
            known = (before // count == line) & (before % count < places)
            program = np.where(known, self._first[before % count], 0).astype(np.int64)
        return program, line * 128 + program


def _pair_notes(found: Events) -> tuple[np.ndarray, np.ndarray]:
    """The places of the events that open and that close each note, in the order of the closing events.

    A note-off closes every open note of its track, channel and pitch that began at an earlier tick. Open notes that
    began at its own tick stay open if it closed another note, and are lost if not.
    """
    kind = found.status >> 4
    strikes = (kind == events.NOTE_ON) & (found.second > 0)
    places = np.flatnonzero((kind == events.NOTE_ON) | (kind == events.NOTE_OFF))
    key = (found.track[places] * 16 + (found.status[places] & 15)) * 128 + found.first[places]
    # Small numbers are sorted faster.
    key = key.astype(np.uint16) if found.tracks <= 32 else key
    order = np.argsort(key, kind="stable")
    places, key = places[order], key[order]
    on, tick = strikes[places], found.tick[places]
    ons, offs = np.flatnonzero(on), np.flatnonzero(~on)
    if not len(offs):
        return ons[:0], ons[:0]
    # The next note-off after each note-on, as an index into `offs`.
    ender = np.cumsum(~on)[ons]
    inside = ender < len(offs)
    ons, ender = ons[inside], ender[inside]
    inside = key[offs[ender]] == key[ons]
    ons, ender = ons[inside], ender[inside]
    apart = tick[offs[ender]] != tick[ons]
    opened, closed = ons[apart], offs[ender[apart]]
    if not apart.all():
        kept, later = _carried(ons, ender, apart, offs, key, tick)
        opened, closed = np.append(opened, kept), np.append(closed, later)
    # Both in one number are sorted faster than one by the other.
    bits = len(found.tick).bit_length()
    both = np.sort(places[closed] << bits | places[opened])
    return both & (1 << bits) - 1, both >> bits


def _carried(
    ons: np.ndarray, ender: np.ndarray, apart: np.ndarray, offs: np.ndarray, key: np.ndarray, tick: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The notes that outlast a note-off at the tick they begin at, and the next note-off, which closes them.

    Args:
      ons, offs: indices of note-ons and note-offs, sorted by key.
      ender: of each note-on the next note-off of its key, an index into `offs`.
      apart: whether that note-off is at another tick than the note-on.
      key, tick: of all note-ons and note-offs.
    """
    closes, meets = np.zeros(len(offs), bool), np.zeros(len(offs), bool)
    closes[ender[apart]] = True
    meets[ender[~apart]] = True
    after = np.zeros(len(offs), bool)
    after[1:] = (key[offs[1:]] == key[offs[:-1]]) & (tick[offs[1:]] > tick[offs[:-1]])
    # A note-off carries notes over if it closes others: some that began before it in its own turn, or some that the
    # note-off before carried over. Of the note-offs up to each, the last that does not merely depend on the one
    # before decides.
    carries = meets & closes
    decides = np.where(~(meets & after) | carries, np.arange(len(offs)), 0)
    carries = carries[np.maximum.accumulate(decides)]
    kept, follower = ons[~apart], ender[~apart] + 1
    stays = carries[follower - 1] & (follower < len(offs))
    kept, follower = kept[stays], follower[stays]
    stays = after[follower]
    return kept[stays], offs[follower[stays]]


def _instruments(tracks: int, slot: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers the slots of the notes in the order in which they come up.

    Returns:
      The order of the notes by instrument, the instrument of each note in that order, the slot of each instrument,
      and the index (before ordering) of its first note.
    """
    first = np.full(tracks * 2048, len(slot))
    np.minimum.at(first, slot, np.arange(len(slot)))
    slots = np.flatnonzero(first < len(slot))
    slots = slots[np.argsort(first[slots])]
    number = np.zeros(len(first), np.int64)
    number[slots] = np.arange(len(slots))
    instrument = number[slot]
    order = np.argsort(instrument.astype(np.uint16) if len(slots) < 1 << 16 else instrument, kind="stable")
    return order, instrument[order], slots, first[slots]


def _name_instruments(found: Events, slots: np.ndarray, created: np.ndarray) -> list[Instrument]:
    """Each has the name that its track had when it was made."""
    named = [meta for meta in found.metas if meta.kind == events.TRACK_NAME]
    # The track of each name, and of none before the first.
    places = np.array([meta.event for meta in named], np.int64)
    tracks = np.append(-1, found.track[places]).tolist()
    parts = []
    for slot, last in zip(slots.tolist(), np.searchsorted(places, created).tolist(), strict=True):
        line, program = divmod(slot, 128)
        track, channel = divmod(line, 16)
        name = named[last - 1].data.decode("latin1") if tracks[last] == track else ""
        parts.append(Instrument(program, channel == 9, name))
    return parts


def _controls_and_bends(
    found: Events, programs: _Programs, slots: np.ndarray, created: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of the controls and of the bends: the instrument and the place of each, by instrument.

    What comes before its instrument waits in a list of its track and channel. An instrument made when there is such
    a list takes it for its own, and shares it with all that do: each of them has every event in it.
    """
    kind = found.status >> 4
    places = np.flatnonzero((kind == events.CONTROL) | (kind == events.BEND))
    if not len(places) or not len(slots):
        return [(places[:0], places[:0])] * 2
    if len(places) * len(slots) > _MAX_SHARED:
        raise NotPlain
    _, slot = programs.at(places)
    number = np.full(found.tracks * 2048, -1)
    number[slots] = np.arange(len(slots))
    target = number[slot]
    waits = (target < 0) | (created[target] > places)
    # The event with which the list of each track and channel begins.
    waiting = np.full(found.tracks * 16, len(kind))
    np.minimum.at(waiting, slot[waits] // 128, places[waits])
    lines = slots // 128
    shares = waiting[lines] < created
    holder = np.where(shares, len(slots) + lines, np.arange(len(slots)))
    held = np.where(waits, len(slots) + slot // 128, holder[target])
    both = []
    for wanted in (events.CONTROL, events.BEND):
        of_kind = kind[places] == wanted
        event, where = places[of_kind], held[of_kind]
        taken = [event[where == mine] for mine in holder.tolist()]
        both.append((np.repeat(np.arange(len(slots)), [len(t) for t in taken]), np.concatenate(taken)))
    return both


def _signatures(found: Events, clock: _Clock) -> tuple[list[tuple[float, int, int]], list[tuple[float, int, int]]]:
    metres, keys = (_metas(found, kind) for kind in (events.METRE, events.KEY))
    metre_times, key_times = (
        clock.seconds(found.tick[[meta.event for meta in some]]).tolist() if some else [] for some in (metres, keys)
    )
    times = [(time, m.data[0], 1 << m.data[1]) for time, m in zip(metre_times, metres, strict=True)]
    return times, [(time, *_tonic(meta.data)) for time, meta in zip(key_times, keys, strict=True)]


def _tonic(data: bytes) -> tuple[int, int]:
    """A key signature's tonic and mode from its sharps (flats below 0) and mode."""
    sharps = data[0] - 256 if data[0] >= 0x80 else data[0]
    return (sharps * 7 + (9 if data[1] else 0)) % 12, data[1]


def _metas(found: Events, kind: int) -> list[Meta]:
    """The first track's meta events of a kind; those of other tracks do not count."""
    return [meta for meta in found.metas if meta.kind == kind and found.track[meta.event] == 0]


def _warnings(found: Events, notes: int) -> list[str]:
    said = []
    general = (events.TEMPO, events.METRE, events.KEY)
    if any(meta.kind in general and found.track[meta.event] for meta in found.metas):
        said.append(_MISPLACED)
    struck = int(np.count_nonzero((found.status >> 4 == events.NOTE_ON) & (found.second > 0)))
    return said + leftovers(struck - notes, found.form, found.tracks)


def leftovers(lost: int, form: int, tracks: int) -> list[str]:
    """Warnings of notes that were struck but are none, and of a file of type `form` with several sequences."""
    said = []
    if lost:
        said.append(f"{lost} notes of no length or without an end are left out.")
    if form == 2 and tracks > 1:
        said.append(f"Its {tracks} independent sequences (type 2) are played together.")
    return said
