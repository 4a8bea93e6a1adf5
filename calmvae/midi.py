"""Music files to a `Piece` and back to MIDI.

Plain MIDI files, nearly all there are, are read by `performance.py`, forty times as fast; mido and pretty_midi decide
what the others mean.
"""

from __future__ import annotations

import io
import math
import stat
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import events, performance
from calmvae.errors import InputError, OutputError
from calmvae.events import NotPlain
from calmvae.piece import DEFAULT_QPM, Note, Notes, Piece

__all__ = ["DEFAULT_QPM", "Note", "Notes", "Piece", "load_pretty_midi", "parse_midi", "read_piece", "write_midi"]

MIDI_SUFFIXES = (".mid", ".midi")
SCORE_SUFFIXES = (".xml", ".musicxml", ".mxl", ".abc")
SUFFIXES = MIDI_SUFFIXES + SCORE_SUFFIXES

TICKS_PER_QUARTER = 480

# Bytes; so large a MIDI file has millions of notes and would take minutes to read.
_MAX_BYTES = 32 << 20
# Files are written so that pretty_midi in its first state, where it refuses later ticks, takes them.
_MAX_WRITTEN_TICK = 9_999_000

# What is written to a track: the tick, what comes first at one tick (the least), and the bytes.
_Event = tuple[int, int, bytes]


def read_piece(path: str | Path) -> Piece:
    """Reads a MIDI, MusicXML or ABC file (by its suffix).

    Raises:
      InputError: the file is missing, empty, damaged or of another kind.
    """
    path = Path(path)
    _check_file(path)
    suffix = path.suffix.lower()
    if suffix in SCORE_SUFFIXES:
        # note_seq is only needed, and only imported, for scores.
        from calmvae import scores

        return scores.read_pieces(path)[0]
    if suffix not in MIDI_SUFFIXES:
        raise InputError(f"{path} has the suffix '{path.suffix}'; music files end in {_list(SUFFIXES)}.")
    return parse_midi(read_bytes(path), name=path.stem, where=str(path))


def read_bytes(path: Path) -> bytes:
    """The content of a music file.

    Raises:
      InputError: it is missing, no regular file (reading a pipe could wait for ever), too large or unreadable.
    """
    _check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise _cannot_read(path, error) from error


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(f"{path} does not exist; give the path of a music file ({_list(SUFFIXES)}).") from None
    except OSError as error:
        raise _cannot_read(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path} is a folder; a single music file is expected here ({_list(SUFFIXES)}).")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is a device or a pipe; save the music to a file first ({_list(SUFFIXES)}).")
    if found.st_size > _MAX_BYTES:
        size, most = found.st_size >> 20, _MAX_BYTES >> 20
        raise InputError(f"{path} has {size} MiB; music files of up to {most} MiB are read: give an excerpt.")


