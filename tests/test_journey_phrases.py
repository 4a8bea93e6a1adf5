"""The phrases of a journey, one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.generate import journey, journey_phrases, journey_plan, phrase_choice
from tests.conftest import PIECES


@pytest.fixture(scope="module")
def traveller() -> journey_phrases.Traveller:
    model = open_model.load_melody_model()
    a, b = (journey.of_piece(path, model) for path in PIECES[4:6])
    plan = journey_plan.plan(4, 90, 60, 70, 20)
    return journey_phrases.Traveller(a, b, model, plan, accompanied=True, seed=0)


def test_the_next_phrase_depends_on_the_state_alone(traveller):
    state, phrases = journey_phrases.State(), []
    for _ in range(traveller.opening + 3):
        before = dataclasses.replace(state, stated=dict(state.stated), lately=tuple(state.lately))
        made, after = traveller._next(state, 0.0)
        again, after_again = traveller._next(state, 0.0)
        assert (made.tokens == again.tokens).all() and made.chords == again.chords
        assert after.counts == after_again.counts and after.lately == after_again.lately
        assert (state.at, state.stated.keys(), tuple(state.lately)) == (before.at, before.stated.keys(), before.lately)
        phrases.append(made)
        state = after
    assert [phrase.given for phrase in phrases] == [True] * traveller.opening + [False] * 3
    assert all((phrase.tokens == given).all() for phrase, given in zip(phrases, traveller.given, strict=False))
    lifted, _ = traveller._next(state, 6.0)
    assert lifted.softer == pytest.approx(6 * 0.8)


def test_planned_calmness_by_hand(traveller):
    first, last = traveller.opening - 1, traveller.plan.phrases - 1
    assert [traveller.planned(k, 50.0) for k in (0, first, last)] == [50, 50, 76]
    assert traveller.planned(last, 80.0) == 94 and traveller.planned(last, 97.0) == 97
    rises = np.diff([traveller.planned(k, 50.0) for k in range(first, last + 1)])
    assert rises == pytest.approx(26 / (last - first))


def test_a_walk_starts_where_it_did(traveller):
    seen = []
    (one, end), (two, again) = traveller.walk(lambda made, of: seen.append((made, of))), traveller.walk()
    assert all((x.tokens == y.tokens).all() for x, y in zip(one, two, strict=True))
    assert (end.level, end.counts) == (again.level, again.counts) and set(end.counts) <= set(phrase_choice.COUNTS)
    assert len(seen) == 4 and seen[-1] == (traveller.plan.phrases,) * 2
