"""NoteSequences from music files, and to and from a `Piece`; needs note_seq, imported on first use, no TensorFlow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from calmvae.common import magenta_import
from calmvae.common.errors import InputError
from calmvae.common.text import are, count
from calmvae.midi import music_files, note_sequence_bytes, read_music
from calmvae.midi.piece import Note, Piece


def read_note_sequences(path: str | Path) -> list[tuple[str, Any, list[str]]]:
    """Reads every piece of a music file (only ABC tune books hold more than one).

    Returns:
      `(name, NoteSequence, warnings)` of each piece that can be read.

    Raises:
      InputError: the file cannot be read in the format of its suffix.
      MissingDependencyError: a package that reads it is not installed.
    """
    path = Path(path)
    entries = read_music.read_performances(path, music_files.read_bytes(path))
    played = [(name, one) for name, one in entries if not isinstance(one, InputError)]
    if not played:
        raise next(one for _, one in entries if isinstance(one, InputError))
    written = note_sequence_bytes.note_sequences([note_sequence_bytes.Named(one, "", "", "") for _, one in played])
    parse = magenta_import.load_note_seq().NoteSequence.FromString
    return [(name, parse(data), one.warnings) for (name, one), data in zip(played, written, strict=True)]


def of_piece(piece: Piece) -> Any:
    """The NoteSequence of a `Piece`."""
    sequence = magenta_import.load_note_seq().NoteSequence(ticks_per_quarter=220, total_time=piece.duration)
    for note in piece.notes:
        sequence.notes.add(
            pitch=note.pitch,
            velocity=note.velocity,
            start_time=note.start,
            end_time=note.end,
            program=note.program,
            is_drum=note.is_drum,
            instrument=note.track,
        )
    for time, qpm in piece.tempos:
        sequence.tempos.add(time=time, qpm=qpm)
    for time, numerator, denominator in piece.time_signatures:
        sequence.time_signatures.add(time=time, numerator=numerator, denominator=denominator)
    for instrument, name in piece.track_names.items():
        sequence.instrument_infos.add(instrument=instrument, name=name)
    return sequence


def piece_of(sequence: Any, name: str = "") -> Piece:
    """The `Piece` of a NoteSequence. Grace notes without a length are left out; a warning says so."""
    notes = [
        Note(n.pitch, _midi(n.velocity, 1), n.start_time, n.end_time, _midi(n.program), n.is_drum, n.instrument)
        for n in sequence.notes
        if n.end_time > n.start_time
    ]
    warnings = []
    if silent := len(sequence.notes) - len(notes):
        warnings.append(f"{count(silent, 'note')} of no length {are(silent)} left out.")
    if unusable := sum(not 0 < t.qpm < math.inf for t in sequence.tempos):
        warnings.append(f"{count(unusable, 'unusable tempo mark')} {are(unusable)} left out.")
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
