"""A personal prior: its files, and that samples from it are nearer to one's own music."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.cli import run_personalize
from calmvae.cli.console import Console
from calmvae.common import output_folder, seeds
from calmvae.common.errors import DataError, InputError, ModelError, OptionError, OutputError
from calmvae.generate import sampling
from calmvae.latent import personal_prior, sample_statistics, slerp
from calmvae.model.melody_model import MelodyModel
from calmvae.music import melody_tokens, melody_windows
from tests import builders
from tests.conftest import PIECES, ROOT, run_calmvae

QUIET = Console(quiet=True)


def of_source(model: MelodyModel, source: Path, sha256: str) -> MelodyModel:
    """The same model, from elsewhere."""
    return MelodyModel(source, model.spec, model.engine, sha256=sha256)


@pytest.fixture
def model(tiny_model, tmp_path, monkeypatch):
    """A model folder of the user's own, and a cache that is empty."""
    monkeypatch.setenv("CALMVAE_CACHE", str(tmp_path / "cache"))
    return open_model.load_model(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture(scope="module")
def shared(tiny_model, tmp_path_factory):
    """A model with a prior beside it, for tests that change neither."""
    model = open_model.load_model(shutil.copytree(tiny_model, tmp_path_factory.mktemp("shared") / "model"))
    run_personalize.personalize(PIECES, model, None, QUIET)
    return model


def made(model, paths=PIECES, **options):
    return run_personalize.personalize(paths, model, None, QUIET, **options)


def test_same_seed_same_bytes(model):
    file = personal_prior.place(model) / personal_prior.PRIOR_FILE
    found = []
    for seed in (0, 0, 1):
        made(model, seed=seed)
        found.append(file.read_bytes())
    assert found[0] == found[1] != found[2]


def test_saved_and_loaded_it_is_the_same(model):
    prior = made(model)
    back = personal_prior.load_prior(model)
    assert np.array_equal(prior.draw(np.random.default_rng(0), 5), back.draw(np.random.default_rng(0), 5))
    assert back.record == prior.record and back.describe() == prior.describe()
    assert back.source == model.source / "personal" / personal_prior.PRIOR_FILE
    assert back.describe()["sha256"] == output_folder.sha256(model.source / "personal" / personal_prior.PRIOR_FILE)
    elsewhere = shutil.copytree(model.source / "personal", model.source.parent / "elsewhere")
    assert personal_prior.load_prior(model, elsewhere).source.parent == elsewhere


def test_embedded_models_are_not_written_into(model, monkeypatch):
    cache = model.source.parent / "cache"
    embedded = open_model.load_model("calm-mel_2bar")
    assert personal_prior.place(embedded) == cache / "personal" / "calm-mel_2bar"
    with pytest.raises(
        ModelError, match="beside calm-mel_2bar; make one: calmvae personalize MY_MIDI/ --model calm-mel"
    ):
        personal_prior.load_prior(embedded)
    # Of one's own, under the same name.
    monkeypatch.chdir(model.source.parent)
    model.source.rename("calm-mel_2bar")
    assert str(personal_prior.place(open_model.load_model("calm-mel_2bar"))) == "calm-mel_2bar/personal"


def test_what_is_no_model_folder_is_not_written_into(model, tmp_path):
    checkpoint = tmp_path / "there" / "model.ckpt-10"
    found = personal_prior.place(of_source(model, checkpoint, "0123456789abcdef"))
    assert found == tmp_path / "cache" / "personal" / "model.ckpt-10-01234567"
    scattered = of_source(model, checkpoint, "")
    before = personal_prior.sha256_of(scattered)
    assert len(before) == 64 and personal_prior.sha256_of(scattered) == before
    model.engine.weights["encoder/mu/bias"] = model.engine.weights["encoder/mu/bias"] + 1
    assert personal_prior.sha256_of(scattered) != before


def test_the_prior_of_another_model_is_refused(model):
    prior = made(model)
    other = of_source(model, model.source, "ab" * 32)
    with pytest.raises(ModelError, match=r"belongs to another model than .* \(SHA-256 \w{12}, not abababababab\)"):
        personal_prior.load_prior(other)
    with pytest.raises(ModelError, match="another model"):
        sampling.sample(other, prior=prior)
    with pytest.raises(ModelError, match="another model"):
        sampling.sample("calm-mel_2bar", prior=dataclasses.replace(prior, record={}))
    # Of one that was just fitted and not saved, the size is all that is known.
    assert dataclasses.replace(prior, record={}).check(model)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", None])
def test_damaged_files_are_one_sentence(model, content):
    made(model)
    file = personal_prior.place(model) / personal_prior.PRIOR_FILE
    file.write_bytes(file.read_bytes()[:-7] if content is None else content)
    with pytest.raises(ModelError, match=r"is damaged; make it again: calmvae personalize MY_MIDI/ --model "):
        personal_prior.load_prior(model)


def test_the_prior_of_an_earlier_version_is_to_be_made_anew(model):
    from safetensors.numpy import save

    folder = personal_prior.place(model)
    folder.mkdir()
    (folder / personal_prior.PRIOR_FILE).write_bytes(save({"center": np.zeros(4, np.float32)}))
    (folder / "personal.json").write_text("{}")
    with pytest.raises(
        ModelError, match=r"of an earlier version .*; make it again: calmvae personalize MY_MIDI/ --mod"
    ):
        personal_prior.load_prior(model)
    outputs = {file.name: output_folder.sha256(file) for file in folder.iterdir()}
    run = {"calmvae": "personalize", "outputs": outputs}
    (folder / output_folder.RUN_FILE).write_text(json.dumps(run))
    assert made(model).check(model) and not (folder / "personal.json").exists()


def test_only_its_own_files_are_replaced(model):
    folder = personal_prior.place(model)
    made(model)
    made(model, seed=1)
    (folder / personal_prior.PRIOR_FILE).write_bytes(b"mine")
    with pytest.raises(OutputError, match="was changed since calmvae wrote it"):
        made(model)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / personal_prior.PRIOR_FILE).write_text("mine")
    with pytest.raises(OutputError, match="not made by calmvae"):
        made(model)
    assert (folder / personal_prior.PRIOR_FILE).read_text() == "mine" and len(list(folder.iterdir())) == 1


