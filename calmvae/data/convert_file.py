"""From music files to manifest records and serialized NoteSequences."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common.errors import CalmvaeError, Damaged, InputError, MissingDependencyError, NoMusicError
from calmvae.data import training_windows, tune_families
from calmvae.midi import midi_events, midi_read, music_files, note_sequence_bytes, read_music
from calmvae.midi.piece import Performance, Piece
from calmvae.music import calmness, melody_extraction

REASONS = {
    "unreadable": "not a readable file of its kind",
    "no-music": "an XML file without a score",
    "needs-package": "the package that reads it is not installed",
    "no-notes": "no notes",
    "drums-only": "only drums",
    "no-windows": "no window with a note in it",
    "duplicate": "the same notes as another file",
    "less-calm": "not among the calmest",
}
# Of files that a worker keeps in memory together.
_GROUP_BYTES = 1 << 20


def convert_files(
    names: list[str], steps: int, collections: Mapping[str, str] | None = None, config: str | None = None
) -> list[tuple[dict[str, Any], bytes]]:
    """Reads files to `(manifest record, serialized NoteSequence)` pairs. Runs in a worker process.

    Several files at a time go through each stage, because some stages are faster with many.

    Args:
      names: of the files.
      steps: length of the windows that the records count.
      collections: the name of each file's collection; default its folder's. With it, records have a sketch (see
        `tune_families`), which finds variants of a tune.
      config: a config that is not of melodies. The records then count its windows.
    """
    found: list[tuple[dict[str, Any], bytes]] = []
    for group in _groups(names):
        drafts = _read_files(group)
        for draft in drafts:
            if collections is not None:
                draft.collection = draft.record["collection"] = collections[draft.record["file"]]
            _examine(draft, steps, of_melodies=config is None)
        kept = [draft for draft in drafts if draft.record["status"] == "kept"]
        written = note_sequence_bytes.note_sequences([draft.named() for draft in kept]) if kept else []
        if config:
            written = [_count(draft.record, data, config) for draft, data in zip(kept, written, strict=True)]
        stored = {id(draft): data for draft, data in zip(kept, written, strict=True)}
        found += [(draft.record, stored.get(id(draft), b"")) for draft in drafts]
    return found


def _count(record: dict[str, Any], data: bytes, config: str) -> bytes:
    """Counts a piece's windows for a config that is not of melodies. A piece without a window is skipped."""
    from calmvae.data import magenta_examples

    record["windows"], why = magenta_examples.count(config, data)
    if not why:
        return data
    known = {key: record[key] for key in ("sha256", "collection") if key in record}
    without = skipped(record["file"], "no-windows", f"a piece {why}", record["name"])
    record.clear()
    record |= without | known
    return b""


def _groups(names: list[str]) -> Iterator[list[str]]:
    """Neighbouring files of not too many bytes together."""
    group: list[str] = []
    size = 0
    for file in names:
        try:
            more = os.stat(file).st_size
        except OSError:
            # Whoever reads it will say so.
            more = 0
        if group and size + more > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(file)
        size += more
    yield group


@dataclasses.dataclass
class _Draft:
    """A piece on its way into the data set. Without a piece, or if its record says skipped, it is left out."""

    record: dict[str, Any]
    path: Path
    piece: Piece | None = None
    source: Performance | None = None
    collection: str | None = None

    def named(self) -> note_sequence_bytes.Named:
        """Its music, with the id, filename and collection name of the NoteSequence."""
        assert self.source
        # Protocol buffers take UTF-8 only.
        filename, collection = (
            os.fsencode(name).decode("utf-8", "replace")
            for name in (self.path.name, self.collection or self.path.parent.name)
        )
        return note_sequence_bytes.Named(
            self.source, f"/id/calmvae/{self.record['content'][:16]}", filename, collection
        )


def _read_files(names: list[str]) -> list[_Draft]:
    contents = [_read_bytes(name) for name in names]
    midi = [name.lower().endswith(music_files.MIDI_SUFFIXES) for name in names]
    plain = [i for i, data in enumerate(contents) if isinstance(data, bytes) and midi[i]]
    found = midi_read.of_all(midi_events.read_all([contents[i] for i in plain]))  # type: ignore[misc]
    known = dict(zip(plain, found, strict=True))
    return [draft for i, name in enumerate(names) for draft in _read_file(name, contents[i], known.get(i))]


def _read_bytes(file: str) -> bytes | _Draft:
    try:
        return music_files.read_bytes(Path(file))
    except (InputError, OSError, MemoryError) as error:
        detail = str(error) if isinstance(error, InputError) else type(error).__name__
        return _Draft(skipped(file, "unreadable", detail), Path(file))


