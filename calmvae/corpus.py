"""Gather music files into NoteSequence TFRecords: checked, de-duplicated, split by piece, every file accounted for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import chunks, events, examples, midi, outputs, phrases, scores, tfrecord
from calmvae.errors import CalmvaeError, DataError, InputError, OptionError, OutputError
from calmvae.midi import SUFFIXES
from calmvae.piece import Piece

REASONS = {
    "unreadable": "not a readable file of its kind",
    "no-notes": "no notes",
    "drums-only": "only drums",
    "no-windows": "no window with a note in it",
    "duplicate": "the same notes as another file",
}
MANIFEST = "manifest.jsonl"
_PIECES_PER_SHARD = 1000
_MANY = 100
# Of files that a worker keeps in memory together.
_GROUP_BYTES = 1 << 20


@dataclasses.dataclass
class Summary:
    """What a conversion did. `files` + the tune books' further tunes = `kept` + the sum of `skipped`."""

    files: int
    entries: int
    kept: int
    train: int
    eval: int
    windows: int
    notes: int
    skipped: dict[str, int]
    other_files: int


def find_files(paths: Iterable[str | Path]) -> tuple[list[Path], int]:
    """Music files among files and folders (searched to the bottom), in a fixed order, and a count of other files.

    Raises:
      InputError: a path does not exist, a file given by name is no music file, or nothing is found.
    """
    found: dict[Path, None] = {}
    others = 0
    given = [Path(p) for p in paths]
    for path in given:
        if os.path.isdir(path):
            files = _walk(path)
            music = [file for file in files if file.suffix.lower() in SUFFIXES]
            found |= dict.fromkeys(music)
            others += len(files) - len(music)
        elif not os.path.lexists(path):
            raise InputError(f"{path} does not exist; give music files or folders that hold them.")
        elif path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} has the suffix '{path.suffix}'; music files end in {', '.join(SUFFIXES)}.")
        else:
            found[path] = None
    if not found:
        where = ", ".join(map(str, given))
        endings = ", ".join(SUFFIXES)
        raise InputError(f"no music file in {where} ({others} other files); files ending in {endings} count.")
    return list(found), others


def _walk(folder: Path) -> list[Path]:
    """Every file that is not hidden. A link to a folder counts as a file: following it could lead anywhere."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}); check its permissions or leave it out.")

    files = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        files += [Path(root, name) for name in names + links if not name.startswith(".")]
    return sorted(files)


def convert(
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    steps: int,
    eval_share: float = 0.1,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Converts music files to `train-*.tfrecord`, `eval-*.tfrecord`, `manifest.jsonl` and `run.json` in a folder.

    Args:
      paths: files and folders.
      out: the output folder.
      steps: window length in steps by which the manifest counts windows.
      eval_share: share of the pieces held out; at least one piece when there are two or more and the share is not 0.
      seed: of the split.
      workers: processes, default one a core.
      progress: called with the number of files done and of all.

    Raises:
      InputError, OutputError: nothing to read, or nowhere to write.
      OptionError: `eval_share` or `steps` is out of range.
      DataError: no piece came through; says why.
    """
    if not 0 <= eval_share < 1 or steps < 1:
        raise OptionError(f"eval_share {eval_share:g} must be from 0 to below 1, and steps {steps} 1 or more.")
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files, others = find_files(paths)
    arguments = {"steps": steps, "eval_share": eval_share, "seed": seed}
    with outputs.OutputFolder(out, "convert", arguments | {"paths": [str(p) for p in paths]}) as folder:
        folder.protect(files)
        partial = folder.folder / ".partial"
        work = functools.partial(convert_files, steps=steps)
        # 2: by what the pieces' content is told, which the entries depend on as they do on the steps.
        found = list(chunks.run(files, work, (2, steps), partial, _died, workers, progress))
        records = [record for record, _ in found]
        _mark_duplicates(records)
        kept = [i for i, record in enumerate(records) if record["status"] == "kept"]
        if not kept:
            chunks.clear(partial)
            raise DataError(_why_nothing(records))
        _split([records[i] for i in kept], eval_share, seed)
        for part in ("train", "eval"):
            _write_shards(folder, part, [found[i][1] for i in kept if records[i]["split"] == part])
        with open(folder.path(MANIFEST), "w", encoding="utf-8", errors=outputs.JSON_ERRORS) as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        skipped = Counter(r["reason"] for r in records if r["status"] == "skipped")
        summary = Summary(
            files=len(files),
            entries=len(records),
            kept=len(kept),
            train=sum(records[i]["split"] == "train" for i in kept),
            eval=sum(records[i]["split"] == "eval" for i in kept),
            windows=sum(records[i]["windows"] for i in kept),
            notes=sum(records[i]["notes"] for i in kept),
            skipped={reason: skipped[reason] for reason in REASONS if skipped[reason]},
            other_files=others,
        )
        folder.record["summary"] = dataclasses.asdict(summary)
        folder.record["inputs"] = f"see {MANIFEST}"
    chunks.clear(partial)
    return summary


