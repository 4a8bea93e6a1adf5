"""Work on many files: in chunks, in several processes, and resumable.

Finished chunks are kept in a folder until all are done, so an interrupted conversion continues where it stopped. Each
process stores its chunk itself: no bytes pass through a pipe, and only the records of the files are in memory.
"""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from calmvae import __version__
from calmvae.common import output_folder, thread_pool

# Files per chunk. Large chunks are faster; small ones are soon repeated when a process dies, and fill all processes.
_FEWEST, _MOST = 16, 64

# A JSON-ready record and the bytes that belong to it.
Entry = tuple[dict[str, Any], bytes]
Work = Callable[[list[str]], list[Entry]]


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of an entry, on disk until `clear`."""

    store: Path
    begin: int
    size: int

    def read(self) -> bytes:
        with open(self.store, "rb") as file:
            file.seek(self.begin)
            return file.read(self.size)


def run(
    files: list[Path],
    work: Work,
    key: Any,
    folder: Path,
    died: Callable[[str], Entry],
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[dict[str, Any], Stored]]:
    """Yields the record of each file and the place of its bytes, in the order of the files.

    Args:
      files: the files to work on.
      work: turns file names into entries; must be importable, because it runs in other processes.
      key: everything else that the entries depend on.
      folder: keeps the finished chunks.
      died: makes the entry of a file that crashes its process.
      workers: processes, default one per core.
      progress: called with the number of files done and of all files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = min(max(len(files) // 32, _FEWEST), _MOST)
    chunks = [files[i : i + size] for i in range(0, len(files), size)]
    stores = [folder / _fingerprint(chunk, key) for chunk in chunks]
    todo = [i for i, store in enumerate(stores) if not _is_whole(store)]
    done = len(files) - sum(len(chunks[i]) for i in todo)
    if progress:
        progress(done, len(files))
    for i in _map({i: [str(f) for f in chunks[i]] for i in todo}, stores, work, died, workers):
        done += len(chunks[i])
        if progress:
            progress(done, len(files))
    for store in stores:
        yield from _load(store)


def clear(folder: Path) -> None:
    """Removes the finished chunks, and no other file in the folder."""
    for file in folder.iterdir():
        if re.fullmatch(r"\.?[0-9a-f]{24}\.(bin|json)(\.\d+)?", file.name):
            file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _map(
    todo: dict[int, list[str]], stores: list[Path], work: Work, died: Callable[[str], Entry], workers: int | None
) -> Iterator[int]:
    """Works on chunks and stores their entries; yields the number of each finished chunk."""
    workers = min(workers or thread_pool.cores(), len(todo))
    if workers <= 1:
        for i, chunk in todo.items():
            _work_into(stores[i], work, chunk)
            yield i
        return
    context = multiprocessing.get_context(_start_method())
    finished: set[int] = set()
    pool = futures.ProcessPoolExecutor(workers, mp_context=context)
    try:
        jobs = {pool.submit(functools.partial(_work_into, stores[i], work), chunk): i for i, chunk in todo.items()}
        for job in futures.as_completed(jobs):
            job.result()
            finished.add(jobs[job])
            yield jobs[job]
    except BrokenProcessPool:
        # A file crashed its process: from here on each chunk gets its own process.
        for i, chunk in todo.items():
            if i not in finished:
                _store(stores[i], _alone(chunk, work, died, context))
                yield i
    finally:
        # An interrupted conversion does not wait for chunks that have not started.
        pool.shutdown(cancel_futures=True)


def _start_method() -> str:
    """Fork starts workers at once, but is safe only on Linux and while this process has no other threads."""
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules
    return "fork" if sys.platform == "linux" and alone else "spawn"


def _work_into(store: Path, work: Work, files: list[str]) -> None:
    """Works on files and stores their entries; runs in a worker process."""
    _store(store, work(files))


def _alone(files: list[str], work: Work, died: Callable[[str], Entry], context: Any) -> list[Entry]:
    """Works on files in one process or, if it dies, one by one."""
    try:
        with futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(work, files).result()
    except BrokenProcessPool:
        if len(files) == 1:
            return [died(files[0])]
        return [entry for file in files for entry in _alone([file], work, died, context)]


def _fingerprint(chunk: list[Path], key: Any) -> str:
    parts = [(output_folder.real_path(f), *_stamp(f)) for f in chunk]
    return hashlib.sha256(repr((parts, key, __version__)).encode()).hexdigest()[:24]


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        # A broken link; reading it will report that.
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _store(store: Path, entries: list[Entry]) -> None:
    store.with_suffix(".bin").write_bytes(b"".join(data for _, data in entries))
    # The JSON file comes last and in one step: if it is there, the chunk is complete.
    output_folder.write_json(store.with_suffix(".json"), [[record, len(data)] for record, data in entries], indent=None)


def _is_whole(store: Path) -> bool:
    try:
        sizes = [size for _, size in json.loads(store.with_suffix(".json").read_text(encoding="utf-8"))]
        return store.with_suffix(".bin").stat().st_size == sum(sizes)
    # A power cut can leave empty files.
    except (OSError, ValueError, TypeError):
        return False


def _load(store: Path) -> Iterator[tuple[dict[str, Any], Stored]]:
    position = 0
    for record, size in json.loads(store.with_suffix(".json").read_text(encoding="utf-8")):
        yield record, Stored(store.with_suffix(".bin"), position, size)
        position += size
