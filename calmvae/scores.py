"""NoteSequences: from any music file, and to a `Piece`.

Needs note_seq, imported on first use, for all but plain MIDI files; no TensorFlow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from calmvae import performance, wire
from calmvae.errors import InputError
from calmvae.events import Events, NotPlain
from calmvae.midi import MIDI_SUFFIXES, SCORE_SUFFIXES, load_pretty_midi, read_bytes
from calmvae.piece import Note, Piece

# A compressed score that unpacks to more is no music.
_MAX_UNPACKED = 256 << 20


# What a file plays as it was read fast, or a NoteSequence.
Source = performance.Performance | Any


def read_entries(path: Path, data: bytes, found: Events | None = None) -> list[tuple[Piece, Source]]:
    """Every piece of a music file with the given content, and what `serialize` takes.

    note_seq is imported only for scores and for MIDI files that are not plain.

    Args:
      path: where it comes from.
      data: its bytes.
      found: of a plain MIDI file, its events, if they are known already.

    Raises:
      InputError: the file cannot be read as what its suffix says.
    """
    if path.suffix.lower() in MIDI_SUFFIXES:
        with contextlib.suppress(NotPlain):
            played = performance.of_events(found) if found else performance.read(data)
            return [(played.piece(path.stem), played)]
    return [(piece_of(sequence, name, said), sequence) for name, sequence, said in _parse(path, data)]


def serialize(pieces: list[tuple[Source, str, str, str]]) -> list[bytes]:
    """The serialized NoteSequences of what `read_entries` read, each with its id, filename and collection name."""
    fast = [wire.Named(*piece) for piece in pieces if isinstance(piece[0], performance.Performance)]
    written = iter(wire.note_sequences(fast) if fast else [])
    out = []
    for source, *names in pieces:
        if isinstance(source, performance.Performance):
            out.append(next(written))
        else:
            source.id, source.filename, source.collection_name = names
            out.append(source.SerializeToString(deterministic=True))
    return out


def read_note_sequences(path: str | Path) -> list[tuple[str, Any, list[str]]]:
    """Reads every piece of a music file (only ABC tune books hold more than one).

    Returns:
      `(name, NoteSequence, warnings)` of each piece.

    Raises:
      InputError: the file cannot be read as what its suffix says.
    """
    path = Path(path)
    return _parse(path, read_bytes(path))


def _parse(path: Path, data: bytes) -> list[tuple[str, Any, list[str]]]:
    from calmvae import magenta

    suffix = path.suffix.lower()
    if suffix in MIDI_SUFFIXES:
        midi, found = load_pretty_midi(data, str(path))
        note_seq = magenta.load_note_seq()
        try:
            return [(path.stem, note_seq.midi_to_note_sequence(midi), found)]
        except (note_seq.MIDIConversionError, ValueError) as error:
            raise _unreadable(path, "MIDI", error) from error
    if suffix not in SCORE_SUFFIXES:
        raise InputError(f"{path} has the suffix '{path.suffix}'; a MIDI, MusicXML or ABC file was expected.")
    if not data:
        raise InputError(f"{path} is empty (0 bytes); a score was expected.")
    return _read_abc(path, data) if suffix == ".abc" else [(path.stem, _read_musicxml(path), [])]


def _read_musicxml(path: Path) -> Any:
    from calmvae import magenta

    note_seq = magenta.load_note_seq()
    packed = path.suffix.lower() == ".mxl"
    try:
        if packed:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED:
                    raise ValueError(f"it unpacks to more than {_MAX_UNPACKED >> 20} MiB")
        if packed and path.suffix != ".mxl":
            # note_seq takes a score for packed by this spelling alone.
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "score.mxl"
                copy.write_bytes(path.read_bytes())
                return note_seq.musicxml_file_to_sequence_proto(str(copy))
        return note_seq.musicxml_file_to_sequence_proto(str(path))
    # The MusicXML parser lets attribute, key and zip errors of damaged files through.
    except Exception as error:
        raise _unreadable(path, "MusicXML", error) from error


def _read_abc(path: Path, data: bytes) -> list[tuple[str, Any, list[str]]]:
    from calmvae import magenta

    note_seq = magenta.load_note_seq()
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    # It remarks on every field it does not know.
    logging.getLogger("absl").setLevel(logging.ERROR)
    parse = note_seq.abc_parser.parse_abc_tunebook
    found = []
    try:
        try:
            tunes, errors = parse(text)
        except note_seq.abc_parser.DuplicateReferenceNumberError:
            numbers = itertools.count(1)
            tunes, errors = parse(re.sub(r"(?m)^[ \t]*X:.*$", lambda _: f"X:{next(numbers)}", text))
            found.append("Reference numbers come twice, so its tunes are counted from 1.")
    except Exception as error:
        raise _unreadable(path, "ABC", error) from error
    if not tunes:
        raise _unreadable(path, "ABC", errors[0] if errors else "no tune with a reference number X: in it")
    if errors:
        found.append(f"{len(errors)} of {len(tunes) + len(errors)} tunes cannot be parsed.")
    if len(tunes) == 1:
        return [(path.stem, next(iter(tunes.values())), found)]
    return [(f"{path.stem}#{number}", tune, found) for number, tune in sorted(tunes.items())]


def read_pieces(path: str | Path) -> list[Piece]:
    """Every piece of a music file; a tune book's first piece warns of the others."""
    read = read_note_sequences(path)
    pieces = [piece_of(sequence, name, warnings) for name, sequence, warnings in read]
    if Path(path).suffix.lower() in SCORE_SUFFIXES:
        for piece in pieces:
            # MusicXML counts programs from 1, General MIDI from 0, and note_seq copies the number (ABC has none).
            piece.notes = [dataclasses.replace(n, program=max(n.program - 1, 0)) for n in piece.notes]
    if len(pieces) > 1:
        pieces[0].warnings.append(f"{Path(path).name} holds {len(pieces)} tunes; only {pieces[0].name} is used.")
    return pieces


def piece_of(sequence: Any, name: str = "", warnings: list[str] | None = None) -> Piece:
    """The `Piece` of a NoteSequence. Grace notes of no length are left out, and said so."""
    notes = [
        Note(n.pitch, _midi(n.velocity, 1), n.start_time, n.end_time, _midi(n.program), n.is_drum, n.instrument)
        for n in sequence.notes
        if n.end_time > n.start_time
    ]
    warnings = list(warnings or [])
    if len(notes) < len(sequence.notes):
        warnings.append(f"{len(sequence.notes) - len(notes)} notes of no length are left out.")
    if unusable := sum(not 0 < t.qpm < math.inf for t in sequence.tempos):
        warnings.append(f"{unusable} tempo marks that are no tempo are left out.")
    return Piece(
        notes=notes,
        tempos=[(t.time, t.qpm) for t in sequence.tempos],
        time_signatures=[(t.time, t.numerator, t.denominator) for t in sequence.time_signatures],
        track_names={i.instrument: i.name for i in sequence.instrument_infos if i.name}
        or {p.part: p.name for p in sequence.part_infos if p.name},
        name=name,
        warnings=warnings,
    )


def _midi(value: int, least: int = 0) -> int:
    return min(max(value, least), 127)


def _unreadable(path: Path, kind: str, error: Any) -> InputError:
    reason = re.sub(r"\s+", " ", str(error)).strip()[:160] or type(error).__name__
    return InputError(f"{path} is not a readable {kind} file ({reason}); export it again.")
