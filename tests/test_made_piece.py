"""What is made of a piece begins with its first note, and is never silence."""

from __future__ import annotations

import json

import pytest

from calmvae.checkpoints import open_model
from calmvae.common.errors import EmptyMusicError
from calmvae.generate import calm_piece, interpolation, journey, made_piece, reconstruction
from calmvae.generate.made_piece import Made
from calmvae.midi import read_music
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Note, Piece
from calmvae.model.melody_model import MelodyModel
from tests.conftest import PIECES, run_calmvae, run_python
from tests.test_cases import path_of


@pytest.fixture(scope="module")
def model() -> MelodyModel:
    return open_model.load_model("calm-mel_2bar")


def test_what_is_made_of_an_upbeat_begins_with_it(model):
    upbeat = path_of("pickup_of_one_beat_in_3_4")
    ends = [journey.of_piece(upbeat, model), journey.of_piece(PIECES[0], model)]
    joined = interpolation.interpolate(upbeat, PIECES[0], model)
    for one in (
        joined,
        interpolation.interpolate(PIECES[0], upbeat, model, endpoints="decoded"),
        reconstruction.reconstruct(upbeat, model),
        calm_piece.calm(upbeat, model),
        journey.journey(*ends, model, minutes=2),
    ):
        pieces = [one.piece, *one.parts]
        assert [piece.notes[0].start for piece in pieces] == [0.0] * len(pieces)
        assert all(section.start >= 0 for section in one.sections) and one.sections[0].start == 0
    # A's bar line stands a quarter after the upbeat, and so do the sections of four bars.
    assert joined.piece.time_signatures == [(0.0, 1, 4), (pytest.approx(0.5), 4, 4)]
    assert [section.end for section in joined.sections[:2]] == [4 * 4 - 3, 8 * 4 - 3]
    assert joined.piece.notes[0].pitch == 67


def test_silence_in_front_is_taken_away_and_bar_lines_stay():
    notes = [Note(60, 80, 3.75, 4.0), Note(62, 80, 4.0, 6.0)]
    piece = Piece(notes, [(0.0, 60.0), (4.0, 120.0)], [(0.0, 4, 4)])
    begun = Made(piece, [Section(0.0, 4.0, "A"), Section(4.0, 8.0, "B")], {}, [], [piece], piece).begun()
    for one in (begun.piece, begun.parts[0], begun.beside):
        assert [(n.start, n.end) for n in one.notes] == [(0.0, 0.25), (0.25, 2.25)]
        assert one.tempos == [(0.0, 60.0), (0.25, 120.0)]
        assert one.time_signatures == [(0.0, 1, 16), (0.25, 4, 4)]
    assert [(s.start, s.end) for s in begun.sections] == [(0.0, 0.25), (0.25, 4.25)]


def test_whole_bars_of_silence_leave_no_metre_behind():
    piece = Piece([Note(60, 80, 4.0, 5.0)], [(0.0, 120.0)], [(0.0, 4, 4)])
    assert made_piece.lead(piece) == 4.0
    assert made_piece.without(piece, 4.0) == Piece([Note(60, 80, 0.0, 1.0)], [(0.0, 120.0)], [(0.0, 4, 4)])
    assert made_piece.without(piece, 0.0) is piece


def test_a_piece_shown_beside_it_stays_beside_it():
    """What sounds before the first note that the model makes is cut in the picture."""
    piece, beside = Piece([Note(60, 80, 2.0, 3.0)]), Piece([Note(60, 80, 0.0, 1.0), Note(62, 80, 1.0, 3.0)])
    shown = Made(piece, [], {}, [], beside=beside).begun().beside
    assert [(n.pitch, n.start, n.end) for n in shown.notes] == [(62, 0.0, 1.0)]


@pytest.mark.parametrize("command", ["calm", "reconstruct", "interpolate", "journey"])
def test_no_command_writes_silence(tmp_path, command):
    given = [path_of("one_late_short_note")] * (2 if command == "interpolate" else 1)
    done = run_calmvae(command, *given, "-o", tmp_path / "out", "--no-sound", "--no-picture")
    if done.returncode:
        assert done.returncode == 2 and "would be silent, because the model decodes no note" in done.stderr
        assert not (tmp_path / "out").exists()
    else:
        written = sorted((tmp_path / "out").rglob("*.mid"))
        assert written and all(read_music.read_piece(path).notes for path in written)


