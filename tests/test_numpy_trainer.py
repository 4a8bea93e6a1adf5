"""Training steps against Magenta's graph: clipping, Adam, schedules, checkpoints both ways."""

import numpy as np
import pytest

from calmvae.checkpoints import tf_checkpoint
from calmvae.model import model_spec, numpy_engine
from calmvae.training import numpy_trainer, tf_graph
from tests.test_vae_gradient import random_tokens, random_weights, small_spec


def still_weights(spec):
    """Weights with next to no sigma, so that the latent draw does not matter."""
    weights = random_weights(spec)
    weights["encoder/sigma/kernel"][:] = 0
    weights["encoder/sigma/bias"][:] = -30
    return weights


def batches(spec, steps):
    return [random_tokens(spec.hparams["batch_size"], spec, seed) for seed in range(steps)]


@pytest.mark.parametrize("changes", [{}, {"clip_mode": "value", "grad_clip": 0.01}, {"grad_norm_clip_to_zero": 1}])
def test_steps_are_magentas(changes, tmp_path):
    """Losses and weights over steps, then each goes on from the other's checkpoint."""
    spec = small_spec("cat-mel_2bar_small", free_bits=5.0, max_beta=0.2, beta_rate=0.9, learning_rate=0.01, **changes)
    ours, theirs = numpy_trainer.Learner(spec, 0, 2), tf_graph.TrainingGraph(spec, 0)
    for engine in (ours, theirs):
        engine.load_weights(still_weights(spec))
    data = batches(spec, 12)
    for step, tokens in enumerate(data[:8]):
        mine, wanted = ours.train(tokens), theirs.train(tokens)
        # With beta 0 at first, sigma gets no gradient and stays; afterwards it is clipped like all else.
        for name, value in wanted.items():
            assert mine[name] == pytest.approx(value, rel=2e-3, abs=2e-3), (step, name)
    assert ours.global_step() == theirs.global_step() == 8
    compare(ours, theirs)
    saved = ours.save(str(tmp_path / "ours.ckpt")), theirs.save(str(tmp_path / "theirs.ckpt"))
    theirs.restore(saved[0])
    ours.restore(saved[1])
    for tokens in data[8:]:
        mine, wanted = ours.train(tokens), theirs.train(tokens)
        assert mine["loss"] == pytest.approx(wanted["loss"], rel=2e-3)
    assert ours.global_step() == theirs.global_step() == 12
    compare(ours, theirs)
    ours.close()
    theirs.close()


def compare(ours, theirs):
    mine, wanted = ours.weights(), theirs.weights()
    assert mine.keys() == wanted.keys()
    for name, values in wanted.items():
        # Adam divides by what may be next to nothing: a few elements with tiny gradients may go either way.
        off = np.abs(mine[name] - values) > 2e-3
        assert off.mean() < 0.02, (name, np.abs(mine[name] - values).max())


def test_schedules_are_magentas():
    spec = small_spec("cat-mel_2bar_small", sampling_schedule="inverse_sigmoid", sampling_rate=3.0, decay_rate=0.7)
    ours, theirs = numpy_trainer.Learner(spec, 0, 1), tf_graph.TrainingGraph(spec, 0)
    for tokens in batches(spec, 6):
        mine, wanted = ours.train(tokens), theirs.train(tokens)
        for name in ("sampling_probability", "learning_rate", "losses/kl_beta"):
            assert mine[name] == pytest.approx(wanted[name], rel=1e-5, abs=1e-6), name
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("schedule", "rate", "step", "wanted"),
    [("constant", 0.25, 9, 0.25), ("exponential", 0.5, 2, 0.75), ("inverse_sigmoid", 500.0, 10**7, 1.0)],
)
def test_sampling_probability(schedule, rate, step, wanted):
    hparams = {"sampling_schedule": schedule, "sampling_rate": rate}
    assert numpy_trainer.sampling_probability(hparams, step) == pytest.approx(wanted)


def test_initial_weights_are_drawn_as_magentas():
    spec = small_spec("calm-mel_16bar", enc_rnn_size=[64], dec_rnn_size=[64], z_size=64)
    mine = numpy_trainer.initial_weights(numpy_engine.weight_shapes(spec), 0)
    theirs = tf_graph.TrainingGraph(model_spec.with_hparams(spec, {"batch_size": 1}), 0)
    wanted = theirs.weights()
    theirs.close()
    for name, values in wanted.items():
        assert mine[name].std() == pytest.approx(values.std(), rel=0.1), name
        assert abs(mine[name]).max() == pytest.approx(abs(values).max(), rel=0.4), name


def test_same_seed_same_bytes_and_other_seed_others():
    spec = small_spec("cat-mel_2bar_small", sampling_schedule="constant", sampling_rate=0.5)

    def run(seed):
        engine = numpy_trainer.Learner(spec, seed, 2)
        losses = [engine.train(tokens)["loss"] for tokens in batches(spec, 3)]
        engine.close()
        return losses, engine.weights()

    (first, weights), (again, same), (other, _) = run(1), run(1), run(2)
    assert first == again != other
    assert all((weights[name] == same[name]).all() for name in weights)


def test_only_the_newest_checkpoints_stay(tmp_path):
    spec = small_spec("cat-mel_2bar_small")
    engine = numpy_trainer.Learner(spec, 0, 1)
    tf_checkpoint.write(tmp_path / "other-1", {"x": np.zeros(2)})
    for tokens in batches(spec, 5):
        engine.train(tokens)
        engine.save(str(tmp_path / "model.ckpt"))
    engine.close()
    assert sorted(p.name for p in tmp_path.glob("*.index")) == [
        "model.ckpt-3.index", "model.ckpt-4.index", "model.ckpt-5.index", "other-1.index",
    ]  # fmt: skip
    assert tf_checkpoint.latest(tmp_path).endswith("model.ckpt-5")
    import tensorflow as tf

    assert tf.train.latest_checkpoint(str(tmp_path)).endswith("model.ckpt-5")
