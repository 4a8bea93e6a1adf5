"""Checkpoints of Magenta's configs with random weights, small enough to build and run in seconds."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import magenta_import
from tools.magenta_configs import make_variables

SMALL = {"enc_rnn_size": [12], "dec_rnn_size": [16], "z_size": 8}


def hparams_of(name: str) -> dict:
    """The hparams to shrink a config by."""
    return SMALL | ({"nade_num_hidden": 8} if name.startswith("nade") else {})


def save_random(name: str, prefix: Path) -> str:
    """Saves all variables of a shrunk config as Magenta builds and names them. Returns the checkpoint's prefix."""
    door = magenta_import.load()
    tf = door.tf
    prefix.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_variables(small_config(name))
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():
            # Large enough for what is decoded to depend on z and on the tokens before.
            variable.load(0.5 * rng.standard_normal(variable.shape.as_list()), session)
        return tf.train.Saver().save(session, str(prefix), write_meta_graph=False)


def small_config(name: str) -> Any:
    """A shrunk copy of one of Magenta's configs."""
    door = magenta_import.load()
    config = copy.deepcopy(door.configs.CONFIG_MAP[name])
    values = config.hparams.values() | hparams_of(name) | {"batch_size": 2}
    return config._replace(hparams=door.HParams(**values))
