"""LSTM layers for training: forward and backward through time; see `lstm_step.py` for the cell."""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.training import lstm_kernels


@dataclasses.dataclass
class Tape:
    """What a layer's backward pass needs of its forward pass, time first; made once and used for every batch.

    Attributes:
      gates: `[steps, n, 4 * units]`, after their non-linearities; the backward pass turns them into gradients.
      c, h: `[steps + 1, n, units]`, the initial ones first.
      squashed: `[steps, n, units]`, tanh of c.
    """

    gates: np.ndarray
    c: np.ndarray
    h: np.ndarray
    squashed: np.ndarray
    scratch: np.ndarray
    kept: np.ndarray

    @classmethod
    def make(cls, steps: int, n: int, units: int) -> Tape:
        """An empty tape for `n` rows."""

        def empty(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        return cls(
            empty(steps, n, 4 * units),
            empty(steps + 1, n, units),
            empty(steps + 1, n, units),
            empty(steps, n, units),
            empty(n, 4 * units),
            empty(units),
        )

    @property
    def units(self) -> int:
        """Size of the layer."""
        return self.c.shape[2]

    def forward(self, t: int, kernel: np.ndarray) -> np.ndarray:
        """Takes step `t`: `gates[t]` holds the input's share and the bias. Returns `h`, a view `[n, units]`."""
        np.matmul(self.h[t], kernel[-self.units :], out=self.scratch)
        lstm_kernels.forward(self.gates[t], self.scratch, self.c[t], self.c[t + 1], self.squashed[t], self.h[t + 1])
        return self.h[t + 1]

    def backward(self, t: int, dh: np.ndarray, dc: np.ndarray, kernel: np.ndarray) -> None:
        """Goes back over step `t`.

        Args:
          t: the step.
          dh, dc: gradients of the loss with respect to this step's h and c; become those of the step before.
          kernel: the layer's kernel.

        `gates[t]` becomes the gradient with respect to the gates before their non-linearities.
        """
        lstm_kernels.backward(self.gates[t], self.c[t], self.squashed[t], dh, dc, self.kept)
        np.matmul(self.gates[t], kernel[-self.units :].T, out=dh)

    def flat_gates(self) -> np.ndarray:
        """`[steps * n, 4 * units]`: after the backward pass, the gradients of all steps."""
        return self.gates.reshape(-1, self.gates.shape[2])

    def add_recurrent_gradient(self, gradient: np.ndarray) -> None:
        """Writes the gradient of the kernel's recurrent rows into `gradient`, of the kernel's shape."""
        np.matmul(self.h[:-1].reshape(-1, self.units).T, self.flat_gates(), out=gradient[-self.units :])


def back_through_time(
    tape: Tape, kernel: np.ndarray, final: np.ndarray | None, d_outputs: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """All steps back, given the gradient of the last output or of every output. Returns dc, dh of the first state."""
    dh = np.zeros(tape.h.shape[1:], np.float32)
    dc = np.zeros_like(dh)
    if final is not None:
        dh += final
    for t in range(len(tape.gates))[::-1]:
        if d_outputs is not None:
            dh += d_outputs[t]
        tape.backward(t, dh, dc, kernel)
    return dc, dh


def to_layer_below(below: Tape, tape: Tape, kernel: np.ndarray, d_kernel: np.ndarray) -> np.ndarray:
    """The kernel's gradient for the outputs of the layer below, and the gradient of those outputs."""
    np.matmul(flat(below.h[1:]).T, tape.flat_gates(), out=d_kernel[: -tape.units])
    return (tape.flat_gates() @ kernel[: -tape.units].T).reshape(*below.h[1:].shape)


def flat(sequence: np.ndarray) -> np.ndarray:
    """`[steps, rows, depth]` to `[steps * rows, depth]`, without a copy where the steps lie one behind the other."""
    return sequence.reshape(-1, sequence.shape[2])
