"""A model of long windows from one of short windows."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.checkpoints import find_model, model_folder, open_model
from calmvae.common.errors import ModelError
from calmvae.data import convert_folder
from calmvae.midi import read_music, write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.training import grow_model, grow_top, numpy_trainer, train_melody
from calmvae.training.decoder_gradient import Conductor
from tests import builders
from tests.conftest import random_weights, run_calmvae, tiny_spec

SMALL, LARGE = tiny_spec("calm-mel_2bar"), tiny_spec("calm-mel_16bar")
BEAT, BARS = tiny_spec("calm-piano_beat"), tiny_spec("calm-piano_2bar")


def test_what_can_grow():
    assert grow_model.can_grow(SMALL, LARGE) and grow_model.can_grow(
        config_catalog.get_spec("calm-mel_2bar"), config_catalog.get_spec("calm-mel_16bar")
    )
    assert not grow_model.can_grow(LARGE, SMALL) and not grow_model.can_grow(SMALL, SMALL)
    assert not grow_model.can_grow(SMALL, tiny_spec("calm-mel_16bar-big"))
    assert not grow_model.can_grow(SMALL, model_spec.with_hparams(LARGE, {"dec_rnn_size": [9]}))


def test_the_grown_model_reads_and_writes_two_bars_as_the_small_one():
    weights, fresh = random_weights(SMALL), numpy_trainer.initial_weights(numpy_engine.weight_shapes(LARGE), 0)
    grown = grow_model.grown(SMALL, weights, LARGE, fresh)
    numpy_engine.check_weights(LARGE, grown)
    small, large = numpy_engine.Engine(SMALL, weights), numpy_engine.Engine(LARGE, grown)
    tokens = np.random.default_rng(0).integers(0, 60, (5, 256)).astype(np.uint8)
    units = 2 * LARGE.hparams["enc_rnn_size"][0]

    def embeddings(engine, rows):
        """What the levels up to 2 bars make of rows of tokens."""
        beats = engine._run_level(
            "encoder/hierarchical_level_0", numpy_engine.codes(rows.reshape(-1, 4, 1), engine.spec)
        )
        return engine._run_level("encoder/hierarchical_level_1", beats.reshape(-1, 8, units))

    pairs = embeddings(large, tokens).reshape(5, 8, units)
    for k in range(8):
        np.testing.assert_allclose(pairs[:, k], embeddings(small, tokens[:, 32 * k : 32 * k + 32]), atol=1e-6)
    # The conductor of the beats, counted from the top, is one further down.
    cell = "decoder/hierarchical_level_{}/cell_0/lstm_cell/kernel"
    assert np.array_equal(grown[cell.format(1)], weights[cell.format(0)])
    assert np.array_equal(grown[cell.format(0)], fresh[cell.format(0)])
    assert np.array_equal(grown["encoder/mu/kernel"], fresh["encoder/mu/kernel"])


def test_training_starts_from_a_smaller_model(tmp_path):
    model_folder.write(tmp_path / "small", SMALL, random_weights(SMALL), {})
    said = []

    def start(spec, init):
        options = train_melody.Options(init=str(init))
        return train_melody._weights(spec, find_model.open_to_train(init, spec.name), options, said.append)

    found = start(LARGE, tmp_path / "small")
    assert "gives the levels up to its 2 bars" in said[0]
    assert found["core_decoder/decoder/output_projection/bias"].any()
    large = save(tmp_path / "large", model_spec.with_hparams(LARGE, {"z_size": 5}))
    with pytest.raises(ModelError, match="the weights do not fit config"):
        start(SMALL, large)


def save(folder, spec):
    model_folder.write(folder, spec, random_weights(spec), {})
    return folder


def sequences(count, seed=0):
    """What a small model with random weights makes of random long windows."""
    tokens = np.random.default_rng(seed).integers(0, 60, (count, 256)).astype(np.uint8)
    return grow_top.Sequences.of(numpy_engine.Engine(SMALL, random_weights(SMALL)), tokens)


def test_sequences_are_the_small_models_posteriors_in_order():
    tokens = np.random.default_rng(0).integers(0, 60, (3, 256)).astype(np.uint8)
    tokens[1, 32:64] = tokens[0, 64:96]
    engine = numpy_engine.Engine(SMALL, random_weights(SMALL))
    found = grow_top.Sequences.of(engine, tokens)
    mu, sigma = engine.encode(tokens[1].reshape(8, 32))
    np.testing.assert_allclose(found.mu[1], mu, atol=1e-5)
    np.testing.assert_allclose(found.sigma[1], sigma, atol=1e-5)
    assert np.array_equal(found.mu[1, 1], found.mu[0, 2]) and found.embeddings.shape == (3, 8, 48)


def test_the_tops_gradient_is_the_slope_of_its_loss():
    spec = model_spec.with_hparams(LARGE, {"batch_size": 16, "free_bits": 0.0})
    learner_ = numpy_trainer.Learner(spec, 0, 1, grow_top._Top, grow_top.shapes(spec, SMALL.z_size))
    rng = np.random.default_rng(1)
    weights = {n: (0.1 * rng.standard_normal(w.shape)).astype(np.float32) for n, w in learner_.weights().items()}
    batch = grow_top._Batch(sequences(16), rng.standard_normal((16, spec.z_size)).astype(np.float32))

    def loss_and_gradient(values):
        for name, array in learner_._weights.items():
            array[:] = values[name]
        gradient = {n: np.zeros_like(w) for n, w in values.items()}
        losses = learner_.network.loss_and_gradient(batch, 0.3, gradient)
        mean = losses["losses/r_loss"].astype(np.float64).mean() + 0.3 * losses["losses/kl_loss"].mean()
        return mean, gradient

    _, gradient = loss_and_gradient(weights)
    for name in weights:
        direction = gradient[name] / np.linalg.norm(gradient[name])
        ends = [loss_and_gradient(weights | {name: weights[name] + s * 1e-2 * direction})[0] for s in (1, -1)]
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(np.linalg.norm(gradient[name]), rel=0.03), name
    learner_.close()


def test_the_top_learns_what_the_small_model_says():
    """And the whole is the small model's decoder behind it: the lower conductor starts from the latent it is told."""
    spec = model_spec.with_hparams(LARGE, {"batch_size": 16, "free_bits": 500.0, "learning_rate": 0.01})
    few, seen = sequences(16), []
    weights = grow_top.train(
        numpy_engine.Engine(SMALL, random_weights(SMALL)),
        spec,
        iter([few] * 200),
        200,
        threads=1,
        report=lambda step, scalars: seen.append(scalars["losses/r_loss"]),
    )
    assert len(seen) == 200 and np.mean(seen[-10:]) < 0.5 * seen[0]
    numpy_engine.check_weights(LARGE, weights)
    start = random_weights(SMALL)["decoder/hierarchical_level_0/initial_state/kernel"]
    kernel = weights["decoder/hierarchical_level_1/initial_state/kernel"]
    assert np.linalg.matrix_rank(kernel.astype(np.float64), tol=1e-4) <= min(start.shape)


