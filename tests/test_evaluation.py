"""What is said of a model: accuracy of parts, and how even its paths are."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.latent import evaluation
from calmvae.model import numpy_engine
from tests.builders import random_windows
from tests.conftest import random_weights, tiny_spec


@pytest.fixture(scope="module")
def engine() -> numpy_engine.Engine:
    return numpy_engine.Engine(tiny_spec(), random_weights(tiny_spec()))


def test_metrics_of_parts_make_up_the_whole(engine):
    tokens = random_windows(30, 32)
    found = evaluation.Reconstruction.of(engine, tokens)
    whole = found.metrics()
    assert whole == evaluation.evaluate(engine, tokens)
    first = np.arange(30) < 12
    parts = found.metrics(first), found.metrics(~first)
    assert [p.windows for p in parts] == [12, 18]
    for name in ("accuracy", "teacher_forced", "exact", "nats", "kl_bits"):
        mean = sum(getattr(p, name) * p.windows for p in parts) / 30
        assert getattr(whole, name) == pytest.approx(mean, rel=1e-5), name
    alone = evaluation.evaluate(engine, tokens[first])
    assert alone.accuracy == parts[0].accuracy and alone.kl_bits == pytest.approx(parts[0].kl_bits, rel=1e-5)


class Straight:
    """A model of two dimensions, in which the angle says how many of a window's steps are notes."""

    def __init__(self, bend=lambda x: x):
        self.bend = bend

    def encode(self, tokens):
        angle = (tokens > 0).mean(axis=1) * np.pi / 2
        return np.stack([np.sin(angle), np.cos(angle)], axis=1), np.ones((len(tokens), 2))

    def decode(self, z):
        # Along a slerp the angle grows evenly.
        at = self.bend(np.arctan2(z[:, 0], z[:, 1]) / (np.pi / 2))
        return (np.arange(1000) < 1000 * at[:, None]).astype(np.uint8)


def windows_of(*notes):
    return np.array([(np.arange(100) < n) * 40 for n in notes], np.uint8)


def test_even_paths_are_smooth_and_a_leap_is_told():
    windows = windows_of(0, 99)
    even = evaluation.smoothness(Straight(), windows, pairs=5)
    assert even.smooth == 1.0 and 1 <= even.jump <= even.worst_jump < 1.1
    leaping = evaluation.smoothness(Straight(lambda x: np.where(x < 0.8, 0.1, 0.9)), windows, pairs=5)
    # All of the way in one of seven steps.
    assert leaping.worst_jump == pytest.approx(7) and leaping.smooth == 0.0
    still = evaluation.smoothness(Straight(lambda x: x * 0), windows, pairs=5)
    assert still.jump == 1.0 and still.smooth == 1.0


def test_paths_are_drawn_by_the_seed(engine):
    tokens = random_windows(30, 32)
    same = [evaluation.smoothness(engine, tokens, 10, seed=seed) for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2] and same[0].steps == 8


def test_sparse_windows_have_few_notes_and_small_steps():
    rows = np.zeros((6, 32), np.uint8)
    rows[0, ::4] = [40, 42, 44, 45, 47, 45, 44, 42]  # a scale in quarters
    rows[1, ::2] = 40  # sixteen notes
    rows[2, [0, 16]] = [40, 54]  # a ninth
    rows[3, ::8] = [40, 46, 40, 46]  # tritones
    rows[4, 3] = 60  # one note
    rows[5, [4, 6, 20]] = [40, 1, 44]  # a rest is no step
    assert evaluation.is_sparse(rows).tolist() == [True, False, False, False, True, True]
