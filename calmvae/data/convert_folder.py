"""From music files to a data set: NoteSequence TFRecords without duplicates, split by piece, and a manifest."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from calmvae.common import output_folder, process_pool
from calmvae.common.errors import DataError, InputError, OptionError, OutputError
from calmvae.data import convert_file, held_out, tune_families
from calmvae.data.convert_file import REASONS
from calmvae.midi import tfrecord
from calmvae.midi.music_files import SUFFIXES

MANIFEST = "manifest.jsonl"
_PIECES_PER_SHARD = 1000


@dataclasses.dataclass
class Summary:
    """The counts of a conversion. `files` + the further tunes of tune books = `kept` + the sum of `skipped`."""

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
    """Music files among files and folders (with their subfolders), in a fixed order, and a count of other files.

    Raises:
      InputError: a path does not exist, a given file is not a music file, or no music file is found.
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
        raise InputError(f"no music file in {where} ({others} other files); give files that end in {endings}.")
    return list(found), others


def _walk(folder: Path) -> list[Path]:
    """Every file that is not hidden. A link to a folder counts as a file, because following it could lead anywhere."""

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
    config: str | None = None,
) -> Summary:
    """Converts music files to `train-*.tfrecord`, `eval-*.tfrecord`, `manifest.jsonl` and `run.json` in a folder.

    Args:
      paths: files and folders.
      out: the output folder.
      steps: length of the windows that the manifest counts.
      eval_share: share of the pieces held out; at least one piece when there are two or more and the share is not 0.
      seed: of the split.
      workers: processes, default one a core.
      progress: called with the number of files done and of all.
      config: the name of a config that is not of melodies, see `convert_file.convert_files`.

    Raises:
      InputError, OutputError: nothing to read, or nowhere to write.
      OptionError: `eval_share` or `steps` is out of range.
      DataError: no piece is left. The message says why.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files, others = find_files(paths)
    check_options(eval_share, steps)
    arguments = {"steps": steps, "eval_share": eval_share, "seed": seed, "paths": [str(p) for p in paths]}
    if config:
        arguments["config"] = config
    split: Any = {"eval_share": eval_share, "seed": seed}
    with output_folder.OutputFolder(out, "convert", arguments) as folder:
        summary = fill(folder, files, steps=steps, **split, workers=workers, progress=progress, config=config)
        folder.record["summary"] = dataclasses.asdict(summary) | {"other_files": others}
    return dataclasses.replace(summary, other_files=others)


def check_options(eval_share: float, steps: int) -> None:
    """Raises an `OptionError` for what is out of range."""
    if not 0 <= eval_share < 1 or steps < 1:
        raise OptionError(f"eval_share is {eval_share:g}, steps is {steps}; they must be 0 to below 1, and 1 or more.")


def fill(
    folder: output_folder.OutputFolder,
    files: list[Path],
    *,
    steps: int,
    eval_share: float,
    seed: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    origins: Mapping[str, tuple[str, str | None]] | None = None,
    config: str | None = None,
    calmest: float = 1.0,
) -> Summary:
    """Writes the records, the manifest and nothing else into an output folder.

    Args:
      folder: open for writing.
      files: music files.
      steps, eval_share, seed, workers, progress, config: see `convert`.
      origins: each file's collection, and its tune's name if that is known. With it the split is by tune family.
      calmest: keep only this share of the pieces, those that score the calmest; goes with `origins`.

    Raises:
      DataError: no piece is left. The message says why.
    """
    folder.protect(files)
    partial = folder.folder / ".partial"
    collections = {file: name for file, (name, _) in origins.items()} if origins is not None else None
    work = functools.partial(convert_file.convert_files, steps=steps, collections=collections, config=config)
    # 5 is the version of the content digests, which the entries depend on as they do on the steps.
    key = (5, steps, sorted(collections.items()) if collections else None, *([config] if config else []))
    found = list(process_pool.run(files, work, key, partial, convert_file.died, workers, progress))
    records = [record for record, _ in found]
    _mark_duplicates(records)
    if calmest < 1:
        _mark_less_calm([record for record in records if record["status"] == "kept"], calmest)
    kept = [i for i, record in enumerate(records) if record["status"] == "kept"]
    if not kept:
        process_pool.clear(partial)
        raise DataError(_why_nothing(records, f"a window for {config}" if config else "pitched notes"))
    if origins is not None:
        _join_families([records[i] for i in kept], origins)
    held_out.split([records[i] for i in kept], eval_share, seed)
    for part in ("train", "eval"):
        _write_shards(folder, part, [found[i][1] for i in kept if records[i]["split"] == part])
    with open(folder.path(MANIFEST), "w", encoding="utf-8", errors=output_folder.JSON_ERRORS) as file:
        for record in records:
            record.pop("sketch", None)
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    folder.record["inputs"] = f"see {MANIFEST}"
    process_pool.clear(partial)
    return _summary(len(files), records, [records[i] for i in kept])


def _summary(files: int, records: list[dict[str, Any]], kept: list[dict[str, Any]]) -> Summary:
    skipped = Counter(r["reason"] for r in records if r["status"] == "skipped")
    return Summary(
        files=files,
        entries=len(records),
        kept=len(kept),
        train=sum(r["split"] == "train" for r in kept),
        eval=sum(r["split"] == "eval" for r in kept),
        windows=sum(r["windows"] for r in kept),
        notes=sum(r["notes"] for r in kept),
        skipped={reason: skipped[reason] for reason in REASONS if skipped[reason]},
        other_files=0,
    )


def _mark_less_calm(kept: list[dict[str, Any]], share: float) -> None:
    ordered = sorted(kept, key=lambda record: -record["calmness"])
    most = max(1, round(share * len(ordered))) if ordered else 0
    for record in ordered[most:]:
        detail = f"calmness {record['calmness']:g}; {ordered[most - 1]['calmness']:g} and more are kept"
        record |= {"status": "skipped", "reason": "less-calm", "detail": detail}


def _join_families(records: list[dict[str, Any]], origins: Mapping[str, tuple[str, str | None]]) -> None:
    """Gives each record its family: the name of its first piece's tune, or that piece's content."""
    labels = [origins[record["file"]][1] for record in records]
    for record, i in zip(records, tune_families.join([r.pop("sketch") for r in records], labels), strict=True):
        record["family"] = labels[i] or records[i]["content"]


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


def _mark_duplicates(records: list[dict[str, Any]]) -> None:
    first: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["status"] != "kept":
            continue
        twin = first.setdefault(record["content"], record)
        if twin is not record:
            twin["sources"].append(record["file"])
            record |= {"status": "skipped", "reason": "duplicate", "detail": f"the same notes as {twin['file']}"}


def _write_shards(folder: output_folder.OutputFolder, part: str, entries: list[process_pool.Stored]) -> None:
    shards = max(1, -(-len(entries) // _PIECES_PER_SHARD)) if entries else 0
    for shard in range(shards):
        name = f"{part}-{shard:05d}-of-{shards:05d}.tfrecord"
        try:
            tfrecord.write(folder.path(name), (entry.read() for entry in entries[shard::shards]))
        except OSError as error:
            reason = error.strerror
            raise OutputError(f"cannot write to {folder.folder} ({reason}); choose another folder with -o.") from error


def _why_nothing(records: list[dict[str, Any]], wanted: str) -> str:
    # For configs that are not of melodies, the reason depends on the piece.
    whys = {"no-windows": lambda record: record["detail"]}
    counts = Counter((r["reason"], whys.get(r["reason"], lambda r: REASONS[r["reason"]])(r)) for r in records)
    reasons = ", ".join(f"{n} {reason} ({why})" for (reason, why), n in counts.most_common())
    example = f" For one: {records[0]['detail']}" if len(records) == 1 else ""
    return f"none of {len(records)} files can be used: {reasons}; give files with {wanted}.{example}"
