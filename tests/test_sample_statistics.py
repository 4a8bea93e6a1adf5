"""Feature distributions of windows."""

import numpy as np
import pytest

from calmvae.latent import sample_statistics, voice_statistics
from calmvae.music import melody_tokens


def window(*notes, steps=32):
    """Notes as (MIDI pitch, step, length)."""
    tokens = np.zeros(steps, np.uint8)
    for pitch, start, length in notes:
        tokens[start] = pitch - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
        if start + length < steps and not tokens[start + length]:
            tokens[start + length] = melody_tokens.NOTE_OFF
    return tokens


def random_windows(n, seed, low=60, high=72, density=0.3, scale=None):
    rng = np.random.default_rng(seed)
    allowed = np.array([p for p in range(low, high) if scale is None or p % 12 in scale])
    tokens = allowed[rng.integers(0, len(allowed), (n, 32))] - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    tokens[rng.random((n, 32)) >= density] = 0
    tokens[:, 0] = allowed[0] - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    return tokens.astype(np.uint8)


def test_features_of_a_known_window():
    found = sample_statistics.features(np.array([window((60, 0, 4), (64, 4, 4), (60, 8, 2), (72, 16, 16))]))
    numbers = {
        name: found[name][0] for name in ("pitch_count", "note_count", "pitch_range", "mean_interval", "mean_ioi")
    }
    assert numbers == {
        "pitch_count": 3, "note_count": 4, "pitch_range": 12, "mean_interval": 20 / 3, "mean_ioi": 16 / 3,
    }  # fmt: skip
    assert found["pitch_classes"][0, [0, 4]].tolist() == [0.75, 0.25]
    assert found["pitch_class_transitions"][0].reshape(12, 12)[[0, 4, 0], [4, 0, 0]] == pytest.approx(1 / 3)
    lengths = dict(zip(voice_statistics.LENGTHS.tolist(), found["note_lengths"][0].tolist(), strict=True))
    assert lengths[4] == 0.5 and lengths[2] == lengths[16] == 0.25
    assert all(len(found[name]) == 1 for name in sample_statistics.FEATURES)


def test_one_note_has_features():
    found = sample_statistics.features(np.array([window((60, 5, 3))]))
    assert found["mean_interval"][0] == found["mean_ioi"][0] == found["pitch_range"][0] == 0
    assert found["pitch_class_transitions"].sum() == 0


def test_overlap_is_high_for_the_same_source_and_low_for_another():
    held_out, same, other = random_windows(300, 0), random_windows(300, 1), random_windows(300, 2, 40, 90, 0.8)
    alike, unlike = sample_statistics.compare(same, held_out), sample_statistics.compare(other, held_out)
    assert alike.mean_overlap > 0.95
    assert unlike.overlap["note_count"] < 0.1 and unlike.overlap["pitch_range"] < 0.1
    assert unlike.mean_overlap < 0.6
    assert set(alike.overlap) == set(sample_statistics.FEATURES)


def test_overlapping_area_of_known_densities():
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 1, 400)
    assert sample_statistics.overlapping_area(rng.normal(0, 1, 400), reference) > 0.97
    assert sample_statistics.overlapping_area(rng.normal(30, 1, 400), reference) < 0.02
    assert sample_statistics.overlapping_area(np.ones(5), np.ones(5)) == 1.0


def test_in_key_and_repetition():
    major = random_windows(50, 0, scale={0, 2, 4, 5, 7, 9, 11})
    assert sample_statistics.in_key(major) == pytest.approx(1.0)
    assert sample_statistics.in_key(random_windows(200, 0)).mean() < 0.9
    bar = window((60, 0, 4), (62, 6, 4), steps=16)
    assert sample_statistics.repetition(np.array([np.concatenate([bar, bar])])) == 1
    shifted = np.roll(bar, 1)
    assert sample_statistics.repetition(np.array([np.concatenate([bar, shifted])])) == pytest.approx(12 / 16)


def test_copies_are_found_in_any_transposition():
    train, held_out = random_windows(200, 0), random_windows(50, 1)
    copies = melody_tokens.transpose(train[:40], 3)
    found = sample_statistics.compare(copies, held_out, train)
    assert found.nearest[0] == 0 and found.exact == (1.0, 0.0) and found.nearest[1] > 3
    one = copies[:1].copy()
    one[0, 31] = 50 if one[0, 31] != 50 else 51
    assert sample_statistics.nearest(one, train)[0] == 1


def test_silent_windows_are_left_out_and_two_are_needed():
    silent = np.zeros((9, 32), np.uint8)
    with pytest.raises(ValueError, match="two windows with notes"):
        sample_statistics.compare(silent, random_windows(5, 0))
    assert (
        sample_statistics.compare(np.concatenate([silent, random_windows(2, 0)]), random_windows(5, 0)).mean_overlap > 0
    )


def test_notes_longer_than_two_bars_count_among_the_longest():
    found = sample_statistics.features(np.array([window((60, 0, 100), (62, 100, 4), (64, 104, 152), steps=256)]))
    assert found["note_lengths"].shape == (1, 9) and found["note_lengths"][0, -1] == pytest.approx(2 / 3)
