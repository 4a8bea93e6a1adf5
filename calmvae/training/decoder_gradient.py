"""The decoder's loss and gradient for training, with numpy alone; see `vae_gradient.py`."""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.model.model_spec import ModelSpec
from calmvae.model.numpy_engine import choose, codes, look_up
from calmvae.training import lstm_kernels
from calmvae.training.lstm_backprop import Tape, back_through_time, flat, to_layer_below

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass
class Batch:
    """One step's input.

    Attributes:
      tokens: uint8 `[n, steps]`, of several voices `[n, steps, voices]`.
      noise: float32 `[n, z_size]`, standard normal, for the latent vectors.
      sampled: bool `[n, steps]`: where the decoder is fed its own output of the step before, or None for nowhere.
      draws: float32 in [0, 1), of the shape of `tokens`: decide what that output is.
    """

    tokens: np.ndarray
    noise: np.ndarray
    sampled: np.ndarray | None = None
    draws: np.ndarray | None = None


class Decoder:
    """The decoder over some rows of the batch."""

    def __init__(self, spec: ModelSpec, weights: Arrays, rows: slice) -> None:
        self.spec, self.rows = spec, rows
        self.n = rows.stop - rows.start
        self.lengths = spec.level_lengths or (spec.steps,)
        sizes, parts = spec.hparams["dec_rnn_size"], self.n
        self.conductors = []
        for level, segments in enumerate(self.lengths[:-1]):
            self.conductors.append(Conductor(f"decoder/hierarchical_level_{level}", weights, sizes, segments, parts))
            parts *= segments
        scope = "core_decoder/decoder" if spec.decoder == "hierarchical" else "decoder"
        self.core = _Core(scope, weights, spec, self.lengths[-1], parts)
        self.dz = np.zeros((0, 0), np.float32)
        self.r_loss = np.zeros(0, np.float32)

    def forward(self, z: np.ndarray, batch: Batch) -> None:
        z = z[self.rows]
        tokens = codes(batch.tokens[self.rows].reshape(self.n, self.spec.steps, -1), self.spec)
        # Nothing stands before the first step: a code of its own, whose row of weights is zero.
        before = np.concatenate([np.full_like(tokens[:, :1], self.spec.width), tokens[:, :-1]], axis=1)
        embedding = z
        for conductor in self.conductors:
            embedding = conductor.forward(embedding)
        sampled, draws = (None if a is None else self._split(a[self.rows]) for a in (batch.sampled, batch.draws))
        losses = self.core.forward(embedding, self._split(tokens), self._split(before), sampled, draws)
        self.r_loss = losses.reshape(-1, self.n).sum(axis=0)

    def backward(self, gradient: Arrays, scale: float) -> None:
        d_embedding = self.core.backward(gradient, scale)
        for conductor in reversed(self.conductors):
            d_embedding = conductor.backward(d_embedding, gradient)
        self.dz = d_embedding

    def _split(self, windows: np.ndarray) -> np.ndarray:
        """`[n, steps]`, or `[n, steps, voices]`, to time first, with a row for each segment of the lowest level, in the
        order of its embeddings; voices stay last."""
        voices = windows.shape[2:]
        parts = np.moveaxis(windows.reshape(self.n, *self.lengths, *voices), 0, len(self.lengths))
        parts = parts.transpose(*range(len(self.lengths))[::-1], *range(len(self.lengths), parts.ndim))
        return np.ascontiguousarray(parts.reshape(self.lengths[-1], -1, *voices))


