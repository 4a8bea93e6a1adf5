"""Paths through the latent space end where they should and are numbers everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.latent import slerp

RNG = np.random.default_rng(0)


def magentas_slerp(p0: np.ndarray, p1: np.ndarray, t: float) -> np.ndarray:
    """The formula of magenta/models/music_vae/music_vae_generate.py."""
    omega = np.arccos(np.dot(np.squeeze(p0 / np.linalg.norm(p0)), np.squeeze(p1 / np.linalg.norm(p1))))
    so = np.sin(omega)
    return np.sin((1.0 - t) * omega) / so * p0 + np.sin(t * omega) / so * p1


@pytest.mark.parametrize("z_size", [2, 3, 256, 512])
def test_slerp_is_magentas(z_size):
    for _ in range(50):
        a, b = RNG.normal(size=(2, z_size)) * RNG.uniform(0.1, 10, (2, 1))
        for t in (0.0, 0.01, 0.3, 0.5, 1.0):
            assert slerp.slerp(a, b, t) == pytest.approx(magentas_slerp(a, b, t), abs=1e-9)


A = RNG.normal(size=16)
SIDE = slerp._right_angle(A / np.linalg.norm(A))
ENDS = {
    "general": (A, RNG.normal(size=16)),
    "equal": (A, A),
    "parallel": (A, 3 * A),
    "nearly parallel": (A, A + 1e-6 * SIDE),
    "opposite": (A, -A),
    "opposite, longer": (A, -3 * A),
    "nearly opposite": (A, -A + 1e-6 * SIDE),
    "from zero": (0 * A, A),
    "to zero": (A, 0 * A),
    "zero": (0 * A, 0 * A),
    "tiny": (1e-170 * A, 1e-170 * SIDE),
    "one axis": (np.eye(16)[3], -np.eye(16)[3]),
}


@pytest.mark.parametrize("name", ENDS)
def test_slerp_is_a_number_everywhere_and_ends_exactly(name):
    a, b = ENDS[name]
    path = slerp.path(a, b, 33)
    assert path.shape == (33, 16) and np.isfinite(path).all()
    assert (path[0] == a).all() and (path[-1] == b).all()
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    # No jump: half a turn at the greater length, were it in equal steps, and some room.
    assert steps.max() <= 1.5 * np.pi * max(np.linalg.norm(a), np.linalg.norm(b)) / 32


@pytest.mark.parametrize("name", ["opposite", "one axis", "general"])
def test_between_equally_long_ends_the_length_is_kept(name):
    a, b = ENDS[name]
    b = b / np.linalg.norm(b) * np.linalg.norm(a)
    assert np.linalg.norm(slerp.path(a, b, 9), axis=1) == pytest.approx(np.linalg.norm(a))


def test_the_middle_of_a_right_angle():
    assert slerp.slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5) == pytest.approx([0.5**0.5] * 2)


def test_shapes_go_through_and_inputs_stay():
    a, b = RNG.normal(size=(2, 3, 4, 8)).astype(np.float32)
    before = a.copy()
    z = slerp.slerp(a, b[0], 0.25)
    assert z.shape == (3, 4, 8) and z.dtype == np.float64
    assert z[1, 2] == pytest.approx(slerp.slerp(a[1, 2], b[0, 2], 0.25))
    slerp.slerp(a, b, 0.0)[...] = 0
    assert (a == before).all()
    assert slerp.path(a, b, 5).shape == (5, 3, 4, 8)


def fresh(seed, points, every, z_size):
    return slerp.through(slerp.anchors(np.random.default_rng(seed), points, every, z_size), points, every)


@pytest.mark.parametrize(("windows", "every"), [(1, 1), (1, 4), (5, 4), (8, 4), (9, 4), (16, 1)])
def test_a_walk_passes_through_fresh_draws(windows, every):
    z = fresh(7, windows, every, 12)
    assert z.shape == (windows, 12) and np.isfinite(z).all()
    draws = np.random.default_rng(7).standard_normal(((windows + every - 2) // every + 1, 12))
    assert (z[::every] == draws[: len(z[::every])]).all()
    assert (fresh(7, windows, every, 12) == z).all()


def test_neighbours_on_a_walk_are_close():
    z = fresh(0, 33, 4, 256)
    steps = np.linalg.norm(np.diff(z, axis=0), axis=1)
    assert steps.max() < 0.6 * np.linalg.norm(z[0] - z[4])
