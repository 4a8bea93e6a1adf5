"""A name or path to a model, whatever it stands for: what it opens as, and by what its config is told."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import find_model, magenta_js, model_folder, open_model, tf_checkpoint
from calmvae.common.errors import ModelError, OptionError
from calmvae.generate import interpolation, sampling
from calmvae.model import config_catalog, magenta_config, model_spec
from calmvae.training import tf_graph, train_melody
from tests.conftest import PIECES, random_weights, run_calmvae, tiny_spec
from tests.random_checkpoints import hparams_of, save_random

STOCK = "cat-mel_2bar_small"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CALMVAE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Magenta's cat-mel_2bar_small in full size, trained for a step by its own graph, with its optimiser's slots."""
    spec = model_spec.with_hparams(config_catalog.get_spec(STOCK), {"batch_size": 2})
    trainer = tf_graph.TrainingGraph(spec, seed=0)
    trainer.train(np.random.default_rng(0).integers(0, 90, (2, 32)).astype(np.uint8))
    prefix = trainer.save(str(tmp_path_factory.mktemp("stock") / "model.ckpt"))
    trainer.close()
    return Path(prefix)


def forms(prefix: Path, folder: Path) -> dict[str, Path]:
    """The same checkpoint in every form."""
    archive = folder / "stock.tar"
    with tarfile.open(archive, "w") as tar:
        for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            tar.add(file, f"{STOCK}/{file.name}")
    with tarfile.open(folder / "stock.tar.gz", "w:gz", compresslevel=1) as tar:
        for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
            tar.add(file, file.name)
    run = folder / "run"
    run.mkdir()
    (run / "train").symlink_to(prefix.parent)
    return {
        "prefix": prefix,
        "index": Path(f"{prefix}.index"),
        "folder": prefix.parent,
        "run folder": run,
        "tar": archive,
        "tar.gz": folder / "stock.tar.gz",
    }


def test_a_stock_checkpoint_in_every_form(stock, tmp_path):
    """Told by its variables without being asked, sampled, interpolated and fine-tuned, with the same result."""
    notes, paths, tuned = [], [], []
    data = tmp_path / "data"
    assert run_calmvae("convert", *PIECES[:4], "-o", data).returncode == 0
    for form, path in forms(stock, tmp_path).items():
        opened = find_model.open_model(path)
        assert opened.config == STOCK and "variables" in opened.told_by
        model = open_model.load_model(path)
        notes.append([made.piece.notes for made in sampling.sample(model, 2, bars=2, seed=1)])
        paths.append(interpolation.interpolate(PIECES[0], PIECES[1], model, steps=3, bars=2).piece.notes)
        if form in ("prefix", "folder", "tar"):
            run = tmp_path / f"tuned-{form}"
            spec = train_melody.spec_to_train(None, ["batch_size=4"], find_model.open_to_train(path, None), run)
            options = train_melody.Options(steps=2, init=str(path), seed=3, eval_every=2, save_every=2, sample_every=0)
            train_melody.train(spec, data, run, options)
            tuned.append(model_folder.read_weights(run / "model"))
            slots = tf_checkpoint.read(tf_checkpoint.latest(run / "train"), slots=True)
            assert any(name.endswith("/Adam") for name in slots)
    assert all(found == notes[0] for found in notes) and all(found == paths[0] for found in paths)
    before = open_model.load_model(stock).engine.weights
    for name, value in tuned[0].items():
        assert all(np.array_equal(value, other[name]) for other in tuned[1:])
        # Two small steps from where it was, not from fresh weights.
        assert 0 < np.abs(value - before[name]).max() < 0.01 or not before[name].any()


