"""A `Piece` as a MIDI file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from calmvae.common.errors import OutputError
from calmvae.midi import midi_events
from calmvae.midi.piece import Note, Piece

TICKS_PER_QUARTER = 480
# By default pretty_midi refuses files with later ticks.
_MAX_WRITTEN_TICK = 9_999_000

# An event of a track: the tick, its rank among the events of that tick, and the bytes.
_Event = tuple[int, int, bytes]


def write_midi(piece: Piece, path: str | Path) -> Path:
    """Writes a type 1 MIDI file: the tempo map, the time signatures, one track for each track of notes.

    The same piece gives the same bytes. Positions are rounded to 1/480 quarter, in pieces of many hours more coarsely.

    Raises:
      OutputError: the piece has values that MIDI cannot store, or the file cannot be written.
    """
    _check_writable(piece)
    resolution = _resolution(piece)
    conductor: list[_Event] = []
    if piece.name:
        conductor.append((0, 0, _name(piece.name)))
    for tick, (_, numerator, denominator) in zip(
        _ticks(piece, [t for t, _, _ in piece.time_signatures], resolution), piece.time_signatures, strict=True
    ):
        # A click every 24 MIDI clocks and 8 notated 32nds per quarter, as usual.
        conductor.append((tick, 1, _meta(midi_events.METRE, bytes([numerator, denominator.bit_length() - 1, 24, 8]))))
    for tick, (_, qpm) in zip(_ticks(piece, [t for t, _ in piece.tempos], resolution), piece.tempos, strict=True):
        conductor.append((tick, 2, _meta(midi_events.TEMPO, round(6e7 / qpm).to_bytes(3, "big"))))
    chunks = [_track(conductor)]

    tracks: dict[int, list[Note]] = {}
    for note in piece.notes:
        tracks.setdefault(note.track, []).append(note)
    melodic = [t for t in sorted(tracks) if not any(n.is_drum for n in tracks[t])]
    # Channel 10 is for drums; more than 15 melodic tracks share channels.
    channels = {t: [c for c in range(16) if c != 9][i % 15] for i, t in enumerate(melodic)}
    for track in sorted(tracks):
        played = _note_events(piece, tracks[track], channels.get(track, 9), resolution)
        if track in piece.track_names:
            played.insert(0, (0, 0, _name(piece.track_names[track])))
        chunks.append(_track(played))

    path = Path(path)
    header = struct.pack(">hhh", 1, len(chunks), resolution)
    try:
        path.write_bytes(_chunk(b"MThd", header) + b"".join(chunks))
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another place.") from error
    return path


def _check_writable(piece: Piece) -> None:
    for note in piece.notes:
        in_range = 0 <= note.pitch <= 127 and 0 <= note.program <= 127 and 1 <= note.velocity <= 127
        if not (in_range and 0 <= note.start <= note.end < math.inf):
            raise OutputError(
                f"{note} cannot be written to a MIDI file; pitch and program must be from 0 to 127, velocity from "
                "1 to 127, times finite and not below 0."
            )
    for _, qpm in piece.tempos:
        if not 1 <= round(6e7 / qpm) < 1 << 24:
            raise OutputError(f"a tempo of {qpm:g} quarters a minute cannot be written as MIDI; use 3.6 or more.")
    for _, upper, lower in piece.time_signatures:
        if not 1 <= upper <= 255 or not 1 <= lower <= 1 << 15 or lower & (lower - 1):
            raise OutputError(f"the metre {upper}/{lower} cannot be written as MIDI; use 1 to 255 over a power of 2.")


def _note_events(piece: Piece, notes: list[Note], channel: int, resolution: int) -> list[_Event]:
    played: list[_Event] = []
    program = None
    change, strike, release = (
        kind << 4 | channel for kind in (midi_events.PROGRAM, midi_events.NOTE_ON, midi_events.NOTE_OFF)
    )
    starts, ends = (_ticks(piece, times, resolution) for times in ([n.start for n in notes], [n.end for n in notes]))
    for note, start, end in zip(notes, starts, ends, strict=True):
        if note.program != program:
            program = note.program
            played.append((start, 2, bytes([change, program])))
        played.append((start, 3, bytes([strike, note.pitch, note.velocity])))
        played.append((max(end, start + 1), 1, bytes([release, note.pitch, 0])))
    return played


def _ticks(piece: Piece, seconds: list[float], resolution: int) -> list[int]:
    return np.round(piece.quarters(seconds) * resolution).astype(np.int64).tolist()


def _resolution(piece: Piece) -> int:
    """The most ticks per quarter with which pretty_midi, in its default state, accepts the file."""
    length = float(piece.quarters(max([piece.duration, *(t for t, _ in piece.tempos)])))
    return next((ticks for ticks in (TICKS_PER_QUARTER, 240, 120, 48) if length * ticks < _MAX_WRITTEN_TICK), 24)


def _name(name: str) -> bytes:
    # A file name may have bytes that are not UTF-8; Python keeps them as lone surrogates.
    return _meta(midi_events.TRACK_NAME, name.encode("utf-8", "replace"))


def _meta(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """A variable-length number: seven bits per byte, with the high bit set in all bytes but the last."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def _track(written: list[_Event]) -> bytes:
    """The chunk of a track, with running status."""
    out = bytearray()
    now, status = 0, 0
    for tick, _, event in sorted(written, key=lambda e: e[:2]):
        out += _number(max(tick - now, 0))
        out += event[1:] if event[0] == status else event
        # Meta events end the running status.
        status = event[0] if event[0] < 0xF0 else 0
        now = max(tick, now)
    return _chunk(b"MTrk", bytes(out) + b"\x00" + _meta(midi_events.END_OF_TRACK, b""))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">L", len(content)) + content
