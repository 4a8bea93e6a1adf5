"""Sampling, interpolating and reconstructing with a tiny model."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

import calmvae
from calmvae.checkpoints import open_model
from calmvae.common.errors import EmptyMusicError, OptionError
from calmvae.generate import interpolation, reconstruction, sampling
from calmvae.midi import read_music, write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.music import melody_extraction, melody_tokens, melody_windows
from tests.conftest import PIECES, ROOT


@pytest.fixture(scope="module")
def model(tiny_model):
    return open_model.load_model(tiny_model)


def tune(pitches, qpm=60.0, program=0, velocity=64, name="tune", metre=(4, 4)) -> Piece:
    """Quarter notes."""
    beat = 60 / qpm
    notes = [Note(p, velocity, k * beat, (k + 1) * beat, program) for k, p in enumerate(pitches)]
    return Piece(notes, [(0.0, qpm)], [(0.0, *metre)], name=name)


A = tune([60, 62, 64, 65] * 8, qpm=90, program=0, velocity=80, name="a")
B = tune([72, 71, 69, 67] * 8, qpm=60, program=46, velocity=40, name="b")


def melody_of(piece, track=0):
    return melody_extraction.extract_melody(piece, track=track).tokens


def test_interpolation_begins_and_ends_with_the_pieces(model):
    made = interpolation.interpolate(A, B, model, steps=5, bars=4)
    steps = 4 * 16
    joined = melody_of(made.piece, "melody of A")
    assert np.array_equal(joined[:steps], melody_of(A)[:steps])
    assert np.array_equal(melody_of(made.piece, "melody of B")[-steps:], melody_of(B)[:steps])
    assert [s.label for s in made.sections] == ["A", "1/4", "2/4", "3/4", "B"]
    assert [s.emphasis for s in made.sections] == [True, False, False, False, True]
    assert made.sections[-1].end == 5 * 4 * 4
    assert len(made.parts) == 5


def test_tempo_velocity_and_instrument_glide(model):
    made = interpolation.interpolate(A, B, model, steps=5, bars=4)
    qpm = [q for _, q in made.piece.tempos]
    assert qpm[0] == pytest.approx(90) and qpm[-1] == pytest.approx(60)
    assert all(x > y for x, y in itertools.pairwise(qpm))
    first = [n for n in made.piece.notes if n.start < 1]
    last = [n for n in made.piece.notes if n.end > made.piece.duration - 0.01]
    assert {(n.program, n.velocity) for n in first} == {(0, 80)}
    assert {(n.program, n.velocity) for n in last} == {(46, 40)}
    assert {n.program for n in made.piece.notes} == {0, 46}


def test_decoded_endpoints_are_the_models(model):
    made = interpolation.interpolate(A, B, model, steps=2, bars=2, endpoints="decoded")
    window = melody_windows.cut_windows(melody_of(A), 32)[0][:1]
    expected = model.engine.decode(model.engine.encode(window)[0])[0]
    notes = [n for n in made.piece.notes if n.track == 0]
    assert [n.pitch for n in notes] == [pitch for pitch, _, _ in melody_tokens.token_notes(expected)]


def test_same_piece_twice_comes_back(model):
    made = interpolation.interpolate(A, A, model, steps=4, bars=4)
    assert made.info["changes_between_steps"][1] == 0
    assert not any(np.isnan(n.start) or np.isnan(n.end) for n in made.piece.notes)
    decoded = reconstruction.reconstruct(A, model)
    tokens = melody_windows.join_windows(
        model.engine.decode(model.engine.encode(melody_windows.cut_windows(melody_of(A), 32)[0])[0])
    )
    assert [n.pitch for n in decoded.piece.notes] == [pitch for pitch, _, _ in melody_tokens.token_notes(tokens)]


def test_reconstruction_keeps_the_pieces_own_time(model):
    notes = [Note(60 + k, 64, k * 1.0, k + 1.0) for k in range(16)]
    slowing = Piece(notes, [(0.0, 60.0), (8.0, 30.0)], name="slowing")
    made = reconstruction.reconstruct(slowing, model)
    assert [n.start for n in made.beside.notes] == pytest.approx([n.start for n in slowing.notes])
    assert made.beside.tempos == slowing.tempos
    assert 0 <= made.info["reconstruction_accuracy"] <= 1


@pytest.mark.parametrize("bars", [2, 8, 32])
def test_samples(model, bars):
    made = sampling.sample(model, 3, bars=bars, seed=4, temperature=1.0, qpm=80, velocity=50, program=11)
    again = sampling.sample(model, 2, bars=bars, seed=4, temperature=1.0, qpm=80, velocity=50, program=11)
    other = sampling.sample(model, 1, bars=bars, seed=5, temperature=1.0, qpm=80, velocity=50, program=11)
    assert made[1].piece == again[1].piece
    assert made[0].piece != other[0].piece and made[0].piece.notes != made[1].piece.notes
    assert made[0].sections[0].end == bars * 4
    for note in made[0].piece.notes:
        assert (note.program, note.velocity) == (11, 50) and note.end <= bars * 4 * 60 / 80 + 1e-9


def test_hierarchical_model(tiny_model_16bar):
    made = interpolation.interpolate(A, B, tiny_model_16bar, steps=3)
    assert made.info["bars_per_step"] == 16 and made.sections[-1].end == 3 * 64
    assert "a: bars 1 to 8, all there is from there on, are repeated to fill 16." in made.remarks
    joined = melody_of(made.piece, "melody of A")
    assert np.array_equal(joined[:128], melody_of(A)) and np.array_equal(joined[128:256], melody_of(A))
    assert len(sampling.sample(tiny_model_16bar, 2, bars=32, temperature=1.0)) == 2


def long_rest() -> Piece:
    return Piece([dataclasses.replace(n, start=n.start + 32, end=n.end + 32) for n in A.notes], [(0, 60)], name="rest")


def ritardando() -> Piece:
    tempos = [(k * 1.0, 90 - 2.0 * k) for k in range(20)]
    return Piece(tune([60, 64, 67, 72] * 8).notes, tempos, name="ritardando")


ODD = {
    "3/4": tune([60, 64, 67] * 8, metre=(3, 4), name="waltz"),
    "6/8": tune([60, 64, 67] * 8, metre=(6, 8), name="jig"),
    "5/4": tune([60, 64, 67, 65, 62] * 8, metre=(5, 4), name="five"),
    "pads": Piece([Note(p, 60, 0, 30, 89) for p in (48, 55, 64)] + [Note(67, 60, 30, 60, 89)], name="pads"),
    "ritardando": ritardando(),
    "eight bars of rest": long_rest(),
    "one note": tune([60], name="one"),
    "40 minutes": tune([60, 62, 64, 67] * 720, qpm=72, name="long"),
    "ends of the keyboard": tune([0, 127, 5, 120] * 4, name="ends"),
}


@pytest.mark.parametrize("name", ODD)
def test_every_kind_of_piece(model, name):
    for pair in ((ODD[name], A), (A, ODD[name]), (ODD[name], ODD[name])):
        made = interpolation.interpolate(*pair, model, steps=3)
        assert made.piece.notes and made.piece.duration > 0
        assert all(0 <= n.start < n.end and 0 < n.velocity < 128 for n in made.piece.notes)
    assert reconstruction.reconstruct(ODD[name], model).beside.notes


def test_what_is_left_out_is_said(model):
    remarks = interpolation.interpolate(ODD["3/4"], ODD["eight bars of rest"], model, steps=2).remarks
    said = " ".join(remarks)
    assert "waltz: metre 3/4 is re-barred onto 16 steps a bar." in said
    assert "rest: bars 1 to 8, before the first note, are left out." in said
    assert "waltz: bars 1 to 4 of 6 are used." in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 1}, "at least 2"),
        ({"bars": 0}, r"^--bars is 0, but calm-mel_2bar makes multiples of 2 bars; give for example --bars 4\.$"),
        ({"bars": 3}, "multiples of 2"),
        ({"bars": -2}, "multiples of 2"),
        ({"temperature": -1.0}, "from 0"),
        ({"temperature": float("nan")}, "from 0"),
        ({"endpoints": "none"}, "original or decoded"),
        ({"melody": "loudest"}, "skyline"),
        ({"tracks": ("flute", None)}, "no pitched track 'flute'"),
        ({"start_bars": (99, None)}, "bars 1 to 8"),
    ],
)
def test_bad_options_are_one_sentence(model, change, sentence):
    with pytest.raises(OptionError, match=sentence):
        interpolation.interpolate(A, B, model, **change)


def test_drums_and_empty_are_errors(model):
    with pytest.raises(EmptyMusicError, match="only drums"):
        interpolation.interpolate(Piece([Note(36, 90, 0, 1, is_drum=True)]), A, model)
    with pytest.raises(EmptyMusicError, match="no notes"):
        reconstruction.reconstruct(Piece([]), model)


def test_public_names(tiny_model):
    model = calmvae.load_model(tiny_model)
    assert calmvae.interpolate(A, B, model, steps=2).piece.notes
    assert len(calmvae.sample(model, 2)) == 2
    assert calmvae.reconstruct(A, model).info["windows"] == 4


def test_generation_imports_nothing_heavy(tiny_model):
    code = (
        "import sys, calmvae; m = calmvae.load_model(sys.argv[1]); calmvae.sample(m, 1);"
        "calmvae.interpolate(sys.argv[2], sys.argv[3], m);"
        "heavy = {'tensorflow', 'magenta', 'note_seq', 'librosa', 'pandas', 'matplotlib'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    arguments = [sys.executable, "-c", code, str(tiny_model), str(PIECES[0]), str(PIECES[1])]
    subprocess.run(arguments, check=True, cwd=ROOT, timeout=120)


def test_made_pieces_survive_midi(model, tmp_path):
    made = interpolation.interpolate(A, B, model, steps=3)
    back = read_music.read_piece(write_midi.write_midi(made.piece, tmp_path / "joined.mid"))
    assert len(back.notes) == len(made.piece.notes)
    assert back.duration == pytest.approx(made.piece.duration, abs=0.01)


def test_a_tempo_that_changes_is_said_to_be_evened_out(model):
    changing = dataclasses.replace(tune([60, 62, 64, 65] * 16), tempos=[(0.0, 84.0), (20.0, 66.0)])
    remarks: list[str] = []
    end = model.excerpt(changing, 16, remarks)
    assert f"tune: its tempo, 66 to 84, is evened out to the mean, {end.qpm:.0f}." in remarks
    assert 66 < end.qpm < 84 and changing.qpm_range(0, 10) == (84, 84)
    remarks.clear()
    model.excerpt(tune([60, 62, 64, 65]), 2, remarks)
    assert not any("tempo" in remark for remark in remarks)


def test_magenta_makes_the_same_piece(monkeypatch):
    """Of the embedded model at temperature 0, note for note."""
    from tests import magenta_engine

    model = open_model.load_model()
    ours = interpolation.interpolate(*PIECES[:2], model, steps=3)
    monkeypatch.setattr(model, "engine", magenta_engine.MagentaEngine(model.spec, model.engine.weights))
    theirs = interpolation.interpolate(*PIECES[:2], model, steps=3)
    assert ours.piece == theirs.piece and ours.parts == theirs.parts
