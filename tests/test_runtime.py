"""The numpy engine gives what Magenta gives."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae import configs, models, phrases, runtime
from calmvae.errors import ModelError
from tests.conftest import random_weights, tiny_spec

SPECS = [tiny_spec("calm-mel_2bar"), tiny_spec("calm-mel_16bar"), tiny_spec("calm-mel_2bar-big", 2)]
SPECS.append(tiny_spec("calm-mel_16bar-big", 2))


def melody_tokens(n: int, steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(30, 70, (n, steps))
    tokens[rng.random((n, steps)) < 0.7] = phrases.HOLD
    return tokens.astype(np.uint8)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_equals_magenta(spec, tmp_path):
    """mu and sigma within 1e-5, argmax tokens the same, through a checkpoint that Magenta's TrainedModel opens."""
    from calmvae import magenta

    weights = random_weights(spec)
    prefix = models.save_checkpoint(tmp_path / "model.ckpt", spec, weights)
    stock = magenta.load().TrainedModel(configs.magenta_config(spec), batch_size=4, checkpoint_dir_or_path=prefix)
    tokens = melody_tokens(4, spec.steps)
    one_hot = np.eye(phrases.DEPTH, dtype=bool)[tokens]
    _, mu, sigma = stock.encode_tensors(list(one_hot), [spec.steps] * 4)
    ours = runtime.Engine(spec, weights)
    our_mu, our_sigma = ours.encode(tokens)
    np.testing.assert_allclose(our_mu, mu, atol=1e-5)
    np.testing.assert_allclose(our_sigma, sigma, atol=1e-5)
    z = np.random.default_rng(1).standard_normal((4, spec.z_size))
    decoded = stock.decode_to_tensors(z, length=spec.steps, temperature=1e-6)
    assert np.array_equal(np.argmax(decoded, axis=-1), ours.decode(z))


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda s: s.name)
def test_checkpoint_round_trip(spec, tmp_path):
    weights = random_weights(spec)
    read = models.read_checkpoint(models.save_checkpoint(tmp_path / "model.ckpt", spec, weights, step=7))
    assert read.pop("global_step") == 7
    assert read.keys() == weights.keys()
    assert all(np.array_equal(read[n], weights[n]) for n in weights)


@pytest.mark.parametrize("name", ["cat-mel_2bar_small", "flat-mel_16bar", "hierdec-mel_16bar"])
def test_magenta_melody_configs_have_our_shapes(name):
    """What Magenta builds for its own melody configs is what the engine expects."""
    from calmvae import magenta

    tf = magenta.load().tf
    spec = configs.with_hparams(configs.get_spec(name), {"enc_rnn_size": [24], "dec_rnn_size": [28, 22], "z_size": 8})
    config = configs.magenta_config(spec)
    config.hparams.batch_size = 2
    with tf.Graph().as_default():
        config.model.build(config.hparams, phrases.DEPTH, is_training=False)
        config.model.sample(2, max_length=spec.steps, z=tf.zeros([2, 8]), temperature=1.0)
        config.model.encode(tf.zeros([2, spec.steps, phrases.DEPTH]), tf.fill([2], spec.steps))
        found = {v.op.name: tuple(v.shape.as_list()) for v in tf.trainable_variables()}
    assert found == runtime.weight_shapes(spec)


def engine(spec=SPECS[0]) -> runtime.Engine:
    return runtime.Engine(spec, random_weights(spec))


def test_batches_do_not_change_the_result():
    ours = engine()
    z = np.random.default_rng(0).standard_normal((runtime._BATCH + 5, ours.spec.z_size))
    whole = ours.decode(z, temperature=1.0, seed=3)
    assert np.array_equal(whole[: runtime._BATCH], ours.decode(z[: runtime._BATCH], temperature=1.0, seed=3))
    tokens = melody_tokens(runtime._BATCH + 5, ours.spec.steps)
    np.testing.assert_allclose(ours.encode(tokens)[0][-5:], ours.encode(tokens[-5:])[0], atol=1e-6)


def test_sampling_follows_the_softmax():
    """Over many draws of the first token, frequencies are the model's probabilities at that temperature."""
    ours = engine()
    z = np.repeat(np.random.default_rng(0).standard_normal((1, ours.spec.z_size)), 4000, axis=0)
    drawn = ours.decode(z, temperature=0.7, seed=1)[:, 0]
    top = np.bincount(drawn, minlength=phrases.DEPTH).argmax()
    tokens = np.zeros((1, ours.spec.steps), np.uint8)
    logs = []
    for token in range(phrases.DEPTH):
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
        runtime.Engine(SPECS[0], weights)
    with pytest.raises(ModelError, match="the weights do not fit config calm-mel_16bar"):
        runtime.Engine(SPECS[1], random_weights(SPECS[0]))


def test_half_precision_model_is_widened(tmp_path):
    spec, weights = SPECS[0], random_weights(SPECS[0])
    models.save_model(tmp_path, spec, weights, {"step": 3}, half=True)
    opened = models.load_model(tmp_path)
    assert opened.meta["step"] == 3 and opened.spec == spec
    for name, array in opened.engine.weights.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, weights[name], atol=1e-3)
