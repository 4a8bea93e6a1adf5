"""The run folder without a training: sessions, evaluations, checkpoints, events."""

from __future__ import annotations

import dataclasses
import json

import pytest

from calmvae.common.errors import OutputError
from calmvae.training import run_folder
from calmvae.training.training_options import Options
from tests.conftest import tiny_spec

LINES = [{"step": 2, "loss": 1.5}, {"step": 4, "loss": 1.0}, {"step": 4, "loss": 0.5}]


def open_run(path, record=None, **changes):
    model = {"config": "tiny", "hparams": {"z_size": 3}}
    return run_folder.open_run(path, Options(**changes), "data", record or model, {"z_size": 3, "learning_rate": 1})


def test_every_session_is_noted(tmp_path):
    run = open_run(tmp_path / "a" / "run", note="first")
    run.finish("steps reached", 6, 1.26, LINES[1], LINES[0])
    open_run(tmp_path / "a" / "run", seed=5)
    record = json.loads((run.path / "run.json").read_text())
    first, second = record["sessions"]
    assert (
        record["config"] == "tiny" and first["hparams"] == {"z_size": 3, "learning_rate": 1} and first["data"] == "data"
    )
    assert (first["ended"], first["step"], first["seconds"], first["options"]["seed"]) == ("steps reached", 6, 1.3, 0)
    assert second["options"]["seed"] == 5 and "ended" not in second
    assert (run.path / "notes.txt").read_text().endswith("  first\n")


def test_evaluations_come_back_with_that_of_the_model(tmp_path):
    run = open_run(tmp_path)
    assert run.evaluations() == ([], {})
    for line in LINES:
        run.add_evaluation(line)
    assert run.evaluations() == ([], {})
    run.model.mkdir()
    for step, kept in ((2, LINES[0]), (4, LINES[2])):
        (run.model / "model.json").write_text(json.dumps({"step": step}))
        assert run.evaluations() == (LINES, kept)
    (run.model / "model.json").write_text(json.dumps({"step": 5}))
    assert run.evaluations() == ([], {})


def test_the_engine_writes_the_checkpoint(tmp_path):
    class Engine:
        def save(self, prefix):
            self.prefix = prefix

    run, engine = open_run(tmp_path), Engine()
    assert run.checkpoint() is None
    run.save(engine)
    assert engine.prefix == str(tmp_path / "train" / "model.ckpt") and (tmp_path / "train").is_dir()
    assert run.samples() == run.samples() == tmp_path / "samples"


def test_events_are_for_tensorboard(tmp_path):
    run = open_run(tmp_path)
    run.close()
    assert not (tmp_path / "events").exists()
    run.add_events(3, {"loss": 0.5})
    run.close()
    assert b"loss" in next((tmp_path / "events").iterdir()).read_bytes()


def test_models_are_not_mixed(tmp_path):
    melody = tiny_spec()
    open_run(tmp_path / "other")
    open_run(tmp_path / "melody", {"spec": melody.to_json()})
    for folder, model, words in (
        ("other", {"config": "tiny", "hparams": {"z_size": 4}}, "tiny with z_size 3, not 4"),
        ("other", {"config": "tiny", "hparams": {}}, "tiny with z_size 3, not None"),
        ("other", {"config": "small", "hparams": {"z_size": 3}}, "tiny, not small"),
        ("other", {"spec": melody.to_json()}, "tiny, not calm-mel_2bar"),
        ("melody", {"config": "tiny", "hparams": {}}, "calm-mel_2bar, not tiny"),
        ("melody", {"spec": tiny_spec(layers=2).to_json()}, r"calm-mel_2bar with enc_rnn_size \[24\], not \[24, 20\]"),
    ):
        with pytest.raises(OutputError, match=f"holds a training of {words}; choose another run folder with -o"):
            open_run(tmp_path / folder, model)
    renamed = dataclasses.replace(melody, name="calmer")
    assert open_run(tmp_path / "melody", {"spec": renamed.to_json()}).path == tmp_path / "melody"


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "run").mkdir()
    for content in ("{", "[]", "{}", '{"spec": 3}'):
        (tmp_path / "run" / "run.json").write_text(content)
        with pytest.raises(OutputError, match="was not made by `calmvae train`"):
            open_run(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(OutputError, match="not empty and was not made by calmvae"):
        open_run(tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot make"):
        open_run(tmp_path / "mine" / "thesis.txt")
