"""Training with numpy alone: the network's gradient, clipped, and Adam, as Magenta's music_vae_train does it.

Two to three times as fast on a CPU as the same training through TensorFlow (benchmarks/README.md has the figures), and
its checkpoints are Magenta's: weights and Adam's slots under their names.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from calmvae.checkpoints import tf_checkpoint
from calmvae.common import thread_pool
from calmvae.model import numpy_engine
from calmvae.model.model_spec import ModelSpec
from calmvae.training import lstm_kernels
from calmvae.training.decoder_gradient import Batch
from calmvae.training.vae_gradient import Network

# Of Adam; and how many checkpoints stay.
BETAS = (0.9, 0.999)
EPSILON = np.float32(1e-8)
KEPT_CHECKPOINTS = 3


def supports(spec: ModelSpec) -> bool:
    """Whether a spec can be trained here: no dropout, no residual connections."""
    hparams = spec.hparams
    return hparams["dropout_keep_prob"] == 1 and not hparams["residual_encoder"] and not hparams["residual_decoder"]


class Learner:
    """Weights, optimiser and step of a training; the same methods as `tf_graph.TrainingGraph`.

    What is random in a step (latent vectors, scheduled sampling) depends on the seed and the step alone, so a
    resumed training goes on as an unbroken one would have.

    Args:
      spec: a config that `supports` accepts.
      seed: of the initial weights and of every step.
      threads: how many to use, default one a core.
      network: makes what computes loss and gradient, of a spec, weights, batch size and threads.
      shapes: of the weights, by name; default all of the spec's.
    """

    def __init__(
        self,
        spec: ModelSpec,
        seed: int,
        threads: int | None = None,
        network: Callable[..., Any] = Network,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.spec, self.seed, self.step = spec, seed, 0
        shapes = shapes or numpy_engine.weight_shapes(spec)
        size = sum(math.prod(shape) for shape in shapes.values())
        self._flat, self._gradient, self._m, self._v = (np.zeros(size, np.float32) for _ in range(4))
        self._weights, self._gradients = _views(self._flat, shapes), _views(self._gradient, shapes)
        self._slots = {"Adam": _views(self._m, shapes), "Adam_1": _views(self._v, shapes)}
        self._powers = [np.float32(beta) for beta in BETAS]
        for name, values in initial_weights(shapes, seed).items():
            self._weights[name][:] = values
        self._threads = thread_pool.Threads(threads)
        self.network = network(spec, self._weights, spec.hparams["batch_size"], self._threads)

    def train(self, tokens: np.ndarray) -> dict[str, float]:
        """One step on a batch of tokens, uint8. Returns its scalars by Magenta's names, batch means."""
        probability = sampling_probability(self.spec.hparams, self.step)
        scalars = self.update(self._batch(tokens, probability))
        return scalars | ({"sampling_probability": probability} if probability else {})

    def update(self, batch: Any) -> dict[str, float]:
        """One step on what the network takes."""
        beta, rate = schedules(self.spec.hparams, self.step)
        # A training that runs away is told by its loss.
        with thread_pool.one_blas_thread(), np.errstate(all="ignore"):
            losses = self.network.loss_and_gradient(batch, beta, self._gradients)
        norm = self._clip()
        self._apply(rate)
        self.step += 1
        scalars = {name: float(values.mean()) for name, values in losses.items()}
        scalars["loss"] = scalars["losses/r_loss"] + beta * scalars["losses/kl_loss"]
        return scalars | {"losses/kl_beta": beta, "learning_rate": rate, "global_norm": norm}

    def _batch(self, tokens: np.ndarray, probability: float) -> Batch:
        rng = np.random.default_rng([self.seed, 2, self.step])
        noise = rng.standard_normal((len(tokens), self.spec.z_size), np.float32)
        if not probability:
            return Batch(tokens, noise)
        return Batch(tokens, noise, rng.random(tokens.shape[:2]) < probability, rng.random(tokens.shape, np.float32))

    def _clip(self) -> float:
        """Clips the gradient; returns its norm before."""
        hparams, limit = self.spec.hparams, self.spec.hparams["grad_clip"]
        norm = float(np.sqrt(np.dot(self._gradient, self._gradient)))
        if hparams["clip_mode"] == "value":
            np.clip(self._gradient, -limit, limit, out=self._gradient)
        elif norm >= hparams["grad_norm_clip_to_zero"]:
            self._gradient[:] = 0
        elif norm > limit:
            self._gradient *= np.float32(limit / norm)
        return norm

    def _apply(self, rate: float) -> None:
        scaled = np.float32(rate * math.sqrt(1 - self._powers[1]) / (1 - self._powers[0]))
        self._threads.over(len(self._flat), functools.partial(self._adam, scaled))
        self._powers = [np.float32(power * beta) for power, beta in zip(self._powers, BETAS, strict=True)]

    def _adam(self, rate: np.float32, part: slice) -> None:
        first, second = (np.float32(1 - beta) for beta in BETAS)
        weights, gradient, m, v = (array[part] for array in (self._flat, self._gradient, self._m, self._v))
        lstm_kernels.adam(weights, gradient, m, v, rate, first, second, EPSILON)

    def global_step(self) -> int:
        """Steps taken, those of resumed trainings included."""
        return self.step

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of the present weights by Magenta's names."""
        return {name: values.copy() for name, values in self._weights.items()}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Sets all weights, leaving step and optimiser fresh.

        Raises:
          ModelError: the shapes do not fit.
        """
        numpy_engine.check_weights(self.spec, weights)
        for name, values in self._weights.items():
            values[:] = weights[name]

    def save(self, prefix: str) -> str:
        """Writes a checkpoint `prefix-STEP` with optimiser slots; keeps the newest three."""
        variables: dict[str, Any] = dict(self._weights)
        for slot, arrays in self._slots.items():
            variables |= {f"{name}/{slot}": values for name, values in arrays.items()}
        variables |= {"beta1_power": self._powers[0], "beta2_power": self._powers[1]}
        variables["global_step"] = np.int64(self.step)
        return tf_checkpoint.write(f"{prefix}-{self.step}", variables, keep=KEPT_CHECKPOINTS)

    def restore(self, checkpoint: str) -> None:
        """Takes weights, optimiser and step from a checkpoint of `save`, or of Magenta's training."""
        variables = tf_checkpoint.read(checkpoint, slots=True)
        numpy_engine.check_weights(self.spec, variables)
        for name, values in self._weights.items():
            values[:] = variables[name]
            for slot, arrays in self._slots.items():
                arrays[name][:] = variables.get(f"{name}/{slot}", 0)
        self._powers = [np.float32(variables.get(f"beta{k}_power", beta)) for k, beta in enumerate(BETAS, start=1)]
        self.step = int(variables.get("global_step", 0))

    def close(self) -> None:
        """Ends the threads."""
        self._threads.close()