def test_every_piece_is_accounted_for(model, tmp_path, capsys):
    music = tmp_path / "music"
    music.mkdir()
    for file in PIECES[:2]:
        shutil.copy(file, music)
    shutil.copy(PIECES[0], music / "again.mid")
    builders.write_drums_only(music / "drums.mid")
    builders.write_no_notes(music / "silence.mid")
    builders.write_random_bytes(music / "noise.mid")
    (music / "readme.txt").write_text("not music")
    run_personalize.personalize([music], model, None, Console())
    said, remarks = capsys.readouterr()
    assert "6 pieces read = 2 kept + 4 skipped (" in said and "other files ignored: 1." in said
    for count in ("1 drums-only", "1 no-notes", "1 unreadable", "1 duplicate"):
        assert count in said
    assert f"Try it: calmvae sample --model {model.source} --prior personal" in said
    assert f"Skipped: {music / 'drums.mid'}: " in remarks and "the same music as again" in remarks
    run = json.loads((personal_prior.place(model) / output_folder.RUN_FILE).read_text())
    assert [p["status"] for p in run["pieces"]].count("kept") == run["result"]["pieces"] == 2
    assert run["result"]["windows"] == sum(p.get("windows", 0) for p in run["pieces"])


def test_tune_books_are_read_whole(model, tmp_path):
    book = tmp_path / "book.abc"
    tunes = ("C D E F|G A B c|", "c B A G|F E D C|", "C D E F|G A B c|")
    book.write_text("\n".join(f"X:{k}\nT:Tune {k}\nM:4/4\nL:1/4\nK:C\n{t}\n" for k, t in enumerate(tunes, 1)))
    material = run_personalize.read([book], model.spec)
    assert [record["status"] for record in material.records] == ["kept", "kept", "skipped"]
    assert material.skipped() == {"duplicate": 1} and material.pieces.max() == 1


