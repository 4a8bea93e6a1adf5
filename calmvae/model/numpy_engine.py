"""Encode and decode for generation, with numpy alone.

The mathematics of Magenta's `BidirectionalLstmEncoder`, `HierarchicalLstmEncoder`, `CategoricalLstmDecoder`,
`MultiOutCategoricalLstmDecoder` and `HierarchicalLstmDecoder` (without autoregression between its levels), from weights
under Magenta's variable names; tests hold it to Magenta on TensorFlow.

Tokens of a melody are uint8 `[n, steps]`, those of several voices `[n, steps, voices]`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from calmvae.common import thread_pool
from calmvae.common.errors import ModelError
from calmvae.model import lstm_step
from calmvae.model.model_spec import ModelSpec

_BATCH = 256


class Engine:
    """A MusicVAE for one-hot melodies, or for several voices.

    Args:
      spec: its config.
      weights: Magenta's variable names to arrays.

    Raises:
      ModelError: weights are missing or of other shapes than the spec's.
    """

    def __init__(self, spec: ModelSpec, weights: Mapping[str, np.ndarray]) -> None:
        if spec.hparams["residual_encoder"] or spec.hparams["residual_decoder"]:
            raise ModelError(f"config {spec.name} has residual connections, which generation does not support.")
        check_weights(spec, weights)
        self.spec = spec
        self.weights = {name: np.asarray(weights[name], np.float32) for name in weight_shapes(spec)}

    def encode(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior of windows: tokens to `mu`, `sigma`, float32 `[n, z_size]` each."""
        _, mu, sigma = self.embed(tokens)
        return mu, sigma

    def decode(self, z: np.ndarray, temperature: float = 0.0, seed: int | Sequence[int] = 0) -> np.ndarray:
        """Windows of latent vectors.

        Args:
          z: `[n, z_size]`.
          temperature: divides the logits before a token is drawn; 0 takes the likeliest token.
          seed: of the draws, or several, of as many equal parts of `z`; unused at temperature 0.

        Returns:
          tokens uint8.
        """
        z, draws = np.asarray(z, np.float32), None
        if temperature > 0:
            seeds = [seed] if isinstance(seed, int) else seed
            shape = (len(z) // len(seeds), self.spec.steps, self.spec.voices)
            draws = np.concatenate([np.random.default_rng(one).random(shape) for one in seeds])
        out = np.zeros((len(z), self.spec.steps, self.spec.voices), np.uint8)

        def work(rows: slice) -> None:
            _Decoding(self, z[rows], temperature, None if draws is None else draws[rows]).run(out[rows])

        _in_batches(len(z), work)
        return self._shaped(out)

    def log_likelihood(self, z: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Teacher-forced decoding of `tokens` from `z`.

        Returns:
          log-probability of each token in nats, float32, and the likeliest token at each place, uint8.
        """
        tokens, z = self._checked(tokens), np.asarray(z, np.float32)
        likeliest = np.zeros(tokens.shape, np.uint8)
        logs = np.zeros(tokens.shape, np.float32)

        def work(rows: slice) -> None:
            decoding = _Decoding(self, z[rows], 0.0, None, forced=tokens[rows])
            decoding.run(likeliest[rows])
            logs[rows] = decoding.logs

        _in_batches(len(z), work)
        return self._shaped(logs), self._shaped(likeliest)

    def embed(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Like `encode`, with what the posterior is computed from before it: float32 `[n, 2 * units]`."""
        tokens = self._checked(tokens)
        depth = 2 * self.spec.hparams["enc_rnn_size"][-1]
        found = [np.zeros((len(tokens), size), np.float32) for size in (depth, self.spec.z_size, self.spec.z_size)]

        def work(rows: slice) -> None:
            found[0][rows] = top = self._levels(tokens[rows])[-1][:, 0]
            found[1][rows], found[2][rows] = self._posterior(top)

        _in_batches(len(tokens), work)
        return found[0], found[1], found[2]

    def levels(self, tokens: np.ndarray) -> list[np.ndarray]:
        """What each level of the encoder makes of windows, the lowest first: `[n, segments, 2 * units]`."""
        return self._levels(self._checked(tokens))

    def _levels(self, tokens: np.ndarray) -> list[np.ndarray]:
        given = codes(tokens, self.spec)
        depth, found = 2 * self.spec.hparams["enc_rnn_size"][-1], []
        for scope, length in self.spec.encoder_levels():
            # Segments become rows of their own, and their embeddings the steps of the level above.
            segments = given.reshape(-1, length, *given.shape[2:])
            given = self._run_level(scope, segments).reshape(len(tokens), -1, depth)
            found.append(given)
        return found

    def _posterior(self, top: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mu = top @ self.weights["encoder/mu/kernel"] + self.weights["encoder/mu/bias"]
        raw = top @ self.weights["encoder/sigma/kernel"] + self.weights["encoder/sigma/bias"]
        return mu, np.logaddexp(raw, np.float32(0))

    def _run_level(self, scope: str, given: np.ndarray) -> np.ndarray:
        """Codes `[n, steps, voices]`, or embeddings `[n, steps, depth]`, through bidirectional layers to
        `[n, 2 * units]`."""
        lasts: list[np.ndarray] = []
        for layer in range(len(self.spec.hparams["enc_rnn_size"])):
            sequences, lasts = [], []
            for direction in ("fw", "bw"):
                cell = f"{scope}/cell_{layer}/bidirectional_rnn/{direction}/multi_rnn_cell/cell_0/lstm_cell"
                outputs, last = self._run_encoder(cell, given, reverse=direction == "bw")
                sequences.append(outputs)
                lasts.append(last)
            given = np.concatenate(sequences, axis=2)
        return np.concatenate(lasts, axis=1)

    def _run_encoder(self, scope: str, given: np.ndarray, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = self.weights[f"{scope}/kernel"], self.weights[f"{scope}/bias"]
        units = len(bias) // 4
        own, recurrent = kernel[:-units], kernel[-units:]
        n, steps = given.shape[:2]
        c = np.zeros((n, units), np.float32)
        h = np.zeros((n, units), np.float32)
        outputs = np.empty((n, steps, units), np.float32)
        for t in range(steps)[::-1] if reverse else range(steps):
            # The one-hot product of codes is a look-up of rows.
            x = look_up(own, given[:, t]) if given.dtype == np.int64 else given[:, t] @ own
            c, h = lstm_step.step(x + h @ recurrent + bias, c)
            outputs[:, t] = h
        return outputs, h

    def _checked(self, tokens: np.ndarray) -> np.ndarray:
        """The tokens as `[n, steps, voices]`."""
        tokens = np.asarray(tokens, np.uint8)
        wanted = (self.spec.steps, self.spec.voices)[: 2 if self.spec.voices > 1 else 1]
        if tokens.shape[1:] != wanted:
            raise ValueError(f"tokens of shape {tokens.shape}; [n, {', '.join(map(str, wanted))}] expected")
        return tokens.reshape(len(tokens), *wanted[:1], self.spec.voices)

    def _shaped(self, found: np.ndarray) -> np.ndarray:
        """`[n, steps, voices]` as those who call know it: without the last dimension for a melody."""
        return found if self.spec.voices > 1 else found[..., 0]


class _Decoding:
    """One batch on its way through the decoder."""

    def __init__(
        self,
        engine: Engine,
        z: np.ndarray,
        temperature: float,
        draws: np.ndarray | None,
        forced: np.ndarray | None = None,
    ) -> None:
        self.weights, self.spec, self.z = engine.weights, engine.spec, z
        self.temperature, self.draws, self.forced = temperature, draws, forced
        self.sizes = self.spec.hparams["dec_rnn_size"]
        self.logs = np.zeros((len(z), self.spec.steps, self.spec.voices), np.float32)
        self.previous: np.ndarray | None = None

    def run(self, out: np.ndarray) -> None:
        if self.spec.decoder == "categorical":
            self._core("decoder", self.z, out, 0, self.spec.steps)
            return
        self._level(0, self.z, out, 0)

    def _level(self, level: int, embedding: np.ndarray, out: np.ndarray, start: int) -> int:
        """Decodes what an embedding of some level stands for, from step `start`; returns the step after."""
        lengths = self.spec.level_lengths or ()
        if level == len(lengths) - 1:
            end = start + lengths[level]
            self._core("core_decoder/decoder", embedding, out, start, end)
            return end
        scope = f"decoder/hierarchical_level_{level}"
        states = self._initial(f"{scope}/initial_state", embedding)
        nothing = np.zeros((len(self.z), 1), np.float32)
        for _ in range(lengths[level]):
            # A conductor hears nothing: its input is one zero a segment.
            start = self._level(level + 1, self._stack(scope, nothing, states), out, start)
        return start

    def _core(self, scope: str, embedding: np.ndarray, out: np.ndarray, start: int, end: int) -> None:
        states = self._initial(f"{scope}/z_to_initial_state", embedding)
        first = f"{scope}/multi_rnn_cell/cell_0/lstm_cell"
        kernel, units = self.weights[f"{first}/kernel"], self.sizes[0]
        # The embedding's share of the input is the same at every step.
        constant = embedding @ kernel[self.spec.width : -units] + self.weights[f"{first}/bias"]
        projection = self.weights[f"{scope}/output_projection/kernel"]
        offset = self.weights[f"{scope}/output_projection/bias"]
        for t in range(start, end):
            c, h = states[0]
            gates = constant + h @ kernel[-units:]
            if self.previous is not None:
                gates += look_up(kernel, codes(self.previous, self.spec))
            states[0] = lstm_step.step(gates, c)
            x = states[0][1]
            for layer in range(1, len(self.sizes)):
                x = self._cell(f"{scope}/multi_rnn_cell/cell_{layer}/lstm_cell", x, states, layer)
            out[:, t] = self._choose(x @ projection + offset, t)
            self.previous = out[:, t] if self.forced is None else self.forced[:, t]

    def _choose(self, logits: np.ndarray, t: int) -> np.ndarray:
        """From `[n, width]` to tokens `[n, voices]`."""
        logits = logits.reshape(-1, self.spec.depth)
        if self.forced is not None:
            top = logits.max(axis=1, keepdims=True)
            log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
            true = logits[np.arange(len(logits)), self.forced[:, t].ravel()] - log_sum
            self.logs[:, t] = true.reshape(-1, self.spec.voices)
        if self.draws is None:
            chosen = np.argmax(logits, axis=1)
        else:
            chosen = choose((logits / self.temperature).astype(np.float64), self.draws[:, t].ravel())
        return chosen.reshape(-1, self.spec.voices)

    def _initial(self, name: str, embedding: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        state = np.tanh(embedding @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"])
        # Magenta's state is flat: c and h of the first layer, then of the next.
        parts = np.split(state, np.cumsum([s for size in self.sizes for s in (size, size)])[:-1], axis=1)
        return list(zip(parts[::2], parts[1::2], strict=True))

    def _stack(self, scope: str, x: np.ndarray, states: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        for layer in range(len(self.sizes)):
            x = self._cell(f"{scope}/cell_{layer}/lstm_cell", x, states, layer)
        return x

    def _cell(self, name: str, x: np.ndarray, states: list[tuple[np.ndarray, np.ndarray]], layer: int) -> np.ndarray:
        c, h = states[layer]
        gates = np.concatenate([x, h], axis=1) @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]
        states[layer] = lstm_step.step(gates, c)
        return states[layer][1]


def codes(tokens: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Tokens `[..., voices]` as places among the one-hot tokens of a step, int64 `[..., voices]`."""
    return tokens + np.arange(0, spec.width, spec.depth)


def look_up(rows: np.ndarray, codes: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The product of one-hot tokens and a matrix: the sum of the rows that codes `[..., voices]` name.

    Args:
      rows: `[width, columns]`. codes: see above. out: `[..., columns]`, where to write it.
    """
    found = np.take(rows, codes[..., 0], axis=0, out=out, mode="clip")
    for voice in range(1, codes.shape[-1]):
        found += rows.take(codes[..., voice], axis=0, mode="clip")
    return found


def choose(logits: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Draws a token a row: logits `[n, depth]` and numbers in [0, 1) `[n]` to `[n]`."""
    cumulative = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
    return np.minimum((cumulative <= (draws * cumulative[:, -1])[:, None]).sum(axis=1), logits.shape[1] - 1)


def _in_batches(n: int, work: Callable[[slice], None]) -> None:
    """Calls `work` with ranges of rows that make up 0 to `n`, in threads when there are enough."""
    parts = max(thread_pool.cores(), -(-n // _BATCH))
    ranges = thread_pool.shards(n, parts)
    with thread_pool.one_blas_thread():
        if len(ranges) == 1:
            work(ranges[0])
            return
        with contextlib.closing(thread_pool.Threads(min(len(ranges), thread_pool.cores()))) as threads:
            threads.run([functools.partial(work, rows) for rows in ranges])


def weight_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Magenta's variable names and shapes for a spec."""
    hparams = spec.hparams
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (inputs, outputs), (outputs,)

    depth = spec.width
    for level, _ in spec.encoder_levels():
        for layer, units in enumerate(hparams["enc_rnn_size"]):
            for direction in ("fw", "bw"):
                scope = f"{level}/cell_{layer}/bidirectional_rnn/{direction}/multi_rnn_cell/cell_0/lstm_cell"
                dense(scope, depth + units, 4 * units)
            depth = 2 * units
    for name in ("mu", "sigma"):
        dense(f"encoder/{name}", depth, spec.z_size)
    sizes = hparams["dec_rnn_size"]
    scope, embedding = "decoder", spec.z_size
    if spec.decoder == "hierarchical":
        for index in range(len(spec.level_lengths or ()) - 1):
            level = f"decoder/hierarchical_level_{index}"
            dense(f"{level}/initial_state", embedding, 2 * sum(sizes))
            for layer, units in enumerate(sizes):
                dense(f"{level}/cell_{layer}/lstm_cell", (sizes[layer - 1] if layer else 1) + units, 4 * units)
            embedding = sizes[-1]
        scope = "core_decoder/decoder"
    dense(f"{scope}/z_to_initial_state", embedding, 2 * sum(sizes))
    for layer, units in enumerate(sizes):
        inputs = sizes[layer - 1] if layer else spec.width + embedding
        dense(f"{scope}/multi_rnn_cell/cell_{layer}/lstm_cell", inputs + units, 4 * units)
    dense(f"{scope}/output_projection", sizes[-1], spec.width)
    return shapes


def check_weights(spec: ModelSpec, weights: Mapping[str, np.ndarray]) -> None:
    """Raises a `ModelError` that names the first variables that are missing or of another shape."""
    check_shapes(spec.name, weight_shapes(spec), weights)


def check_shapes(
    config_name: str, shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, np.ndarray], place: str = ""
) -> None:
    """`check_weights` for a config of which only the shapes are known, and weights from some place."""
    wrong = [
        f"{name} is {'missing' if name not in weights else 'x'.join(map(str, weights[name].shape))}"
        f" ({'x'.join(map(str, shape))} expected)"
        for name, shape in shapes.items()
        if name not in weights or tuple(weights[name].shape) != shape
    ]
    if wrong:
        raise ModelError(
            f"the weights {f'of {place} ' if place else ''}do not fit config {config_name}: {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; name the config it was trained with."
        )
