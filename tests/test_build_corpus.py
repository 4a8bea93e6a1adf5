"""A training corpus from named collections: recognised, split by tune family, accounted for in its card."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from calmvae.checkpoints import open_model
from calmvae.common import text
from calmvae.common.errors import InputError, MissingDependencyError, OptionError
from calmvae.data import build_corpus, convert_folder, corpus_sources, load_dataset, training_windows, tune_families
from calmvae.midi import read_music, tfrecord
from calmvae.music import calmness, melody_extraction
from calmvae.training import train_melody
from tests import builders
from tests.conftest import run_calmvae, tiny_spec
from tests.test_musicxml import musicxml, write_mxl


def tune(seed: int, length: int = 40) -> list[builders.QuarterNote]:
    draw = random.Random(seed)
    return builders.scale(length, 0.5, pitches=[draw.randrange(55, 80) for _ in range(length)])


@pytest.fixture(scope="module")
def collections(tmp_path_factory) -> dict[str, Path]:
    """A POP909 of four songs, one in two versions; a Lieder of two songs, one twice; a folder; and a music21."""
    root = tmp_path_factory.mktemp("collections")
    pop = root / "POP909-Dataset"
    for number in range(1, 5):
        builders.write_midi(pop / f"POP909/{number:03d}/{number:03d}.mid", tune(number))
    builders.write_midi(pop / "POP909/002/versions/002-v1.mid", tune(99))
    builders.write_midi(pop / "POP909/extra.mid", tune(98))
    lieder = root / "Lieder"
    for place, tempo in (("A,_B/Op.1/1_Ständchen/lc1", 72), ("A,_B/_/Standchen/lc2", 90), ("C,_D/_/Abend/lc3", 50)):
        (lieder / "scores" / place).parent.mkdir(parents=True)
        write_mxl(lieder / "scores" / f"{place}.mxl", **{"score.xml": musicxml(tempo)})
    mine = root / "my calm music"
    for seed in range(20, 40):
        builders.write_midi(mine / f"{seed}.mid", tune(seed))
    builders.write_midi(mine / "20 again.mid", [(p + 3, *rest) for p, *rest in tune(20)])
    bundled = root / "site" / "music21"
    (bundled / "corpus" / "bach").mkdir(parents=True)
    (bundled / "__init__.py").write_text("raise ImportError('not to be imported')")
    write_mxl(bundled / "corpus/bach/bwv1.6.mxl", **{"score.xml": musicxml(60)})
    return {"pop909": pop, "lieder": lieder, "own": mine, "site": root / "site"}


def test_collections_are_told_by_their_layout(collections, monkeypatch):
    monkeypatch.syspath_prepend(str(collections["site"]))
    names = {key: corpus_sources.resolve(str(collections[key]))[0].name for key in ("pop909", "lieder", "own")}
    assert names == {"pop909": "pop909", "lieder": "lieder", "own": "my calm music"}
    source, folder = corpus_sources.resolve("music21:bach")
    assert source.publishable and [f.name for f in corpus_sources.files_of(source, folder)] == ["bwv1.6.mxl"]
    assert "music21" not in sys.modules
    source, folder = corpus_sources.resolve(str(collections["pop909"]))
    found = corpus_sources.files_of(source, folder)
    assert [f.name for f in found] == ["001.mid", "002.mid", "002-v1.mid", "003.mid", "004.mid"]
    assert [corpus_sources.family_of(source, f) for f in found[1:3]] == ["pop909/002", "pop909/002"]


def test_one_title_of_a_composer_is_one_tune(collections):
    source, folder = corpus_sources.resolve(str(collections["lieder"]))
    names = [corpus_sources.family_of(source, file) for file in corpus_sources.files_of(source, folder)]
    assert len(names) == 3 and len(set(names)) == 2


@pytest.mark.parametrize(
    ("word", "kind", "sentence"),
    [
        ("nowhere", InputError, "nowhere is not a folder"),
        ("music21:palestrina", OptionError, "is not a collection that calmvae knows"),
        ("music21:bach", MissingDependencyError, "pip install music21"),
    ],
)
def test_what_cannot_be_a_source(word, kind, sentence, monkeypatch):
    monkeypatch.setattr(corpus_sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(kind, match=sentence):
        corpus_sources.resolve(word)


def test_terms_that_forbid_publishing_have_to_be_accepted(tmp_path, monkeypatch):
    (tmp_path / "music21/corpus/essenFolksong").mkdir(parents=True)
    (tmp_path / "music21/__init__.py").write_text("")
    (tmp_path / "music21/corpus/essenFolksong/a.abc").write_text("X:1\nL:1/4\nK:C\nC E G c|c G E C|\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OptionError, match="cannot be published freely; leave it out, or accept that"):
        build_corpus.build(["music21:essen"], tmp_path / "out")
    built = build_corpus.build(["music21:essen"], tmp_path / "out", non_commercial=True, workers=1)
    assert built.summary.kept == 1


def sketches(*tunes: list[builders.QuarterNote]) -> list[list[int]]:
    return [tune_families.sketch(melody_extraction.extract_melody(builders.piece(notes)).tokens) for notes in tunes]


def test_variants_share_a_family_and_strangers_do_not():
    whole = tune(1, 200)
    moved = [(p - 4, *rest) for p, *rest in whole]
    found = sketches(whole, tune(2, 200), moved, tune(3, 200), whole[:104])
    assert all(found) and found[0] == found[2]
    assert tune_families.join(found, [None] * 5) == [0, 1, 0, 3, 0]
    assert tune_families.join(found, ["x", "y", None, "x", None]) == [0, 1, 0, 0, 0]
    assert tune_families.join([[], []], [None, None]) == [0, 1]


@pytest.fixture(scope="module")
def built(collections, tmp_path_factory) -> tuple[Path, build_corpus.Built]:
    out = tmp_path_factory.mktemp("built") / "corpus"
    given = [str(collections[name]) for name in ("pop909", "lieder", "own")]
    return out, build_corpus.build(given, out, eval_share=0.3, seed=1, workers=1)


def test_every_piece_is_accounted_for(built):
    out, made = built
    records = convert_folder.read_manifest(out)
    assert len(records) == 5 + 3 + 21 == made.summary.entries
    assert {record["collection"] for record in records} == {"pop909", "lieder", "my calm music"}
    assert all("sketch" not in record for record in records)
    for name, collection in made.collections.items():
        mine = [record for record in records if record["collection"] == name]
        assert collection["pieces"] == len(mine)
        assert collection["train"] + collection["eval"] + sum(collection["skipped"].values()) == len(mine)
    names = [s.collection_name for s in tfrecord.note_sequences(sorted(out.glob("*.tfrecord")))]
    assert sorted(names) == sorted(r["collection"] for r in records if r["status"] == "kept")


def test_no_family_is_on_both_sides(built):
    out, made = built
    kept = [record for record in convert_folder.read_manifest(out) if record["status"] == "kept"]
    sides: dict[str, set[str]] = {}
    for record in kept:
        sides.setdefault(record["family"], set()).add(record["split"])
    assert all(len(split) == 1 for split in sides.values())
    assert made.families == len(sides) < len(kept)
    assert {"train", "eval"} == set().union(*sides.values())
    twins = [r for r in kept if r["name"] in ("20", "20 again")]
    assert len(twins) == 2 and twins[0]["family"] == twins[1]["family"]


@pytest.mark.parametrize("bars", [2, 16])
def test_the_cards_windows_are_those_of_training(built, bars):
    out, made = built
    train, held_out = (
        training_windows.load_windows(sorted(out.glob(f"{part}-*.tfrecord")), bars * 16, "all")
        for part in ("train", "eval")
    )
    train = training_windows.without(train, held_out)
    counted = [c["windows"][bars] for c in made.collections.values()]
    assert sum(c["train"]["kept"] for c in counted) == len(train.tokens) > 0
    assert sum(c["eval"]["kept"] for c in counted) == len(held_out.tokens) > 0
    for reason, number in train.dropped.items():
        assert sum(c["train"].get(reason, 0) for c in counted) == number
    theirs = {row.tobytes() for row in training_windows.intervals(held_out.tokens)}
    assert not theirs & {row.tobytes() for row in training_windows.intervals(train.tokens)}


def test_the_card_names_terms_and_counts(built):
    out, made = built
    card = (out / build_corpus.CARD_FILE).read_text(encoding="utf-8")
    assert "| MIT | 5 |" in card and "| CC0 | 3 |" in card and "yours to judge" in card
    assert f"{made.families:,} tune families" in card and "calmvae corpus build POP909-Dataset Lieder" in card
    assert str(out.parent) not in card


def test_a_model_says_what_it_was_trained_on(built, tmp_path):
    few = train_melody.Options(steps=1, eval_every=1, sample_every=0, melody="all")
    train_melody.train(tiny_spec(), built[0], tmp_path / "run", few)
    data = open_model.load_model(tmp_path / "run").meta["data"]
    assert [c["name"] for c in data] == ["pop909", "lieder", "my calm music"] and data[0]["terms"] == "MIT"
    assert [c["train"] for c in data] == [c["train"] for c in built[1].collections.values()]
    assert load_dataset.sources(tmp_path) == []


def test_the_same_again(built, collections, tmp_path):
    given = [str(collections[name]) for name in ("pop909", "lieder", "own")]
    build_corpus.build(given, tmp_path / "corpus", eval_share=0.3, seed=1, workers=1)
    for file in sorted(built[0].glob("*.tfrecord")):
        assert list(tfrecord.read(file)) == list(tfrecord.read(tmp_path / "corpus" / file.name))


def test_command_line(collections, tmp_path):
    done = run_calmvae("corpus", "build", collections["own"], "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["kept"] == 21
    done = run_calmvae("corpus", "build", "music21:essen", "-o", tmp_path / "other")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_only_the_calmest(built, collections, tmp_path):
    """30 % of the pieces, those that score the calmest, every other one counted as less calm."""
    given = [str(collections[name]) for name in ("pop909", "lieder", "own")]
    few = build_corpus.build(given, tmp_path / "calm", eval_share=0.3, seed=1, workers=1, calmest=0.3)
    records = convert_folder.read_manifest(tmp_path / "calm")
    kept = [r for r in records if r["status"] == "kept"]
    left = [r for r in records if r.get("reason") == "less-calm"]
    assert len(kept) == few.summary.kept == round(0.3 * built[1].summary.kept)
    assert len(kept) + len(left) == built[1].summary.kept and few.summary.skipped["less-calm"] == len(left)
    assert min(r["calmness"] for r in kept) >= max(r["calmness"] for r in left)
    one = next(r for r in kept if r["file"].endswith(".mid"))
    assert one["calmness"] == pytest.approx(calmness.score(read_music.read_piece(one["file"])).calmness, abs=0.01)
    assert all("sketch" not in r for r in records)
    assert "--calmest 0.3" in (tmp_path / "calm" / build_corpus.CARD_FILE).read_text(encoding="utf-8")


def test_shares():
    assert text.share("30%") == text.share("0.3") == 0.3 and text.share(1.0) == 1
    for bad in ("0", "-1", "101%", "x", ""):
        with pytest.raises(OptionError, match="--calmest is"):
            text.share(bad)