def test_a_beat_is_read_and_written_in_the_whole_as_by_itself():
    """With a top whose output names the small model's latent vector, the whole decodes each first beat as that does."""
    assert grow_model.can_grow(BEAT, BARS) and grow_model.levels_above(BEAT, BARS) == 1
    assert not grow_model.can_grow(BEAT, LARGE) and not grow_model.can_grow(SMALL, BARS)
    weights, fresh = random_weights(BEAT), numpy_trainer.initial_weights(numpy_engine.weight_shapes(BARS), 0)
    small = numpy_engine.Engine(BEAT, weights)
    grown = grow_model.grown(BEAT, weights, BARS, fresh)
    rng = np.random.default_rng(0)
    says, offset = (rng.normal(0, 0.5, shape).astype(np.float32) for shape in ((28, BEAT.z_size), (BEAT.z_size,)))
    grow_top._say_instead_of_latent(grown, small, says, offset)
    numpy_engine.check_weights(BARS, grown)
    large = numpy_engine.Engine(BARS, grown)
    tokens = builders.random_windows(6, 32, 5, depth=BARS.depth)
    beats = numpy_engine.codes(tokens.reshape(-1, 4, 5), BARS)
    np.testing.assert_allclose(
        large._run_level("encoder/hierarchical_level_0", beats), small.embed(tokens.reshape(-1, 4, 5))[0], atol=1e-6
    )
    z = rng.standard_normal((20, BARS.z_size)).astype(np.float32)
    conductor = Conductor("decoder/hierarchical_level_0", grown, BARS.hparams["dec_rnn_size"], 8, len(z))
    told = conductor.forward(z)[: len(z)] @ says + offset
    decoded = small.decode(told)
    assert len(np.unique(decoded)) > 3 and np.array_equal(large.decode(z)[:, :4], decoded)


