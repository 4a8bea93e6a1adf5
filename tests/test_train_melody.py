"""Training: what cannot be trained on is refused, what can is trained, resumed, stopped and fine-tuned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from calmvae.checkpoints import find_model, model_folder, open_model, tf_checkpoint
from calmvae.common.errors import DataError, InputError, ModelError, OptionError, OutputError
from calmvae.data import convert_folder
from calmvae.latent import evaluation
from calmvae.midi import write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.training import train_melody
from tests.conftest import ROOT, random_weights, run_calmvae, tiny_spec


def write_tune(path, pitches, metre=(4, 4)):
    notes = [Note(p, 64, k * 0.5, (k + 1) * 0.5) for k, p in enumerate(pitches)]
    write_midi.write_midi(Piece(notes, [(0.0, 120.0)], [(0.0, *metre)]), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A converted folder of ten tunes."""
    folder = tmp_path_factory.mktemp("tunes")
    rng = np.random.default_rng(0)
    for k in range(10):
        write_tune(folder / f"tune{k}.mid", 60 + rng.integers(0, 12, 32))
    convert_folder.convert([folder], folder / "out", steps=32, workers=1)
    return folder / "out"


def options(**changes) -> train_melody.Options:
    few = {"steps": 6, "eval_every": 3, "save_every": 3, "sample_every": 0, "log_every": 2}
    return train_melody.Options(**{**few, **changes})


def shaped(model, spec):
    """The spec with the sizes of a model."""
    return open_model.shaped_like(find_model.open_model(model).spec, spec)


def losses(run, spec, data, **changes):
    seen = {}
    train_melody.train(
        spec, data, run, options(log_every=1, **changes), lambda p: seen.update({p.step: p.scalars["loss"]})
    )
    return seen


def test_run_folder_tells_its_story(data, tmp_path):
    run, said = tmp_path / "run", []
    result = train_melody.train(tiny_spec(), data, run, options(note="first try", sample_every=6), say=said.append)
    assert any("from 9 pieces to train on" in s and s.endswith(" from 1 held-out piece.") for s in said), said
    assert (result.reason, result.step) == ("steps reached", 6)
    record = json.loads((run / "run.json").read_text())
    assert record["step"] == 6 and record["sessions"][0]["ended"] == "steps reached"
    assert "first try" in (run / "notes.txt").read_text()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6] and 0 <= lines[0]["accuracy"] <= 1
    assert list((run / "events").glob("events.*"))
    assert (run / "samples" / "step-00000006.mid").stat().st_size and (run / "samples" / "step-00000006.png").exists()
    assert open_model.load_model(run).spec == tiny_spec()
    saved = tf_checkpoint.read(tf_checkpoint.latest(run / "train"), slots=True)
    assert set(numpy_engine.weight_shapes(tiny_spec())) <= set(saved) and saved["global_step"] == 6


@pytest.mark.parametrize("engine", ["numpy", "magenta"])
def test_resumed_training_is_the_unbroken_one(data, tmp_path, engine):
    """Same batches, weights, optimiser and draws.

    The draws of Magenta's graph are its own, so there the decoder is teacher-forced and sigma fixed near 0."""
    # Magenta builds the flat decoder's graph far sooner.
    spec, start = tiny_spec("calm-mel_2bar" if engine == "numpy" else "cat-mel_2bar_small"), None
    if engine == "magenta":
        spec = model_spec.with_hparams(spec, {"sampling_schedule": "constant", "sampling_rate": 0.0})
        weights = random_weights(spec)
        weights["encoder/sigma/bias"] = np.full(spec.z_size, -30, np.float32)
        weights["encoder/sigma/kernel"] *= 0
        model_folder.write(tmp_path / "start", spec, weights, {})
        start = str(tmp_path / "start")
    unbroken = losses(tmp_path / "a", spec, data, init=start, engine=engine)
    losses(tmp_path / "b", spec, data, init=start, steps=3, engine=engine)
    resumed = losses(tmp_path / "b", spec, data, init=start, engine=engine)
    assert sorted(resumed) == [4, 5, 6]
    wanted = [unbroken[k] for k in (4, 5, 6)]
    assert [resumed[k] for k in (4, 5, 6)] == (wanted if engine == "numpy" else pytest.approx(wanted, rel=1e-3))


