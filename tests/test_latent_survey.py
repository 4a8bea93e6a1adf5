"""The latent space looked over, with an engine whose codes are the music itself."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.latent import calm_prior, latent_survey
from calmvae.music import calmness
from calmvae.music.melody_tokens import FIRST_PITCH, MIN_PITCH, NOTE_OFF, STEPS_PER_BAR

C_MAJOR = [60, 62, 64, 65, 67, 69, 71, 72]


def window(*pitches: int) -> np.ndarray:
    """A window of 2 bars: notes of a quarter, then silence."""
    tokens = np.zeros(2 * STEPS_PER_BAR, np.uint8)
    tokens[: 4 * len(pitches) : 4] = [pitch - MIN_PITCH + FIRST_PITCH for pitch in pitches]
    tokens[4 * len(pitches) :][:1] = NOTE_OFF
    return tokens


class Plain:
    """Encodes a window as its tokens and decodes what is nearest to them."""

    def encode(self, tokens):
        """Codes that are the tokens, next to certain."""
        return tokens.astype(np.float32), np.full(tokens.shape, 1e-3, np.float32)

    def decode(self, z):
        """The tokens again."""
        return np.clip(np.rint(z), 0, 89).astype(np.uint8)


def test_what_music_is_like():
    tokens = np.stack([window(*C_MAJOR), window(60, 61), window()])
    found = latent_survey.of_music(tokens)
    # The scale is in C major, two notes a semitone apart are in D flat major, and the silent one does not count.
    assert found["in key"] == 1.0
    assert found["pitches"] == 5.0
    assert found["notes a bar"] == pytest.approx((8 + 2) / 2 / 2)
    expected = np.mean(calmness.of_windows(tokens[:2]))
    assert found["calmness"] == pytest.approx(expected)


def test_ways_end_where_they_should_and_the_fade_mixes():
    tokens = np.stack([window(*C_MAJOR), window(*C_MAJOR[::-1])])
    rows = latent_survey.ways(Plain(), tokens, pairs=40, points=3)
    assert [row["way"] for row in rows] == ["slerp"] * 3 + ["straight"] * 3 + ["fade"] * 3
    # Both begin their notes at the same eight of 32 steps, and none of the notes is the same.
    for first, _, last in (rows[:3], rows[3:6], rows[6:]):
        assert (first["at"], last["at"]) == (0.0, 1.0)
        assert (first["like A"], first["like B"]) == (1.0, 0.75) and (last["like A"], last["like B"]) == (0.75, 1.0)
    middle = rows[7]
    assert middle["like A"] == pytest.approx(0.875, abs=0.02) and middle["like B"] == pytest.approx(0.875, abs=0.02)
    # Halfway between their codes every note is the mean of two.
    assert rows[4]["pitches"] < rows[3]["pitches"]


def test_dimensions_that_go_together_are_seen():
    rng = np.random.default_rng(0)
    apart = rng.standard_normal((4000, 8))
    found = latent_survey.together(np.concatenate([apart, np.zeros((4000, 2))], axis=1))
    assert found["active"] == 8 and found["deviation"] == pytest.approx(1, abs=0.03)
    assert found["correlation"] == pytest.approx(found["by chance"], rel=0.5) and found["half"] == 4
    one = apart[:, :1] + 0.1 * apart
    found = latent_survey.together(one)
    assert found["correlation"] > 0.9 and found["half"] == 1


def test_places_of_the_embedded_model_and_their_table():
    model = open_model.load_melody_model()
    tokens = np.stack([window(*C_MAJOR), window(*C_MAJOR[::-1]), window(60, 64, 67, 64)])
    rows = latent_survey.places(model.engine, tokens, n=3)
    rows.append(latent_survey.of_prior(model.engine, calm_prior.load_prior(model), n=3))
    names = [row["place"] for row in rows]
    assert names[0] == "music" and names[-1] == "calm prior" and "standard prior x 0.5" in names
    by_name = dict(zip(names, rows, strict=True))
    assert by_name["standard prior x 1"]["length"] == pytest.approx(2 * by_name["standard prior x 0.5"]["length"])
    table = latent_survey.shown(rows).splitlines()
    assert table[0] == "| place | length | in key | pitches | notes a bar | calmness |" and len(table) == len(rows) + 2
    assert table[2].startswith("| music |  | 1.000 | 6.3 | 3.3 | ")
    again = latent_survey.places(model.engine, tokens, n=3)
    assert again == rows[:-1]
