"""The loss, the gradient and the steps of JAX against those with numpy alone, which are held to Magenta's."""

import jax
import numpy as np
import pytest

from calmvae.common.errors import OptionError
from calmvae.model import model_spec, numpy_engine
from calmvae.training import grow_top, jax_device, jax_gradient, jax_trainer, numpy_trainer, train_melody
from calmvae.training.decoder_gradient import Batch
from tests.test_numpy_trainer import batches, compare, still_weights
from tests.test_train_melody import data, losses, options, tiny_spec  # noqa: F401
from tests.test_vae_gradient import ROWS, SMALL, gradient_of, random_tokens, random_weights, small_spec


@pytest.mark.parametrize(
    ("name", "sampling"), [*((name, True) for name in SMALL), ("calm-mel_2bar-big", False), ("calm-piano_2bar", False)]
)
def test_gradient_is_that_of_numpy(name, sampling):
    """With noise, free bits that some windows are below, and a decoder that hears itself at half of the steps."""
    spec, rng = small_spec(name, free_bits=0.0), np.random.default_rng(2)
    weights, tokens = random_weights(spec, scale=0.2), random_tokens(ROWS, spec)
    noise = rng.standard_normal((ROWS, spec.z_size)).astype(np.float32)
    own = (rng.random(tokens.shape[:2]) < 0.5, rng.random(tokens.shape).astype(np.float32)) if sampling else ()
    batch = Batch(tokens, noise, *own)
    bits = gradient_of(spec, weights, batch, 0.3, 1)[0]["losses/kl_bits"]
    spec = model_spec.with_hparams(spec, {"free_bits": float(np.median(bits)) + 0.01})
    wanted, gradient = gradient_of(spec, weights, batch, 0.3, 1)
    both = jax.jit(jax.value_and_grad(jax_gradient.Loss(spec), has_aux=True))
    (loss, found), mine = both(weights, jax_gradient.Batch(tokens, *batch_fields(batch)), 0.3)
    assert float(loss) == pytest.approx(float(wanted["losses/r_loss"].mean() + 0.3 * wanted["losses/kl_loss"].mean()))
    for part, values in wanted.items():
        np.testing.assert_allclose(found[part], values, rtol=2e-5, atol=1e-4, err_msg=part)
    assert mine.keys() == gradient.keys()
    for variable, value in gradient.items():
        np.testing.assert_allclose(mine[variable], value, atol=1e-5 * max(1, np.abs(value).max()), err_msg=variable)


def batch_fields(batch):
    return batch.noise, batch.sampled, batch.draws


@pytest.mark.parametrize(
    "changes", [{}, {"clip_mode": "value", "grad_clip": 0.01}, {"grad_norm_clip_to_zero": 1}, {"sampling_rate": 1.0}]
)
def test_steps_are_those_of_numpy(changes, tmp_path):
    """Losses and weights over steps; then each engine goes on from the other's checkpoint."""
    settings = {"free_bits": 5.0, "max_beta": 0.2, "beta_rate": 0.9, "learning_rate": 0.01, **changes}
    spec = small_spec("calm-piano_beat", **settings)
    ours, theirs = jax_trainer.Learner(spec, 0), numpy_trainer.Learner(spec, 0, 1)
    for engine in (ours, theirs):
        engine.load_weights(still_weights(spec))
    if spec.hparams["sampling_rate"]:
        # The engines draw from generators of their own: this one hears the draws of the other.
        ours._drawn = lambda tokens, probability, step, sampling: jax_gradient.Batch(
            np.asarray(tokens), *batch_fields(theirs._batch(np.asarray(tokens), probability))
        )
    for tokens in batches(spec, 8):
        mine, wanted = ours.train(tokens), theirs.train(tokens)
        assert mine.keys() == wanted.keys()
        for name, value in wanted.items():
            assert float(mine[name]) == pytest.approx(value, rel=2e-3, abs=2e-3), name
    compare(ours, theirs)
    saved = ours.save(str(tmp_path / "ours.ckpt")), theirs.save(str(tmp_path / "theirs.ckpt"))
    theirs.restore(saved[0])
    ours.restore(saved[1])
    assert ours.global_step() == theirs.global_step() == 8
    tokens = batches(spec, 9)[8]
    assert float(ours.train(tokens)["loss"]) == pytest.approx(theirs.train(tokens)["loss"], rel=2e-3)
    theirs.close()