def test_silence_is_one_sentence():
    with pytest.raises(EmptyMusicError, match=r"'x calmer' would be silent, because the model decodes no note"):
        Made(Piece([], name="x calmer"), [], {}, []).begun()


def test_every_command_that_reads_says_what_was_mended(tmp_path):
    """On stderr, in JSON and in run.json or manifest.jsonl."""
    odd, said = path_of("melody_zero_length_over_bass"), "16 notes have no length; each is played as a sixteenth."
    done = run_calmvae("score", odd, "--json")
    assert json.loads(done.stdout)["files"][0]["warnings"] == [said] and said in done.stderr
    done = run_calmvae("convert", odd, "-o", tmp_path / "data")
    record = json.loads((tmp_path / "data" / "manifest.jsonl").read_text())
    assert record["warnings"] == [said] and f"melody_zero_length_over_bass: {said}" in done.stderr
    for command in (["interpolate", odd, PIECES[0]], ["reconstruct", odd], ["calm", odd], ["journey", odd]):
        done = run_calmvae(*command, "-o", tmp_path / command[0], "--no-sound", "--no-picture")
        remarks = json.loads((tmp_path / command[0] / "run.json").read_text())["remarks"]
        assert any(said in remark for remark in remarks) and said in done.stderr, command
    done = run_calmvae("personalize", odd, *PIECES[:2], "-o", tmp_path / "personal")
    assert said in done.stderr
    pieces = json.loads((tmp_path / "personal" / "run.json").read_text())["pieces"]
    assert [said] in [piece["warnings"] for piece in pieces]


def test_one_file_never_ends_a_run(tmp_path):
    for name, content in {
        "settings.xml": b"<settings/>",
        "broken.mid": b"MThd",
        "cut.mxl": b"PK",
        "no.abc": b"no tune",
        "days.mid": path_of("hours_long_86_bytes").read_bytes(),
        "good.mid": PIECES[0].read_bytes(),
        "tune.abc": path_of("abc_rest").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(content)
    # As where symusic is not installed.
    hide = (
        "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'symusic' else f(n, *a);"
    )
    run = "import sys; from calmvae.cli.app import main; sys.exit(main())"

    done = run_python(hide + run, "convert", tmp_path, "-o", tmp_path / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "= 1 kept (1 to train, 0 held out) + 6 skipped (3 unreadable, 1 no-music, 2 needs-package)" in done.stdout
    assert "need the package symusic, which is not installed; run: pip install symusic" in done.stderr
    assert "settings.xml is no music (it is no score: it begins with <settings>" in done.stderr
    done = run_python(hide + run, "score", tmp_path)
    assert done.returncode == 0 and "7 files = 1 scored + 6 skipped" in done.stdout
    assert "2 needs-package" in done.stdout and "1 no-music" in done.stdout


def test_score_scores_every_tune(tmp_path):
    done = run_calmvae("score", path_of("abc_second_tune_same_number"), "--json", "-o", tmp_path / "out")
    found = json.loads(done.stdout)
    assert sorted(row["file"][-6:] for row in found["files"]) == [".abc#1", ".abc#2"] and found["skipped"] == {}
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("metres", "cut", "wanted"),
    [
        ([(0.0, 3, 4)], 1.0, [(0.0, 1, 4), (0.5, 3, 4)]),
        ([(0.0, 3, 4)], 1.5, [(0.0, 3, 4)]),
        ([(0.0, 6, 8), (3.0, 4, 4)], 1.75, [(0.0, 5, 8), (1.25, 4, 4)]),
        ([(0.0, 5, 4), (2.5, 3, 4)], 2.5, [(0.0, 3, 4)]),
        ([(0.0, 1, 4), (0.5, 3, 4)], 0.25, [(0.0, 1, 8), (0.25, 3, 4)]),
        ([], 0.5, [(0.0, 3, 4), (1.5, 4, 4)]),
    ],
)
def test_bar_lines_of_any_metre_stay(metres, cut, wanted):
    piece = Piece([Note(60, 80, 0.0, 9.0)], [(0.0, 120.0)], metres)
    assert made_piece.without(piece, cut).time_signatures == wanted
