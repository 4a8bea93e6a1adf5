"""The numpy engine gives what Magenta gives."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.checkpoints import model_folder, open_model, tf_checkpoint
from calmvae.common.errors import ModelError
from calmvae.model import config_catalog, magenta_config, model_spec, numpy_engine
from calmvae.music import melody_tokens
from tests import magenta_engine
from tests.conftest import random_weights, tiny_spec

SPECS = [tiny_spec("calm-mel_2bar"), tiny_spec("calm-mel_16bar"), tiny_spec("calm-mel_2bar-big", 2)]
SPECS += [tiny_spec("calm-mel_16bar-big", 2), tiny_spec("calm-piano_2bar", 2), tiny_spec("calm-piano_beat")]


def some_tokens(n: int, spec: model_spec.ModelSpec, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (n, spec.steps) if spec.voices == 1 else (n, spec.steps, spec.voices)
    return np.where(rng.random(shape) < 0.7, melody_tokens.HOLD, rng.integers(30, 70, shape)).astype(np.uint8)


MAGENTAS = ["cat-mel_2bar_small", "flat-mel_16bar", "hierdec-mel_16bar", "hier-mel_16bar"]


def magentas_spec(name: str) -> model_spec.ModelSpec:
    small = {"enc_rnn_size": [24], "dec_rnn_size": [28, 22], "z_size": 8}
    return model_spec.with_hparams(config_catalog.get_spec(name), small)


@pytest.mark.parametrize("name", [*(spec.name for spec in SPECS), *MAGENTAS])
def test_engines_agree(name, tmp_path):
    """mu and sigma within 1e-5 and every argmax token, through a checkpoint that Magenta's TrainedModel opens."""
    spec = next((spec for spec in SPECS if spec.name == name), None) or magentas_spec(name)
    weights = random_weights(spec)
    ours, theirs = numpy_engine.Engine(spec, weights), magenta_engine.MagentaEngine(spec, weights)
    tokens = some_tokens(18, spec)
    for mine, wanted in zip(ours.encode(tokens), theirs.encode(tokens), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)
    z = np.random.default_rng(1).standard_normal((18, spec.z_size))
    decoded = theirs.decode(z)
    assert len(np.unique(decoded)) > 3
    assert np.array_equal(decoded, ours.decode(z))


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[4]], ids=lambda s: s.name)
def test_magenta_engine_draws_from_the_same_distribution_and_repeats_itself(spec):
    weights = random_weights(spec)
    ours = numpy_engine.Engine(spec, weights)
    z = np.repeat(np.random.default_rng(0).standard_normal((1, spec.z_size)), 1600, axis=0)
    theirs = [magenta_engine.MagentaEngine(spec, weights, seed).decode(z, 1.0) for seed in (1, 1, 2)]
    assert np.array_equal(theirs[0], theirs[1]) and not np.array_equal(theirs[0], theirs[2])
    mine = ours.decode(z, 1.0, seed=5)
    for step in (0, 1, spec.steps - 1):
        drawn = [tokens[:, step].reshape(len(z), -1)[:, -1] for tokens in (mine, theirs[0])]
        shares = [np.bincount(tokens, minlength=spec.depth) / len(z) for tokens in drawn]
        assert np.abs(shares[0] - shares[1]).max() < 0.05
    assert len(np.unique(mine[:, 0].reshape(len(z), -1)[:, -1])) > 10


def test_weights_are_mapped_not_read(tmp_path):
    model_folder.write(tmp_path, SPECS[0], random_weights(SPECS[0]), {})
    engine = open_model.load_model(tmp_path).engine
    assert all(isinstance(w.base if w.base is not None else w, np.memmap) for w in engine.weights.values())
    with pytest.raises(ValueError, match="read-only"):
        engine.weights["encoder/mu/bias"][0] = 1


@pytest.mark.parametrize("damage", ["short", "header", "dtype", "offsets", "empty"])
def test_damaged_weights_are_one_sentence(tmp_path, damage):
    model_folder.write(tmp_path, SPECS[0], random_weights(SPECS[0]), {})
    file = tmp_path / model_folder.WEIGHTS_FILE
    data = file.read_bytes()
    changed = {
        "short": data[:-10],
        "header": data[:8] + b"#" + data[9:],
        "dtype": data.replace(b'"F32"', b'"Q99"', 1),
        "offsets": data.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1),
        "empty": b"",
    }
    assert changed[damage] != data
    file.write_bytes(changed[damage])
    with pytest.raises(ModelError, match="holds no readable weights"):
        open_model.load_model(tmp_path)


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda s: s.name)
def test_checkpoint_round_trip(spec, tmp_path):
    weights = random_weights(spec)
    read = tf_checkpoint.read(tf_checkpoint.write_weights(tmp_path / "model.ckpt", spec, weights, step=7))
    assert read.keys() == weights.keys()
    assert all(np.array_equal(read[n], weights[n]) for n in weights)