def _cannot_read(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read ({error.strerror}); check its name and permissions.")


def parse_midi(data: bytes, name: str = "", where: str = "the MIDI data") -> Piece:
    """Parses the bytes of a Standard MIDI File.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    try:
        return performance.read(data).piece(name, strip=True)
    except NotPlain:
        return _parse_odd(data, name, where)


def _parse_odd(data: bytes, name: str, where: str) -> Piece:
    midi, found = load_pretty_midi(data, where)
    notes = [
        Note(n.pitch, n.velocity, float(n.start), float(n.end), instrument.program, instrument.is_drum, track)
        for track, instrument in enumerate(midi.instruments)
        for n in instrument.notes
    ]
    times, qpms = midi.get_tempo_changes()
    return Piece(
        notes=notes,
        tempos=list(zip(times.tolist(), qpms.tolist(), strict=True)),
        time_signatures=[(float(t.time), t.numerator, t.denominator) for t in midi.time_signature_changes],
        track_names={i: inst.name.strip() for i, inst in enumerate(midi.instruments) if inst.name.strip()},
        name=name,
        warnings=found,
    )


def load_pretty_midi(data: bytes, where: str) -> tuple[Any, list[str]]:
    """Parses MIDI bytes to a `PrettyMIDI` and the warnings met on the way.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    import pretty_midi

    if not data:
        raise InputError(f"{where} is empty (0 bytes); a MIDI file was expected.")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            parsed, mended = _parse_bytes(data)
            # pretty_midi stumbles over tracks without any event.
            parsed.tracks = [track for track in parsed.tracks if track]
            if not parsed.tracks or parsed.ticks_per_beat <= 0:
                raise ValueError("no tracks, or time in frames instead of beats")
            if any(event.type == "set_tempo" and not event.tempo for event in parsed.tracks[0]):
                raise ValueError("a tempo of 0 microseconds a quarter")
            last = max(sum(event.time for event in track) for track in parsed.tracks)
            if last > performance.MAX_TICK:
                raise ValueError(f"its last event is {last // parsed.ticks_per_beat} quarter notes away")
            # As note_seq sets it for the whole process: a file must not be good before its import and bad after.
            pretty_midi.pretty_midi.MAX_TICK = 1e10
            struck = sum(e.type == "note_on" and e.velocity > 0 for track in parsed.tracks for e in track)
            midi = pretty_midi.PrettyMIDI(mido_object=parsed)
    except MemoryError:
        raise
    # mido and pretty_midi raise nearly every kind of exception on damaged files.
    except Exception as error:
        reason = "it ends in the middle" if isinstance(error, EOFError) else " ".join(str(error).split())
        reason = reason[:160] or type(error).__name__
        raise InputError(f"{where} is not a readable MIDI file ({reason}); export it again.") from error
    found = sorted({str(w.message).split(".")[0] + "." for w in caught if w.category is RuntimeWarning}) + mended
    lost = struck - sum(len(instrument.notes) for instrument in midi.instruments)
    return midi, found + performance.leftovers(lost, parsed.type, len(parsed.tracks))


def _parse_bytes(data: bytes) -> tuple[Any, list[str]]:
    import mido

    try:
        return mido.MidiFile(file=io.BytesIO(data), charset="latin1"), []
    except (OSError, ValueError, TypeError):
        # Data bytes above 127 are common in old files and harmless.
        parsed = mido.MidiFile(file=io.BytesIO(data), charset="latin1", clip=True)
        return parsed, ["Data bytes above 127 are taken as 127."]


def write_midi(piece: Piece, path: str | Path) -> Path:
    """Writes a type 1 MIDI file: the tempo map, the time signatures, one track for each track of notes.

    The bytes depend on the piece alone. Positions are rounded to 1/480 quarter, in pieces of many hours to less.

    Raises:
      OutputError: the piece holds what MIDI cannot say, or the file cannot be written.
    """
    _check_writable(piece)
    resolution = _resolution(piece)
    conductor: list[_Event] = []
    if piece.name:
        conductor.append((0, 0, _name(piece.name)))
    for tick, (_, numerator, denominator) in zip(
        _ticks(piece, [t for t, _, _ in piece.time_signatures], resolution), piece.time_signatures, strict=True
    ):
        # With a click every 24 MIDI clocks and 8 notated 32nds a quarter, as is usual.
        conductor.append((tick, 1, _meta(events.METRE, bytes([numerator, denominator.bit_length() - 1, 24, 8]))))
    for tick, (_, qpm) in zip(_ticks(piece, [t for t, _ in piece.tempos], resolution), piece.tempos, strict=True):
        conductor.append((tick, 2, _meta(events.TEMPO, round(6e7 / qpm).to_bytes(3, "big"))))
    chunks = [_track(conductor)]

    tracks: dict[int, list[Note]] = {}
    for note in piece.notes:
        tracks.setdefault(note.track, []).append(note)
    melodic = [t for t in sorted(tracks) if not any(n.is_drum for n in tracks[t])]
    # Channel 10 is for drums; more than 15 melodic tracks share channels in turn.
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
    change, strike, release = (kind << 4 | channel for kind in (events.PROGRAM, events.NOTE_ON, events.NOTE_OFF))
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
    """Ticks per quarter by which readers made with pretty_midi, this one among them, take the file."""
    length = float(piece.quarters(max([piece.duration, *(t for t, _ in piece.tempos)])))
    return next((ticks for ticks in (TICKS_PER_QUARTER, 240, 120, 48) if length * ticks < _MAX_WRITTEN_TICK), 24)


def _name(name: str) -> bytes:
    # A file's name may hold bytes that are no UTF-8; Python keeps them as lone surrogates.
    return _meta(events.TRACK_NAME, name.encode("utf-8", "replace"))


def _meta(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """A variable-length number: seven bits a byte, the first bit of all but the last byte set."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def _track(written: list[_Event]) -> bytes:
    """A track's chunk, with running status."""
    out = bytearray()
    now, status = 0, 0
    for tick, _, event in sorted(written, key=lambda e: e[:2]):
        out += _number(max(tick - now, 0))
        out += event[1:] if event[0] == status else event
        # Meta events end a running status.
        status = event[0] if event[0] < 0xF0 else 0
        now = max(tick, now)
    return _chunk(b"MTrk", bytes(out) + b"\x00" + _meta(events.END_OF_TRACK, b""))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">L", len(content)) + content


def _list(suffixes: tuple[str, ...]) -> str:
    return ", ".join(suffixes)
