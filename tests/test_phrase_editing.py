"""Phrases: thinned, filled, closed, joined."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.music import melody_tokens, phrase_editing
from calmvae.music.key_finding import Key
from tests.builders import random_tokens

C, A_MINOR = Key(0, False), Key(9, True)


def row(steps: int = 64, **at: int) -> np.ndarray:
    """Tokens at steps, as s0=41 (C4; tokens are pitch - 19)."""
    made = np.zeros(steps, np.uint8)
    for step, token in at.items():
        made[int(step[1:])] = token
    return made


def pitches(tokens: np.ndarray) -> list[tuple[int, int, int]]:
    return melody_tokens.token_notes(tokens)


def test_thin_keeps_what_is_on_the_beat():
    given = row(16, s0=41, s1=43, s2=45, s4=46, s8=48, s11=50)
    thinned, fewer = phrase_editing.thin(given, 3)
    assert fewer == 3 and phrase_editing.onsets(thinned).tolist() == [0, 4, 8]
    # The notes before what was left out are held.
    assert pitches(thinned) == [(60, 0, 4), (65, 4, 8), (67, 8, 16)]


def test_thin_holds_over_a_rest_before_what_it_leaves_out():
    thinned, fewer = phrase_editing.thin(row(16, s0=41, s6=1, s7=43, s8=45), 2)
    assert fewer == 1 and pitches(thinned) == [(60, 0, 8), (64, 8, 16)]


def test_thin_leaves_enough_alone():
    given = row(16, s0=41, s8=43)
    assert phrase_editing.thin(given, 2)[1] == 0 and np.array_equal(phrase_editing.thin(given, 5)[0], given)
    assert phrase_editing.onsets(phrase_editing.thin(given, 0)[0]).tolist() == [0]


def test_fill_by_hand():
    given = row(32, s7=41, s9=1, s20=43, s24=1)
    filled, longer = phrase_editing.fill(given, 4)
    # The first note comes 3 steps sooner, both rests are cut to 4 steps.
    assert pitches(filled) == [(60, 4, 16), (62, 20, 28)] and longer == 3
    assert phrase_editing.longest_rest(filled) == 4 and phrase_editing.longest_rest(given) == 11


@pytest.mark.parametrize("seed", range(30))
def test_fill_leaves_no_longer_rest(seed):
    given = random_tokens(seed, 64)
    given[10 + seed % 20 : 40] = 0
    filled, _ = phrase_editing.fill(given, 3)
    assert len(phrase_editing.onsets(filled)) == len(phrase_editing.onsets(given))
    assert phrase_editing.longest_rest(filled) <= 3 or not len(phrase_editing.onsets(given))


def test_silence_stays():
    nothing = np.zeros(64, np.uint8)
    for done in (
        phrase_editing.fill(nothing)[0],
        phrase_editing.thin(nothing, 3)[0],
        phrase_editing.cadence(nothing, C, True, 4),
    ):
        assert not done.any()
    assert phrase_editing.longest_rest(nothing) == 64 and np.isnan(phrase_editing.mean_pitch(nothing))
    assert not phrase_editing.in_register(nothing, 60).any()


def test_cadence_by_hand():
    given = row(s0=48, s48=46, s52=43, s60=45)  # G4, then F4 D4 E4 in the last bar
    closed = phrase_editing.cadence(given, C, True, 4)
    assert pitches(closed) == [(67, 0, 48), (65, 48, 52), (60, 52, 60)]  # D4 becomes C4, the E4 after it goes
    opened = phrase_editing.cadence(given, C, False, 8)
    assert pitches(opened)[-1] == (62, 52, 56)  # D4 is of the dominant
    # Where nothing begins in the last bar, what sounds is struck there.
    assert pitches(phrase_editing.cadence(row(s0=46), A_MINOR, True, 0))[-1] == (69, 48, 64)


@pytest.mark.parametrize("key", [C, A_MINOR, Key(6, False), Key(3, True)])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("rest", [0, 2, 8, 12])
def test_cadence_ends_in_the_key_with_its_rest(key, full, rest):
    for seed in range(10):
        done = phrase_editing.cadence(random_tokens(seed, 64), key, full, rest)
        pitch, start, end = pitches(done)[-1]
        assert end == 64 - rest and start >= 48 and end - start >= 4
        degree = key.degrees.index(pitch % 12)
        assert degree == 0 if full else degree in ((4, 1) if key.minor else (4, 1, 6))


def test_register_by_hand():
    given = row(s0=41 + 24, s32=45 + 24)  # C6 and E6: 86 on average
    moved = phrase_editing.in_register(given, 64)
    assert [p for p, _, _ in pitches(moved)] == [60, 64] and phrase_editing.mean_pitch(moved) == 62
    low = phrase_editing.in_register(row(s0=20), 40)  # E♭2 stays near 40 no longer than it is comfortable
    assert pitches(low)[0][0] == 63


def test_smooth_by_hand():
    given = row(s0=41, s8=53, s16=65, s24=48)  # C4, C5, C6, G4
    done, moved = phrase_editing.smooth(given)
    assert [p for p, _, _ in pitches(done)] == [60, 60, 60, 67] and moved == 2
    same, none = phrase_editing.smooth(row(s0=41, s8=50))  # a sixth is no leap
    assert none == 0 and [p for p, _, _ in pitches(same)] == [60, 69]


@pytest.mark.parametrize("seed", range(20))
def test_smooth_keeps_pitch_classes(seed):
    given = random_tokens(seed, 64)
    done, _ = phrase_editing.smooth(given)
    at = phrase_editing.onsets(given)
    assert ((done[at].astype(int) - given[at]) % 12 == 0).all() and phrase_editing.onsets(done).tolist() == at.tolist()


def test_joins():
    assert [phrase_editing.is_rough(i) for i in (0, 1, -2, 4, 6, -7, 10, -11, 12, 13)] == [
        False, False, False, False, True, False, True, True, False, True,
    ]  # fmt: skip
    scale = C.natural
    softened = phrase_editing.joined(
        row(s0=47, s8=41), 41, scale
    )  # from C4 a tritone up: to F4 or G4, the lower of the two
    assert pitches(softened)[0][0] == 65
    given = row(s0=48)
    for before in (0, 1, 41):
        assert np.array_equal(phrase_editing.joined(given, before, scale), given)


def test_last_token():
    assert phrase_editing.last_token(row(s0=41, s9=44, s20=1)) == 44 and phrase_editing.last_token(row()) == 0