def test_noise_is_standard_and_new_at_every_step():
    spec = small_spec("calm-piano_2bar", z_size=300, sampling_rate=0.25)
    learner, tokens = jax_trainer.Learner(spec, 3), random_tokens(ROWS, spec)
    first, again, next_ = (learner._drawn(tokens, 0.25, step, sampling=True) for step in (0, 0, 1))
    assert np.array_equal(first.noise, again.noise) and not np.array_equal(first.noise, next_.noise)
    assert abs(float(first.noise.mean())) < 0.05 and float(first.noise.std()) == pytest.approx(1, abs=0.05)
    assert float(np.mean(first.sampled)) == pytest.approx(0.25, abs=0.05)
    assert learner._drawn(tokens, 0.0, 0, sampling=False).sampled is None


def test_top_is_that_of_numpy():
    """A top of 2 bars over beats: loss and gradient as over embeddings that were made before."""
    small, spec = small_spec("calm-piano_beat"), small_spec("calm-piano_2bar", enc_rnn_size=[24], dec_rnn_size=[20])
    engine = numpy_engine.Engine(small, random_weights(small, scale=0.2))
    shapes = grow_top.shapes(spec, small.z_size)
    rng = np.random.default_rng(5)
    weights = {name: (0.2 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    tokens = random_tokens(ROWS, spec)
    noise = rng.standard_normal((ROWS, spec.z_size)).astype(np.float32)
    pool = train_pool()
    net = grow_top._Top(spec, weights, ROWS, pool)
    wanted = {name: np.zeros_like(values) for name, values in weights.items()}
    sequences = grow_top.Sequences.of(engine, tokens)
    parts = net.loss_and_gradient(grow_top._Batch(sequences, noise), 0.3, wanted)
    pool.close()
    loss = jax_gradient.TopLoss(spec, small, engine.weights)
    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, found), gradient = both(weights, jax_gradient.Batch(tokens, noise), 0.3)
    np.testing.assert_allclose(found["losses/r_loss"], parts["losses/r_loss"], rtol=1e-4)
    for name, value in wanted.items():
        limit = 2e-5 * max(1, np.abs(value).max())
        np.testing.assert_allclose(gradient[name], value, atol=limit, err_msg=name)


def train_pool():
    from calmvae.common import thread_pool

    return thread_pool.Threads(1)


def test_bfloat16_is_near():
    spec = small_spec("calm-piano_beat", free_bits=0.0)
    weights, tokens = random_weights(spec, scale=0.1), random_tokens(ROWS, spec)
    batch = jax_gradient.Batch(tokens, np.zeros((ROWS, spec.z_size), np.float32))
    exact, rough = (
        float(jax_gradient.Loss(spec, kind)(weights, batch, 0.1)[0]) for kind in (np.float32, jax.numpy.bfloat16)
    )
    assert rough != exact and rough == pytest.approx(exact, rel=0.01)


def test_train_resumes_with_jax(data, tmp_path):  # noqa: F811
    """A training in two parts has the losses of one, on the CPU to the last bits."""
    unbroken, said = {}, []
    given = options(engine="jax", log_every=1)
    told = lambda p: unbroken.update({p.step: p.scalars["loss"]})  # noqa: E731
    train_melody.train(tiny_spec(), data, tmp_path / "a", given, told, said.append)
    assert "Training with JAX on the CPU." in said
    losses(tmp_path / "b", tiny_spec(), data, steps=3, engine="jax")
    resumed = losses(tmp_path / "b", tiny_spec(), data, engine="jax")
    assert sorted(resumed) == [4, 5, 6]
    assert [resumed[k] for k in (4, 5, 6)] == pytest.approx([unbroken[k] for k in (4, 5, 6)], rel=1e-4)


def test_what_jax_cannot_train_is_refused(data, tmp_path):  # noqa: F811
    dropping = model_spec.with_hparams(tiny_spec(), {"dropout_keep_prob": 0.9})
    with pytest.raises(OptionError, match="--engine jax has no dropout"):
        train_melody.train(dropping, data, tmp_path / "b", options(engine="jax"))


def test_without_a_plugin_there_is_no_gpu():
    assert not jax_device.has_gpu() and jax_device.describe() == "the CPU"
