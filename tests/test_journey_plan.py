"""The plan of a journey."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.common.errors import OptionError
from calmvae.generate import journey_plan


@pytest.mark.parametrize(("start", "end"), [(96, 60), (120, 66), (72, 50.4), (60, 42), (200, 110), (88, 60)])
def test_end_tempo_by_hand(start, end):
    assert journey_plan.end_tempo(start) == pytest.approx(end)
    assert 0.3 - 1e-9 <= 1 - journey_plan.end_tempo(start) / start <= 0.45 + 1e-9


@pytest.mark.parametrize("minutes", [2, 6, 12, 20, 60, 180])
@pytest.mark.parametrize("start", [50, 96, 180])
def test_a_plan_lasts_as_long_as_asked_and_falls(minutes, start):
    plan = journey_plan.plan(minutes, start, journey_plan.end_tempo(start), 72, 24)
    assert plan.begins[-1] == pytest.approx(60 * minutes, abs=0.01)
    assert len(plan.qpm) == 4 * plan.phrases
    assert plan.qpm[0] == pytest.approx(start) and plan.qpm[-1] == pytest.approx(journey_plan.end_tempo(start))
    # Evenly and slowly: no bar is slower than the one before by more than 6 %.
    assert (np.diff(plan.qpm) < 0).all() and (plan.qpm[1:] / plan.qpm[:-1] > 0.94).all()
    for values in (plan.velocity, plan.onsets):
        assert (np.diff(values) <= 0).all()
    for values in (plan.rest, plan.place):
        assert (np.diff(values) >= 0).all()
    assert plan.velocity[[0, -1]].tolist() == [72, 72 * 0.62] and plan.onsets[[0, -1]].tolist() == [24, 13]
    assert plan.rest[[0, -1]].tolist() == [2, 8] and plan.place[[0, -1]].tolist() == [0, 1]
    assert 5 <= len(plan.stages) <= 8 if minutes >= 6 else 3 <= len(plan.stages) <= 5
    assert plan.stages[0] == 0 and plan.stage(plan.phrases - 1) == len(plan.stages) - 1


def test_tempo_of_a_bar_by_hand():
    plan = journey_plan.plan(12, 96, 60, 70, 20)
    assert plan.phrases == 56
    middle = plan.qpm[112]  # the bend is close to 1, so that the middle is near the geometric mean
    assert middle == pytest.approx((96 * 60) ** 0.5, rel=0.03)


def test_seconds_of_a_step_by_hand():
    plan = journey_plan.Itinerary(np.array([120.0, 60.0, 60.0, 60.0]), *(np.zeros(1) for _ in range(4)), stages=(0,))
    # A bar of four quarters at 120 lasts 2 s, at 60 it lasts 4 s.
    assert plan.begins.tolist() == [0, 2, 6, 10, 14]
    assert [plan.seconds(step) for step in (0, 4, 16, 18, 64)] == [0, 0.5, 2, 2.5, 14]


def test_what_is_soft_and_sparse_does_not_vanish():
    plan = journey_plan.plan(12, 96, 60, 20, 6)
    assert plan.velocity[-1] == 20 and plan.onsets[-1] == 6
    assert journey_plan.plan(12, 96, 60, 40, 12).velocity[-1] == 34


@pytest.mark.parametrize(
    ("minutes", "start", "end", "said"),
    [
        (0.5, 96, 60, "--minutes is 0.5; it must be from 1 to 180"),
        (181, 96, 60, "it must be from 1 to 180"),
        (float("nan"), 96, 60, "--minutes is nan"),
        (12, 5, 5, "the start tempo is 5"),
        (12, 96, 2, "the end tempo is 2"),
        (12, 60, 96, "a journey slows down"),
        (12, float("nan"), 60, "the start tempo is nan"),
    ],
)
def test_options_out_of_range(minutes, start, end, said):
    with pytest.raises(OptionError, match=said):
        journey_plan.plan(minutes, start, end, 70, 20)