def test_commands_take_it(stock, tmp_path):
    """The same at the command line, without TensorFlow, and train follows the model's config."""
    archive = forms(stock, tmp_path)["tar"]
    done = run_calmvae("sample", "-n", "1", "--bars", "2", "--model", archive, "-o", tmp_path / "a", "--no-sound")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["model"]["config"] == STOCK and len(record["model"]["sha256"]) == 64
    settings = ("--set", "batch_size=4", "--steps", "1", "--sample-every", "0")
    done = run_calmvae("train", *PIECES[:3], "--from", archive, "-o", tmp_path / "tuned", *settings)
    assert done.returncode == 0, done.stderr
    assert model_folder.read_spec(tmp_path / "tuned" / "model")[0].name == STOCK


def test_cudnn_layout_is_fine_tuned(tmp_path):
    """A release as cuDNN left it, with conductor, is told by name and trained on."""
    from tests.test_tf_old_names import as_trained_by_cudnn

    spec = tiny_spec("calm-mel_2bar")
    weights = random_weights(spec)
    old = tf_checkpoint.write(tmp_path / "old" / "old.ckpt", as_trained_by_cudnn(weights))
    assert run_calmvae("convert", *PIECES[:3], "-o", tmp_path / "data").returncode == 0
    options = train_melody.Options(steps=1, init=old, eval_every=1, save_every=1, sample_every=0)
    wanted = model_spec.with_hparams(config_catalog.get_spec(spec.name), {"batch_size": 4})
    tuned = open_model.shaped_like(find_model.open_to_train(old, spec.name).spec, wanted)
    train_melody.train(tuned, tmp_path / "data", tmp_path / "run", options)
    after = model_folder.read_weights(tmp_path / "run" / "model")
    assert all(np.abs(after[n] - weights[n]).max() < 0.02 for n in weights)


def test_other_sizes_are_taken_from_the_variables(tmp_path):
    spec = tiny_spec("calm-mel_2bar-big", layers=2)
    prefix = tf_checkpoint.write_weights(tmp_path / "m.ckpt", spec, random_weights(spec))
    with pytest.raises(ModelError, match=r"those of .*cat-mel_2bar_small.* in other sizes; name the config"):
        find_model.open_model(prefix)
    opened = find_model.open_model(prefix, "calm-mel_2bar-big")
    assert opened.spec.shape() == spec.shape() and "its sizes by its variables" in opened.told_by


def test_a_mismatch_names_variables(stock):
    with pytest.raises(ModelError) as caught:
        find_model.open_model(stock, "hierdec-mel_16bar")
    said = str(caught.value)
    assert "they are those of cat-mel_2bar_small" in said and "core_decoder/decoder" in said and "missing" in said
    with pytest.raises(ModelError, match="cat-drums_2bar_small, which --config says"):
        find_model.open_model(stock, "cat-drums_2bar_small")
    with pytest.raises(OptionError, match="did you mean cat-mel_2bar_small"):
        find_model.open_model(stock, "cat-mel_2bar_smal")


def test_alike_configs_have_to_be_named(tmp_path):
    """All GrooVAE models of 2 bars have the same variables."""
    config = "groovae_2bar_humanize"
    weights = {name: np.zeros(shape, np.float32) for name, shape in config_catalog.shapes(config).items()}
    prefix = tf_checkpoint.write(tmp_path / "g.ckpt", weights)
    with pytest.raises(ModelError, match=r"groovae_2bar_humanize, .*alike; choose one of them with --config"):
        find_model.open_model(prefix)
    assert find_model.open_model(prefix, config).config == config


def test_nothing_known(tmp_path):
    prefix = tf_checkpoint.write(tmp_path / "x.ckpt", {"layer/kernel": np.zeros((3, 3))})
    with pytest.raises(ModelError, match="no config that calmvae knows"):
        find_model.open_model(prefix)
    for name in ("nothing", tmp_path / "nothing"):
        with pytest.raises(ModelError, match="no model"):
            find_model.open_model(name)
    with pytest.raises(ModelError, match=r"published but not here yet; run: calmvae models fetch cat-mel_2bar_big"):
        find_model.open_model("cat-mel_2bar_big")


