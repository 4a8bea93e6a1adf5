"""Attribute vectors, and pieces made calmer along one."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from calmvae.checkpoints import model_folder, open_model
from calmvae.common import tensor_file
from calmvae.common.errors import ModelError, OptionError
from calmvae.generate import calm_piece
from calmvae.latent import attribute_vectors
from calmvae.midi import read_music
from calmvae.music import calmness, melody_tokens
from tests.conftest import PIECES, run_calmvae


def windows(*rows: dict[int, int]) -> np.ndarray:
    """Windows of 32 steps from step to token."""
    made = np.zeros((len(rows), 32), np.uint8)
    for row, tokens in zip(made, rows, strict=True):
        row[list(tokens)] = list(tokens.values())
    return made


def test_attributes_by_hand():
    # C4 for two beats, E4 from an eighth before the third beat on, silence, then G4 on a beat: tokens are pitch - 19.
    row = windows({0: 41, 6: 45, 12: 1, 16: 48})
    found = attribute_vectors.attributes(row)
    assert found["density"][0] == 1.5 and found["interval"][0] == 3.5 and found["in_key"][0] == 1.0
    assert found["syncopation"][0] == pytest.approx(1 / 3)


def test_syncopation():
    tied = windows({0: 41, 6: 41, 8: 43})  # off the beat, but a note begins at the next
    assert attribute_vectors.syncopation(tied)[0] == 0
    assert attribute_vectors.syncopation(windows({6: 41}))[0] == 1
    assert attribute_vectors.syncopation(windows({30: 41}))[0] == 0  # no beat follows
    assert attribute_vectors.syncopation(np.zeros((1, 32), np.uint8))[0] == 0


class Straight:
    """An engine whose only latent dimension is the number of notes in a window, on the first steps."""

    def encode(self, tokens):
        return (tokens > 1).sum(axis=1, keepdims=True).astype(np.float32), None

    def decode(self, z):
        made = np.zeros((len(z), 32), np.uint8)
        for row, count in zip(made, np.clip(np.round(z[:, 0]), 1, 30).astype(int), strict=True):
            row[:count] = 41
        return made


def test_a_vector_is_the_difference_of_quarters():
    """Windows of 1 to 8 notes: the most have 7 and 8, the least 1 and 2, as quantiles count."""
    tokens = Straight().decode(np.arange(1.0, 9.0)[:, None])
    found = attribute_vectors.find(Straight(), tokens)
    assert found.vectors["density"].tolist() == [6.0]
    table = attribute_vectors.effects(Straight(), found, tokens + 0)
    assert table["density"]["density"] > 0.5 and table["density"]["interval"] == 0


def test_written_and_read(tmp_path):
    made = attribute_vectors.Directions({name: np.arange(4.0) for name in attribute_vectors.ATTRIBUTES}, {"windows": 3})
    attribute_vectors.write(made, tmp_path / attribute_vectors.FILE)
    back = attribute_vectors.read(tmp_path / attribute_vectors.FILE)
    assert back.record == made.record and all(np.array_equal(back.vectors[n], v) for n, v in made.vectors.items())
    (tmp_path / "bad").write_bytes(b"no")
    with pytest.raises(ModelError, match="no readable directions"):
        attribute_vectors.read(tmp_path / "bad")
    tensor_file.write(tmp_path / "few", {"density": np.zeros(4, np.float32)})
    with pytest.raises(ModelError, match=r"few holds no readable directions \(KeyError\('calmness'\)\); run"):
        attribute_vectors.read(tmp_path / "few")


@pytest.mark.parametrize("name", [n for n in model_folder.embedded() if n.startswith("calm-mel")])
def test_embedded_vectors_do_what_they_say(name):
    """Each attribute but the share in key, which is near its top already, is moved most, or nearly so, by its own."""
    model = open_model.load_model(name)
    record = calm_piece.load(model).record["effects"]
    for attribute in ("calmness", "density", "interval", "syncopation"):
        assert record[attribute][attribute] > 0.5
        assert record[attribute][attribute] >= 0.9 * max(record[other][attribute] for other in record)


@pytest.mark.parametrize("path", PIECES, ids=lambda p: p.stem)
def test_pieces_get_calmer_with_the_amount(path):
    """And stay what they are: less alike with every step, but alike."""
    model = open_model.load_model()
    made = [calm_piece.calm(path, model, amount=amount) for amount in (0, 0.35, 0.7, 1.0)]
    scores = [calmness.score(one.piece).calmness for one in made]
    assert all(later >= earlier - 0.5 for earlier, later in itertools.pairwise(scores))
    assert scores[-1] > scores[0] + 2
    assert made[0].info["similarity"]["chroma"] > 0.95 and made[2].info["similarity"]["chroma"] > 0.5
    assert made[2].piece.duration == pytest.approx(made[0].piece.duration / 0.79, rel=0.1)


def test_similarity():
    line = windows({0: 41, 8: 43, 16: 45, 24: 48})
    assert calm_piece.similarity(line, line) == {"chroma": pytest.approx(1), "contour": pytest.approx(1)}
    upside_down = windows({0: 48, 8: 45, 16: 43, 24: 41})
    turned = calm_piece.similarity(line, upside_down)
    assert turned["chroma"] == pytest.approx(1) and turned["contour"] < -0.8
    assert calm_piece.similarity(line, windows({0: 42, 16: 44}))["chroma"] == 0


def test_silence_counts_for_no_note_in_similarity():
    """A C for a bar and silence, then a D as long: half and half, though the silence is long."""
    once = windows({0: 41, 4: melody_tokens.NOTE_OFF, 28: 43})
    apart = windows({0: 41, 4: 43, 8: melody_tokens.NOTE_OFF})
    assert calm_piece.similarity(once, apart)["chroma"] == pytest.approx(1)


def test_commands(tmp_path, tiny_model):
    done = run_calmvae("calm", PIECES[4], "--amount", "0.8", "-o", tmp_path / "calm", "--no-sound")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "calm" / "run.json").read_text())
    before, after = record["result"]["calmness"]
    assert after > before and "Calmness" in done.stdout
    assert read_music.read_piece(tmp_path / "calm" / "calm.mid").notes and (tmp_path / "calm" / "calm.png").is_file()
    again = run_calmvae("calm", PIECES[4], "--amount", "0.8", "-o", tmp_path / "again", "--no-sound", "--no-picture")
    assert again.returncode == 0
    assert (tmp_path / "calm" / "calm.mid").read_bytes() == (tmp_path / "again" / "calm.mid").read_bytes()
    assert run_calmvae("convert", *PIECES, "-o", tmp_path / "data").returncode == 0
    done = run_calmvae("directions", tmp_path / "data", "--model", tiny_model, "-o", tmp_path / "dir")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "dir").iterdir()} == {"directions.safetensors", "effects.png", "run.json"}
    for arguments, sentence in (
        (("calm", PIECES[0], "--model", tiny_model), "no directions at"),
        (("calm", PIECES[0], "--amount", "3"), "--amount is 3"),
    ):
        refused = run_calmvae(*arguments, "-o", tmp_path / "x")
        assert refused.returncode == 2 and sentence in refused.stderr and refused.stderr.count("\n") == 1


def test_amounts():
    with pytest.raises(OptionError, match="--amount is -1"):
        calm_piece.calm(PIECES[0], open_model.load_model(), amount=-1)


def test_where_most_windows_are_alike_those_that_differ_count():
    low, high = attribute_vectors._ends(np.array([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]))
    assert np.flatnonzero(low).tolist() == [4] and high.sum() == 7
    low, high = attribute_vectors._ends(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.3]))
    assert np.flatnonzero(high).tolist() == [5] and low.sum() == 5
    low, high = attribute_vectors._ends(np.arange(8.0))
    assert np.flatnonzero(low).tolist() == [0, 1] and np.flatnonzero(high).tolist() == [6, 7]


def test_an_attribute_that_all_windows_have_alike_points_nowhere_and_its_effect_is_no_huge_number():
    tokens = np.repeat(Straight().decode(np.array([[4.0]])), 8, axis=0)
    found = attribute_vectors.find(Straight(), tokens)
    assert all(vector.tolist() == [0.0] for vector in found.vectors.values())
    table = attribute_vectors.effects(Straight(), found, tokens)
    assert all(abs(value) < 100 for row in table.values() for value in row.values())
