"""The numpy gradient against Magenta's training graph, and against finite differences where Magenta's is random."""

import dataclasses

import numpy as np
import pytest

from calmvae.common import magenta_import, thread_pool
from calmvae.model import config_catalog, magenta_config, model_spec, numpy_engine
from calmvae.music.melody_tokens import DEPTH
from calmvae.training import vae_gradient
from calmvae.training.decoder_gradient import Batch, choose
from tests import builders

SMALL = {
    "cat-mel_2bar_small": {"enc_rnn_size": [24], "dec_rnn_size": [20], "z_size": 8},
    "calm-mel_2bar": {"enc_rnn_size": [24], "dec_rnn_size": [20], "z_size": 8},
    "calm-mel_2bar-big": {"enc_rnn_size": [12, 16], "dec_rnn_size": [14, 18, 10], "z_size": 6},
    "calm-mel_16bar": {"enc_rnn_size": [10], "dec_rnn_size": [12], "z_size": 8},
    "calm-mel_16bar-big": {"enc_rnn_size": [10, 8], "dec_rnn_size": [12, 9], "z_size": 8},
    "calm-piano_beat": {"enc_rnn_size": [24], "dec_rnn_size": [20], "z_size": 8},
    "calm-piano_2bar": {"enc_rnn_size": [10], "dec_rnn_size": [12, 9], "z_size": 8},
}
ROWS = 33


def small_spec(name, **changes):
    settings = SMALL[name] | {"batch_size": ROWS, "sampling_schedule": "constant", "sampling_rate": 0.0} | changes
    spec = model_spec.with_hparams(config_catalog.get_spec(name), settings)
    if spec.bars > 2:
        # A few short segments show as much as many long ones, and Magenta builds them far sooner.
        levels = (2, 4, 4) if len(spec.level_lengths) == 3 else (4, 8)
        lengths = {"level_lengths": levels, "encoder_lengths": levels[::-1]}
        spec = dataclasses.replace(spec, bars=2, hparams=spec.hparams | {"max_seq_len": 32}, **lengths)
    return spec


