"""The reference engine: `numpy_engine.Engine`'s interface through Magenta's own `TrainedModel` on TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calmvae.checkpoints import tf_checkpoint
from calmvae.common import magenta_import
from calmvae.model import magenta_config, magenta_seeds, magenta_voices, model_spec, numpy_engine

_BATCH = 16


class MagentaEngine(numpy_engine.Engine):
    """A MusicVAE for one-hot melodies or several voices, run by Magenta.

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
        with tempfile.TemporaryDirectory() as folder, magenta_seeds.seeded_decoding(seed):
            prefix = tf_checkpoint.write_weights(Path(folder) / "model.ckpt", spec, self.weights)
            self._model = magenta_import.load().TrainedModel(
                magenta_config.magenta_config(spec), batch_size=_BATCH, checkpoint_dir_or_path=prefix
            )

    def encode(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `numpy_engine.Engine.encode`."""
        if not len(tokens):
            return super().encode(tokens)
        shape = len(tokens), self.spec.steps, self.spec.voices
        one_hot = magenta_voices.one_hot(tokens.reshape(shape), self.spec)
        _, mu, sigma = self._model.encode_tensors(list(one_hot), [self.spec.steps] * len(tokens))
        return mu, sigma

    def decode(self, z: np.ndarray, temperature: float = 0.0, seed: int | Sequence[int] = 0) -> np.ndarray:
        """See `numpy_engine.Engine.decode`; the seed is that of the engine."""
        if not len(z):
            return super().decode(z)
        tensors = self._model.decode_to_tensors(z, self.spec.steps, max(temperature, magenta_seeds.COLDEST))
        return self._shaped(magenta_voices.tokens_of(np.stack(tensors), self.spec))
