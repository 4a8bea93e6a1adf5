"""The loss of a MusicVAE for one-hot tokens in JAX, which derives the gradient; its mathematics is `vae_gradient.py`'s.

Segments of a hierarchical model are rows of a bigger batch, in the order of the music. A one-hot product is a product
here: a GPU does it sooner than it looks rows up and scatters their gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from calmvae.model.model_spec import ModelSpec
from calmvae.training import grow_top

# Steps that are laid out one after the other instead of in a loop. A GPU is faster so, a CPU only compiles longer.
_UNROLLED = 8


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Batch:
    """One step's input; see `decoder_gradient.Batch`, of which this has the fields."""

    tokens: Array
    noise: Array
    sampled: Array | None = None
    draws: Array | None = None


class Loss:
    """The loss of a spec.

    Args:
      spec: a config without dropout and residual connections.
      dtype: of the factors of every product; sums and all else are float32.
    """

    def __init__(self, spec: ModelSpec, dtype: Any = jnp.float32) -> None:
        self.spec, self.dtype = spec, dtype
        self.lengths = spec.level_lengths or (spec.steps,)

    def __call__(self, weights: Mapping[str, Array], batch: Batch, beta: Array) -> tuple[Array, dict[str, Array]]:
        """The mean loss of a batch, and "losses/r_loss", "losses/kl_loss", "losses/kl_bits" `[n]` each."""
        _, mu, sigma = self.encode(weights, batch.tokens)
        r_loss = self._decode(weights, mu + sigma * batch.noise, batch)
        return self._total(r_loss, mu, sigma, beta)

    def encode(self, weights: Mapping[str, Array], tokens: Array) -> tuple[Array, Array, Array]:
        """Tokens to the top level's output `[n, 2 * units]`, and the posterior's mu and sigma, `[n, z_size]`."""
        below = self._one_hot(tokens.reshape(len(tokens), self.spec.steps, self.spec.voices))
        for scope, length in self.spec.encoder_levels():
            below = self._level(weights, scope, below.reshape(-1, length, below.shape[-1]))
        return below, *self._posterior(weights, below)

    def _level(self, weights: Mapping[str, Array], scope: str, below: Array) -> Array:
        """A level of the encoder: `[rows, steps, depth]` to `[rows, 2 * units]`."""
        sequence = below.swapaxes(0, 1)
        for layer, units in enumerate(self.spec.hparams["enc_rnn_size"]):
            ways = []
            for way in ("fw", "bw"):
                cell = f"{scope}/cell_{layer}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell"
                start = jnp.zeros((2, sequence.shape[1], units))
                ways.append(self._layer(weights, cell, sequence, start, way == "bw"))
            sequence = jnp.concatenate(ways, axis=2)
        # Each direction's last output is at an end of its own.
        return jnp.concatenate([ways[0][-1], ways[1][0]], axis=1)

    def _posterior(self, weights: Mapping[str, Array], top: Array) -> tuple[Array, Array]:
        sigma = jax.nn.softplus(self._dense(weights, "encoder/sigma", top))
        return self._dense(weights, "encoder/mu", top), sigma

    def _total(self, r_loss: Array, mu: Array, sigma: Array, beta: Array) -> tuple[Array, dict[str, Array]]:
        kl = 0.5 * (sigma**2 + mu**2 - 1 - 2 * jnp.log(sigma)).sum(axis=1)
        priced = jnp.maximum(kl - self.spec.hparams["free_bits"] * jnp.log(2.0), 0)
        losses = {"losses/r_loss": r_loss, "losses/kl_loss": priced, "losses/kl_bits": kl / jnp.log(2.0)}
        return (r_loss + beta * priced).mean(), losses

    def _conduct(self, weights: Mapping[str, Array], level: int, embedding: Array) -> Array:
        """An upper level of the decoder: `[rows, depth]` to `[segments, rows, units]`."""
        scope, sizes = f"decoder/hierarchical_level_{level}", self.spec.hparams["dec_rnn_size"]
        states = self._start(weights, f"{scope}/initial_state", embedding)
        kernel, bias = (weights[f"{scope}/cell_0/lstm_cell/{part}"] for part in ("kernel", "bias"))
        # The conductor hears nothing: its input is one zero a segment.
        silence = jnp.broadcast_to(bias, (self.lengths[level], len(embedding), len(bias)))
        sequence = self._run(kernel[-sizes[0] :], silence, states[0])
        for layer, state in enumerate(states[1:], start=1):
            sequence = self._layer(weights, f"{scope}/cell_{layer}/lstm_cell", sequence, state)
        return sequence

    def _decode(self, weights: Mapping[str, Array], embedding: Array, batch: Batch) -> Array:
        """Latent vectors to the cross-entropy of each window, `[n]`."""
        n = len(batch.tokens)
        tokens = batch.tokens.reshape(n, self.spec.steps, self.spec.voices).astype(jnp.int32)
        for level in range(len(self.lengths) - 1):
            sequence = self._conduct(weights, level, embedding)
            embedding = sequence.swapaxes(0, 1).reshape(-1, sequence.shape[2])
        # Nothing stands before the first step: no place of the one-hot is -1.
        before = jnp.concatenate([jnp.full_like(tokens[:, :1], -1), tokens[:, :-1]], axis=1)
        targets, before = self._split(tokens), self._split(before)
        if batch.sampled is None or batch.draws is None:
            logits = self._logits(weights, embedding, before)
        else:
            draws = self._split(batch.draws.reshape(tokens.shape))
            logits = self._logits(weights, embedding, before, self._split(batch.sampled), draws)
        said = jax.nn.log_softmax(logits.reshape(*targets.shape, self.spec.depth))
        missed = -(said * jax.nn.one_hot(targets, self.spec.depth)).sum(axis=(0, 2, 3))
        return missed.reshape(n, -1).sum(axis=1)

    def _logits(
        self,
        weights: Mapping[str, Array],
        embedding: Array,
        before: Array,
        sampled: Array | None = None,
        draws: Array | None = None,
    ) -> Array:
        """What the note-by-note decoder says, `[steps, rows, width]`.

        Args:
          weights: of the model.
          embedding: `[rows, depth]`.
          before: the tokens that it hears, `[steps, rows, voices]`.
          sampled: where it hears its own instead, `[steps, rows]`, drawn by `draws`, `[steps, rows, voices]`.
        """
        scope = "core_decoder/decoder" if self.spec.decoder == "hierarchical" else "decoder"
        sizes, width = self.spec.hparams["dec_rnn_size"], self.spec.width
        cells = [f"{scope}/multi_rnn_cell/cell_{layer}/lstm_cell" for layer in range(len(sizes))]
        kernels = [weights[f"{cell}/kernel"] for cell in cells]
        states = self._start(weights, f"{scope}/z_to_initial_state", embedding)
        constant = self._dot(embedding, kernels[0][width : -sizes[0]]) + weights[f"{cells[0]}/bias"]
        if sampled is None or draws is None:
            heard = self._dot(self._one_hot(before), kernels[0][:width]) + constant
            sequence = self._run(kernels[0][-sizes[0] :], heard, states[0])
            for cell, state in zip(cells[1:], states[1:], strict=True):
                sequence = self._layer(weights, cell, sequence, state)
            return self._dense(weights, f"{scope}/output_projection", sequence)

        def step(carry: tuple[list[Array], Array], given: tuple[Array, Array, Array]) -> tuple[Any, Array]:
            states, said = carry
            true, own, draw = given
            chosen = choose(jax.lax.stop_gradient(said).reshape(*draw.shape, self.spec.depth), draw)
            heard = self._one_hot(jnp.where(own[:, None], chosen, true))
            gates = self._dot(heard, kernels[0][:width]) + constant
            new = [cell_step(gates + self._dot(states[0][1], kernels[0][-sizes[0] :]), states[0][0])]
            for cell, kernel, state in zip(cells[1:], kernels[1:], states[1:], strict=True):
                inputs = jnp.concatenate([new[-1][1], state[1]], axis=1)
                new.append(cell_step(self._dot(inputs, kernel) + weights[f"{cell}/bias"], state[0]))
            said = self._dense(weights, f"{scope}/output_projection", new[-1][1])
            return (new, said), said

        nothing = jnp.zeros((len(embedding), width))
        # The first token of a segment is heard as it is.
        own = sampled.at[0].set(False)
        starts = [(state[0], state[1]) for state in states]
        return _over_time(step, (starts, nothing), (before, own, draws))

    def _start(self, weights: Mapping[str, Array], name: str, embedding: Array) -> list[Array]:
        """The first c and h of every layer, `[2, rows, units]` each."""
        flat = jnp.tanh(self._dense(weights, name, embedding))
        states, place = [], 0
        for units in self.spec.hparams["dec_rnn_size"]:
            states.append(jnp.stack([flat[:, place : place + units], flat[:, place + units : place + 2 * units]]))
            place += 2 * units
        return states

    def _layer(
        self, weights: Mapping[str, Array], cell: str, sequence: Array, start: Array, reverse: bool = False
    ) -> Array:
        """An LSTM layer over `[steps, rows, depth]`, to `[steps, rows, units]` in the order of the music."""
        kernel, units = weights[f"{cell}/kernel"], start.shape[2]
        heard = self._dot(sequence, kernel[:-units]) + weights[f"{cell}/bias"]
        return self._run(kernel[-units:], heard, start, reverse)

    def _run(self, recurrent: Array, heard: Array, start: Array, reverse: bool = False) -> Array:
        """Steps through time, given the input's share of the gates `[steps, rows, 4 * units]`."""

        def step(state: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
            c, h = cell_step(gates + self._dot(state[1], recurrent), state[0])
            return (c, h), h

        return _over_time(step, (start[0], start[1]), heard, reverse)

    def _split(self, windows: Array) -> Array:
        """`[n, steps, ...]` to time first, a row for each segment of the lowest level."""
        return windows.reshape(-1, self.lengths[-1], *windows.shape[2:]).swapaxes(0, 1)

    def _one_hot(self, tokens: Array) -> Array:
        """Tokens `[..., voices]` to `[..., width]`."""
        return jax.nn.one_hot(tokens, self.spec.depth, dtype=self.dtype).reshape(*tokens.shape[:-1], self.spec.width)

    def _dense(self, weights: Mapping[str, Array], name: str, inputs: Array) -> Array:
        return self._dot(inputs, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]

    def _dot(self, a: Array, b: Array) -> Array:
        return jnp.matmul(a.astype(self.dtype), b.astype(self.dtype), preferred_element_type=jnp.float32)


class TopLoss(Loss):
    """The loss of the top of a grown model by itself; see `grow_top.py`.

    Args:
      spec: of the whole model.
      small: the smaller model's spec. weights: its weights.
      dtype: see `Loss`.
    """

    def __init__(self, spec: ModelSpec, small: ModelSpec, weights: Mapping[str, Array], dtype: Any = jnp.float32):
        super().__init__(spec, dtype)
        self.small, self.given = Loss(small, dtype), weights

    def __call__(self, weights: Mapping[str, Array], batch: Batch, beta: Array) -> tuple[Array, dict[str, Array]]:
        """The mean loss of a batch of long windows and its parts; "losses/r_loss" is the distance of what it says."""
        scope, count = self.spec.encoder_levels()[-1]
        short = batch.tokens.reshape(-1, self.small.spec.steps, self.spec.voices)
        embeddings, mu, sigma = jax.lax.stop_gradient(self.small.encode(self.given, short))
        top = self._level(weights, scope, embeddings.reshape(-1, count, embeddings.shape[1]))
        own_mu, own_sigma = self._posterior(weights, top)
        out = self._conduct(weights, 0, own_mu + own_sigma * batch.noise)
        wrong = self._dense(weights, grow_top.SAYS, out).swapaxes(0, 1).reshape(mu.shape) - mu
        far = 0.5 * wrong**2 / (sigma**2 + grow_top.LEAST_VARIANCE)
        return self._total(far.reshape(len(batch.tokens), -1).sum(axis=1), own_mu, own_sigma, beta)


def _over_time(step: Any, start: Any, given: Any, reverse: bool = False) -> Array:
    """What `step` says at each step, `[steps, ...]`; see `jax.lax.scan`."""
    count = len(jax.tree.leaves(given)[0])
    unroll = 1 if jax.default_backend() == "cpu" else min(_UNROLLED, count)
    return jax.lax.scan(step, start, given, reverse=reverse, unroll=unroll)[1]


def cell_step(gates: Array, c: Array) -> tuple[Array, Array]:
    """An LSTM cell, from its gates `[rows, 4 * units]` before their non-linearities; see `lstm_step.py`."""
    i, candidate, f, o = jnp.split(gates, 4, axis=1)
    c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(candidate)
    return c, jax.nn.sigmoid(o) * jnp.tanh(c)


def choose(logits: Array, draws: Array) -> Array:
    """Draws tokens: logits `[..., depth]` and numbers in [0, 1) `[...]` to int32 `[...]`."""
    cumulative = jnp.cumsum(jnp.exp(logits - logits.max(axis=-1, keepdims=True)), axis=-1)
    below = cumulative <= draws[..., None] * cumulative[..., -1:]
    return jnp.minimum(below.sum(axis=-1), logits.shape[-1] - 1)