def test_engines_are_checked(data, tmp_path):
    with pytest.raises(OptionError, match="unknown engine 'fast'; choose one of auto, numpy, jax, magenta"):
        train_melody.train(tiny_spec(), data, tmp_path / "a", options(engine="fast"))
    dropping = model_spec.with_hparams(tiny_spec(), {"dropout_keep_prob": 0.9})
    with pytest.raises(OptionError, match="use --engine magenta"):
        train_melody.train(dropping, data, tmp_path / "b", options(engine="numpy"))
    said = []
    train_melody.train(dropping, data, tmp_path / "c", options(steps=1, eval_every=1), say=said.append)
    assert any("Magenta's graph" in sentence for sentence in said)


@pytest.fixture
def measured(monkeypatch) -> list[tuple[float, float]]:
    """Accuracy and onset accuracy that the next evaluations find."""
    numbers: list[tuple[float, float]] = []

    def measure(self, weights):
        accuracy, onsets = numbers.pop(0)
        return evaluation.Metrics(10, accuracy, onsets, 0.5, 0.0, 9.0, 3.0, 2)

    monkeypatch.setattr(train_melody._Task, "measure", measure)
    return numbers


def steps_called_best(data, run, **changes) -> tuple[train_melody.Result, list[int]]:
    seen = []
    report = lambda p: seen.append(p.step) if p.best else None  # noqa: E731
    return train_melody.train(tiny_spec(), data, run, options(eval_every=2, **changes), report), seen


def test_a_model_that_only_holds_notes_is_not_the_best(data, tmp_path, measured):
    measured += [(0.68, 0.4), (0.69, 0.003), (0.67, 0.3)]
    result, best = steps_called_best(data, tmp_path / "run")
    assert best == [2] and result.best == result.kept and result.best["step"] == 2
    assert result.words() == "best held-out accuracy 0.680, onsets 0.400 at step 2"
    assert open_model.load_model(tmp_path / "run").meta["step"] == 2


def test_the_last_model_is_not_called_the_best(data, tmp_path, measured):
    """Kept it is all the same, without end of patience; a session that keeps the best again says both."""
    measured += [(0.8, 0.6), (0.7, 0.5), (0.75, 0.5), (0.76, 0.5)]
    result, best = steps_called_best(data, tmp_path / "run", keep="last", patience=1)
    assert best == [2] and (result.best["step"], result.kept["step"], result.step) == (2, 6, 6)
    told = "the model kept has accuracy 0.750, onsets 0.500 at step 6; the best had accuracy 0.800, onsets 0.600"
    assert result.words().startswith(told)
    assert open_model.load_model(tmp_path / "run").meta["step"] == 6
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["best"]["step"], record["kept"]["step"]) == (2, 6)
    # Better than what is kept, though not than what was best.
    result, best = steps_called_best(data, tmp_path / "run", steps=8)
    assert best == [] and (result.best["step"], result.kept["step"]) == (2, 8)
    assert open_model.load_model(tmp_path / "run").meta["step"] == 8


def test_fine_tuning_holds_the_price_of_the_bits(data, tmp_path):
    small, run = tmp_path / "small", tmp_path / "run"
    model_folder.write(small, tiny_spec(), random_weights(tiny_spec()), {})
    assert train_melody.spec_to_train(None, [], None, run).hparams["beta_rate"] == 0.9999
    opened = find_model.open_to_train(small, None)
    spec = train_melody.spec_to_train(None, [], opened, run)
    assert spec.hparams["beta_rate"] == 0 and spec.hparams["z_size"] == tiny_spec().z_size
    assert train_melody.spec_to_train(None, ["beta_rate=0.9"], opened, run).hparams["beta_rate"] == 0.9
    # Levels that start from nothing have their price come in slowly.
    assert train_melody.spec_to_train("calm-mel_16bar", [], opened, run).hparams["beta_rate"] > 0.9
    said, betas = [], []
    train_melody.train(
        spec, data, run, options(init=str(small), log_every=1), lambda p: betas.append(p.scalars["losses/kl_beta"]),
        said.append,
    )  # fmt: skip
    assert betas[1:] == pytest.approx([spec.hparams["max_beta"]] * 5)
    assert "Beta is 0.6 from the start." in said
    # It goes on so, also without --from; and a run from before goes on as it began.
    assert train_melody.spec_to_train(None, [], None, run).hparams["beta_rate"] == 0
    record = json.loads((run / "run.json").read_text())
    record["sessions"][-1]["hparams"]["beta_rate"] = 0.9999
    (run / "run.json").write_text(json.dumps(record))
    assert train_melody.spec_to_train(None, [], opened, run).hparams["beta_rate"] == 0.9999


