"""Output folders: what is not ours stays, what is stale goes, and an error leaves no trace."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from calmvae.common import output_folder
from calmvae.common.errors import InputError, OutputError
from calmvae.common.output_folder import OutputFolder
from tests import builders


def make(folder: Path, files: dict[str, str], command: str = "sample", inputs: tuple[Path, ...] = ()) -> dict:
    with OutputFolder(folder, command, {"seed": 1, "where": folder}) as made:
        made.add_inputs(inputs)
        for name, text in files.items():
            made.path(name).write_text(text)
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def fail(folder: Path, error: BaseException) -> None:
    with OutputFolder(folder, "sample", {}) as made:
        made.path("x.mid").write_text("new")
        made.path("steps/01.mid").write_text("1")
        raise error


def tree(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "run.json"]
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def test_files_come_into_place_together_with_a_record(tmp_path):
    given = tmp_path / "in.mid"
    given.write_text("music")
    record = make(tmp_path / "a" / "out", {"x.mid": "x", "steps/01.mid": "1"}, inputs=(given,))
    assert tree(tmp_path / "a" / "out") == {"x.mid": "x", "steps/01.mid": "1"}
    assert record["calmvae"] == "sample"
    assert record["arguments"] == {"seed": 1, "where": str(tmp_path / "a" / "out")}
    assert record["inputs"] == [{"file": str(given), "sha256": output_folder.sha256(given)}]
    assert record["outputs"]["x.mid"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert record["seconds"] >= 0 and record["versions"]["python"]
    assert not any(p.name.startswith(".") for p in (tmp_path / "a" / "out").iterdir())


def test_nothing_shows_before_the_end(tmp_path):
    make(tmp_path, {"x.mid": "old"})
    with OutputFolder(tmp_path, "sample", {}) as made:
        made.path("x.mid").write_text("new")
        assert (tmp_path / "x.mid").read_text() == "old"
    assert tree(tmp_path) == {"x.mid": "new"}


def test_what_an_earlier_run_left_is_removed(tmp_path):
    make(tmp_path, {"x.mid": "x", "y.mid": "y", "steps/01.mid": "1", "steps/02.mid": "2"})
    (tmp_path / "mine.txt").write_text("mine")
    record = make(tmp_path, {"y.mid": "new"})
    assert tree(tmp_path) == {"y.mid": "new", "mine.txt": "mine"}
    assert not (tmp_path / "steps").exists()
    assert list(record["outputs"]) == ["y.mid"]


def test_a_stale_file_that_was_changed_stays(tmp_path):
    make(tmp_path, {"x.mid": "x", "y.mid": "y"})
    (tmp_path / "x.mid").write_text("edited by hand")
    make(tmp_path, {"y.mid": "new"})
    assert tree(tmp_path) == {"x.mid": "edited by hand", "y.mid": "new"}


def test_an_input_is_neither_removed_nor_overwritten(tmp_path):
    make(tmp_path, {"x.mid": "x", "y.mid": "y"})
    make(tmp_path, {"y.mid": "made of x"}, inputs=(tmp_path / "x.mid",))
    assert tree(tmp_path) == {"x.mid": "x", "y.mid": "made of x"}
    with pytest.raises(OutputError, match=r"y.mid is an input and would be overwritten"):
        make(tmp_path, {"y.mid": "made of y"}, inputs=(tmp_path / "y.mid",))
    assert tree(tmp_path) == {"x.mid": "x", "y.mid": "made of x"}


@pytest.mark.parametrize("what", ["file", "folder", "link", "parent", "changed", "became a folder"])
def test_what_is_not_ours_is_not_replaced(tmp_path, what):
    out = tmp_path / "out"
    name = "steps/01.mid" if what == "parent" else "x.mid"
    if what in ("changed", "became a folder"):
        make(out, {name: "ours"})
    out.mkdir(exist_ok=True)
    target = out / name.split("/")[0]
    if what == "link":
        target.symlink_to("nowhere")
    elif what == "folder":
        target.mkdir()
    elif what == "became a folder":
        target.unlink()
        target.mkdir()
    else:
        target.write_text("mine")
    before = sorted(os.listdir(out))
    with pytest.raises(OutputError, match="was changed since" if what == "changed" else "was not made by calmvae"):
        make(out, {"new.mid": "new", name: "ours"})
    assert sorted(os.listdir(out)) == before
    assert what not in ("file", "parent", "changed") or target.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", "[]", '"calmvae"', '{"calmvae": ""}', "not json", '{"name": "calmvae"}'])
def test_a_run_json_of_someone_elses_stays(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run.json was not made by calmvae"):
        make(tmp_path, {"x.mid": "x"})
    assert (tmp_path / "run.json").read_text() == text and os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("other", "typed"), [("train", "train"), ("convert", "convert"), ("export", "models export")])
def test_the_folder_of_another_command_is_left_alone(tmp_path, other, typed):
    record = json.dumps({"calmvae": other, "sessions": [1]})
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(OutputError, match=f"was made by `calmvae {typed}`; choose another folder with -o"):
        make(tmp_path, {"x.mid": "x"})
    assert (tmp_path / "run.json").read_text() == record


def test_a_crafted_record_leads_nowhere_else(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    make(out, {"x.mid": "x"})
    victim.write_text("precious")
    record = json.loads((out / "run.json").read_text())
    record["outputs"] = {name: output_folder.sha256(victim) for name in ("../victim", str(victim), "a/../../victim")}
    (out / "run.json").write_text(json.dumps(record))
    make(out, {"y.mid": "y"})
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), OutputError("no")])
def test_an_error_leaves_nothing_behind(tmp_path, error):
    with pytest.raises(type(error)):
        fail(tmp_path / "a" / "b", error)
    assert list(tmp_path.iterdir()) == []

    make(tmp_path / "out", {"x.mid": "old"})
    before = (tmp_path / "out" / "run.json").read_text()
    with pytest.raises(type(error)):
        fail(tmp_path / "out", error)
    assert tree(tmp_path / "out") == {"x.mid": "old"}
    assert (tmp_path / "out" / "run.json").read_text() == before
    assert len(os.listdir(tmp_path / "out")) == 2


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="No space left on device"):
        fail(tmp_path / "out", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/calmvae", "x" * 300])
def test_places_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write to .*; choose another folder with -o"):
        make(tmp_path / place, {"x.mid": "x"})
    assert tree(tmp_path) == {"file": "mine"}


def test_an_output_named_twice_is_written_once(tmp_path):
    with OutputFolder(tmp_path, "sample", {}) as made:
        made.path("x.mid").write_text("first")
        made.path("x.mid").write_text("second")
    assert tree(tmp_path) == {"x.mid": "second"}


def test_an_input_that_is_gone_is_said(tmp_path):
    with pytest.raises(InputError, match=r"in.mid cannot be read \(No such file"):
        make(tmp_path / "out", {}, inputs=(tmp_path / "in.mid",))


@pytest.mark.parametrize("name", ["ü 曲.json", f"{builders.ODD_NAME}.json"])
def test_json_takes_any_file_name(tmp_path, name):
    data = {"file": name, "text": "é"}
    output_folder.write_json(tmp_path / "a.json", data)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == data and "é" in text
    assert os.listdir(tmp_path) == ["a.json"]
    given = tmp_path / name
    given.write_text("x")
    assert make(tmp_path / "out", {}, inputs=(given,))["inputs"][0]["file"] == str(given)


def test_scratch_of_a_killed_command_is_removed(tmp_path):
    dead, alive = tmp_path / ".calmvae-999999999-abc", tmp_path / f".calmvae-{os.getpid()}-abc"
    dead.mkdir()
    alive.mkdir()
    with OutputFolder(tmp_path, "sample", {}) as folder:
        folder.path("a.txt").write_text("a")
    assert not dead.exists() and alive.exists()