def read_manifest(folder: str | Path) -> list[dict[str, Any]]:
    """The manifest's records.

    Raises:
      DataError: there is none, or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        raise DataError(f"{folder} holds no {MANIFEST}; make a data set with `calmvae convert`.") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); make the data set again with `calmvae convert`.") from None


def read_records(paths: Iterable[str | Path]) -> Iterator[Any]:
    """NoteSequences of TFRecord files.

    Raises:
      DataError: a file is missing or damaged.
    """
    from calmvae import magenta

    note_seq = magenta.load_note_seq()
    from google.protobuf.message import DecodeError

    for path in paths:
        for data in tfrecord.read(path):
            try:
                yield note_seq.NoteSequence.FromString(data)
            except DecodeError as error:
                raise DataError(f"{path} is not a readable TFRecord of NoteSequences ({error}).") from error


def convert_files(files: list[str], steps: int) -> list[tuple[dict[str, Any], bytes]]:
    """Reads files to `(manifest record, serialized NoteSequence)` pairs. Runs in a worker process.

    Some files at a time go through each stage, for some stages are faster when they get many.
    """
    found: list[tuple[dict[str, Any], bytes]] = []
    for group in _groups(files):
        drafts = _read_files(group)
        for draft in drafts:
            _examine(draft, steps)
        kept = [draft for draft in drafts if draft.record["status"] == "kept"]
        written = iter(scores.serialize([(draft.source, *draft.names()) for draft in kept]))
        found += [(draft.record, next(written) if draft.record["status"] == "kept" else b"") for draft in drafts]
    return found


def _groups(files: list[str]) -> Iterator[list[str]]:
    """Neighbouring files of not too many bytes together."""
    group: list[str] = []
    size = 0
    for file in files:
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
    """A piece on its way into the data set; without a piece, or with a record that says skipped, it stays outside."""

    record: dict[str, Any]
    path: Path
    piece: Piece | None = None
    source: scores.Source = None

    def names(self) -> tuple[str, str, str]:
        """The NoteSequence's id, filename and collection name."""
        # Protocol buffers take UTF-8 only.
        filename, collection = (
            os.fsencode(name).decode("utf-8", "replace") for name in (self.path.name, self.path.parent.name)
        )
        return f"/id/calmvae/{self.record['content'][:16]}", filename, collection


def _read_files(files: list[str]) -> list[_Draft]:
    contents = [_read_bytes(file) for file in files]
    plain = [i for i, data in enumerate(contents) if isinstance(data, bytes) and _is_midi(files[i])]
    found = dict(zip(plain, events.read_all([contents[i] for i in plain]), strict=True))  # type: ignore[misc]
    return [draft for i, file in enumerate(files) for draft in _read_file(file, contents[i], found.get(i))]


def _read_bytes(file: str) -> bytes | _Draft:
    try:
        return midi.read_bytes(Path(file))
    except InputError as error:
        return _Draft(_skipped(file, "unreadable", str(error)), Path(file))
    except (OSError, MemoryError) as error:
        return _Draft(_skipped(file, "unreadable", type(error).__name__), Path(file))


def _is_midi(file: str) -> bool:
    return file.lower().endswith(midi.MIDI_SUFFIXES)


def _read_file(file: str, data: bytes | _Draft, found: events.Events | None) -> list[_Draft]:
    if isinstance(data, _Draft):
        return [data]
    path = Path(file)
    try:
        read = scores.read_entries(path, data, found)
    except InputError as error:
        return [_Draft(_skipped(file, "unreadable", str(error)), path)]
    except (OSError, RecursionError, MemoryError) as error:
        return [_Draft(_skipped(file, "unreadable", type(error).__name__), path)]
    digest = hashlib.sha256(data).hexdigest()
    return [_Draft({"file": file, "name": piece.name, "sha256": digest}, path, piece, how) for piece, how in read]


