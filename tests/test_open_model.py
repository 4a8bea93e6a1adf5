"""A model is opened once and a piece is read once, whatever the command."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from calmvae.checkpoints import find_model, model_folder, open_model
from calmvae.cli.app import app
from calmvae.common.errors import ModelError
from calmvae.midi import read_music
from calmvae.model.interface import Model
from calmvae.model.melody_model import MelodyModel
from tests.conftest import PIECES
from tests.random_checkpoints import save_random

A, B = PIECES[:2]
QUICK = ["--no-picture", "--no-sound", "--quiet"]
COMMANDS = {
    "interpolate": ["interpolate", A, B, "--steps", 2, *QUICK],
    "sample": ["sample", "--bars", 2, *QUICK],
    "sample --prior": ["sample", "--bars", 2, "--prior", "calm", *QUICK],
    "reconstruct": ["reconstruct", A, *QUICK],
    "calm": ["calm", A, *QUICK],
    "journey": ["journey", A, B, "--minutes", 1, *QUICK],
    "evaluate": ["evaluate", "calm-mel_2bar", "--data", A, "--samples", 0, "--paths", 0, "--quiet"],
}


@pytest.fixture
def seen(monkeypatch) -> Counter:
    """How often models are looked for and their weights read, and each piece."""
    counted: Counter = Counter()

    def count(module, name, key):
        true = getattr(module, name)

        def counting(*arguments, **options):
            counted[key(arguments)] += 1
            return true(*arguments, **options)

        monkeypatch.setattr(module, name, counting)

    count(find_model, "open_model", lambda _: "opened")
    count(model_folder, "read_weights", lambda _: "weights read")
    count(read_music, "read_performances", lambda arguments: Path(arguments[0]).name)
    return counted


def run(arguments, out) -> None:
    where = [] if arguments[0] == "evaluate" else ["-o", out]
    app([str(word) for word in [*arguments, *where]], prog_name="calmvae", standalone_mode=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_of_melodies(name, seen, tmp_path):
    run(COMMANDS[name], tmp_path / "out")
    pieces = {Path(word).name: 1 for word in COMMANDS[name] if str(word).endswith(".mid")}
    assert seen == {"opened": 1, "weights read": 1, **pieces}


def test_training_from_a_model(seen, tiny_model, tmp_path):
    arguments = ["train", *PIECES[:3], "--from", tiny_model, "--steps", 1, "--quiet"]
    run([*arguments, "--set", "batch_size=4"], tmp_path / "run")
    assert (seen["opened"], seen["weights read"]) == (1, 1)


@pytest.mark.filterwarnings("ignore:.*is deprecated:UserWarning")
def test_of_magenta(seen, monkeypatch, tmp_path):
    """Also the graph of a call is built once: the second and third step of the same seed find it there."""
    from calmvae.common import magenta_import
    from calmvae.model import magenta_model
    from tests.random_checkpoints import small_config

    drums = "cat-drums_2bar_small"
    prefix = save_random(drums, tmp_path / "model.ckpt-1")
    monkeypatch.setitem(magenta_import.load().configs.CONFIG_MAP, drums, small_config(drums))
    model = open_model.load_model(prefix, drums)
    assert isinstance(model, magenta_model.MagentaModel) and seen["opened"] == 1
    first = model.decode(model_latents(model, 1), 1.0, seed=3)
    graphs = dict(model._graphs)
    again = model.decode(model_latents(model, 1), 1.0, seed=3)
    assert (first[0] == again[0]).all() and model._graphs.keys() == graphs.keys() and len(graphs) == 1
    assert all(model._graphs[key] is graph for key, graph in graphs.items())


def model_latents(model: Model, n: int):
    import numpy as np

    return np.random.default_rng(0).standard_normal((n, model.z_size))


def test_whatever_it_is(tiny_model):
    model = open_model.load_model(tiny_model)
    assert isinstance(model, MelodyModel) and isinstance(open_model.load_melody_model(tiny_model), MelodyModel)
    assert model.describe()["config"] == model.name and len(model.describe()["sha256"]) == 64


def test_melodies_only(tmp_path):
    drums = "cat-drums_2bar_small"
    prefix = save_random(drums, tmp_path / "model.ckpt-1")
    with pytest.raises(ModelError, match="melod"):
        open_model.load_melody_model(prefix, drums)
