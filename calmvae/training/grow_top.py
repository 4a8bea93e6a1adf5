"""The top of a grown model by itself: a VAE over the latent vectors of a smaller model's windows.

What `grow_model` takes over from the smaller model leaves the level above to be learned, which is slow through the
levels below. Here they are left out: the top reads the smaller model's embeddings of the windows that make up a long
one, and is to say its latent vector for each, as precisely as that model's own posterior knows it. The product of two
matrices then makes of that what the smaller model's decoder begins with, and the top is part of the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from calmvae.common import thread_pool
from calmvae.model import numpy_engine
from calmvae.model.model_spec import ModelSpec
from calmvae.training import grow_model
from calmvae.training.decoder_gradient import Arrays, Conductor
from calmvae.training.encoder_gradient import Level
from calmvae.training.numpy_trainer import Learner
from calmvae.training.vae_gradient import Posterior

SAYS = "top/latent"
# Added to the posterior's variance: more precision than this buys no better window.
LEAST_VARIANCE = np.float32(0.01)


@dataclasses.dataclass
class Sequences:
    """Long windows as the smaller model sees them.

    Attributes:
      embeddings: float32 `[n, count, depth]`, the output of the smaller encoder's top level for each short window.
      mu, sigma: float32 `[n, count, z_size]`, its posterior.
    """

    embeddings: np.ndarray
    mu: np.ndarray
    sigma: np.ndarray

    @classmethod
    def of(cls, small: numpy_engine.Engine, tokens: np.ndarray) -> Sequences:
        """Of long windows uint8 `[n, steps]`; a short window that comes more than once is encoded once."""
        n, steps = len(tokens), small.spec.steps
        short, places = np.unique(tokens.reshape(-1, steps, *tokens.shape[2:]), axis=0, return_inverse=True)
        found = (array[places.ravel()].reshape(n, -1, array.shape[1]) for array in small.embed(short))
        return cls(*found)

    def take(self, rows: np.ndarray) -> Sequences:
        """Some of them."""
        return Sequences(self.embeddings[rows], self.mu[rows], self.sigma[rows])


@dataclasses.dataclass
class _Batch:
    sequences: Sequences
    noise: np.ndarray


class _Top:
    """Loss and gradient, in the manner of `vae_gradient.Network`."""

    def __init__(self, spec: ModelSpec, weights: Arrays, batch_size: int, threads: thread_pool.Threads) -> None:
        self.spec, self.weights = spec, weights
        scope, count = spec.encoder_levels()[-1]
        sizes = spec.hparams
        self.level = Level(scope, sizes["enc_rnn_size"], count, 1, [slice(0, batch_size)], threads)
        self.conductor = Conductor("decoder/hierarchical_level_0", weights, sizes["dec_rnn_size"], count, batch_size)

    def loss_and_gradient(self, batch: _Batch, beta: float, gradient: Arrays) -> dict[str, np.ndarray]:
        given, weights = batch.sequences, self.weights
        n, count, z_size = given.mu.shape
        top = self.level.forward(weights, None, np.ascontiguousarray(given.embeddings.transpose(1, 0, 2)))
        posterior = Posterior(weights, top, batch.noise)
        out = self.conductor.forward(posterior.z)
        said = out @ weights[f"{SAYS}/kernel"] + weights[f"{SAYS}/bias"]
        wrong = said.reshape(count, n, z_size) - given.mu.transpose(1, 0, 2)
        weighted = wrong / (given.sigma.transpose(1, 0, 2) ** 2 + LEAST_VARIANCE)
        d_said = (weighted / n).reshape(-1, z_size)
        np.matmul(out.T, d_said, out=gradient[f"{SAYS}/kernel"])
        np.sum(d_said, axis=0, out=gradient[f"{SAYS}/bias"])
        dz = self.conductor.backward(d_said @ weights[f"{SAYS}/kernel"].T, gradient)
        d_top, losses = posterior.backward(dz, self.spec.hparams["free_bits"], beta, gradient)
        self.level.backward(weights, d_top, [gradient], bottom=False)
        return {"losses/r_loss": 0.5 * (wrong * weighted).sum(axis=(0, 2)), **losses}


def train(
    small: numpy_engine.Engine,
    spec: ModelSpec,
    batches: Iterator[Sequences],
    steps: int,
    seed: int = 0,
    threads: int | None = None,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, np.ndarray]:
    """Trains the top of a spec over a smaller model.

    Args:
      small: the smaller model.
      spec: with hparams for this training; `grow_model.can_grow` from the smaller one, by one level.
      batches: of `batch_size` sequences.
      steps: how many.
      seed: of weights and draws.
      threads: to compute with.
      report: called after every step with its number and scalars.

    Returns:
      weights of the whole model.
    """
    learner = Learner(spec, seed, threads, _Top, shapes(spec, small.spec.z_size))
    for step, sequences in zip(range(1, steps + 1), batches, strict=False):
        noise = np.random.default_rng([seed, 4, step]).standard_normal((len(sequences.mu), spec.z_size), np.float32)
        scalars = learner.update(_Batch(sequences, noise))
        if report:
            report(step, scalars)
    found = learner.weights()
    learner.close()
    return whole(small, spec, found)


def whole(small: numpy_engine.Engine, spec: ModelSpec, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of the whole model from those of its top, by the names of `shapes`, and of the smaller model."""
    fresh = {n: found.get(n, np.zeros(shape, np.float32)) for n, shape in numpy_engine.weight_shapes(spec).items()}
    weights = grow_model.grown(small.spec, small.weights, spec, fresh)
    _say_instead_of_latent(weights, small, found[f"{SAYS}/kernel"], found[f"{SAYS}/bias"])
    return weights


