"""The loss of a MusicVAE for one-hot melodies and its gradient, with numpy alone.

The mathematics of Magenta's training graph (`MusicVAE.train` over `BidirectionalLstmEncoder`, `CategoricalLstmDecoder`
or `HierarchicalLstmDecoder` without autoregression), arranged for a CPU:

* a one-hot product is a look-up of rows; what the latent vector adds to the decoder's input is computed once a window;
* the gradients of all kernels are one product over all steps;
* the segments of a hierarchical decoder are decoded side by side, since their first inputs are the true tokens;
* the encoder's two directions, and halves of the batch in the decoder, go to different threads, each with a
  single-threaded BLAS: threads inside a product of these sizes cost more than they give.
"""

from __future__ import annotations

import functools

import numpy as np

from calmvae import parallel
from calmvae.configs import ModelSpec
from calmvae.decoder import Arrays, Batch, Decoder, one_hot
from calmvae.lstm import Tape, back_through_time

_POSTERIOR = {f"encoder/{part}/{array}" for part in ("mu", "sigma") for array in ("kernel", "bias")}


class Network:
    """Loss and gradient for batches of a fixed size.

    Args:
      spec: a config without dropout and residual connections.
      weights: Magenta's variable names to arrays, which are read at every call.
      batch_size: number of windows.
      threads: to compute with.
    """

    def __init__(self, spec: ModelSpec, weights: Arrays, batch_size: int, threads: parallel.Threads) -> None:
        self.spec, self.weights, self.threads = spec, weights, threads
        sizes = spec.hparams["enc_rnn_size"]
        rows = parallel.shards(batch_size, max(1, threads.count // 2))
        self.encoders = [
            [
                _EncoderRun(
                    f"encoder/cell_{layer}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell",
                    way == "bw",
                    part,
                    Tape.make(spec.steps, part.stop - part.start, units),
                )
                for way in ("fw", "bw")
                for part in rows
            ]
            for layer, units in enumerate(sizes)
        ]
        self.decoders = [Decoder(spec, weights, part) for part in parallel.shards(batch_size, threads.count)]
        # Each part of the batch has its own gradients, added up at the end. The first part's are the caller's.
        self.others = [
            {name: np.zeros_like(w) for name, w in weights.items() if k < len(rows) or "decoder" in name}
            for k in range(1, len(self.decoders))
        ]

    def loss_and_gradient(self, batch: Batch, beta: float, gradient: Arrays) -> dict[str, np.ndarray]:
        """Goes forward and backward.

        Args:
          batch: of the batch size.
          beta: weight of the KL divergence above the free bits.
          gradient: arrays of the weights' names and shapes, overwritten with the gradient of the mean loss.

        Returns:
          "losses/r_loss", "losses/kl_loss" and "losses/kl_bits", `[n]` each, as Magenta calls them.
        """
        n, gradients = len(batch.tokens), [gradient, *self.others]
        posterior = _Posterior(self.weights, self._encode(batch.tokens), batch.noise)
        self.threads.run([functools.partial(d.forward, posterior.z, batch) for d in self.decoders])
        self.threads.run(
            [functools.partial(d.backward, g, 1 / n) for d, g in zip(self.decoders, gradients, strict=True)]
        )
        dz = np.concatenate([d.dz for d in self.decoders])
        free = self.spec.hparams["free_bits"] * np.log(2)
        kl = posterior.kl()
        d_top = posterior.backward(dz, np.where(kl > free, beta / n, 0).astype(np.float32), gradient)
        self._encode_backward(d_top, gradients)
        for other in self.others:
            for name in other.keys() - _POSTERIOR:
                gradient[name] += other[name]
        return {
            "losses/r_loss": np.concatenate([d.r_loss for d in self.decoders]),
            "losses/kl_loss": np.maximum(kl - free, 0),
            "losses/kl_bits": kl / np.log(2),
        }

    def _encode(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens to the last outputs of the top layer, both directions: `[n, 2 * units]`."""
        codes = np.ascontiguousarray(tokens.T).astype(np.intp)
        below: np.ndarray | None = None
        for layer in self.encoders:
            self.threads.run([functools.partial(run.forward, self.weights, codes, below) for run in layer])
            if layer is not self.encoders[-1]:
                ways = [[run.outputs() for run in layer if run.reverse == way] for way in (False, True)]
                below = np.concatenate([np.concatenate(way, axis=1) for way in ways], axis=2)
        lasts = [[run.tape.h[-1] for run in self.encoders[-1] if run.reverse == way] for way in (False, True)]
        return np.concatenate([np.concatenate(way) for way in lasts], axis=1)

    def _encode_backward(self, d_top: np.ndarray, gradients: list[Arrays]) -> None:
        d_outputs: np.ndarray | None = None
        for layer in reversed(self.encoders):
            final = d_top if layer is self.encoders[-1] else None
            bottom, shards = layer is self.encoders[0], len(layer) // 2
            self.threads.run(
                [
                    functools.partial(run.backward, self.weights, final, d_outputs, gradients[i % shards], bottom)
                    for i, run in enumerate(layer)
                ]
            )
            if not bottom:
                ways = [[run.d_inputs for run in layer if run.reverse == way] for way in (False, True)]
                d_outputs = np.concatenate(ways[0], axis=1) + np.concatenate(ways[1], axis=1)


class _EncoderRun:
    """One direction of one encoder layer over some rows of the batch."""

    def __init__(self, scope: str, reverse: bool, rows: slice, tape: Tape) -> None:
        self.scope, self.reverse, self.rows, self.tape = scope, reverse, rows, tape
        self.inputs = np.zeros((0, 0), np.float32)
        self.d_inputs = np.zeros((0, 0, 0), np.float32)

    def forward(self, weights: Arrays, codes: np.ndarray, below: np.ndarray | None) -> None:
        kernel, bias = weights[f"{self.scope}/kernel"], weights[f"{self.scope}/bias"]
        tape, order = self.tape, slice(None, None, -1 if self.reverse else 1)
        own = kernel[: -tape.units]
        if below is None:
            mine = codes[order, self.rows]
            self.inputs = one_hot(mine)
            np.take(own, mine, axis=0, out=tape.gates, mode="clip")
        else:
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
        bottom: bool,
    ) -> None:
        """From the gradient of both directions' last outputs, or of all outputs where another layer is above."""
        tape, kernel, order = self.tape, weights[f"{self.scope}/kernel"], slice(None, None, -1 if self.reverse else 1)
        half = slice(tape.units, None) if self.reverse else slice(None, tape.units)
        final = None if d_final is None else d_final[self.rows, half]
        mine = None if d_outputs is None else d_outputs[order, self.rows, half]
        back_through_time(tape, kernel, final, mine)
        d_kernel = gradient[f"{self.scope}/kernel"]
        tape.add_recurrent_gradient(d_kernel)
        np.matmul(self.inputs.T, tape.flat_gates(), out=d_kernel[: -tape.units])
        np.sum(tape.flat_gates(), axis=0, out=gradient[f"{self.scope}/bias"])
        if not bottom:
            flat = tape.flat_gates() @ kernel[: -tape.units].T
            self.d_inputs = flat.reshape(len(tape.gates), -1, flat.shape[1])[order]


class _Posterior:
    """`mu`, `sigma`, a latent vector of each window and the divergence from the prior."""

    def __init__(self, weights: Arrays, top: np.ndarray, noise: np.ndarray) -> None:
        self.weights, self.top, self.noise = weights, top, noise
        self.mu = top @ weights["encoder/mu/kernel"] + weights["encoder/mu/bias"]
        self.raw = top @ weights["encoder/sigma/kernel"] + weights["encoder/sigma/bias"]
        self.sigma = np.logaddexp(self.raw, np.float32(0))
        self.z = self.mu + self.sigma * noise

    def kl(self) -> np.ndarray:
        """KL divergence of each window's posterior from the standard normal, in nats, `[n]`."""
        return 0.5 * (self.sigma**2 + self.mu**2 - 1 - 2 * np.log(self.sigma)).sum(axis=1)

    def backward(self, dz: np.ndarray, dkl: np.ndarray, gradient: Arrays) -> np.ndarray:
        """From the gradients of z `[n, z_size]` and of the divergence `[n]` to that of the encoder's output."""
        d_mu = dz + dkl[:, None] * self.mu
        d_sigma = dz * self.noise + dkl[:, None] * (self.sigma - 1 / self.sigma)
        # The derivative of softplus is the sigmoid: 1 - exp(-softplus).
        d_raw = d_sigma * -np.expm1(-self.sigma)
        d_top = np.zeros_like(self.top)
        for name, d in (("mu", d_mu), ("sigma", d_raw)):
            np.matmul(self.top.T, d, out=gradient[f"encoder/{name}/kernel"])
            np.sum(d, axis=0, out=gradient[f"encoder/{name}/bias"])
            d_top += d @ self.weights[f"encoder/{name}/kernel"].T
        return d_top