def test_a_folder_of_another_config(tiny_model):
    with pytest.raises(ModelError, match="is of config calm-mel_2bar, not calm-mel_16bar"):
        find_model.open_model(tiny_model, "calm-mel_16bar")


def test_magenta_js_folders(tmp_path):
    spec = tiny_spec()
    weights = random_weights(spec)
    magenta_js.export(tmp_path / "js", spec, weights)
    opened = find_model.open_model(tmp_path / "js")
    assert opened.form == "magenta-js checkpoint" and opened.told_by == "config.json"
    assert opened.spec.shape() == spec.shape()
    assert all(np.array_equal(opened.weights[n], weights[n]) for n in weights)
    model = open_model.load_model(tmp_path / "js")
    assert len(sampling.sample(model, 1, bars=4)[0].piece.notes)


def test_every_config_is_told_by_its_shapes():
    """But those which are alike; the bars of those are in the table."""
    for name in config_catalog.names():
        assert name in config_catalog.matching(config_catalog.shapes(name)) and config_catalog.is_like(
            name, config_catalog.shapes(name)
        )


@pytest.mark.slow
def test_the_catalog_is_what_magenta_builds():
    """Every one of its configs, built again."""
    from calmvae.common import magenta_import
    from tools import magenta_configs

    written = json.loads((Path(config_catalog.__file__).parent / "magenta_configs.json").read_text())
    # Other tests may have put ours beside Magenta's.
    assert list(written) == sorted(n for n in magenta_import.load().configs.CONFIG_MAP if not n.startswith("calm-"))
    for name, entry in written.items():
        assert json.loads(json.dumps(magenta_configs.described(name))) == entry, name
        if entry["spec"]:
            spec = magenta_config.spec_of_magenta(name, magenta_import.load().configs.CONFIG_MAP[name])
            assert config_catalog.spec(name) == spec


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in config_catalog.names() if not name.startswith("calm")])
def test_every_config_is_imported_and_sampled(name, tmp_path):
    """Random weights under Magenta's names, as a checkpoint, through `calmvae models import`, by name."""
    prefix = save_random(name, tmp_path / "random" / "model.ckpt-1")
    done = run_calmvae("models", "import", prefix, "--name", f"my-{name}", "--config", name)
    assert done.returncode == 0, done.stderr
    opened = find_model.open_model(f"my-{name}")
    assert opened.config == name and opened.form == "model folder"
    model = open_model.of_opened(opened)
    if opened.spec:
        assert model.spec.z_size == hparams_of(name)["z_size"]
        pieces = [made.piece for made in sampling.sample(model, 2, bars=model.spec.bars, temperature=1.0)]
    else:
        given: dict = {}
        if "chords" in name:
            given = {"chords": "C G Am F"}
        elif model.config.data_converter.control_depth:
            depth = model.config.data_converter.control_depth
            given = {"controls": np.eye(depth)[np.arange(model.config.hparams.max_seq_len) % depth]}
        pieces = [made.piece for made in sampling.sample(model, 2, temperature=1.0, seed=0, **given)]
    assert len(pieces) == 2 and any(piece.notes for piece in pieces)


def test_what_is_no_melody_model_is_told_by_one_sentence(tmp_path):
    """By its place where there is one, as read or as opened."""
    config = "cat-drums_2bar_small"
    model_folder.write_other(tmp_path, config, {}, {"decoder/z": np.zeros(3)}, {})
    said = (
        f"^{tmp_path}, of config '{config}', is not a melody model; `calmvae sample`, [^\n]* such as calm-mel_2bar\\.$"
    )

    def trained(place: Path) -> None:
        train_melody.spec_to_train(None, [], find_model.open_to_train(place, None), place)

    for opened in (model_folder.read_spec, open_model.load_melody_model, trained):
        with pytest.raises(ModelError, match=said):
            opened(tmp_path)
