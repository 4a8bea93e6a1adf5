"""The reference engine: `numpy_engine.Engine`'s interface through Magenta's own `TrainedModel` on TensorFlow."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import tf_checkpoint
from calmvae.common import magenta_import, seeds
from calmvae.model import magenta_config, model_spec, numpy_engine
from calmvae.music.melody_tokens import DEPTH

_BATCH = 16
# Magenta divides by the temperature; at this one only the likeliest token is left.
COLDEST = 1e-6


class MagentaEngine(numpy_engine.Engine):
    """A MusicVAE for one-hot melodies, run by Magenta.

    At temperature 0 it agrees with `numpy_engine.Engine` token for token. Above, it draws from the same distributions,
    but other numbers: TensorFlow's, seeded once here, so that the same calls in the same order give the same music.

    Args:
      spec: its config.
      weights: Magenta's variable names to arrays.
      seed: of all draws.

    Raises:
      ModelError: weights are missing or of other shapes than the spec's.
    """

    def __init__(self, spec: model_spec.ModelSpec, weights: Mapping[str, np.ndarray], seed: int = 0) -> None:
        super().__init__(spec, weights)
        with tempfile.TemporaryDirectory() as folder, seeded_decoding(seed):
            prefix = tf_checkpoint.write_weights(Path(folder) / "model.ckpt", spec, self.weights)
            self._model = magenta_import.load().TrainedModel(
                magenta_config.magenta_config(spec), batch_size=_BATCH, checkpoint_dir_or_path=prefix
            )

    def encode(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `numpy_engine.Engine.encode`."""
        tokens = self._checked(tokens)
        if not len(tokens):
            return super().encode(tokens)
        one_hot = np.eye(DEPTH, dtype=bool)[tokens]
        _, mu, sigma = self._model.encode_tensors(list(one_hot), [self.spec.steps] * len(tokens))
        return mu, sigma

    def decode(self, z: np.ndarray, temperature: float = 0.0, seed: int | Sequence[int] = 0) -> np.ndarray:
        """See `numpy_engine.Engine.decode`; the seed is that of the engine."""
        if not len(z):
            return super().decode(z)
        tensors = self._model.decode_to_tensors(z, self.spec.steps, max(temperature, COLDEST))
        return np.argmax(np.stack(tensors), axis=2).astype(np.uint8)


@contextlib.contextmanager
def seeded_decoding(seed: int) -> Iterator[None]:
    """Makes the draws of the decoding loops built within depend on the seed alone."""
    tf, library = magenta_import.load().tf, magenta_import.load().lstm_models.contrib_seq2seq
    decode, loops = library.dynamic_decode, itertools.count()

    def seeded(*args: Any, **options: Any) -> Any:
        # Every loop counts its random operations from 0: with one seed, all bars would draw the same.
        tf.set_random_seed(seeds.hash_seed(seed, next(loops)))
        # A draw waits for nothing, so that steps run side by side would take theirs in any order.
        return decode(*args, **options, parallel_iterations=1)

    library.dynamic_decode = seeded
    try:
        yield
    finally:
        library.dynamic_decode = decode


@contextlib.contextmanager
def seeded_training(seed: int) -> Iterator[None]:
    """`seeded_decoding`, and the same for the encoders' loops, which draw what they drop."""
    tf, library = magenta_import.load().tf, magenta_import.load().lstm_models.contrib_rnn
    encode, loops = library.stack_bidirectional_dynamic_rnn, itertools.count()

    def seeded(*args: Any, **options: Any) -> Any:
        tf.set_random_seed(seeds.hash_seed(seeds.hash_seed(seed, 1), next(loops)))
        return encode(*args, **options, parallel_iterations=1)

    library.stack_bidirectional_dynamic_rnn = seeded
    try:
        with seeded_decoding(seed):
            yield
    finally:
        library.stack_bidirectional_dynamic_rnn = encode