@pytest.mark.parametrize("write", [builders.write_drums_only, builders.write_no_notes, builders.write_random_bytes])
def test_nothing_of_use_is_one_sentence(model, tmp_path, write):
    write(tmp_path / "one.mid")
    with pytest.raises(
        DataError, match=r"^none of 1 pieces can be used: 1 [\w-]+ \(.*\); give files with pitched notes"
    ):
        made(model, [tmp_path / "one.mid"])
    assert not personal_prior.place(model).exists()


def test_wrong_options_and_no_files_are_one_sentence(model, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no music file in"):
        made(model, [tmp_path / "empty"])
    with pytest.raises(InputError, match="does not exist"):
        made(model, [tmp_path / "nowhere"])
    with pytest.raises(OptionError, match="unknown melody method 'loudest'"):
        made(model, melody="loudest")
    with pytest.raises(OptionError, match="at most 0 windows"):
        made(model, most=0)


@pytest.mark.parametrize(("most", "seed"), [(20, 0), *((1, seed) for seed in range(8))])
def test_few_windows_are_enough(model, most, seed):
    prior = made(model, PIECES[:1], most=most, seed=seed)
    assert prior.record["windows"] <= most and prior.record["components"] > 0
    assert np.isfinite(prior.draw(np.random.default_rng(0), 10)).all()


def test_one_piece_holds_out_some_of_its_bars_and_one_note_will_do(model, tmp_path):
    prior = made(model, PIECES[:1])
    assert prior.record["pieces"] == 1 and prior.record["held_out"] > 0
    assert sampling.sample(model, 2, prior=prior)[1].info["prior"]["name"] == "personal"
    builders.write_one_note(tmp_path / "one.mid")
    assert np.isfinite(made(model, [tmp_path / "one.mid"]).draw(np.random.default_rng(0), 10)).all()


@pytest.mark.parametrize("bars", [1, 2, 16])
def test_held_out_windows_share_no_bar_with_the_others(bars):
    lengths = [60, 3, 1, 200, 34]
    pieces = np.repeat(np.arange(len(lengths)), lengths)
    at = np.concatenate([np.arange(n) for n in lengths])
    train, held_out = run_personalize.split(pieces, bars, np.random.default_rng(0))
    assert not (train & held_out).any() and 0 < held_out.sum() <= 0.15 * len(pieces)
    for piece, length in enumerate(lengths):
        mine = pieces == piece
        assert train[mine].sum() >= length / 2
        for x, y in itertools.product(at[mine & train], at[mine & held_out]):
            assert abs(x - y) >= bars


def test_samples_are_the_same_every_time_and_not_the_standard_ones(shared):
    prior = personal_prior.load_prior(shared)
    draw = lambda n, **more: sampling.sample(shared, n, bars=8, seed=2, **more)  # noqa: E731
    three, again, standard = draw(3, prior=prior), draw(2, prior=personal_prior.load_prior(shared)), draw(2)
    assert [one.piece for one in three[:2]] == [one.piece for one in again]
    assert three[0].piece.notes != standard[0].piece.notes and three[0].piece.notes != three[1].piece.notes
    assert three[0].info["prior"] == prior.describe() and standard[0].info["prior"] == "standard"


@pytest.mark.parametrize("bars", [2, 24])
def test_standard_samples_are_what_they_were(model, bars):
    count = bars // model.spec.bars
    drawn = [slerp.anchors(np.random.default_rng([3, k]), count, 4, model.spec.z_size) for k in range(8)]
    paths = [slerp.through(anchors, count, 4) for anchors in drawn]
    drawn = [seeds.hash_seed(3, k) for k in range(8)]
    tokens = model.engine.decode(np.concatenate(paths), 0.5, drawn).reshape(8, count, -1)
    for one, windows in zip(sampling.sample(model, 8, bars=bars, seed=3), tokens, strict=True):
        wanted = [pitch for pitch, _, _ in melody_tokens.token_notes(melody_windows.join_windows(windows))]
        assert [note.pitch for note in one.piece.notes] == wanted


def test_without_tensorflow(model):
    code = (
        "import sys, calmvae; from pathlib import Path; from calmvae.cli import run_personalize;"
        "from calmvae.latent import personal_prior;"
        "from calmvae.cli.console import Console; m = calmvae.load_model(sys.argv[1]);"
        "run_personalize.personalize([Path(sys.argv[2])], m, None, Console(quiet=True));"
        "calmvae.sample(m, 1, prior=personal_prior.load_prior(m));"
        "heavy = {'tensorflow', 'magenta', 'note_seq', 'librosa', 'pandas', 'matplotlib'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    arguments = [sys.executable, "-c", code, str(model.source), str(PIECES[0])]
    subprocess.run(arguments, check=True, cwd=ROOT, timeout=120)


def test_samples_are_nearer_to_ones_own_music(tmp_path):
    """The embedded model, and a fit much shorter than the real one."""
    model = open_model.load_model("calm-mel_2bar")
    prior = run_personalize.personalize(PIECES, model, tmp_path / "prior", QUIET)
    own = run_personalize.read(PIECES, model.spec).tokens
    rng = np.random.default_rng(0)
    compared = [
        sample_statistics.compare(model.engine.decode(z, 0.5, 0), own, own)
        for z in (prior.draw(rng, 100), rng.standard_normal((100, model.spec.z_size)))
    ]
    assert compared[0].nearest[0] < 0.7 * compared[1].nearest[0] and compared[0].exact[0] < 0.05
    assert compared[0].mean_overlap > compared[1].mean_overlap - 0.02
    mu, _ = model.engine.encode(own)
    lengths = np.linalg.norm(prior.draw(rng, 100), axis=1)
    assert np.linalg.norm(mu, axis=1).mean() < lengths.mean() < model.spec.z_size**0.5


def test_commands(tmp_path, tiny_model):
    """personalize, then sample near one's own music; from another model's folder it is refused."""
    model = tmp_path / "mine"
    shutil.copytree(tiny_model, model)
    done = run_calmvae("personalize", *PIECES[:3], "--model", model)
    assert done.returncode == 0, done.stderr
    assert "3 pieces read = 3 kept + 0 skipped" in done.stdout and "--prior personal" in done.stdout
    arguments = ("sample", "-n", "1", "--bars", "4", "--no-sound", "--no-picture", "--model", model)
    assert run_calmvae(*arguments, "--prior", "personal", "-o", tmp_path / "a").returncode == 0
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["arguments"]["prior"] == "personal" and record["result"][0]["prior"] != "standard"
    assert run_calmvae(*arguments, "--prior", model / "personal", "-o", tmp_path / "b").returncode == 0
    assert (tmp_path / "a" / "sample-01.mid").read_bytes() == (tmp_path / "b" / "sample-01.mid").read_bytes()
    assert run_calmvae(*arguments, "-o", tmp_path / "c").returncode == 0
    assert (tmp_path / "a" / "sample-01.mid").read_bytes() != (tmp_path / "c" / "sample-01.mid").read_bytes()
    for given, sentence in (("persnal", "choose standard, calm, personal"), (tmp_path / "a", "no personal prior in")):
        refused = run_calmvae(*arguments, "--prior", given, "-o", tmp_path / "d")
        assert refused.returncode == 2 and sentence in refused.stderr and refused.stderr.count("\n") == 1
