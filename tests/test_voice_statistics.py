"""Features and comparisons of windows of several voices."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.latent import sample_statistics, voice_statistics
from calmvae.music.melody_tokens import BAR_END, FIRST_PITCH, MIN_PITCH, NOTE_OFF
from tests import builders


def token(pitch):
    return pitch - MIN_PITCH + FIRST_PITCH


def window():
    """A chord of C held for a bar of twelve steps, then a bass note and two notes over it."""
    rows = np.zeros((32, 3), np.uint8)
    rows[0] = [token(72), token(67), token(48)]
    rows[12:16] = BAR_END
    rows[16] = [NOTE_OFF, NOTE_OFF, token(43)]
    rows[20, 0], rows[24, 0] = token(74), token(75)
    rows[28:] = BAR_END
    return rows


def test_features_of_a_window():
    found = {name: values[0] for name, values in voice_statistics.features(window()[None]).items()}
    assert found["pitch_count"] == found["note_count"] == 6 and found["pitch_range"] == 32
    # Three sound for twelve steps, one for four, two for eight.
    assert found["polyphony"] == pytest.approx((3 * 12 + 1 * 4 + 2 * 8) / 24)
    assert found["chord_size"] == 6 / 4
    assert found["bass_interval"] == pytest.approx((5 + 31 + 1) / 3)
    assert found["mean_ioi"] == pytest.approx((16 + 4 + 4) / 3)
    assert found["voice_density"].tolist() == [3, 1, 2]
    assert found["pitch_classes"][0] == pytest.approx(2 / 6) and found["note_lengths"].sum() == pytest.approx(1)


def test_clashes_are_semitones_whatever_the_octave():
    calm, harsh = window(), window()
    assert voice_statistics.clashes(calm[None]) == 0
    harsh[4, 1] = token(61)
    # C and C sharp for eight steps of the twenty-four with sound.
    assert voice_statistics.clashes(harsh[None]) == pytest.approx(8 / 24)
    harsh[4, 1] = token(71)
    assert voice_statistics.clashes(harsh[None]) == pytest.approx(8 / 24)


def test_a_set_is_like_itself_and_unlike_noise():
    rng = np.random.default_rng(0)
    music = np.stack([window() for _ in range(40)])
    shift = rng.integers(-5, 6, 40)[:, None, None]
    music = np.where((music >= FIRST_PITCH) & (music != BAR_END), music + shift, music).astype(np.uint8)
    music[::2, 24, 1] = token(60)
    noise = builders.random_windows(40, 32, 3, depth=BAR_END)
    same = sample_statistics.compare(music, music[::-1], train=music)
    other = sample_statistics.compare(noise, music, train=music)
    assert same.mean_overlap > 0.9 > other.mean_overlap + 0.2
    assert same.clashes[0] == same.clashes[1] < other.clashes[0]
    assert same.in_key[0] == same.in_key[1] > other.in_key[0]
    assert same.nearest == (0.0, 0.0) and same.exact == (1.0, 1.0) and other.nearest[0] > 20
    assert set(same.overlap) == set(voice_statistics.FEATURES)
