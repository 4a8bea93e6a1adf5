"""Music files to TFRecords to windows. Needs TensorFlow (and Magenta for the comparison at the end)."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from calmvae.common import magenta_import, output_folder
from calmvae.common.errors import DataError, InputError, OptionError
from calmvae.data import convert_file, convert_folder, load_dataset, training_windows
from calmvae.midi import note_sequence, read_music, tfrecord
from calmvae.model import config_catalog, magenta_config
from calmvae.music import calmness, melody_tokens
from tests import builders

PIECES = 20
STEPS = 32
BOOK = "X:1\nL:1/4\nK:C\nC E G c|c G E C|\n\nX:2\nL:1/4\nK:G\nG B d g|g d B G|\n"


def tune(seed: int) -> list[builders.QuarterNote]:
    draw = random.Random(seed)
    return builders.scale(draw.randrange(8, 25), 0.5, pitches=[draw.randrange(55, 80) for _ in range(24)])


def write_music(folder: Path, prefix: str = "piece") -> Path:
    """Twenty pieces, one of them three times more under other names, a tune book, and a file of every unusable kind."""
    for seed in range(PIECES):
        builders.write_midi(folder / "deep" / f"{prefix}-{seed:02d}.mid", tune(seed))
    shutil.copy(folder / "deep" / f"{prefix}-03.mid", folder / "another name.mid")
    shutil.copy(folder / "deep" / f"{prefix}-03.mid", folder / "deep" / "zzz.mid")
    (folder / "book.abc").write_text(BOOK)
    shutil.copy(folder / "deep" / f"{prefix}-03.mid", folder / f"{builders.ODD_NAME}.mid")
    (folder / "readme.txt").write_text("not music")
    for name, (write, _) in builders.UNUSABLE.items():
        write(folder / f"{name}.mid")
    return folder


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {str(p): (output_folder.sha256(p), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    return write_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def made(music, tmp_path_factory) -> tuple[Path, convert_folder.Summary]:
    out = tmp_path_factory.mktemp("data") / "set"
    before = state(music)
    summary = convert_folder.convert([music], out, steps=STEPS, eval_share=0.25, workers=1)
    assert state(music) == before
    return out, summary


def shards(out: Path, part: str) -> list[Path]:
    return sorted(out.glob(f"{part}-*.tfrecord"))


def test_the_counts_add_up(made):
    out, summary = made
    assert (summary.files, summary.other_files) == (PIECES + 3 + 1 + 6, 1)
    assert summary.entries == summary.files + 1
    assert summary.skipped == {"unreadable": 4, "no-notes": 1, "drums-only": 1, "duplicate": 3}
    assert summary.kept + sum(summary.skipped.values()) == summary.entries
    assert (summary.kept, summary.train, summary.eval) == (PIECES + 2, 16, 6)
    manifest = convert_folder.read_manifest(out)
    assert len(manifest) == summary.entries
    kept = [r for r in manifest if r["status"] == "kept"]
    assert sum(r["windows"] for r in kept) == summary.windows
    assert sum(r["notes"] for r in kept) == summary.notes
    for part, count in (("train", 16), ("eval", 6)):
        assert sum(r["split"] == part for r in kept) == len(list(tfrecord.note_sequences(shards(out, part)))) == count
    assert sorted(p.name for p in out.iterdir()) == [
        "eval-00000-of-00001.tfrecord",
        "manifest.jsonl",
        "run.json",
        "train-00000-of-00001.tfrecord",
    ]


def test_duplicates_are_one_piece_with_every_source(made, music):
    manifest = convert_folder.read_manifest(made[0])
    (kept,) = [r for r in manifest if r["status"] == "kept" and len(r["sources"]) > 1]
    names = ["another name.mid", f"{builders.ODD_NAME}.mid", "piece-03.mid", "zzz.mid"]
    assert sorted(Path(s).name for s in kept["sources"]) == names
    assert all(Path(s).exists() for s in kept["sources"])
    twins = [r for r in manifest if r.get("reason") == "duplicate"]
    assert {r["detail"] for r in twins} == {f"the same notes as {kept['file']}"}
    assert sorted([kept["file"], *(r["file"] for r in twins)]) == sorted(kept["sources"])


def test_a_tune_book_is_two_pieces(made):
    tunes = [r for r in convert_folder.read_manifest(made[0]) if r["file"].endswith(".abc")]
    assert [(r["name"], r["status"], r["notes"]) for r in tunes] == [("book#1", "kept", 8), ("book#2", "kept", 8)]


def test_records_are_what_note_seq_reads(made):
    note_seq = magenta_import.load_note_seq()
    paths = {r["content"][:16]: r["file"] for r in convert_folder.read_manifest(made[0]) if r["status"] == "kept"}
    compared = 0
    for sequence in tfrecord.note_sequences(shards(made[0], "train") + shards(made[0], "eval")):
        path = paths[sequence.id.removeprefix("/id/calmvae/")]
        assert sequence.filename == Path(path).name and sequence.collection_name == Path(path).parent.name
        if path.endswith(".mid"):
            for field in ("id", "filename", "collection_name"):
                sequence.ClearField(field)
            assert sequence == note_seq.midi_file_to_note_sequence(path)
            compared += 1
    assert compared == PIECES


def digests(out: Path) -> dict[str, str]:
    return {p.name: output_folder.sha256(p) for p in out.iterdir() if p.name != "run.json"}


def test_the_same_bytes_again_and_another_split_with_another_seed(made, music, tmp_path):
    convert_folder.convert([music], tmp_path / "again", steps=STEPS, eval_share=0.25, workers=2)
    assert digests(tmp_path / "again") == digests(made[0])
    convert_folder.convert([music], tmp_path / "seed", steps=STEPS, eval_share=0.25, seed=1, workers=1)
    assert splits(tmp_path / "seed") != splits(made[0])


def splits(out: Path) -> dict[str, str]:
    return {r["content"]: r["split"] for r in convert_folder.read_manifest(out) if r["status"] == "kept"}


def test_the_split_stays_when_files_are_renamed_and_unusable_ones_go(made, tmp_path):
    music = write_music(tmp_path / "music", prefix="renamed")
    for name in builders.UNUSABLE:
        (music / f"{name}.mid").unlink()
    convert_folder.convert([music], tmp_path / "out", steps=STEPS, eval_share=0.25, workers=1)
    assert splits(tmp_path / "out") == splits(made[0])


@pytest.mark.parametrize(("share", "held_out"), [(0.0, 0), (0.01, 1), (0.99, 1)])
def test_one_piece_at_least_is_on_either_side(tmp_path, share, held_out):
    for seed in range(2):
        builders.write_midi(tmp_path / f"{seed}.mid", tune(seed))
    summary = convert_folder.convert([tmp_path], tmp_path / "out", steps=STEPS, eval_share=share, workers=1)
    assert (summary.train, summary.eval) == (2 - held_out, held_out)


def test_an_interrupted_conversion_goes_on(made, music, tmp_path, monkeypatch):
    out, read = tmp_path / "out", []
    read_file = convert_file._read_file
    monkeypatch.setattr(convert_file, "_read_file", lambda file, *found: read.append(file) or read_file(file, *found))

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    options = {"steps": STEPS, "eval_share": 0.25, "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        convert_folder.convert([music], out, progress=interrupt, **options)
    assert [p.name for p in out.iterdir()] == [".partial"]
    assert 0 < len(read) < made[1].files
    convert_folder.convert([music], out, **options)
    assert len(read) == len(set(read)) == made[1].files
    assert digests(out) == digests(made[0])


def test_windows_are_all_different_and_counted(made, tmp_path):
    files = shards(made[0], "train")
    seen: list[int] = []
    found = training_windows.load_windows(files, STEPS, cache=tmp_path, progress=seen.append)
    assert found.tokens.dtype == np.uint8 and len(np.unique(found.tokens, axis=0)) == len(found.tokens)
    assert found.pieces == 16 and seen == list(range(1, 17))
    train = [r for r in convert_folder.read_manifest(made[0]) if r.get("split") == "train"]
    assert len(found.tokens) + found.dropped.get("repeated", 0) == sum(r["windows"] for r in train)

    (store,) = tmp_path.iterdir()
    again = training_windows.load_windows(files, STEPS, cache=tmp_path, progress=seen.append)
    assert (again.tokens == found.tokens).all() and again.dropped == found.dropped and len(seen) == 16
    store.write_bytes(store.read_bytes()[:200])
    assert (training_windows.load_windows(files, STEPS, cache=tmp_path).tokens == found.tokens).all()
    assert (training_windows.load_windows(files, STEPS, cache=tmp_path).tokens == found.tokens).all()

    onsets = (found.tokens >= melody_tokens.FIRST_PITCH).sum(axis=1)
    few = training_windows.load_windows(files, STEPS, max_onsets=10, cache=tmp_path)
    assert len(few.tokens) == (onsets <= 10).sum() == len(onsets) - few.dropped["dense"] > 0


def test_the_calmest_windows_are_those_that_score_the_calmest(made, tmp_path):
    files = shards(made[0], "train")
    found = training_windows.load_windows(files, STEPS, max_onsets=12)
    scores = calmness.of_windows(found.tokens)
    wanted = scores >= np.quantile(scores, 0.7)
    for _ in ("read", "from the cache"):
        calm = training_windows.load_windows(files, STEPS, max_onsets=12, calmest=0.3, cache=tmp_path)
        assert np.array_equal(calm.tokens, found.tokens[wanted])
        assert calm.dropped == found.dropped | {"less calm": (~wanted).sum()}
    said: list[str] = []
    spec = config_catalog.get_spec("calm-mel_2bar")
    train, held_out = load_dataset.load(made[0], spec, calmest=0.3, say=said.append)
    assert len(train.tokens) and len(held_out.tokens) and f"{train.dropped['less calm']} less calm" in said[0]
    with pytest.raises(OptionError, match="--calmest is 0; it must be above 0"):
        training_windows.load_windows(files, STEPS, calmest=0)


def test_records_without_notes_are_passed_over(made, tmp_path):
    tf, path = magenta_import.load_tensorflow(), tmp_path / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(magenta_import.load_note_seq().NoteSequence().SerializeToString())
    found = training_windows.load_windows([path], STEPS)
    assert found.tokens.shape == (0, STEPS) and found.pieces == 0


def test_records_with_impossible_times_are_one_sentence(tmp_path):
    sequence = magenta_import.load_note_seq().NoteSequence(filename="far.mid")
    sequence.notes.add(pitch=60, velocity=64, start_time=0, end_time=1e12)
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with magenta_import.load_tensorflow().io.TFRecordWriter(str(path)) as writer:
        writer.write(sequence.SerializeToString())
    with pytest.raises(InputError, match=r"far.mid has a note that ends 5e\+11 bars after its beginning"):
        training_windows.load_windows([path], STEPS)


@pytest.mark.parametrize("damage", ["cut", "noise", "other records"])
def test_damaged_records_are_one_sentence(made, tmp_path, damage):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    data = shards(made[0], "train")[0].read_bytes()
    if damage == "other records":
        with magenta_import.load_tensorflow().io.TFRecordWriter(str(path)) as writer:
            writer.write(b"\xff no proto")
    else:
        path.write_bytes(data[: len(data) - 9] if damage == "cut" else random.Random(0).randbytes(1000))
    with pytest.raises(DataError, match="is not a readable TFRecord") as caught:
        training_windows.load_windows([path], STEPS)
    assert "\n" not in str(caught.value)


def singable(seed: int) -> list[builders.QuarterNote]:
    """A melody in 4/4 that Magenta takes as it is: no note over a bar line, no bar of rest."""
    draw = random.Random(seed)
    notes = []
    for bar in range(draw.randrange(2, 7)):
        cuts = sorted(draw.sample(range(1, 16), draw.randrange(1, 7)))
        for i, (start, end) in enumerate(zip([0, *cuts], [*cuts, 16], strict=True)):
            if i == 0 or draw.random() < 0.8:
                notes.append((draw.randrange(21, 109), 64, bar * 4 + start / 4, bar * 4 + end / 4))
    return notes


def test_windows_are_magentas(tmp_path):
    converter = magenta_config.magenta_config(config_catalog.get_spec("calm-mel_2bar")).data_converter
    converter.max_tensors_per_notesequence = None
    compared = 0
    for seed in range(40):
        path = builders.write_midi(tmp_path / "a.mid", singable(seed), qpm=random.Random(seed).uniform(50, 150))
        ((_, sequence, _),) = note_sequence.read_note_sequences(path)
        theirs = {tuple(np.argmax(x, axis=1)) for x in converter.to_tensors(sequence).inputs}
        ours = {tuple(row) for row in training_windows.piece_windows(read_music.read_piece(path), STEPS)[0]}
        assert ours == theirs
        compared += len(ours)
    assert compared > 80