def random_weights(spec, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    return {n: (scale * rng.standard_normal(s)).astype(np.float32) for n, s in numpy_engine.weight_shapes(spec).items()}


def random_tokens(n, spec, seed=1):
    shape = (spec.steps,) if spec.voices == 1 else (spec.steps, spec.voices)
    return builders.random_windows(n, *shape, depth=spec.depth, seed=seed)


def gradient_of(spec, weights, batch, beta, threads):
    pool = thread_pool.Threads(threads)
    net = vae_gradient.Network(spec, weights, len(batch.tokens), pool)
    gradient = {name: np.full_like(w, np.nan) for name, w in weights.items()}
    losses = net.loss_and_gradient(batch, beta, gradient)
    pool.close()
    return losses, gradient


_REFERENCES = {}


def magenta_gradient(spec, weights, tokens):
    """Loss and gradient of Magenta's graph; its latent vector is random, so sigma must be next to nothing."""
    if spec.name in _REFERENCES:
        return _REFERENCES[spec.name]
    door = magenta_import.load()
    tf, config = door.tf, magenta_config.magenta_config(spec)
    with tf.Graph().as_default(), tf.Session() as session:
        one_hot = tf.reshape(tf.one_hot(tokens, spec.depth), [len(tokens), spec.steps, spec.width])
        config.model.build(config.hparams, spec.width, is_training=True)
        config.model.train(one_hot, one_hot, tf.fill([len(tokens)], spec.steps))
        variables = tf.trainable_variables()
        gradients = tf.gradients(config.model.loss, variables)
        session.run(tf.global_variables_initializer())
        # At step 0 beta is 0 whatever its rate; at step 1 and rate 0 it is max_beta.
        config.model.global_step.load(1, session)
        for variable in variables:
            variable.load(weights[variable.op.name], session)
        loss, values = session.run([config.model.loss, gradients])
    _REFERENCES[spec.name] = loss, {v.op.name: g for v, g in zip(variables, values, strict=True)}
    return _REFERENCES[spec.name]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", SMALL)
def test_gradient_is_magentas(name, threads):
    spec = small_spec(name, beta_rate=0.0, max_beta=0.3)
    weights = random_weights(spec)
    weights["encoder/sigma/kernel"][:] = 0
    weights["encoder/sigma/bias"][:] = -20
    tokens = random_tokens(ROWS, spec)
    noise = np.zeros((ROWS, spec.z_size), np.float32)
    bits = gradient_of(spec, weights, Batch(tokens, noise), 0.3, 1)[0]["losses/kl_bits"]
    # Some windows lie below the free bits, some above.
    spec = model_spec.with_hparams(spec, {"free_bits": float(np.median(bits)) + 0.01})
    losses, gradient = gradient_of(spec, weights, Batch(tokens, noise), 0.3, threads)
    loss, wanted = magenta_gradient(spec, weights, tokens)
    above = losses["losses/kl_loss"] > 0
    assert above.any() and not above.all(), losses["losses/kl_bits"]
    np.testing.assert_allclose(losses["losses/r_loss"].mean() + 0.3 * losses["losses/kl_loss"].mean(), loss, rtol=1e-5)
    assert gradient.keys() == wanted.keys()
    for variable, value in wanted.items():
        if not variable.startswith("encoder/sigma"):
            np.testing.assert_allclose(
                gradient[variable], value, atol=2e-5 * max(1, np.abs(value).max()), err_msg=variable
            )


@pytest.mark.parametrize("name", ["cat-mel_2bar_small", "calm-mel_16bar", "calm-mel_16bar-big", "calm-piano_2bar"])
def test_gradient_is_the_slope_of_the_loss(name):
    """With noise and with the decoder fed what it said; those tokens stay as they are for so small a change."""
    spec = small_spec(name, free_bits=0.0)
    weights = {n: w.astype(np.float64) for n, w in random_weights(spec, scale=0.1).items()}
    rng = np.random.default_rng(2)
    tokens = random_tokens(ROWS, spec)
    noise = rng.standard_normal((ROWS, spec.z_size)).astype(np.float32)
    # Of several voices there are more that a small change could make say another thing.
    sampled = rng.random(tokens.shape[:2]) < 0.5 / spec.voices**2
    batch = Batch(tokens, noise, sampled, rng.random(tokens.shape).astype(np.float32))
    weights = {n: w.astype(np.float32) for n, w in weights.items()}
    _, gradient = gradient_of(spec, weights, batch, 0.3, 2)

    def loss(changed):
        losses, _ = gradient_of(spec, changed, batch, 0.3, 2)
        return losses["losses/r_loss"].astype(np.float64).mean() + 0.3 * losses["losses/kl_bits"].mean() * np.log(2)

    for variable in weights:
        direction = gradient[variable] / np.linalg.norm(gradient[variable])
        step = 2e-2
        ends = [loss(weights | {variable: weights[variable] + s * step * direction}) for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(np.linalg.norm(gradient[variable]), rel=0.03, abs=2e-3), variable


def test_fed_tokens_are_the_decoders_own():
    """A decoder that always says one thing is fed that thing wherever it is sampled, and the truth elsewhere."""
    spec = small_spec("cat-mel_2bar_small")
    weights = random_weights(spec)
    weights["decoder/output_projection/kernel"][:] = 0
    weights["decoder/output_projection/bias"][:] = -50
    weights["decoder/output_projection/bias"][7] = 50
    tokens = random_tokens(ROWS, spec)
    sampled = np.zeros(tokens.shape, bool)
    sampled[:, 5:9] = True
    noise = np.zeros((ROWS, spec.z_size), np.float32)
    net = vae_gradient.Network(spec, weights, ROWS, thread_pool.Threads(1))
    net.loss_and_gradient(
        Batch(tokens, noise, sampled, np.random.default_rng(0).random(tokens.shape, np.float32)),
        0.0,
        {n: np.zeros_like(w) for n, w in weights.items()},
    )
    fed = net.decoders[0].core.fed[:, :, 0].T
    assert (fed[:, 0] == DEPTH).all()
    assert (fed[:, 5:9] == 7).all()
    assert (fed[:, 1:5] == tokens[:, :4]).all() and (fed[:, 9:] == tokens[:, 8:-1]).all()


def test_choose_follows_the_softmax():
    rng = np.random.default_rng(0)
    logits = np.tile(np.float32([0.0, 1.0, -1.0, 0.5]), (20000, 1))
    counts = np.bincount(choose(logits, rng.random(20000).astype(np.float32)), minlength=4) / 20000
    wanted = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(counts, wanted, atol=0.015)
    assert choose(np.zeros((1, 4), np.float32), np.float32([0.9999999])) == 3