def _say_instead_of_latent(
    weights: dict[str, np.ndarray], small: numpy_engine.Engine, says: np.ndarray, offset: np.ndarray
) -> None:
    """Changes weights of the whole model: what its top says takes the place of the smaller model's latent vector.

    Args:
      weights: of the whole model.
      small: the smaller model.
      says, offset: kernel `[units, z_size]` and bias of the layer from the top's output to that vector.
    """
    flat = not small.spec.level_lengths
    start = "decoder/z_to_initial_state" if flat else "decoder/hierarchical_level_0/initial_state"
    place = f"core_decoder/{start}" if flat else "decoder/hierarchical_level_1/initial_state"
    kernel, bias = small.weights[f"{start}/kernel"], small.weights[f"{start}/bias"]
    weights[f"{place}/kernel"], weights[f"{place}/bias"] = says @ kernel, offset @ kernel + bias
    if flat:
        # A decoder of tokens hears the latent vector at every step besides.
        cell, offsets = grow_model.FIRST_CELL, grow_model.FIRST_CELL_BIAS
        kernel, units, width = small.weights[cell], small.spec.hparams["dec_rnn_size"][0], small.spec.width
        heard = kernel[width:-units]
        weights[f"core_decoder/{cell}"] = np.concatenate([kernel[:width], says @ heard, kernel[-units:]])
        weights[f"core_decoder/{offsets}"] = small.weights[offsets] + offset @ heard


def shapes(spec: ModelSpec, z_size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the top's weights: the highest level's, and what turns its output into a smaller latent vector."""
    count = len(spec.encoder_lengths or ())
    own = (f"encoder/hierarchical_level_{count - 1}/", "encoder/mu/", "encoder/sigma/", "decoder/hierarchical_level_0/")
    shapes = {name: shape for name, shape in numpy_engine.weight_shapes(spec).items() if name.startswith(own)}
    return shapes | {f"{SAYS}/kernel": (spec.hparams["dec_rnn_size"][-1], z_size), f"{SAYS}/bias": (z_size,)}
