"""The only door to Magenta, TensorFlow and note_seq.

They are imported on first use, quietly, with the old Keras that Magenta needs. Code of Magenta's that fails with
today's TensorFlow or numpy is patched at run time; nothing in Magenta is edited or copied.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import random
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from calmvae.common.errors import MissingDependencyError

# Magenta and note_seq import these at their top, but calmvae calls nothing that uses them: loaded on first access.
_LAZY = ("tensorflow_datasets", "librosa", "pandas", "pydub")


class Door(types.SimpleNamespace):
    """The modules and classes that `load` returns: `tf` (TensorFlow's v1 interface), `configs`, `data`, `lstm_models`,
    `MusicVAE`, `TrainedModel`, `HParams`, `merge_hparams`."""


def is_loaded() -> bool:
    """True if TensorFlow was imported in this process."""
    return "tensorflow" in sys.modules


@functools.lru_cache(maxsize=1)
def load() -> Door:
    """Imports TensorFlow and Magenta's MusicVAE; the first time takes about ten seconds.

    Raises:
      MissingDependencyError: a package is missing or does not import.
    """
    if is_loaded() and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise MissingDependencyError(
            "TensorFlow was imported before calmvae, without the old Keras that Magenta needs; "
            "set TF_USE_LEGACY_KERAS=1 or import calmvae first."
        )
    tf = load_tensorflow()
    with _quiet_import("Magenta"):
        # Moved within TensorFlow; tf_slim looks in the old place.
        from tensorflow.python.framework import indexed_slices, ops

        if not hasattr(ops, "IndexedSlices"):
            ops.IndexedSlices = indexed_slices.IndexedSlices
        _load_lazily()
        from magenta.common import merge_hparams
        from magenta.contrib.training import HParams
        from magenta.models.music_vae import MusicVAE, TrainedModel, configs, data, data_hierarchical, lstm_models
    _mend_ragged_size(data_hierarchical)
    _mend_empty_embedding(tf, lstm_models.lstm_utils)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return Door(
        tf=tf,
        configs=configs,
        data=data,
        lstm_models=lstm_models,
        MusicVAE=MusicVAE,
        TrainedModel=TrainedModel,
        HParams=HParams,
        merge_hparams=merge_hparams,
    )


@functools.lru_cache(maxsize=1)
def load_tensorflow() -> types.ModuleType:
    """TensorFlow's v1 interface in graph mode, without Magenta.

    Raises:
      MissingDependencyError: TensorFlow is missing or does not import.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_import("TensorFlow"):
        import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    return tf


@functools.lru_cache(maxsize=1)
def load_note_seq() -> types.ModuleType:
    """The note_seq package (needs no TensorFlow).

    Raises:
      MissingDependencyError: note_seq is missing or does not import.
    """
    with _quiet_import("note_seq"):
        _load_lazily()
        import note_seq
    return note_seq


@contextlib.contextmanager
def seeded(seed: Sequence[int]) -> Iterator[None]:
    """Seeds all that Magenta and Keras draw within the block, because they draw from the global generators."""
    import numpy

    draw = int(numpy.random.SeedSequence(list(seed)).generate_state(1)[0])
    before = random.getstate(), numpy.random.get_state()  # noqa: NPY002
    random.seed(draw)
    numpy.random.seed(draw)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        numpy.random.set_state(before[1])  # noqa: NPY002


def _mend_ragged_size(data_hierarchical: Any) -> None:
    """The converter of the chord configs calls `numpy.size` on ragged lists, which today's numpy refuses."""
    import numpy

    class Numpy(types.ModuleType):
        def __getattr__(self, name: str):
            return getattr(numpy, name)

        @staticmethod
        def size(a, axis=None):
            try:
                return numpy.size(a, axis)
            except ValueError:
                return len(a)

    data_hierarchical.np = Numpy("numpy")


def _mend_empty_embedding(tf: Any, lstm_utils: Any) -> None:
    """Without a latent vector a dense layer has no inputs, and oneDNN (with AVX-512) kills the process."""
    original = lstm_utils.initial_cell_state_from_embedding

    def initial_cell_state_from_embedding(cell: Any, z: Any, name: str | None = None) -> Any:
        if int(z.shape[-1]):
            return original(cell, z, name)
        sizes = tf.nest.flatten(cell.state_size)
        with tf.variable_scope(name or "dense", reuse=tf.AUTO_REUSE):
            tf.get_variable("kernel", [0, sum(sizes)])
            bias = tf.get_variable("bias", [sum(sizes)], initializer=tf.zeros_initializer())
        states = tf.split(tf.tile(tf.tanh(bias)[None], [tf.shape(z)[0], 1]), sizes, axis=1)
        return tf.nest.pack_sequence_as(cell.zero_state(batch_size=z.shape[0], dtype=tf.float32), states)

    lstm_utils.initial_cell_state_from_embedding = initial_cell_state_from_embedding


def _load_lazily() -> None:
    """Replaces the modules of `_LAZY` that are not imported yet by modules that load on first access."""
    for name in _LAZY:
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec and spec.loader:
            spec.loader = importlib.util.LazyLoader(spec.loader)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)


@contextlib.contextmanager
def _quiet_import(what: str) -> Iterator[None]:
    """Hides the output of an import (C++ logs too); shows the reason if it fails."""
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except ImportError as error:
            raise MissingDependencyError(
                f"{what} does not import ({str(error).splitlines()[0]}); run `calmvae doctor` to see what is missing."
            ) from error
        finally:
            os.dup2(saved, 2)
            os.close(saved)