@pytest.mark.parametrize("name", MAGENTAS)
def test_magenta_melody_configs_have_our_shapes(name):
    """What Magenta builds for its own melody configs is what the engine expects."""
    from calmvae.common import magenta_import

    tf = magenta_import.load().tf
    spec = magentas_spec(name)
    config = magenta_config.magenta_config(spec)
    config.hparams.batch_size = 2
    with tf.Graph().as_default():
        config.model.build(config.hparams, melody_tokens.DEPTH, is_training=False)
        config.model.sample(2, max_length=spec.steps, z=tf.zeros([2, 8]), temperature=1.0)
        config.model.encode(tf.zeros([2, spec.steps, melody_tokens.DEPTH]), tf.fill([2], spec.steps))
        found = {v.op.name: tuple(v.shape.as_list()) for v in tf.trainable_variables()}
    assert found == numpy_engine.weight_shapes(spec)


def engine(spec=SPECS[0]) -> numpy_engine.Engine:
    return numpy_engine.Engine(spec, random_weights(spec))


def test_batches_do_not_change_the_result():
    ours = engine()
    z = np.random.default_rng(0).standard_normal((numpy_engine._BATCH + 5, ours.spec.z_size))
    whole = ours.decode(z, temperature=1.0, seed=3)
    assert np.array_equal(whole[: numpy_engine._BATCH], ours.decode(z[: numpy_engine._BATCH], temperature=1.0, seed=3))
    tokens = some_tokens(numpy_engine._BATCH + 5, ours.spec)
    np.testing.assert_allclose(ours.encode(tokens)[0][-5:], ours.encode(tokens[-5:])[0], atol=1e-6)


def test_sampling_follows_the_softmax():
    """Over many draws of the first token, frequencies are the model's probabilities at that temperature."""
    ours = engine()
    z = np.repeat(np.random.default_rng(0).standard_normal((1, ours.spec.z_size)), 4000, axis=0)
    drawn = ours.decode(z, temperature=0.7, seed=1)[:, 0]
    top = np.bincount(drawn, minlength=melody_tokens.DEPTH).argmax()
    tokens = np.zeros((1, ours.spec.steps), np.uint8)
    logs = []
    for token in range(melody_tokens.DEPTH):
        tokens[0, 0] = token
        logs.append(ours.log_likelihood(z[:1], tokens)[0][0, 0])
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-4)
    expected = np.exp(np.array(logs) / 0.7)
    assert (drawn == top).mean() == pytest.approx((expected / expected.sum())[top], abs=0.03)


def test_seed_and_temperature():
    ours = engine()
    z = np.random.default_rng(0).standard_normal((3, ours.spec.z_size))
    assert np.array_equal(ours.decode(z, 1.0, seed=1), ours.decode(z, 1.0, seed=1))
    assert not np.array_equal(ours.decode(z, 1.0, seed=1), ours.decode(z, 1.0, seed=2))
    assert np.array_equal(ours.decode(z, 0.0, seed=1), ours.decode(z, 0.0, seed=2))
    assert ours.decode(np.zeros((0, ours.spec.z_size))).shape == (0, ours.spec.steps)


def test_weights_that_do_not_fit_are_named():
    weights = random_weights(SPECS[0])
    del weights["encoder/mu/bias"]
    with pytest.raises(ModelError, match="encoder/mu/bias is missing"):
        numpy_engine.Engine(SPECS[0], weights)
    with pytest.raises(ModelError, match="the weights do not fit config calm-mel_16bar"):
        numpy_engine.Engine(SPECS[1], random_weights(SPECS[0]))


def test_half_precision_model_is_widened(tmp_path):
    spec, weights = SPECS[0], random_weights(SPECS[0])
    model_folder.write(tmp_path, spec, weights, {"step": 3}, half=True)
    opened = open_model.load_model(tmp_path)
    assert opened.meta["step"] == 3 and opened.spec == spec
    for name, array in opened.engine.weights.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, weights[name], atol=1e-3)