def schedules(hparams: Mapping[str, Any], step: int) -> tuple[float, float]:
    """The price of the KL divergence and the learning rate at a step, as Magenta's training has them."""
    beta = (1.0 - hparams["beta_rate"] ** step) * hparams["max_beta"]
    low = hparams["min_learning_rate"]
    return beta, (hparams["learning_rate"] - low) * hparams["decay_rate"] ** step + low


def sampling_probability(hparams: Mapping[str, Any], step: int) -> float:
    """How often the decoder hears itself at a step (Magenta's `get_sampling_probability`)."""
    schedule, rate = hparams["sampling_schedule"], hparams["sampling_rate"]
    if not schedule or schedule == "constant":
        return float(rate)
    if schedule == "exponential":
        return float(1 - rate**step)
    # Far on, the exponential is beyond what a float holds, and the probability is 1.
    return float(1 - rate / (rate + math.exp(step / rate))) if step / rate < 700 else 1.0


def initial_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Weights of given names and shapes as Magenta draws them: Glorot for cells and output, almost 0 for the rest."""
    rng = np.random.default_rng([seed, 3])
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            weights[name] = np.zeros(shape, np.float32)
        elif name.endswith(("mu/kernel", "sigma/kernel", "initial_state/kernel")):
            weights[name] = (0.001 * rng.standard_normal(shape)).astype(np.float32)
        else:
            limit = math.sqrt(6 / (shape[0] + shape[1]))
            weights[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
    return weights


def _views(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays of the given shapes, one after the other in a flat one."""
    views, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        views[name] = flat[start : start + size].reshape(shape)
        start += size
    return views
