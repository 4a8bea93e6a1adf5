"""Work over many files: nothing is done twice, nothing is lost, and an interrupt is heard."""

from __future__ import annotations

import concurrent.futures as futures
import functools
import pickle
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from calmvae.common import process_pool
from calmvae.data import convert_file


def lengths(files: list[str]) -> list[process_pool.Entry]:
    return [({"file": f}, Path(f).read_bytes()) for f in files]


def died(file: str) -> process_pool.Entry:
    return {"file": file, "status": "died"}, b""


def run(*arguments) -> list[process_pool.Entry]:
    return [(record, stored.read()) for record, stored in process_pool.run(*arguments)]


@pytest.fixture
def many(tmp_path) -> list[Path]:
    files = [tmp_path / f"{i:02d}.mid" for i in range(40)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(i))
    return files


def test_an_interrupted_run_goes_on_where_it_stopped(many, tmp_path):
    store, calls = tmp_path / "store", []

    def work(files: list[str]) -> list[process_pool.Entry]:
        calls.append(len(files))
        return lengths(files)

    def interrupt(done: int, total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(many, work, 0, store, died, 1, interrupt)
    assert calls == [16, 16]
    seen: list[tuple[int, int]] = []
    entries = run(many, work, 0, store, died, 1, lambda *done: seen.append(done))
    assert calls == [16, 16, 8] and seen == [(32, 40), (40, 40)]
    assert entries == lengths([str(f) for f in many])

    # What changed, or was cut short by a power cut, is done again; another key is other work.
    many[0].write_bytes(b"changed")
    next(iter(sorted(store.glob("*.bin")))).write_bytes(b"")
    assert run(many, work, 0, store, died, 1) == lengths([str(f) for f in many])
    before = len(calls)
    run(many, work, 1, store, died, 1)
    assert len(calls) == before + 3


def test_clearing_leaves_what_is_not_ours(many, tmp_path):
    store = tmp_path / "store"
    run(many, lengths, 0, store, died, 1)
    (store / "mine.json").write_text("")
    process_pool.clear(store)
    assert [p.name for p in store.iterdir()] == ["mine.json"]


class Pool(futures.ThreadPoolExecutor):
    """Stands in for processes: a file named in `deadly` takes its process down."""

    deadly: frozenset[str] = frozenset()

    def __init__(self, workers: int, mp_context: object) -> None:
        super().__init__(workers)

    def submit(self, work, files):  # type: ignore[override]
        def run():
            if self.deadly & {Path(f).name for f in files}:
                raise BrokenProcessPool
            return work(files)

        return super().submit(run)


def test_an_interrupt_does_not_wait_for_what_has_not_begun(many, tmp_path, monkeypatch):
    monkeypatch.setattr(process_pool.futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(process_pool, "_FEWEST", 1)
    done: list[str] = []

    def work(files: list[str]) -> list[process_pool.Entry]:
        time.sleep(0.01)
        done.extend(files)
        return lengths(files)

    def interrupt(count: int, total: int) -> None:
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(many, work, 0, tmp_path / "store", died, 2, interrupt)
    assert len(done) < 20


def test_what_workers_are_given_can_travel_to_them():
    work = functools.partial(convert_file.convert_files, steps=32)
    assert pickle.loads(pickle.dumps(work))([]) == []


@pytest.mark.parametrize("deadly", [[], ["05.mid"], ["00.mid", "39.mid"]])
def test_a_file_that_kills_its_process_is_the_only_one_lost(many, tmp_path, monkeypatch, deadly):
    monkeypatch.setattr(Pool, "deadly", frozenset(deadly))
    monkeypatch.setattr(process_pool.futures, "ProcessPoolExecutor", Pool)
    entries = run(many, lengths, 0, tmp_path / "store", died, 2)
    assert [record["file"] for record, _ in entries] == [str(f) for f in many]
    assert [Path(r["file"]).name for r, _ in entries if r.get("status") == "died"] == deadly
