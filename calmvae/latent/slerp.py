"""Paths through the latent space: slerp from vector to vector, walks through fresh draws."""

from __future__ import annotations

import math

import numpy as np

# Below this angle (radians) from parallel or opposite, the sines of slerp are no longer to be trusted.
_TINY = 1e-4


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation (Shoemake 1985), safe where the formula is not.

    Equal directions are interpolated linearly; opposite ones go around by a half turn through a fixed direction at
    right angles; a zero vector has no direction, so the path from or to it is straight.

    Args:
      a, b: `[..., z_size]`.
      t: 0 gives `a`, 1 gives `b`.

    Returns:
      `[..., z_size]`, float64.
    """
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    table = math.prod(a.shape[:-1]), a.shape[-1]
    rows = zip(a.reshape(table), b.reshape(table), strict=True)
    return np.reshape([_slerp_one(x, y, float(t)) for x, y in rows], a.shape)


def path(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """`steps` points from `a` to `b`, both included: `[steps, ..., z_size]`."""
    return np.stack([slerp(a, b, t) for t in np.linspace(0.0, 1.0, steps)])


def _slerp_one(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    # The formula's rounding would leave the ends almost where they are.
    if t in (0.0, 1.0):
        return b.copy() if t else a.copy()
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    # Of two lengths next to nothing the product is 0 too.
    if length_a * length_b == 0:
        return (1 - t) * a + t * b
    angle = np.arccos(np.clip(np.dot(a, b) / (length_a * length_b), -1.0, 1.0))
    if angle < _TINY:
        return (1 - t) * a + t * b
    if np.pi - angle < _TINY:
        turn = np.pi * t
        length = (1 - t) * length_a + t * length_b
        return length * (np.cos(turn) * a / length_a + np.sin(turn) * _right_angle(a / length_a))
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def _right_angle(unit: np.ndarray) -> np.ndarray:
    """A unit vector at right angles, the same for the same input."""
    axis = np.zeros_like(unit)
    axis[np.argmin(np.abs(unit))] = 1.0
    other = axis - np.dot(axis, unit) * unit
    length = np.linalg.norm(other)
    return other / length if length else axis


def anchors(rng: np.random.Generator, points: int, every: int, z_size: int) -> np.ndarray:
    """Fresh draws for a path of so many points, one every `every` points: `[n, z_size]`."""
    return rng.standard_normal((-(-(points - 1) // every) + 1, z_size))


def through(anchors: np.ndarray, points: int, every: int) -> np.ndarray:
    """A path of so many points through anchors `[n, z_size]`, one every `every` points.

    A long sample made of unrelated windows is no piece; neighbours on this path are related.

    Returns:
      `[points, z_size]`.
    """
    at = np.arange(points) / every
    last = len(anchors) - 1
    return np.stack([slerp(anchors[min(int(x), last)], anchors[min(int(x) + 1, last)], x - int(x)) for x in at])
