"""The element-wise part of an LSTM step for training, compiled: one pass over memory where numpy takes a dozen.

Every squashing is a rational approximation of tanh without branches, as in Eigen, so that the loops become vector
instructions; it is within 4e-7 of the true value everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_HOW: dict[str, Any] = {
    # Not "nnan" and "ninf": a training that runs away must be told by its loss.
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
    # Division without a check for zero, which would keep the loops from becoming vector instructions.
    "error_model": "numpy",
    "nogil": True,
}
_f = np.float32
_ZERO, _HALF, _ONE, _LIMIT = _f(0), _f(0.5), _f(1), _f(7.90531110763549805)
# Numerator (odd powers) and denominator (even powers), the highest first.
_P = tuple(map(_f, (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08)))
_P2 = tuple(map(_f, (1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)))
_Q = tuple(map(_f, (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)))


@njit(inline="always", **_HOW)
def _tanh(x):
    x = min(max(x, -_LIMIT), _LIMIT)
    s = x * x
    p = ((_P[0] * s + _P[1]) * s + _P[2]) * s + _P[3]
    p = ((p * s + _P2[0]) * s + _P2[1]) * s + _P2[2]
    return x * p / (((_Q[0] * s + _Q[1]) * s + _Q[2]) * s + _Q[3])


# Each loop writes to one place only, or the compiler would not see that it may take many elements at a time; what it
# reads again lies in the nearest cache, for the loops go row by row.


@njit(**_HOW)
def _squash(x, added, offset, scale, shift):
    for k in range(len(x)):
        x[k] = scale * _tanh(scale * (x[k] + added[k] + offset)) + shift


@njit(**_HOW)
def _state(c, f, before, i, candidate):
    for k in range(len(c)):
        c[k] = f[k] * before[k] + i[k] * candidate[k]


@njit(**_HOW)
def _tanh_of(out, x):
    for k in range(len(out)):
        out[k] = _tanh(x[k])


@njit(**_HOW)
def _product(out, a, b):
    for k in range(len(out)):
        out[k] = a[k] * b[k]


@njit("void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1])", cache=True, **_HOW)
def forward(gates, recurrent, c_before, c, squashed, h):
    """A step of n rows.

    Args:
      gates: `[n, 4 * units]`, the input's share with the bias; becomes the gates after their non-linearities.
      recurrent: `[n, 4 * units]`, the share of the output of the step before.
      c_before: `[n, units]`.
      c, squashed, h: `[n, units]`, written: the new c, its tanh and the output.
    """
    n, units = c.shape
    for row in range(n):
        i, candidate = gates[row, :units], gates[row, units : 2 * units]
        f, o = gates[row, 2 * units : 3 * units], gates[row, 3 * units :]
        _squash(i, recurrent[row, :units], _ZERO, _HALF, _HALF)
        _squash(candidate, recurrent[row, units : 2 * units], _ZERO, _ONE, _ZERO)
        _squash(f, recurrent[row, 2 * units : 3 * units], _ONE, _HALF, _HALF)
        _squash(o, recurrent[row, 3 * units :], _ZERO, _HALF, _HALF)
        _state(c[row], f, c_before[row], i, candidate)
        _tanh_of(squashed[row], c[row])
        _product(h[row], o, squashed[row])


@njit(**_HOW)
def _through_output(dc, dh, o, squashed):
    for k in range(len(dc)):
        dc[k] += dh[k] * o[k] * (_ONE - squashed[k] * squashed[k])


@njit(**_HOW)
def _through_sigmoid(gate, a, b):
    for k in range(len(gate)):
        gate[k] = a[k] * b[k] * gate[k] * (_ONE - gate[k])


@njit(**_HOW)
def _through_candidate(candidate, dc, i):
    for k in range(len(candidate)):
        candidate[k] = dc[k] * i[k] * (_ONE - candidate[k] * candidate[k])


@njit(**_HOW)
def _copy(out, x):
    for k in range(len(out)):
        out[k] = x[k]


@njit("void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[::1])", cache=True, **_HOW)
def backward(gates, c_before, squashed, dh, dc, kept):
    """Back over a step of n rows.

    Args:
      gates: `[n, 4 * units]` as `forward` left them; become the gradient with respect to what they were before.
      c_before, squashed: `[n, units]` of `forward`.
      dh: `[n, units]`, the gradient of h.
      dc: `[n, units]`, the gradient of c; becomes that of c before.
      kept: `[units]`, overwritten.
    """
    n, units = dc.shape
    for row in range(n):
        i, candidate = gates[row, :units], gates[row, units : 2 * units]
        f, o = gates[row, 2 * units : 3 * units], gates[row, 3 * units :]
        _through_output(dc[row], dh[row], o, squashed[row])
        _through_sigmoid(o, dh[row], squashed[row])
        _copy(kept, i)
        _through_sigmoid(i, dc[row], candidate)
        _through_candidate(candidate, dc[row], kept)
        _copy(kept, f)
        _through_sigmoid(f, dc[row], c_before[row])
        _product(dc[row], dc[row], kept)


@njit("void(f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, f4, f4)", cache=True, **_HOW)
def adam(weights, gradient, m, v, rate, first, second, epsilon):
    """Adam over flat arrays: `m` moves towards the gradient by `first`, `v` towards its square by `second`."""
    for k in range(len(weights)):
        g = gradient[k]
        m_k = m[k] + first * (g - m[k])
        v_k = v[k] + second * (g * g - v[k])
        m[k], v[k] = m_k, v_k
        weights[k] -= rate * m_k / (np.sqrt(v_k) + epsilon)


@njit("void(f4[:,::1], i8[:,::1], f4[:,::1])", cache=True, **_HOW)
def add_rows(out, codes, rows):
    """The product of one-hot codes, transposed, and rows: each row is added to the rows of `out` that its codes name.

    Args:
      out: `[width, columns]`.
      codes: `[n, voices]`; a code of `width` names no row.
      rows: `[n, columns]`.
    """
    for k in range(len(rows)):
        for voice in range(codes.shape[1]):
            code = codes[k, voice]
            if code < len(out):
                for column in range(out.shape[1]):
                    out[code, column] += rows[k, column]
