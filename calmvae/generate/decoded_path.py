"""The sections of an interpolation: which points of a path are decoded, and which decodings are taken.

A model of several voices decodes more points than there are sections. Those are taken whose changes from one to the
next are most even, so that a change of metre, which comes at once, is followed and preceded by small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calmvae.common.seeds import hash_seed
from calmvae.latent import slerp
from calmvae.model.interface import Excerpt, Model

# A faulty section is decoded again so many times, at temperatures and from places ever farther from its own.
_TRIES, _WARM, _ASIDE = 24, (0.1, 1.0), 0.5
# Points decoded for each step from a section to the next.
_FINER = 8


def decoded_path(
    model: Model,
    ends: Sequence[Excerpt],
    means: Sequence[np.ndarray],
    steps: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> tuple[Any, int]:
    """Decodes a path between two excerpts.

    A section with faults, see `Model.faults`, is decoded again a few times from places nearby and at rising
    temperatures, and the decoding with the fewest faults is taken.

    Args:
      model: the model.
      ends: A and B.
      means: of their posteriors, `[n, z_size]` each.
      steps: sections, both ends included.
      temperature, seed: see `Model.decode`.

    Returns:
      the windows of all sections, and how many sections were decoded again.
    """
    count = ends[0].count
    nearest = [ends[2 * k >= steps] for k in range(steps) for _ in range(count)]
    z, decoded = slerp.path(means[0], means[1], _FINER * (steps - 1) + 1 if model.even_path else steps), None
    if model.even_path:
        z, decoded = _even(model, z, steps)
    # The choice of even points has decoded them at temperature 0.
    if decoded is None or temperature:
        decoded = model.decode(z.reshape(-1, z.shape[-1]), temperature, seed, nearest)
    again = 0
    for k in range(1, steps - 1):
        rows = slice(k * count, (k + 1) * count)
        if model.faults(decoded[rows], ends):
            tried = [decoded[rows].copy()]
            for i, warm in enumerate(np.linspace(*_WARM, _TRIES).tolist()):
                aside = _ASIDE * warm * np.random.default_rng([seed, k, i]).standard_normal(z[k].shape)
                warmer = max(warm * (i % 2), temperature)
                tried.append(model.decode(z[k] + aside, warmer, hash_seed(seed, k * _TRIES + i), nearest[rows]))
            # Of equal ones the most like the first.
            decoded[rows] = min(tried, key=lambda one: (model.faults(one, ends), (one != tried[0]).mean()))
            again += 1
    return decoded, again


def _even(model: Model, z: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """So many points of a path `[points, n, z_size]`, both ends included, with the most even changes.

    The sum of the fourth powers of the changes is the least that there is.

    Returns:
      the points `[steps, n, z_size]`, and their windows one after the other, decoded at temperature 0.
    """
    points, count = z.shape[:2]
    decoded = model.decode(z.reshape(-1, z.shape[2]))
    windows = decoded.reshape(points, count, -1)
    change = np.array([[(a != b).mean() for b in windows] for a in windows]) ** 4
    cost, before = np.full((steps, points), np.inf), np.zeros((steps, points), int)
    cost[0, 0] = 0
    for k in range(1, steps):
        for j in range(k, points - (steps - 1 - k)):
            tried = cost[k - 1, :j] + change[:j, j]
            before[k, j] = int(np.argmin(tried))
            cost[k, j] = tried[before[k, j]]
    chosen = [points - 1]
    for k in range(steps - 1, 0, -1):
        chosen.insert(0, int(before[k, chosen[0]]))
    return z[chosen], decoded.reshape(points, count, *decoded.shape[1:])[chosen].reshape(-1, *decoded.shape[1:])
