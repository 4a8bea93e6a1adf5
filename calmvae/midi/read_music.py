"""Reads music files of any kind as pieces: MIDI, MusicXML, ABC."""

from __future__ import annotations

from pathlib import Path

from calmvae.common.errors import CalmvaeError, Damaged, InputError, NoMusicError
from calmvae.midi import midi_read, music_files
from calmvae.midi.piece import Performance, Piece

# A longer piece has a wrong tempo or note length.
_MAX_HOURS = 48
# A piece of a file: its name, and its performance or the reason why it cannot be read.
Entry = tuple[str, Performance | InputError]


def read_performances(path: Path, data: bytes, known: Performance | Damaged | None = None) -> list[Entry]:
    """The performances of all pieces of a music file, or why one cannot be read; only tune books have several pieces.

    Args:
      path: the file; its suffix is its format.
      data: its bytes.
      known: the result of `midi_read.of_all` for a MIDI file, if it was read already.

    Raises:
      InputError: the whole file cannot be read.
      MissingDependencyError: a package that reads it is not installed.
    """
    suffix = path.suffix.lower()
    kind = "MIDI" if suffix in music_files.MIDI_SUFFIXES else "ABC" if suffix == ".abc" else "MusicXML"
    played: list[Performance | Damaged]
    try:
        if kind == "MIDI":
            played = [midi_read.read(data) if known is None else known]
            if isinstance(known, Damaged):
                raise known
        elif kind == "ABC":
            from calmvae.midi import abc_tunes

            played = abc_tunes.read(data)
        else:
            from calmvae.midi import musicxml

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
    """The readable pieces of a MIDI, MusicXML or ABC file; a warning of the first piece counts the others.

    Raises:
      InputError: the file is missing, empty, damaged or of another kind, or none of its pieces can be read.
      MissingDependencyError: a package that reads it is not installed.
    """
    path = Path(path)
    entries = read_performances(path, music_files.read_bytes(path))
    pieces = [one.piece(name) for name, one in entries if isinstance(one, Performance)]
    faults = [one for _, one in entries if isinstance(one, InputError)]
    if not pieces:
        raise faults[0]
    if faults:
        pieces[0].warnings.append(f"{len(faults)} of the {len(entries)} tunes in {path.name} cannot be read.")
    return pieces


def try_pieces(path: Path) -> list[tuple[str, Piece | Exception]]:
    """The pieces of a file by name, or errors, for commands that continue with the next file."""
    try:
        entries = read_performances(path, music_files.read_bytes(path))
    except (CalmvaeError, OSError, RecursionError, MemoryError) as error:
        return [(path.stem, error if str(error) else InputError(f"{path} cannot be read ({type(error).__name__})."))]
    return [(name, one if isinstance(one, InputError) else one.piece(name)) for name, one in entries]


def read_piece(path: str | Path) -> Piece:
    """The piece of a file, as `read_pieces`; of a tune book the first, with a warning."""
    pieces = read_pieces(path)
    if len(pieces) > 1:
        pieces[0].warnings.append(f"{Path(path).name} holds {len(pieces)} tunes; only {pieces[0].name} is used.")
    return pieces[0]


def parse_midi(data: bytes) -> Piece:
    """Parses the bytes of a Standard MIDI File.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    try:
        played = _checked(midi_read.read(data), "the MIDI data", "MIDI")
    except Damaged as error:
        raise _unreadable("the MIDI data", "MIDI", error) from error
    if isinstance(played, InputError):
        raise played
    return played.piece("")
