"""A model of long windows from one of short windows."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae import configs, growth, learner, models, runtime, training
from calmvae.errors import ModelError
from tests.conftest import random_weights, tiny_spec

SMALL, LARGE = tiny_spec("calm-mel_2bar"), tiny_spec("calm-mel_16bar")


def test_what_can_grow():
    assert growth.can_grow(SMALL, LARGE) and growth.can_grow(
        configs.get_spec("calm-mel_2bar"), configs.get_spec("calm-mel_16bar")
    )
    assert not growth.can_grow(LARGE, SMALL) and not growth.can_grow(SMALL, SMALL)
    assert not growth.can_grow(SMALL, tiny_spec("calm-mel_16bar-big"))
    assert not growth.can_grow(SMALL, configs.with_hparams(LARGE, {"dec_rnn_size": [9]}))


def test_the_grown_model_reads_and_writes_two_bars_as_the_small_one():
    weights, fresh = random_weights(SMALL), learner.initial_weights(runtime.weight_shapes(LARGE), 0)
    grown = growth.grown(SMALL, weights, LARGE, fresh)
    runtime.check_weights(LARGE, grown)
    small, large = runtime.Engine(SMALL, weights), runtime.Engine(LARGE, grown)
    tokens = np.random.default_rng(0).integers(0, 60, (5, 256)).astype(np.uint8)
    units = 2 * LARGE.hparams["enc_rnn_size"][0]

    def embeddings(engine, rows):
        """What the levels up to 2 bars make of rows of tokens."""
        beats = engine._run_level("encoder/hierarchical_level_0", rows.reshape(-1, 4), None)
        return engine._run_level("encoder/hierarchical_level_1", None, beats.reshape(-1, 8, units))

    pairs = embeddings(large, tokens).reshape(5, 8, units)
    for k in range(8):
        np.testing.assert_allclose(pairs[:, k], embeddings(small, tokens[:, 32 * k : 32 * k + 32]), atol=1e-6)
    # The conductor of the beats, counted from the top, is one further down.
    cell = "decoder/hierarchical_level_{}/cell_0/lstm_cell/kernel"
    assert np.array_equal(grown[cell.format(1)], weights[cell.format(0)])
    assert np.array_equal(grown[cell.format(0)], fresh[cell.format(0)])
    assert np.array_equal(grown["encoder/mu/kernel"], fresh["encoder/mu/kernel"])


def test_training_starts_from_a_smaller_model(tmp_path):
    models.save_model(tmp_path / "small", SMALL, random_weights(SMALL), {})
    said = []
    found = training._start(LARGE, training.Options(init=str(tmp_path / "small")), said.append)
    assert "gives the levels up to its 2 bars" in said[0]
    assert found["core_decoder/decoder/output_projection/bias"].any()
    large = save(tmp_path / "large", configs.with_hparams(LARGE, {"z_size": 5}))
    with pytest.raises(ModelError, match="the weights do not fit config"):
        training._start(SMALL, training.Options(init=str(large)), said.append)


def save(folder, spec):
    models.save_model(folder, spec, random_weights(spec), {})
    return folder