def test_it_learns(data, tmp_path):
    spec = model_spec.with_hparams(tiny_spec(), {"learning_rate": 0.01, "free_bits": 60.0})
    seen = losses(tmp_path / "run", spec, data, steps=60, eval_every=60, save_every=60)
    assert np.mean([seen[k] for k in range(56, 61)]) < 0.7 * seen[1]


def test_fine_tuning_starts_from_the_weights(data, tmp_path):
    spec = tiny_spec()
    weights = random_weights(spec)
    checkpoint = tf_checkpoint.write_weights(tmp_path / "start" / "model.ckpt", spec, weights, step=500)
    slow = model_spec.with_hparams(spec, {"learning_rate": 1e-7, "min_learning_rate": 1e-8})
    result = train_melody.train(slow, data, tmp_path / "run", options(init=checkpoint))
    assert result.step == 6
    tuned = open_model.load_model(tmp_path / "run").engine.weights
    for name in weights:
        np.testing.assert_allclose(tuned[name], weights[name], atol=1e-5)
    with pytest.raises(ModelError, match=r"do not fit .*hierarchical_level_0/cell_1.*missing"):
        train_melody.train(tiny_spec(layers=2), data, tmp_path / "other", options(init=checkpoint))


def test_sizes_come_from_the_model_to_fine_tune(tmp_path):
    spec = tiny_spec()
    model_folder.write(tmp_path, spec, random_weights(spec), {})
    default = config_catalog.get_spec("calm-mel_2bar")
    assert numpy_engine.weight_shapes(shaped(tmp_path, default)) == numpy_engine.weight_shapes(spec)
    assert shaped(tmp_path, config_catalog.get_spec("calm-mel_16bar")) == config_catalog.get_spec("calm-mel_16bar")


def test_hierarchical_config_trains(data, tmp_path):
    spec = model_spec.with_hparams(tiny_spec("calm-mel_16bar"), {"batch_size": 2})
    result = train_melody.train(spec, data, tmp_path / "run", options(steps=2, eval_every=2))
    assert result.step == 2 and open_model.load_model(tmp_path / "run").spec.bars == 16


def test_stops(data, tmp_path):
    early = train_melody.train(
        model_spec.with_hparams(tiny_spec(), {"learning_rate": 1e-9, "min_learning_rate": 1e-9}),
        data,
        tmp_path / "early",
        options(steps=100, eval_every=1, patience=3),
    )
    assert early.reason == "early stopping" and early.step < 20
    timed = train_melody.train(tiny_spec(), data, tmp_path / "timed", options(steps=0, minutes=1e-9))
    assert timed.reason == "time is up"
    assert (tmp_path / "timed" / "model" / "model.json").exists()
    wild = {"learning_rate": 1e30, "min_learning_rate": 1e30, "clip_mode": "value", "grad_clip": 1e30}
    with pytest.raises(DataError, match=r"the loss is (nan|inf) at step .*lower the learning rate"):
        train_melody.train(model_spec.with_hparams(tiny_spec(), wild), data, tmp_path / "nan", options(steps=50))


def test_one_short_piece_trains(tmp_path):
    write_tune(tmp_path / "only.mid", [60, 62, 64, 65] * 4)
    convert_folder.convert([tmp_path / "only.mid"], tmp_path / "data", steps=32, workers=1)
    said = []
    result = train_melody.train(tiny_spec(), tmp_path / "data", tmp_path / "run", options(), say=said.append)
    assert tf_checkpoint.latest(tmp_path / "run" / "train")
    assert any("No held-out pieces" in sentence for sentence in said)
    assert result.words().startswith("best accuracy ") and result.words().endswith(", on the training windows")