def _read_file(file: str, data: bytes | _Draft, known: Performance | Damaged | None) -> list[_Draft]:
    if isinstance(data, _Draft):
        return [data]
    path = Path(file)
    try:
        read = read_music.read_performances(path, data, known)
    except (CalmvaeError, OSError, RecursionError, MemoryError) as error:
        return [_Draft(skipped(file, why(error), str(error) or type(error).__name__), path)]
    digest = hashlib.sha256(data).hexdigest()
    drafts = []
    for name, played in read:
        if isinstance(played, InputError):
            drafts.append(_Draft(skipped(file, "unreadable", str(played), name) | {"sha256": digest}, path))
        else:
            record = {"file": file, "name": name, "sha256": digest}
            drafts.append(_Draft(record, path, played.piece(name), played))
    return drafts


def why(error: Exception) -> str:
    """The reason of `REASONS` for skipping a file that could not be read."""
    if isinstance(error, NoMusicError):
        return "no-music"
    return "needs-package" if isinstance(error, MissingDependencyError) else "unreadable"


def _examine(draft: _Draft, steps: int, of_melodies: bool = True) -> None:
    """Completes the record of a piece that was read."""
    piece, record = draft.piece, draft.record
    if piece is None:
        return
    notes = piece.columns()
    record["warnings"] = piece.warnings
    if not len(notes):
        detail = " ".join([REASONS["no-notes"], *piece.warnings])
        record |= {"status": "skipped", "reason": "no-notes", "detail": detail}
        return
    if not of_melodies:
        metres = list(dict.fromkeys(f"{n}/{d}" for _, n, d in piece.time_signatures)) or ["4/4"]
        record |= _kept(draft, piece, len(notes)) | {"metres": metres}
        return
    if notes.is_drum.all():
        record |= {"status": "skipped", "reason": "drums-only", "detail": REASONS["drums-only"]}
        return
    try:
        melody = melody_extraction.extract_melody(piece)
        windows = training_windows.sliding_windows(melody.tokens, steps)
    except (CalmvaeError, OverflowError) as error:
        record |= {"status": "skipped", "reason": "unreadable", "detail": str(error)}
        return
    if not len(windows):
        record |= {"status": "skipped", "reason": "no-windows", "detail": REASONS["no-windows"]}
        return
    record |= _kept(draft, piece, len(notes)) | {
        "bars": melody.bars,
        "metres": melody.report.metres,
        "windows": len(windows),
        "changes": melody.report.sentences(),
    }
    if draft.collection:
        record["sketch"] = tune_families.sketch(melody.tokens)
        record["calmness"] = round(calmness.score(piece).calmness, 2)


def _kept(draft: _Draft, piece: Piece, notes: int) -> dict[str, Any]:
    return {
        "status": "kept",
        "split": "",
        "content": _content(piece),
        "sources": [draft.record["file"]],
        "notes": notes,
        "qpm": round(piece.mean_qpm(), 2),
        "tempo_events": len(piece.tempos),
    }


def _content(piece: Piece) -> str:
    """A digest of the music alone: names of files and tracks, controls and the order of the notes do not count."""
    notes = piece.columns()
    # Tenths of a millisecond, and what else makes a note, in one number.
    starts, ends = ((times * 1e4 + 0.5).astype(np.int64) for times in (notes.start, notes.end))
    keys = (starts << 25) + (notes.pitch | notes.velocity << 8 | notes.program << 16 | notes.is_drum * 1 << 24)
    # Sorted anew, for a piece's order depends on the tracks; stably, which is quick where there is an order already.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if np.count_nonzero(keys[1:] == keys[:-1]):
        order = order[np.lexsort((ends[order], keys))]
    tempos = sorted((round(t, 4), round(q, 3)) for t, q in piece.tempos)
    digest = hashlib.sha256(keys.astype("<i8").tobytes() + ends[order].astype("<i8").tobytes())
    digest.update(repr(tempos).encode())
    return digest.hexdigest()


def skipped(file: str, reason: str, detail: str, name: str | None = None) -> dict[str, Any]:
    """The record of a file, or of a piece of it, that is skipped for a reason of `REASONS`."""
    return {"file": file, "name": name or Path(file).stem, "status": "skipped", "reason": reason, "detail": detail}


def died(file: str) -> tuple[dict[str, Any], bytes]:
    """The entry of a file on which the process that read it ended: skipped, no bytes."""
    return skipped(file, "unreadable", "the reader's process died on it"), b""