def _examine(draft: _Draft, steps: int) -> None:
    """Completes the record of a piece that was read."""
    piece, record = draft.piece, draft.record
    if piece is None:
        return
    notes = piece.columns()
    if not len(notes):
        detail = " ".join([REASONS["no-notes"], *piece.warnings])
        record |= {"status": "skipped", "reason": "no-notes", "detail": detail}
        return
    if notes.is_drum.all():
        record |= {"status": "skipped", "reason": "drums-only", "detail": REASONS["drums-only"]}
        return
    try:
        melody = phrases.extract_melody(piece)
        windows = examples.melody_windows(melody.tokens, steps)
    except (CalmvaeError, OverflowError) as error:
        record |= {"status": "skipped", "reason": "unreadable", "detail": str(error)}
        return
    if not len(windows):
        record |= {"status": "skipped", "reason": "no-windows", "detail": REASONS["no-windows"]}
        return
    record |= {
        "status": "kept",
        "split": "",
        "content": _content(piece),
        "sources": [record["file"]],
        "notes": len(notes),
        "bars": melody.bars,
        "metres": melody.report.metres,
        "qpm": round(piece.mean_qpm(), 2),
        "tempo_events": len(piece.tempos),
        "windows": len(windows),
        "changes": melody.report.sentences(),
        "warnings": piece.warnings,
    }


def _content(piece: Piece) -> str:
    """A digest of the music alone: file names, track names and controls do not count, nor does the notes' order."""
    notes = piece.columns()
    kinds = notes.pitch | notes.velocity << 8 | notes.program << 16 | notes.is_drum.astype(np.int64) << 24
    # Sorted anew, for a piece's order depends on the tracks.
    starts, ends = (np.round(times, 4) for times in (notes.start, notes.end))
    order = np.lexsort((ends, kinds, starts))
    tempos = sorted((round(t, 4), round(q, 3)) for t, q in piece.tempos)
    columns = [column[order].astype(kind) for column, kind in ((starts, "<f8"), (kinds, "<i8"), (ends, "<f8"))]
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns))
    digest.update(repr(tempos).encode())
    return digest.hexdigest()


def _skipped(file: str, reason: str, detail: str) -> dict[str, Any]:
    return {"file": file, "name": Path(file).stem, "status": "skipped", "reason": reason, "detail": detail}


def _died(file: str) -> tuple[dict[str, Any], bytes]:
    return _skipped(file, "unreadable", "the reader's process died on it"), b""


def _mark_duplicates(records: list[dict[str, Any]]) -> None:
    first: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["status"] != "kept":
            continue
        twin = first.setdefault(record["content"], record)
        if twin is not record:
            twin["sources"].append(record["file"])
            record |= {"status": "skipped", "reason": "duplicate", "detail": f"the same notes as {twin['file']}"}


def _split(records: list[dict[str, Any]], eval_share: float, seed: int) -> None:
    """By content, so that a piece's place does not depend on its name or on what lies beside it in the folder.

    Below `_MANY` pieces exactly the share is held out, above about the share: there a collection that grows keeps every
    piece where it was, and a model can be trained on without having seen what is held out.
    """
    draws = {r["content"]: hashlib.sha256(f"{seed}:{r['content']}".encode()).digest() for r in records}
    if len(records) < _MANY:
        n_eval = round(len(records) * eval_share)
        if eval_share > 0 and len(records) > 1:
            n_eval = min(max(n_eval, 1), len(records) - 1)
        held_out = set(sorted(draws, key=lambda content: draws[content])[:n_eval])
    else:
        held_out = {content for content, draw in draws.items() if int.from_bytes(draw[:6], "big") < eval_share * 2**48}
    for record in records:
        record["split"] = "eval" if record["content"] in held_out else "train"


def _write_shards(folder: outputs.OutputFolder, part: str, entries: list[chunks.Stored]) -> None:
    shards = max(1, -(-len(entries) // _PIECES_PER_SHARD)) if entries else 0
    for shard in range(shards):
        name = f"{part}-{shard:05d}-of-{shards:05d}.tfrecord"
        try:
            tfrecord.write(folder.path(name), (entry.read() for entry in entries[shard::shards]))
        except OSError as error:
            reason = error.strerror
            raise OutputError(f"cannot write to {folder.folder} ({reason}); choose another folder with -o.") from error


def _why_nothing(records: list[dict[str, Any]]) -> str:
    counts = Counter(r["reason"] for r in records)
    reasons = ", ".join(f"{n} {reason} ({REASONS[reason]})" for reason, n in counts.most_common())
    example = f" For one: {records[0]['detail']}" if len(records) == 1 else ""
    return f"none of {len(records)} files can be used: {reasons}; give files with pitched notes.{example}"
