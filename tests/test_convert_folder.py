"""Gathering music files: every one found and accounted for. What needs TensorFlow is in test_training_data.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from calmvae.common import output_folder
from calmvae.common.errors import DataError, InputError, OptionError, OutputError
from calmvae.data import convert_file, convert_folder, held_out
from tests import builders


def names(found: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_music_is_found_to_the_bottom_in_a_fixed_order(tmp_path):
    for name in ("b.mid", "a/z.MIDI", "a/b/c.xml", "a.abc", "x.mid/in.mid", ".hidden/d.mid", "a/._e.mid", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found, others = convert_folder.find_files([tmp_path])
    assert names(found, tmp_path) == ["a/b/c.xml", "a/z.MIDI", "a.abc", "b.mid", "x.mid/in.mid"]
    assert others == 1
    again, _ = convert_folder.find_files([tmp_path / "b.mid", tmp_path, tmp_path / "a"])
    assert sorted(again) == found


def test_links_that_lead_nowhere_and_in_circles(tmp_path):
    builders.write_midi(tmp_path / "a.mid")
    (tmp_path / "link.mid").symlink_to("a.mid")
    (tmp_path / "broken.mid").symlink_to("nowhere")
    (tmp_path / "loop.mid").symlink_to("loop.mid")
    (tmp_path / "self").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.mid")
    found, others = convert_folder.find_files([tmp_path])
    assert names(found, tmp_path) == ["a.mid", "broken.mid", "link.mid", "loop.mid", "pipe.mid"]
    assert others == 1
    records = [record for record, _ in convert_file.convert_files([str(p) for p in found], 32)]
    assert [r["status"] for r in records] == ["kept", "skipped", "kept", "skipped", "skipped"]
    assert [r.get("reason") for r in records] == [None, "unreadable", None, "unreadable", "unreadable"]


@pytest.mark.parametrize(
    ("name", "word"), [("none", "does not exist"), ("a.txt", "has the suffix '.txt'"), ("empty", "no music file in")]
)
def test_paths_that_hold_no_music(tmp_path, name, word):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=word):
        convert_folder.find_files([tmp_path / name])


def test_a_folder_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    builders.write_midi(tmp_path / "a.mid")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"closed cannot be read \(Permission denied\)"):
        convert_folder.find_files([tmp_path])


def test_every_kind_of_unusable_file_has_its_reason(tmp_path):
    reasons = {"drums_only": "drums-only", "no_notes": "no-notes"}
    for name, (write, word) in builders.UNUSABLE.items():
        ((record, data),) = convert_file.convert_files([str(write(tmp_path / f"{name}.mid"))], 32)
        assert (record["status"], record["reason"], data) == ("skipped", reasons.get(name, "unreadable"), b"")
        assert record["reason"] in convert_file.REASONS
        if record["reason"] == "unreadable":
            assert word in record["detail"]


def test_what_a_record_says(tmp_path):
    path = builders.write_midi(tmp_path / "set" / "waltz.mid", builders.scale(24), 3, 4, qpm=72)
    ((record, data),) = convert_file.convert_files([str(path)], 32)
    assert data
    expected = {
        "file": str(path),
        "name": "waltz",
        "sha256": output_folder.sha256(path),
        "status": "kept",
        "sources": [str(path)],
        "notes": 24,
        "bars": 6,
        "metres": ["3/4"],
        "qpm": 72.0,
        "tempo_events": 1,
        "windows": 5,
        "changes": ["metre 3/4 is re-barred onto 16 steps a bar"],
        "warnings": [],
    }
    assert {key: record[key] for key in expected} == expected


def test_a_name_that_is_no_utf8(tmp_path):
    path = builders.write_midi(tmp_path / f"{builders.ODD_NAME}.mid")
    ((record, data),) = convert_file.convert_files([str(path)], 32)
    assert (record["status"], record["file"]) == ("kept", str(path))
    assert b"caf" in data


def test_a_folder_of_nothing_usable_says_why_and_leaves_nothing(tmp_path):
    music, out = tmp_path / "music", tmp_path / "made" / "out"
    music.mkdir()
    for name, (write, _) in builders.UNUSABLE.items():
        write(music / f"{name}.mid")
    with pytest.raises(DataError) as caught:
        convert_folder.convert([music], out, steps=32, workers=1)
    message = str(caught.value)
    assert message.startswith("none of 6 files can be used: 4 unreadable")
    assert "1 drums-only (only drums)" in message and "1 no-notes (no notes)" in message
    assert [p.name for p in tmp_path.iterdir()] == ["music"]


def test_of_a_single_unusable_file_the_detail_is_told(tmp_path):
    with pytest.raises(DataError, match=r"a.mid is empty \(0 bytes\)"):
        convert_folder.convert(str(builders.write_empty(tmp_path / "a.mid")), tmp_path / "out", steps=32, workers=1)


@pytest.mark.parametrize(("eval_share", "steps"), [(-0.1, 32), (1.0, 32), (float("nan"), 32), (0.1, 0)])
def test_shares_and_steps_out_of_range(tmp_path, eval_share, steps):
    builders.write_midi(tmp_path / "a.mid")
    with pytest.raises(OptionError, match="eval_share"):
        convert_folder.convert([tmp_path], tmp_path / "out", steps=steps, eval_share=eval_share)


def test_a_file_of_the_users_is_not_replaced(tmp_path):
    builders.write_midi(tmp_path / "a.mid")
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text("{}")
    with pytest.raises(OutputError, match=r"run.json was not made by calmvae"):
        convert_folder.convert([tmp_path / "a.mid"], out, steps=32, workers=1)
    assert [p.name for p in out.iterdir()] == ["run.json"]


def test_a_damaged_manifest(tmp_path):
    with pytest.raises(DataError, match=r"holds no manifest.jsonl"):
        convert_folder.read_manifest(tmp_path)
    (tmp_path / convert_folder.MANIFEST).write_text('{"file": 1}\n{"fi')
    with pytest.raises(DataError, match="is damaged"):
        convert_folder.read_manifest(tmp_path)


def test_a_growing_collection_keeps_its_split():
    def split(count, seed=0):
        records = [{"content": f"piece {k}"} for k in range(count)]
        held_out.split(records, 0.1, seed)
        return [record["split"] for record in records]

    small, large = split(1000), split(3000)
    assert large[:1000] == small
    assert 60 <= small.count("eval") <= 140 and small != split(1000, seed=1)
    assert [split(n).count("eval") for n in (1, 2, 14, 99)] == [0, 1, 1, 10]