def test_what_fits_into_no_memory_is_said_beforehand(data, tmp_path):
    spec = config_catalog.get_spec("hierdec-mel_16bar")
    assert spec.hparams["batch_size"] == 512 and 50e9 < train_melody.step_bytes(spec) < 70e9
    for name, batch, measured in (("calm-mel_2bar", 512, 0.83e9), ("cat-mel_2bar_small", 512, 0.86e9)):
        sized = model_spec.with_hparams(config_catalog.get_spec(name), {"batch_size": batch})
        assert train_melody.step_bytes(sized) == pytest.approx(measured, rel=0.35)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_melody.memory, "total", lambda: 24e9)
        with pytest.raises(
            OptionError, match=r"takes about \d\d GB of memory, and this machine has 24 GB; .*batch_size="
        ):
            train_melody.train(spec, data, tmp_path / "big", options())


def test_waltzes_train(tmp_path):
    for k in range(3):
        write_tune(tmp_path / f"{k}.mid", [60 + k, 64, 67] * 8, metre=(3, 4))
    convert_folder.convert([tmp_path], tmp_path / "data", steps=32, workers=1)
    assert train_melody.train(tiny_spec(), tmp_path / "data", tmp_path / "run", options()).step == 6


def test_what_cannot_be_trained_on_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no train-"):
        train_melody.train(tiny_spec(), tmp_path, tmp_path / "run", options())
    (tmp_path / "bad.tfrecord").write_bytes(os.urandom(200))
    with pytest.raises(DataError, match="not a readable TFRecord"):
        train_melody.train(tiny_spec(), tmp_path / "bad.tfrecord", tmp_path / "run1", options())
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "noise.mid").write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(DataError, match="none of 1 files can be used: 1 unreadable"):
        convert_folder.convert([tmp_path / "noise"], tmp_path / "out", steps=32, workers=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no music file"):
        convert_folder.convert([tmp_path / "empty"], tmp_path / "out", steps=32, workers=1)


def test_run_folders_are_not_mixed(data, tmp_path):
    train_melody.train(tiny_spec(), data, tmp_path / "run", options(steps=1, eval_every=1))
    other = model_spec.with_hparams(tiny_spec(), {"z_size": 5})
    with pytest.raises(OutputError, match="z_size 12, not 5"):
        train_melody.train(other, data, tmp_path / "run", options())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(OutputError, match="not made by calmvae"):
        train_melody.train(tiny_spec(), data, tmp_path / "mine", options())


SMALL = ["z_size=12", "enc_rnn_size=24", "dec_rnn_size=28", "batch_size=4"]


@pytest.mark.slow
def test_killed_training_goes_on(data, tmp_path):
    """kill -9 in the middle, the same command again, then Ctrl-C: a checkpoint each time."""
    run = tmp_path / "run"
    arguments = ["train", str(data), "-o", str(run), "--save-every", "20", "--eval-every", "20", "--sample-every", "0"]
    arguments += [part for setting in SMALL for part in ("--set", setting)]
    arguments += ["--steps", "0", "--patience", "0"]
    command = [sys.executable, "-c", "from calmvae.cli.app import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: tf_checkpoint.latest(run / "train"), process)
    process.kill()
    process.wait()
    reached = int(tf_checkpoint.latest(run / "train").rpartition("-")[2])
    again = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(lambda: int(tf_checkpoint.latest(run / "train").rpartition("-")[2]) > reached, again)
    again.send_signal(signal.SIGINT)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 130, said
    assert f"Going on from step {reached}" in said and "Traceback" not in said
    record = json.loads((run / "run.json").read_text())
    assert record["sessions"][-1]["ended"] == "interrupted"
    assert record["step"] == int(tf_checkpoint.latest(run / "train").rpartition("-")[2])


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the training ended by itself"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def test_command_line_trains_from_midi_files(tmp_path):
    write_tune(tmp_path / "only.mid", [60, 62, 64, 65] * 4)
    settings = [part for setting in SMALL for part in ("--set", setting)]
    done = run_calmvae(
        *("train", tmp_path / "only.mid", "-o", tmp_path / "run", "--steps", 2, "--eval-every", 2, *settings)
    )
    assert done.returncode == 0, done.stderr
    assert "steps reached at step 2" in done.stdout
    assert (tmp_path / "run-data" / "manifest.jsonl").exists()
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 10, done.stderr
