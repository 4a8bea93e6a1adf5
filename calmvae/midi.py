"""Music files of any kind to pieces, and pieces to MIDI."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from calmvae import files, midi_events, midi_read
from calmvae.errors import CalmvaeError, Damaged, InputError, NoMusicError, OutputError
from calmvae.piece import Note, Performance, Piece

TICKS_PER_QUARTER = 480

# Longer than this is no music: a note's length or a tempo is wrong.
_MAX_HOURS = 48
# Files are written so that pretty_midi in its first state, where it refuses later ticks, takes them.
_MAX_WRITTEN_TICK = 9_999_000

# What is written to a track: the tick, what comes first at one tick (the least), and the bytes.
_Event = tuple[int, int, bytes]
# A piece of a file: its name, and what it plays or why it cannot be read.
Entry = tuple[str, Performance | InputError]


def read_performances(path: Path, data: bytes, known: Performance | Damaged | None = None) -> list[Entry]:
    """What every piece of a music file plays; of those that cannot be read, why. Only tune books hold more than one.

    Args:
      path: where it comes from; its suffix says what it is.
      data: its bytes.
      known: what `midi_read.of_all` made of a MIDI file, if it was read already.

    Raises:
      InputError: the file as a whole cannot be read.
      MissingDependencyError: a package that reads it is not installed.
    """
    suffix = path.suffix.lower()
    kind = "MIDI" if suffix in files.MIDI_SUFFIXES else "ABC" if suffix == ".abc" else "MusicXML"
    played: list[Performance | Damaged]
    try:
        if kind == "MIDI":
            played = [midi_read.read(data) if known is None else known]
            if isinstance(known, Damaged):
                raise known
        elif kind == "ABC":
            from calmvae import abc_tunes

            played = abc_tunes.read(data)
        else:
            from calmvae import musicxml

            played = [musicxml.read(data)]
    except NoMusicError as error:
        raise NoMusicError(f"{path} is no music ({error}); leave it out.") from error
    except Damaged as error:
        raise _unreadable(path, kind, error) from error
    names = [path.stem] if len(played) == 1 else [f"{path.stem}#{k}" for k in range(1, len(played) + 1)]
    where = [str(path)] if len(played) == 1 else [f"{path}, tune {k}," for k in range(1, len(played) + 1)]
    return [(name, _checked(one, place, kind)) for name, one, place in zip(names, played, where, strict=True)]


def _checked(played: Performance | Damaged, where: str, kind: str) -> Performance | InputError:
    if isinstance(played, Damaged):
        return _unreadable(where, kind, played)
    hours = float(played.notes.end.max(initial=0.0)) / 3600
    if hours > _MAX_HOURS:
        return InputError(
            f"{where} lasts {hours:,.0f} hours; up to {_MAX_HOURS} hours are read: cut it, or correct its last note."
        )
    return played


def _unreadable(where: str | Path, kind: str, reason: Damaged) -> InputError:
    return InputError(f"{where} is not a readable {kind} file ({reason}); export it again.")


def read_pieces(path: str | Path) -> list[Piece]:
    """Every piece of a MIDI, MusicXML or ABC file (by its suffix) that can be read; the first says of the others.

    Raises:
      InputError: the file is missing, empty, damaged or of another kind, or none of its pieces can be read.
      MissingDependencyError: a package that reads it is not installed.
    """
    path = Path(path)
    entries = read_performances(path, files.read_bytes(path))
    pieces = [one.piece(name) for name, one in entries if isinstance(one, Performance)]
    faults = [one for _, one in entries if isinstance(one, InputError)]
    if not pieces:
        raise faults[0]
    if faults:
        pieces[0].warnings.append(f"{len(faults)} of the {len(entries)} tunes in {path.name} cannot be read.")
    return pieces


def try_pieces(path: Path) -> list[tuple[str, Piece | Exception]]:
    """Every piece of a file by its name, or why it cannot be read: for commands that go on with the next file."""
    try:
        entries = read_performances(path, files.read_bytes(path))
    except (CalmvaeError, OSError, RecursionError, MemoryError) as error:
        return [(path.stem, error if str(error) else InputError(f"{path} cannot be read ({type(error).__name__})."))]
    return [(name, one if isinstance(one, InputError) else one.piece(name)) for name, one in entries]


def read_piece(path: str | Path) -> Piece:
    """The piece of a file, as `read_pieces`; of a tune book the first, which says so."""
    pieces = read_pieces(path)
    if len(pieces) > 1:
        pieces[0].warnings.append(f"{Path(path).name} holds {len(pieces)} tunes; only {pieces[0].name} is used.")
    return pieces[0]


def parse_midi(data: bytes, name: str = "", where: str = "the MIDI data") -> Piece:
    """Parses the bytes of a Standard MIDI File.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    try:
        played = _checked(midi_read.read(data), where, "MIDI")
    except Damaged as error:
        raise _unreadable(where, "MIDI", error) from error
    if isinstance(played, InputError):
        raise played
    return played.piece(name)


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
        conductor.append((tick, 1, _meta(midi_events.METRE, bytes([numerator, denominator.bit_length() - 1, 24, 8]))))
    for tick, (_, qpm) in zip(_ticks(piece, [t for t, _ in piece.tempos], resolution), piece.tempos, strict=True):
        conductor.append((tick, 2, _meta(midi_events.TEMPO, round(6e7 / qpm).to_bytes(3, "big"))))
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
    """Ticks per quarter by which pretty_midi takes the file, as it is first imported."""
    length = float(piece.quarters(max([piece.duration, *(t for t, _ in piece.tempos)])))
    return next((ticks for ticks in (TICKS_PER_QUARTER, 240, 120, 48) if length * ticks < _MAX_WRITTEN_TICK), 24)


def _name(name: str) -> bytes:
    # A file's name may hold bytes that are no UTF-8; Python keeps them as lone surrogates.
    return _meta(midi_events.TRACK_NAME, name.encode("utf-8", "replace"))


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
    return _chunk(b"MTrk", bytes(out) + b"\x00" + _meta(midi_events.END_OF_TRACK, b""))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">L", len(content)) + content
