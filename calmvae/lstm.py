"""LSTM layers with numpy alone: one step for generation, and forward and backward through time for training.

The cell is Magenta's `LSTMBlockCell`: gates in the order input, candidate, forget, output, 1 added to the forget
gate. A kernel's first rows take the input, its last `units` rows the layer's own output of the step before.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_ONE = np.float32(1)


def step(gates: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step: gates `[n, 4 * units]` before their non-linearities, overwritten, and the old `c`, to new `c`, `h`."""
    units = c.shape[1]
    activate(gates)
    c = gates[:, 2 * units : 3 * units] * c
    c += gates[:, :units] * gates[:, units : 2 * units]
    return c, gates[:, 3 * units :] * np.tanh(c)


def activate(gates: np.ndarray) -> None:
    """Applies the gates' non-linearities in place: `[n, 4 * units]`."""
    units = gates.shape[1] // 4
    candidate = gates[:, units : 2 * units]
    # tanh(x) = 2 sigmoid(2x) - 1, and numpy's exp is twice as fast as its tanh.
    candidate *= np.float32(2)
    gates[:, 2 * units : 3 * units] += _ONE
    np.negative(gates, out=gates)
    # Beyond 88 the exponential is infinite in float32, and the sigmoid 0, as it should be.
    with np.errstate(over="ignore"):
        np.exp(gates, out=gates)
    gates += _ONE
    np.divide(_ONE, gates, out=gates)
    candidate *= np.float32(2)
    candidate -= _ONE


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
    _halves: np.ndarray

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
            empty(3, n, units),
        )

    @property
    def units(self) -> int:
        """Size of the layer."""
        return self.c.shape[2]

    def forward(self, t: int, kernel: np.ndarray) -> np.ndarray:
        """Takes step `t`: `gates[t]` holds the input's share and the bias. Returns `h`, a view `[n, units]`."""
        units, gates = self.units, self.gates[t]
        np.matmul(self.h[t], kernel[-units:], out=self.scratch)
        gates += self.scratch
        activate(gates)
        c = self.c[t + 1]
        np.multiply(gates[:, :units], gates[:, units : 2 * units], out=c)
        c += np.multiply(gates[:, 2 * units : 3 * units], self.c[t], out=self._halves[0])
        np.tanh(c, out=self.squashed[t])
        return np.multiply(gates[:, 3 * units :], self.squashed[t], out=self.h[t + 1])

    def backward(self, t: int, dh: np.ndarray, dc: np.ndarray, kernel: np.ndarray) -> None:
        """Goes back over step `t`.

        Args:
          t: the step.
          dh, dc: gradients of the loss with respect to this step's h and c; become those of the step before.
          kernel: the layer's kernel.

        `gates[t]` becomes the gradient with respect to the gates before their non-linearities.
        """
        units, gates = self.units, self.gates[t]
        i, candidate, f, o = (gates[:, k * units : (k + 1) * units] for k in range(4))
        squashed, (x, y, z) = self.squashed[t], self._halves
        # Through h = o * tanh(c): first what reaches c, then the output gate.
        np.multiply(dh, o, out=x)
        np.multiply(x, squashed, out=y)
        dc += x
        np.multiply(y, squashed, out=x)
        dc -= x
        np.subtract(_ONE, o, out=o)
        np.multiply(y, o, out=o)
        # Through c = f * c_before + i * candidate.
        np.multiply(dc, candidate, out=x)
        x *= i
        np.multiply(candidate, candidate, out=y)
        np.subtract(_ONE, y, out=y)
        np.multiply(dc, i, out=z)
        np.multiply(z, y, out=candidate)
        np.subtract(_ONE, i, out=i)
        i *= x
        np.multiply(dc, f, out=dc)
        np.multiply(dc, self.c[t], out=x)
        np.subtract(_ONE, f, out=f)
        f *= x
        np.matmul(gates, kernel[-units:].T, out=dh)

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
    return sequence.reshape(-1, sequence.shape[2])
