"""Phrases: thinned, filled, closed, joined."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae import phrases, phrasing
from calmvae.tonality import Key
from tests.builders import random_tokens

C, A_MINOR = Key(0, False), Key(9, True)


def row(steps: int = 64, **at: int) -> np.ndarray:
    """Tokens at steps, as s0=41 (C4; tokens are pitch - 19)."""
    made = np.zeros(steps, np.uint8)
    for step, token in at.items():
        made[int(step[1:])] = token
    return made


def pitches(tokens: np.ndarray) -> list[tuple[int, int, int]]:
    return phrases.token_notes(tokens)


def test_thin_keeps_what_is_on_the_beat():
    given = row(16, s0=41, s1=43, s2=45, s4=46, s8=48, s11=50)
    thinned, fewer = phrasing.thin(given, 3)
    assert fewer == 3 and phrasing.onsets(thinned).tolist() == [0, 4, 8]
    # The notes before what was left out are held.
    assert pitches(thinned) == [(60, 0, 4), (65, 4, 8), (67, 8, 16)]


def test_thin_holds_over_a_rest_before_what_it_leaves_out():
    thinned, fewer = phrasing.thin(row(16, s0=41, s6=1, s7=43, s8=45), 2)
    assert fewer == 1 and pitches(thinned) == [(60, 0, 8), (64, 8, 16)]


def test_thin_leaves_enough_alone():
    given = row(16, s0=41, s8=43)
    assert phrasing.thin(given, 2)[1] == 0 and np.array_equal(phrasing.thin(given, 5)[0], given)
    assert phrasing.onsets(phrasing.thin(given, 0)[0]).tolist() == [0]


def test_fill_by_hand():
    given = row(32, s7=41, s9=1, s20=43, s24=1)
    filled, longer = phrasing.fill(given, 4)
    # The first note comes 3 steps sooner, both rests are cut to 4 steps.
    assert pitches(filled) == [(60, 4, 16), (62, 20, 28)] and longer == 3
    assert phrasing.longest_rest(filled) == 4 and phrasing.longest_rest(given) == 11


@pytest.mark.parametrize("seed", range(30))
def test_fill_leaves_no_longer_rest(seed):
    given = random_tokens(seed, 64)
    given[10 + seed % 20 : 40] = 0
    filled, _ = phrasing.fill(given, 3)
    assert len(phrasing.onsets(filled)) == len(phrasing.onsets(given))
    assert phrasing.longest_rest(filled) <= 3 or not len(phrasing.onsets(given))


def test_silence_stays():
    nothing = np.zeros(64, np.uint8)
    for done in (phrasing.fill(nothing)[0], phrasing.thin(nothing, 3)[0], phrasing.cadence(nothing, C, True, 4)):
        assert not done.any()
    assert phrasing.longest_rest(nothing) == 64 and np.isnan(phrasing.mean_pitch(nothing))
    assert not phrasing.in_register(nothing, 60).any()


def test_cadence_by_hand():
    given = row(s0=48, s48=46, s52=43, s60=45)  # G4, then F4 D4 E4 in the last bar
    closed = phrasing.cadence(given, C, True, 4)
    assert pitches(closed) == [(67, 0, 48), (65, 48, 52), (60, 52, 60)]  # D4 becomes C4, the E4 after it goes
    opened = phrasing.cadence(given, C, False, 8)
    assert pitches(opened)[-1] == (62, 52, 56)  # D4 is of the dominant
    # Where nothing begins in the last bar, what sounds is struck there.
    assert pitches(phrasing.cadence(row(s0=46), A_MINOR, True, 0))[-1] == (69, 48, 64)


@pytest.mark.parametrize("key", [C, A_MINOR, Key(6, False), Key(3, True)])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("rest", [0, 2, 8, 12])
def test_cadence_ends_in_the_key_with_its_rest(key, full, rest):
    for seed in range(10):
        done = phrasing.cadence(random_tokens(seed, 64), key, full, rest)
        pitch, start, end = pitches(done)[-1]
        assert end == 64 - rest and start >= 48 and end - start >= 4
        degree = key.degrees.index(pitch % 12)
        assert degree == 0 if full else degree in ((4, 1) if key.minor else (4, 1, 6))


def test_register_by_hand():
    given = row(s0=41 + 24, s32=45 + 24)  # C6 and E6: 86 on average
    moved = phrasing.in_register(given, 64)
    assert [p for p, _, _ in pitches(moved)] == [60, 64] and phrasing.mean_pitch(moved) == 62
    low = phrasing.in_register(row(s0=20), 40)  # E♭2 stays near 40 no longer than it is comfortable
    assert pitches(low)[0][0] == 63


def test_smooth_by_hand():
    given = row(s0=41, s8=53, s16=65, s24=48)  # C4, C5, C6, G4
    done, moved = phrasing.smooth(given)
    assert [p for p, _, _ in pitches(done)] == [60, 60, 60, 67] and moved == 2
    same, none = phrasing.smooth(row(s0=41, s8=50))  # a sixth is no leap
    assert none == 0 and [p for p, _, _ in pitches(same)] == [60, 69]


@pytest.mark.parametrize("seed", range(20))
def test_smooth_keeps_pitch_classes(seed):
    given = random_tokens(seed, 64)
    done, _ = phrasing.smooth(given)
    at = phrasing.onsets(given)
    assert ((done[at].astype(int) - given[at]) % 12 == 0).all() and phrasing.onsets(done).tolist() == at.tolist()


def test_joins():
    assert [phrasing.is_rough(i) for i in (0, 1, -2, 4, 6, -7, 10, -11, 12, 13)] == [
        False, False, False, False, True, False, True, True, False, True,
    ]  # fmt: skip
    scale = C.natural
    softened = phrasing.joined(row(s0=47, s8=41), 41, scale)  # from C4 a tritone up: to F4 or G4, the lower of the two
    assert pitches(softened)[0][0] == 65
    given = row(s0=48)
    for before in (0, 1, 41):
        assert np.array_equal(phrasing.joined(given, before, scale), given)


def test_last_token():
    assert phrasing.last_token(row(s0=41, s9=44, s20=1)) == 44 and phrasing.last_token(row()) == 0
