"""The encoder for training, with numpy alone; see `vae_gradient.py`."""

from __future__ import annotations

import functools

import numpy as np

from calmvae.common import thread_pool
from calmvae.model.model_spec import ModelSpec
from calmvae.model.numpy_engine import codes, look_up
from calmvae.training.decoder_gradient import Arrays, one_hot_product
from calmvae.training.lstm_backprop import Tape, back_through_time


class Encoder:
    """Bidirectional LSTM layers over whole windows, or level by level over segments of them.

    Args:
      spec: a config without dropout and residual connections.
      batch_size: number of windows.
      threads: to compute with; the two directions go to different ones.
    """

    def __init__(self, spec: ModelSpec, batch_size: int, threads: thread_pool.Threads) -> None:
        self.shards = len(thread_pool.shards(batch_size, max(1, threads.count // 2)))
        self.spec, self.levels = spec, []
        splits = spec.steps
        for scope, length in spec.encoder_levels():
            splits //= length
            rows = thread_pool.shards(batch_size * splits, self.shards)
            self.levels.append(Level(scope, spec.hparams["enc_rnn_size"], length, splits, rows, threads))

    def forward(self, weights: Arrays, tokens: np.ndarray) -> np.ndarray:
        """The last outputs of the top level's top layer, both directions, `[n, 2 * units]`.

        Args:
          weights: Magenta's variable names to arrays. tokens: see `decoder_gradient.Batch`.
        """
        n, bottom = len(tokens), self.levels[0]
        # Time first, a row for each segment.
        parts = codes(tokens.reshape(n, bottom.splits, bottom.steps, -1), self.spec).transpose(2, 1, 0, 3)
        top = bottom.forward(weights, parts.reshape(bottom.steps, n * bottom.splits, -1), None)
        for level in self.levels[1:]:
            embeddings = top.reshape(level.splits, level.steps, n, -1)
            below = embeddings.transpose(1, 0, 2, 3).reshape(level.steps, level.splits * n, -1)
            top = level.forward(weights, None, below)
        return top

    def backward(self, weights: Arrays, d_top: np.ndarray, gradients: list[Arrays]) -> None:
        """From the gradient of `forward`'s output; writes those of the kernels, a shard of the rows to an element."""
        n = len(d_top)
        for level in reversed(self.levels):
            d_below = level.backward(weights, d_top, gradients, level is self.levels[0])
            if d_below is not None:
                d_segments = d_below.reshape(level.steps, level.splits, n, -1).transpose(1, 0, 2, 3)
                d_top = d_segments.reshape(level.steps * level.splits * n, -1)


class Level:
    """A stack of bidirectional layers that turns each row's steps into one embedding."""

    def __init__(
        self, scope: str, sizes: list[int], steps: int, splits: int, rows: list[slice], threads: thread_pool.Threads
    ) -> None:
        self.steps, self.splits, self.threads = steps, splits, threads
        self.layers = [
            [
                _Run(
                    f"{scope}/cell_{layer}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell",
                    way == "bw",
                    part,
                    Tape.make(steps, part.stop - part.start, units),
                )
                for way in ("fw", "bw")
                for part in rows
            ]
            for layer, units in enumerate(sizes)
        ]

    def forward(self, weights: Arrays, codes: np.ndarray | None, below: np.ndarray | None) -> np.ndarray:
        """Codes `[steps, rows, voices]`, or what is below `[steps, rows, depth]`, to `[rows, 2 * units]`."""
        for layer in self.layers:
            self.threads.run([functools.partial(run.forward, weights, codes, below) for run in layer])
            if layer is not self.layers[-1]:
                ways = [[run.outputs() for run in layer if run.reverse == way] for way in (False, True)]
                below = np.concatenate([np.concatenate(way, axis=1) for way in ways], axis=2)
        lasts = [[run.tape.h[-1] for run in self.layers[-1] if run.reverse == way] for way in (False, True)]
        return np.concatenate([np.concatenate(way) for way in lasts], axis=1)

    def backward(self, weights: Arrays, d_top: np.ndarray, gradients: list[Arrays], bottom: bool) -> np.ndarray | None:
        """Gradient with respect to what is below, `[steps, rows, depth]`; None at the bottom, where tokens are."""
        d_outputs: np.ndarray | None = None
        for layer in reversed(self.layers):
            final = d_top if layer is self.layers[-1] else None
            on_tokens, shards = bottom and layer is self.layers[0], len(layer) // 2
            self.threads.run(
                [
                    functools.partial(run.backward, weights, final, d_outputs, gradients[i % shards], on_tokens)
                    for i, run in enumerate(layer)
                ]
            )
            d_outputs = None
            if not on_tokens:
                ways = [[run.d_inputs for run in layer if run.reverse == way] for way in (False, True)]
                d_outputs = np.concatenate(ways[0], axis=1) + np.concatenate(ways[1], axis=1)
        return d_outputs


class _Run:
    """One direction of one layer over some of the rows."""

    def __init__(self, scope: str, reverse: bool, rows: slice, tape: Tape) -> None:
        self.scope, self.reverse, self.rows, self.tape = scope, reverse, rows, tape
        self.codes, self.inputs = np.zeros((0, 0, 0), np.int64), np.zeros((0, 0), np.float32)
        self.d_inputs = np.zeros((0, 0, 0), np.float32)

    def forward(self, weights: Arrays, codes: np.ndarray | None, below: np.ndarray | None) -> None:
        kernel, bias = weights[f"{self.scope}/kernel"], weights[f"{self.scope}/bias"]
        tape, order = self.tape, slice(None, None, -1 if self.reverse else 1)
        own = kernel[: -tape.units]
        if codes is not None and below is None:
            mine = codes[order, self.rows]
            self.codes = mine
            look_up(own, mine, tape.gates)
        elif below is not None:
            self.inputs = np.ascontiguousarray(below[order, self.rows]).reshape(-1, below.shape[2])
            np.matmul(self.inputs, own, out=tape.flat_gates())
        for t in range(len(tape.gates)):
            tape.gates[t] += bias
            tape.forward(t, kernel)

    def outputs(self) -> np.ndarray:
        """`[steps, rows, units]` in the order of the music."""
        return self.tape.h[:0:-1] if self.reverse else self.tape.h[1:]

    def backward(
        self,
        weights: Arrays,
        d_final: np.ndarray | None,
        d_outputs: np.ndarray | None,
        gradient: Arrays,
        on_tokens: bool,
    ) -> None:
        """From the gradient of both directions' last outputs, or of all outputs where another layer is above."""
        tape, kernel, order = self.tape, weights[f"{self.scope}/kernel"], slice(None, None, -1 if self.reverse else 1)
        half = slice(tape.units, None) if self.reverse else slice(None, tape.units)
        final = None if d_final is None else d_final[self.rows, half]
        mine = None if d_outputs is None else d_outputs[order, self.rows, half]
        back_through_time(tape, kernel, final, mine)
        d_kernel = gradient[f"{self.scope}/kernel"]
        tape.add_recurrent_gradient(d_kernel)
        if on_tokens:
            one_hot_product(self.codes, tape.flat_gates(), d_kernel[: -tape.units])
        else:
            np.matmul(self.inputs.T, tape.flat_gates(), out=d_kernel[: -tape.units])
        np.sum(tape.flat_gates(), axis=0, out=gradient[f"{self.scope}/bias"])
        if not on_tokens:
            flat = tape.flat_gates() @ kernel[: -tape.units].T
            self.d_inputs = flat.reshape(len(tape.gates), -1, flat.shape[1])[order]
