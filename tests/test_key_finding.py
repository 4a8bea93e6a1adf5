"""Keys, scales and what lies outside them."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.music import key_finding
from calmvae.music.key_finding import Key

C, A_MINOR, G = Key(0, False), Key(9, True), Key(7, False)


def tokens(*pitches: int, each: int = 4) -> np.ndarray:
    """Notes of `each` steps, from MIDI pitches; 0 is a rest."""
    row = np.zeros(len(pitches) * each, np.uint8)
    row[::each] = [pitch - 19 if pitch else 1 for pitch in pitches]
    return row


def test_keys_say_their_notes():
    assert str(Key(10, True)) == "B♭ minor" and str(C) == "C major"
    assert A_MINOR.degrees == [9, 11, 0, 2, 4, 5, 7] and A_MINOR.relative_major == 0
    assert G.natural.tolist() == [pc in (7, 9, 11, 0, 2, 4, 6) for pc in range(12)]


def test_shares_count_sounding_steps():
    row = np.array([41, 0, 0, 1, 0, 53, 48, 0], np.uint8)  # C4 for 3 steps, a rest of 2, C5 for 1, G4 for 2
    assert key_finding.shares(row)[[0, 7]].tolist() == [4, 2] and key_finding.shares(row).sum() == 6


@pytest.mark.parametrize("tonic", range(12))
def test_a_scale_tells_its_key(tonic):
    major = tokens(*(60 + tonic + step for step in (0, 4, 7, 0, 2, 4, 5, 7, 9, 7, 5, 4, 2, 11, 0)))
    minor = tokens(*(60 + tonic + step for step in (0, 3, 7, 0, 2, 3, 5, 7, 8, 7, 5, 3, 2, 11, 0)))
    assert key_finding.key_of(key_finding.shares(major)) == Key(tonic, False)
    assert key_finding.key_of(key_finding.shares(minor)) == Key(tonic, True)


def test_key_by_hand():
    """With all the time on one class, the profile that stands out most on its tonic fits best."""
    only = np.zeros(12)
    only[5] = 3.0
    deviations = {}
    for name, profile in (("major", key_finding.MAJOR_PROFILE), ("minor", key_finding.MINOR_PROFILE)):
        deviations[name] = (profile[0] - profile.mean()) / profile.std()
    assert key_finding.key_of(only) == Key(5, deviations["minor"] > deviations["major"])


def test_key_of_nothing():
    assert key_finding.key_of(np.zeros(12)) == C


@pytest.mark.parametrize("time", [0.1, 7.0])
def test_of_keys_that_fit_alike_the_first(time):
    """A diminished seventh chord divides the octave into four, a whole-tone scale into six."""
    for apart in (3, 2):
        shares = np.where(np.arange(12) % apart == 0, time, 0.0)
        assert key_finding.key_of(shares).tonic < apart
        assert key_finding.key_of(np.roll(shares, 1)).tonic < apart


@pytest.mark.parametrize(
    ("key", "other", "shift"),
    [(C, A_MINOR, 0), (C, G, 5), (G, C, -5), (C, Key(6, False), -6), (A_MINOR, Key(2, True), -5)],
)
def test_shift_brings_one_signature_to_the_other(key, other, shift):
    assert key_finding.shift_to(key, other) == shift
    assert (other.relative_major + shift) % 12 == key.relative_major


def test_into_scale_moves_towards_the_note_before():
    row, moved = key_finding.into_scale(tokens(60, 61, 67, 66, 0, 64), C.natural)
    # C#4 after C4 becomes C4 (nearer), F#4 after G4 becomes G4, the rest stays.
    assert (row[::4].astype(int) + 19).tolist() == [60, 60, 67, 67, 20, 64] and moved == 2


def test_into_scale_leaves_its_argument_and_music_in_key():
    given = tokens(60, 62, 64)
    row, moved = key_finding.into_scale(given, C.natural)
    assert moved == 0 and np.array_equal(row, given) and row is not given


def test_into_scale_at_the_end_of_the_keyboard():
    row, moved = key_finding.into_scale(tokens(108), Key(1, False).natural)
    assert moved == 0 or Key(1, False).natural[(int(row[0]) + 1) % 12]


def test_foreign_by_hand():
    """Neighbours in C major; of eight steps two lie on F sharp, which only G would have."""
    near = key_finding.shares(tokens(60, 62, 64, 65, 67, 69, 71))
    time = np.zeros(12)
    time[[0, 6]] = 6, 2
    assert key_finding.foreign(time, near) == 0.25
    # Without an F the neighbours may as well be in G, where an F sharp is at home.
    near[5] = 0
    assert key_finding.foreign(time, near) == 0
    # What the neighbours have themselves is not foreign to them.
    near[[5, 6]] = 4, 1
    assert key_finding.foreign(time, near) == 0
    assert key_finding.foreign(np.zeros(12), near) == key_finding.foreign(time, np.zeros(12)) == 0