def test_from_a_beat_to_music(tmp_path):
    """Data, a beat, two bars grown from it, trained on, sampled from and travelled in."""
    (tmp_path / "music").mkdir()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        notes = [(int(p), k * 0.5, k * 0.5 + 1.0) for k in range(60) for p in rng.integers(40, 80, 3)]
        piece = Piece([Note(p, 80, s, e) for p, s, e in notes], [(0.0, 120.0)], [(0.0, 3, 4)], name=str(seed))
        write_midi.write_midi(piece, tmp_path / "music" / f"{seed}.mid")
    tiny = ["--set", "enc_rnn_size=16", "--set", "dec_rnn_size=20", "--set", "z_size=8", "--set", "batch_size=8"]
    quick = ["--steps", "3", "--eval-every", "3", "--sample-every", "3", "--threads", "1"]

    def done(*arguments):
        ran = run_calmvae(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    told = done("train", tmp_path / "music", "--config", "calm-piano_beat", "-o", tmp_path / "beat", *tiny, *quick)
    assert "of 4 steps from" in told and "note F1" in told
    data = tmp_path / "beat-data"
    done(
        "grow",
        tmp_path / "beat",
        data,
        "--config",
        "calm-piano_2bar",
        "-o",
        tmp_path / "grown",
        "--steps",
        "3",
        *tiny[6:],
    )
    run = tmp_path / "run"
    told = done(
        "train", data, "--config", "calm-piano_2bar", "--from", tmp_path / "grown", "-o", run, *quick, *tiny[6:]
    )
    assert "of 2 bars from" in told and (run / "samples" / "step-00000003.mid").is_file()
    silent = ["--no-sound", "--no-picture"]
    wrong = run_calmvae("grow", tmp_path / "beat", data, "--config", "calm-piano_2bar", "--set", "z_size=9")
    assert wrong.returncode == 2 and "--set z_size would change the model" in wrong.stderr
    done("sample", "--model", run, "-n", "2", "-o", tmp_path / "sample", *silent)
    songs = sorted((tmp_path / "music").glob("*.mid"))[:2]
    done("interpolate", *songs, "--model", run, "-o", tmp_path / "between", "--steps", "3", *silent)
    made = read_music.read_piece(tmp_path / "between" / "joined.mid")
    assert made.time_signatures[0][1:] == (3, 4)


def test_command(tmp_path):
    (tmp_path / "music").mkdir()
    for seed in range(12):
        pitches = np.random.default_rng(seed).integers(55, 80, 70).tolist()
        piece = builders.piece(builders.scale(70, 1.0, pitches=pitches), name=str(seed))
        write_midi.write_midi(piece, tmp_path / "music" / f"{seed}.mid")
    convert_folder.convert([tmp_path / "music"], tmp_path / "data", steps=32, workers=1)
    model_folder.write(tmp_path / "small", SMALL, random_weights(SMALL), {})
    done = run_calmvae(
        "grow", tmp_path / "small", tmp_path / "data", "-o", tmp_path / "grown", "--steps", "3", "--set", "batch_size=8"
    )
    assert done.returncode == 0, done.stderr
    assert f" with {tmp_path / 'small'}." in done.stderr
    grown = open_model.load_model(tmp_path / "grown")
    assert grown.spec.bars == 16 and grown.spec.hparams["dec_rnn_size"] == SMALL.hparams["dec_rnn_size"]
    assert grown.meta["grown_from"]["config"] == "calm-mel_2bar" and 0 <= grown.meta["metrics"]["accuracy"] <= 1
    again = run_calmvae("grow", tmp_path / "grown", tmp_path / "data", "-o", tmp_path / "no")
    assert again.returncode == 2 and "is not the lower part of calm-mel_16bar" in again.stderr
