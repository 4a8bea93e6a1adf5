"""Configs are plain data, checked by name and type, and Magenta's are reachable."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.common.errors import OptionError
from calmvae.model import config_catalog, magenta_config, model_spec, numpy_engine


def test_defaults_are_magentas():
    from calmvae.common import magenta_import

    assert magenta_import.load().lstm_models.get_default_hparams().values() == model_spec.DEFAULT_HPARAMS


def test_sizes():
    count = {
        n: sum(int(np.prod(s)) for s in numpy_engine.weight_shapes(c).values())
        for n, c in model_spec.CALM_SPECS.items()
    }
    assert 4e6 <= count["calm-mel_2bar"] <= 7e6 and 4e6 <= count["calm-mel_16bar"] <= 8e6
    assert count["calm-mel_2bar-big"] > 1e8 and count["calm-mel_16bar-big"] > 1e8


@pytest.mark.parametrize("name", model_spec.CALM_SPECS)
def test_json_round_trip(name):
    import json

    spec = config_catalog.get_spec(name)
    assert model_spec.ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_settings_are_typed():
    spec = model_spec.with_hparams(
        config_catalog.get_spec("calm-mel_2bar"), ["free_bits=12", "enc_rnn_size=[64,32]", "residual_encoder=true"]
    )
    assert spec.hparams["free_bits"] == 12.0 and isinstance(spec.hparams["free_bits"], float)
    assert spec.hparams["enc_rnn_size"] == [64, 32] and spec.hparams["residual_encoder"] is True
    assert config_catalog.get_spec("calm-mel_2bar").hparams["free_bits"] == 48.0


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("fre_bits=4", "did you mean free_bits"),
        ("free_bits=many", "must be of type float"),
        ("batch_size=2.5", "must be of type int"),
        ("enc_rnn_size=wide", "a list of whole numbers"),
        ("residual_encoder=maybe", "must be of type bool"),
        ("max_seq_len=64", "choose another config"),
        ("free_bits", "name=value"),
        ("batch_size=0", "must be above 0"),
        ("learning_rate=-1", "must be above 0"),
        ("sampling_rate=1.5", "does not fit the schedule"),
        ("sampling_schedule=sigmoid", "must be constant"),
    ],
)
def test_bad_settings_are_one_sentence(setting, sentence):
    with pytest.raises(OptionError, match=sentence):
        model_spec.with_hparams(config_catalog.get_spec("calm-mel_2bar"), [setting])


def test_unknown_config_suggests():
    with pytest.raises(OptionError, match="did you mean calm-mel_2bar"):
        config_catalog.get_spec("calm-mel-2bar")


def test_registered_beside_magentas():
    from calmvae.common import magenta_import

    known = magenta_import.load().configs.CONFIG_MAP
    assert len([n for n in known if not n.startswith("calm-")]) == 23
    magenta_config.register()
    assert set(model_spec.CALM_SPECS) <= set(known)
    assert magenta_config.spec_of_magenta("calm-mel_16bar", known["calm-mel_16bar"]) == config_catalog.get_spec(
        "calm-mel_16bar"
    )
    with pytest.raises(OptionError, match="not a melody"):
        config_catalog.get_spec("cat-drums_2bar_small")
