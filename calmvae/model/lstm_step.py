"""One step of an LSTM layer for generation in numpy.

The cell is Magenta's `LSTMBlockCell`: gates in the order input, candidate, forget, output, with 1 added to the forget
gate. The first rows of a kernel take the input, the last `units` rows the output of the step before.
"""

from __future__ import annotations

import numpy as np

_ONE = np.float32(1)


def step(gates: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new `c` and `h` from the old `c` and gates `[n, 4 * units]` before activation, which are overwritten."""
    units = c.shape[1]
    activate(gates)
    c = gates[:, 2 * units : 3 * units] * c
    c += gates[:, :units] * gates[:, units : 2 * units]
    return c, gates[:, 3 * units :] * np.tanh(c)


def activate(gates: np.ndarray) -> None:
    """Applies the gates' non-linearities in place: `[n, 4 * units]`."""
    units = gates.shape[1] // 4
    candidate = gates[:, units : 2 * units]
    # tanh(x) = 2 sigmoid(2x) - 1; numpy's exp is twice as fast as its tanh.
    candidate *= np.float32(2)
    gates[:, 2 * units : 3 * units] += _ONE
    np.negative(gates, out=gates)
    # Beyond 88 the exponential is infinite in float32, and the sigmoid correctly 0.
    with np.errstate(over="ignore"):
        np.exp(gates, out=gates)
    gates += _ONE
    np.divide(_ONE, gates, out=gates)
    candidate *= np.float32(2)
    candidate -= _ONE
