"""Draws from a prior: melodies as they come, of several voices those that clash least, in any key."""

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.generate import sampling
from calmvae.latent import calm_prior, mixture_prior, prior_draws, slerp, voice_statistics
from calmvae.music import key_finding, melody_tokens, voice_windows, window_keys

PIANO = open_model.load_model("calm-piano_2bar")
MELODY = open_model.load_model("calm-mel_2bar")


def clashes(model, z):
    return voice_statistics.clashes(model.decode(z))


def test_melodies_are_drawn_as_they_come():
    rng, same = (np.random.default_rng(3) for _ in range(2))
    assert np.array_equal(prior_draws.draw(MELODY, None, rng, 4), same.standard_normal((4, MELODY.z_size)))
    prior = calm_prior.load_prior(MELODY)
    walked = prior_draws.walk(MELODY, prior, np.random.default_rng(5), 8, 4)
    anchors = slerp.anchors(np.random.default_rng(5), 8, 4, prior.size)
    assert np.array_equal(walked, prior.latents(slerp.through(anchors, 8, 4)))


@pytest.mark.parametrize("prior", [None, calm_prior.load_prior(PIANO)])
def test_of_several_voices_the_purest_are_taken(prior):
    rng = np.random.default_rng(1)
    plain = prior.draw(rng, 60) if prior else rng.standard_normal((60, PIANO.z_size))
    chosen = prior_draws.draw(PIANO, prior, np.random.default_rng(1), 60)
    assert clashes(PIANO, chosen) < 0.6 * clashes(PIANO, plain)
    assert np.array_equal(chosen, prior_draws.draw(PIANO, prior, np.random.default_rng(1), 60))
    walked = [prior_draws.walk(PIANO, prior, np.random.default_rng(k), 9, 4)[::4] for k in range(12)]
    assert walked[0].shape == (3, PIANO.z_size)
    assert clashes(PIANO, np.concatenate(walked)) < 0.8 * clashes(PIANO, plain)


def test_a_walk_stays_in_one_gaussian():
    """Of a mixture of two places far apart, all points are near one of them."""
    size = PIANO.z_size
    means = np.stack([np.full(size, 3.0), np.full(size, -3.0)])
    prior = mixture_prior.Mixture(np.array([0.5, 0.5]), means, np.stack([0.01 * np.eye(size)] * 2))
    sides = {
        np.sign(prior_draws.walk(PIANO, prior, np.random.default_rng(k), 8, 2).mean(axis=1)).sum() for k in range(9)
    }
    assert sides == {8.0, -8.0}


def test_calm_samples_keep_to_a_key_and_change_it():
    prior = calm_prior.load_prior(PIANO)
    assert prior.record["keys"] == "C major, A minor"
    made = sampling.sample(PIANO, 12, prior=prior, seed=4, bars=2)
    notes = [[note.pitch % 12 for note in one.piece.notes] for one in made]
    scales = [
        max(np.isin(pitches, np.flatnonzero(scale)).mean() for scale in key_finding.MAJOR_SCALES) for pitches in notes
    ]
    assert np.mean(scales) > 0.93
    tonics = {int(np.argmax([np.isin(p, np.flatnonzero(s)).sum() for s in key_finding.MAJOR_SCALES])) for p in notes}
    assert len(tonics) > 4


def test_windows_are_moved_as_far_as_they_can():
    windows = np.zeros((2, 32, 5), np.uint8)
    windows[:, 0, 0], windows[:, 4, 0], windows[:, 8:, 1] = 2, 60, melody_tokens.BAR_END
    plain = mixture_prior.Mixture(np.ones(1), np.zeros((1, 4)), np.eye(4)[None])
    assert (
        prior_draws.in_some_key(None, windows, [0]) is windows
        and prior_draws.in_some_key(plain, windows, [0]) is windows
    )
    home = mixture_prior.Mixture(np.ones(1), np.zeros((1, 4)), np.eye(4)[None], {prior_draws.KEYS: "C major, A minor"})
    moved = [prior_draws.in_some_key(home, windows, [k]) for k in range(40)]
    shifts = {int(one[0, 0, 0]) - 2 for one in moved}
    # Down it could not go.
    assert shifts == set(range(7))
    assert all(
        int(one[0, 4, 0]) - 60 == int(one[0, 0, 0]) - 2 and (one[:, 8:, 1] == melody_tokens.BAR_END).all()
        for one in moved
    )


@pytest.mark.parametrize(
    ("pitches", "shift"), [((62, 66, 69), -2), ((65, 69, 72), -5), ((67, 70, 74), 2), ((60, 64, 67), 0)]
)
def test_windows_go_to_c_major_or_a_minor(pitches, shift):
    """D major, F major, G minor, C major."""
    window = np.zeros((32, 5), np.uint8)
    for voice, pitch in enumerate(pitches):
        window[0, voice] = pitch - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    [moved] = window_keys.in_home_keys(window[None])
    assert [n[2] for n in voice_windows.window_notes(moved[None]).tolist()] == sorted(
        p + shift - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH for p in pitches
    )


def test_at_the_end_of_the_range_windows_go_an_octave_the_other_way():
    """D major down to the lowest A: a tone down is out of range, ten semitones up is not."""
    window = np.zeros((32, 5), np.uint8)
    window[0, :4] = np.array([21, 26, 30, 38]) - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    [moved] = window_keys.in_home_keys(window[None])
    assert (moved[0, :4] - window[0, :4]).tolist() == [10, 10, 10, 10]
    # From the lowest to the highest note there is no way.
    window[0, 4] = melody_tokens.MAX_PITCH - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    assert np.array_equal(window_keys.in_home_keys(window[None])[0], window)
    silent = np.zeros((1, 32, 5), np.uint8)
    assert np.array_equal(window_keys.in_home_keys(silent), silent)
