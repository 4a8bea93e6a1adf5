"""Training with JAX, on a GPU or a CPU: `jax_gradient`'s loss, clipped, and Adam, as `numpy_trainer` has them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from calmvae.checkpoints import tf_checkpoint
from calmvae.model import numpy_engine
from calmvae.model.model_spec import ModelSpec
from calmvae.training import numpy_trainer
from calmvae.training.jax_gradient import Batch, Loss
from calmvae.training.numpy_trainer import BETAS, EPSILON, KEPT_CHECKPOINTS


class Learner:
    """Weights, optimiser and step of a training; the same methods as `numpy_trainer.Learner`.

    What is random in a step depends on the seed and the step alone.

    Args:
      spec: a config that `numpy_trainer.supports` accepts.
      seed: of the initial weights and of every step.
      loss: of the spec, default its `Loss` in float32.
      shapes: of the weights, by name; default all of the spec's.
    """

    def __init__(
        self,
        spec: ModelSpec,
        seed: int,
        loss: Loss | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.spec, self.seed, self.step = spec, seed, 0
        self.loss = loss or Loss(spec)
        fresh = numpy_trainer.initial_weights(shapes or numpy_engine.weight_shapes(spec), seed)
        self._weights = {name: jnp.asarray(values) for name, values in fresh.items()}
        self._slots = {slot: jax.tree.map(jnp.zeros_like, self._weights) for slot in ("Adam", "Adam_1")}
        self._powers = list(BETAS)
        self._taken = jax.jit(self._take, donate_argnums=(0, 1))
        self._drawn = jax.jit(self._draw, static_argnames="sampling")

    def train(self, tokens: np.ndarray) -> dict[str, Any]:
        """One step on a batch of tokens, uint8. Returns its scalars by Magenta's names, batch means.

        Those that the device computes are returned before they are known; `float` waits for them.
        """
        probability = numpy_trainer.sampling_probability(self.spec.hparams, self.step)
        batch = self._drawn(jnp.asarray(tokens), probability, self.step, sampling=bool(probability))
        scalars = self.update(batch)
        return scalars | ({"sampling_probability": probability} if probability else {})

    def update(self, batch: Batch) -> dict[str, Any]:
        """One step on what the loss takes."""
        beta, rate = numpy_trainer.schedules(self.spec.hparams, self.step)
        scaled = rate * math.sqrt(1 - self._powers[1]) / (1 - self._powers[0])
        self._weights, self._slots, scalars = self._taken(self._weights, self._slots, batch, beta, scaled)
        self._powers = [power * decay for power, decay in zip(self._powers, BETAS, strict=True)]
        self.step += 1
        return scalars | {"losses/kl_beta": beta, "learning_rate": rate}

    def _take(
        self, weights: Any, slots: Any, batch: Batch, beta: jax.Array, rate: jax.Array
    ) -> tuple[Any, Any, dict[str, jax.Array]]:
        (loss, losses), gradient = jax.value_and_grad(self.loss, has_aux=True)(weights, batch, beta)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradient.values()))
        gradient = jax.tree.map(functools.partial(self._clipped, norm), gradient)
        first, second = (1 - decay for decay in BETAS)
        m = jax.tree.map(lambda m, g: m + first * (g - m), slots["Adam"], gradient)
        v = jax.tree.map(lambda v, g: v + second * (g * g - v), slots["Adam_1"], gradient)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), weights, m, v)
        scalars = {name: values.mean() for name, values in losses.items()}
        return weights, {"Adam": m, "Adam_1": v}, scalars | {"loss": loss, "global_norm": norm}

    def _draw(self, tokens: jax.Array, probability: float, step: int, sampling: bool) -> Batch:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), step), 3)
        noise = jax.random.normal(keys[0], (len(tokens), self.spec.z_size))
        if not sampling:
            return Batch(tokens, noise)
        sampled = jax.random.uniform(keys[1], tokens.shape[:2]) < probability
        return Batch(tokens, noise, sampled, jax.random.uniform(keys[2], tokens.shape))

    def _clipped(self, norm: jax.Array, gradient: jax.Array) -> jax.Array:
        hparams, limit = self.spec.hparams, self.spec.hparams["grad_clip"]
        if hparams["clip_mode"] == "value":
            return jnp.clip(gradient, -limit, limit)
        clipped = gradient * jnp.minimum(1, limit / norm)
        return jnp.where(norm >= hparams["grad_norm_clip_to_zero"], 0, clipped)

    def global_step(self) -> int:
        """Steps taken, those of resumed trainings included."""
        return self.step

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of the present weights by Magenta's names."""
        return {name: np.array(values) for name, values in self._weights.items()}

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Sets all weights, leaving step and optimiser fresh.

        Raises:
          ModelError: the shapes do not fit.
        """
        numpy_engine.check_weights(self.spec, weights)
        self._weights = {name: jnp.asarray(weights[name], jnp.float32) for name in self._weights}

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that a training goes on from, by the names of Magenta's checkpoints."""
        variables: dict[str, Any] = self.weights()
        for slot, arrays in self._slots.items():
            variables |= {f"{name}/{slot}": np.array(values) for name, values in arrays.items()}
        variables |= {f"beta{k}_power": np.float32(power) for k, power in enumerate(self._powers, start=1)}
        return variables | {"global_step": np.int64(self.step)}

    def set_state(self, variables: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, or from the variables of a checkpoint of Magenta's training.

        Raises:
          ModelError: the shapes do not fit.
        """
        self.load_weights(variables)
        for slot, arrays in self._slots.items():
            for name, values in arrays.items():
                arrays[name] = jnp.asarray(variables.get(f"{name}/{slot}", np.zeros(values.shape, np.float32)))
        self._powers = [float(variables.get(f"beta{k}_power", beta)) for k, beta in enumerate(BETAS, start=1)]
        self.step = int(variables.get("global_step", 0))

    def save(self, prefix: str) -> str:
        """Writes a checkpoint `prefix-STEP` with optimiser slots; keeps the newest three."""
        return tf_checkpoint.write(f"{prefix}-{self.step}", self.state(), keep=KEPT_CHECKPOINTS)

    def restore(self, checkpoint: str) -> None:
        """Takes weights, optimiser and step from a checkpoint of `save`, or of Magenta's training."""
        self.set_state(tf_checkpoint.read(checkpoint, slots=True))

    def close(self) -> None:
        """Nothing is left to end."""