class Conductor:
    """An upper level of a hierarchical decoder: an embedding (or latent vector) to one of each of its segments."""

    def __init__(self, scope: str, weights: Arrays, sizes: list[int], segments: int, n: int) -> None:
        self.scope, self.weights, self.n, self.segments = scope, weights, n, segments
        self.start = _InitialState(f"{self.scope}/initial_state", weights, sizes)
        self.tapes = [Tape.make(segments, n, units) for units in sizes]

    def forward(self, embedding: np.ndarray) -> np.ndarray:
        """`[n, depth]` to `[segments * n, units]`."""
        self.start.forward(embedding, self.tapes)
        for layer, tape in enumerate(self.tapes):
            kernel, bias = (self.weights[f"{self._cell(layer)}/{part}"] for part in ("kernel", "bias"))
            if layer:
                np.matmul(flat(self.tapes[layer - 1].h[1:]), kernel[: -tape.units], out=tape.flat_gates())
            else:
                # The conductor hears nothing: its input is one zero a segment.
                tape.gates[:] = 0
            for t in range(self.segments):
                tape.gates[t] += bias
                tape.forward(t, kernel)
        return flat(self.tapes[-1].h[1:])

    def backward(self, d_embedding: np.ndarray, gradient: Arrays) -> np.ndarray:
        d_outputs = d_embedding.reshape(self.segments, self.n, -1)
        cells = [self._cell(layer) for layer in range(len(self.tapes))]
        ends = _back_through_layers(self.tapes, cells, self.weights, gradient, d_outputs)
        gradient[f"{cells[0]}/kernel"][: -self.tapes[0].units] = 0
        return self.start.backward(ends, gradient)

    def _cell(self, layer: int) -> str:
        return f"{self.scope}/cell_{layer}/lstm_cell"


class _Core:
    """The note-by-note decoder of rows that begin with an embedding each."""

    def __init__(self, scope: str, weights: Arrays, spec: ModelSpec, steps: int, rows: int) -> None:
        self.scope, self.weights, self.spec, self.steps, self.rows = scope, weights, spec, steps, rows
        sizes = spec.hparams["dec_rnn_size"]
        self.start = _InitialState(f"{scope}/z_to_initial_state", weights, sizes)
        self.tapes = [Tape.make(steps, rows, units) for units in sizes]
        self.fed = self.targets = np.zeros((steps, rows, spec.voices), np.int64)
        self.embedding = self.logits = np.zeros((0, 0), np.float32)

    def forward(
        self,
        embedding: np.ndarray,
        targets: np.ndarray,
        before: np.ndarray,
        sampled: np.ndarray | None,
        draws: np.ndarray | None,
    ) -> np.ndarray:
        """Cross-entropy of each row, summed over its steps and voices.

        Codes come as `[steps, rows, voices]`, so do draws, or as `[steps, rows]` for a melody.
        """
        self.embedding, self.targets, self.fed = embedding, targets, before.copy()
        self.start.forward(embedding, self.tapes)
        kernels = [self.weights[f"{self._cell(k)}/kernel"] for k in range(len(self.tapes))]
        biases = [self.weights[f"{self._cell(k)}/bias"] for k in range(len(self.tapes))]
        units, width = self.tapes[0].units, self.spec.width
        constant = embedding @ kernels[0][width:-units] + biases[0]
        own = np.concatenate([kernels[0][:width], np.zeros((1, 4 * units), np.float32)])
        projection, offset = (self.weights[f"{self.scope}/output_projection/{p}"] for p in ("kernel", "bias"))
        for t in range(self.steps):
            gates = self.tapes[0].gates[t]
            look_up(own, self.fed[t], gates)
            gates += constant
            h = self.tapes[0].forward(t, kernels[0])
            for tape, kernel, bias in zip(self.tapes[1:], kernels[1:], biases[1:], strict=True):
                np.matmul(h, kernel[: -tape.units], out=tape.gates[t])
                tape.gates[t] += bias
                h = tape.forward(t, kernel)
            if sampled is not None and draws is not None and t + 1 < self.steps and sampled[t + 1].any():
                rows = np.flatnonzero(sampled[t + 1])
                said = (h[rows] @ projection + offset).reshape(-1, self.spec.depth)
                chosen = choose(said, draws[t + 1, rows].ravel())
                self.fed[t + 1, rows] = codes(chosen.reshape(len(rows), -1), self.spec)
        self.logits = flat(self.tapes[-1].h[1:]) @ projection + offset
        return self._cross_entropy()

    def _cross_entropy(self) -> np.ndarray:
        """Turns the logits into probabilities on the way."""
        logits = self.logits.reshape(-1, self.spec.voices, self.spec.depth)
        logits -= logits.max(axis=2, keepdims=True)
        true = np.take_along_axis(self.logits, self.targets.reshape(len(logits), -1), axis=1)
        np.exp(logits, out=logits)
        total = logits.sum(axis=2, keepdims=True)
        logits /= total
        return (np.log(total[:, :, 0]) - true).sum(axis=1).reshape(self.steps, self.rows).sum(axis=0)

    def backward(self, gradient: Arrays, scale: float) -> np.ndarray:
        """Gradient with respect to the embedding, `[rows, embedding]`; the loss is `scale` times the sum of rows."""
        d_logits = self.logits
        d_logits[np.arange(len(d_logits))[:, None], self.targets.reshape(len(d_logits), -1)] -= 1
        d_logits *= np.float32(scale)
        name = f"{self.scope}/output_projection"
        np.matmul(flat(self.tapes[-1].h[1:]).T, d_logits, out=gradient[f"{name}/kernel"])
        np.sum(d_logits, axis=0, out=gradient[f"{name}/bias"])
        d_outputs = (d_logits @ self.weights[f"{name}/kernel"].T).reshape(self.steps, self.rows, -1)
        cells = [self._cell(layer) for layer in range(len(self.tapes))]
        ends = _back_through_layers(self.tapes, cells, self.weights, gradient, d_outputs)
        d_embedding = self.start.backward(ends, gradient)
        # Of the first layer's input: the tokens, then the embedding, which is the same at every step.
        first, units = self.tapes[0], self.tapes[0].units
        kernel, d_kernel = self.weights[f"{cells[0]}/kernel"], gradient[f"{cells[0]}/kernel"]
        width = self.spec.width
        one_hot_product(self.fed, first.flat_gates(), d_kernel[:width])
        d_constant = first.gates.sum(axis=0)
        np.matmul(self.embedding.T, d_constant, out=d_kernel[width:-units])
        d_embedding += d_constant @ kernel[width:-units].T
        return d_embedding

    def _cell(self, layer: int) -> str:
        return f"{self.scope}/multi_rnn_cell/cell_{layer}/lstm_cell"


class _InitialState:
    """A dense layer with tanh that gives every LSTM layer its first c and h."""

    def __init__(self, name: str, weights: Arrays, sizes: list[int]) -> None:
        self.name, self.weights = name, weights
        # Magenta's state is flat: c and h of the first layer, then of the next.
        self.cuts = np.cumsum([s for size in sizes for s in (size, size)])[:-1]
        self.embedding = self.state = np.zeros((0, 0), np.float32)

    def forward(self, embedding: np.ndarray, tapes: list[Tape]) -> None:
        self.embedding = embedding
        self.state = np.tanh(embedding @ self.weights[f"{self.name}/kernel"] + self.weights[f"{self.name}/bias"])
        parts = np.split(self.state, self.cuts, axis=1)
        for tape, c, h in zip(tapes, parts[::2], parts[1::2], strict=True):
            tape.c[0], tape.h[0] = c, h

    def backward(self, ends: list[tuple[np.ndarray, np.ndarray]], gradient: Arrays) -> np.ndarray:
        """From the gradients `(dc, dh)` of each layer's first state to that of the embedding."""
        d = np.concatenate([part for end in ends for part in end], axis=1)
        d *= 1 - self.state**2
        np.matmul(self.embedding.T, d, out=gradient[f"{self.name}/kernel"])
        np.sum(d, axis=0, out=gradient[f"{self.name}/bias"])
        return d @ self.weights[f"{self.name}/kernel"].T


def _back_through_layers(
    tapes: list[Tape], cells: list[str], weights: Arrays, gradient: Arrays, d_outputs: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Goes back through a stack of layers, from the gradients of the top one's outputs.

    Writes the gradients of all but the rows that take the bottom layer's input.

    Returns:
      `(dc, dh)` of each layer's first state.
    """
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for layer, tape in reversed(list(enumerate(tapes))):
        kernel, d_kernel = weights[f"{cells[layer]}/kernel"], gradient[f"{cells[layer]}/kernel"]
        ends.insert(0, back_through_time(tape, kernel, None, d_outputs))
        tape.add_recurrent_gradient(d_kernel)
        np.sum(tape.flat_gates(), axis=0, out=gradient[f"{cells[layer]}/bias"])
        if layer:
            d_outputs = to_layer_below(tapes[layer - 1], tape, kernel, d_kernel)
    return ends


def one_hot_product(codes: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Writes the product of one-hot codes, transposed, and rows.

    Args:
      codes: int64 `[steps, rows, voices]`; a code of `width` stands for nothing.
      rows: `[steps * rows, columns]`.
      out: `[width, columns]`.
    """
    out[:] = 0
    lstm_kernels.add_rows(out, np.ascontiguousarray(codes).reshape(-1, codes.shape[-1]), rows)
