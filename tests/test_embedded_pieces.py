"""The pieces that calmvae ships: what the script writes, and playable, calm and in bars that add up."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from calmvae.midi import read_music
from calmvae.midi.piece import Note, Piece

RESOURCES = Path(__file__).parents[1] / "resources"
FILES = sorted((RESOURCES / "pieces").glob("*.mid"))


def _load_script():
    spec = importlib.util.spec_from_file_location("make_pieces", RESOURCES / "make_pieces.py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_pieces = _load_script()


def _voices(piece: Piece) -> dict[int, list[Note]]:
    return {track: [n for n in piece.notes if n.track == track] for track in {n.track for n in piece.notes}}


def test_committed_files_are_what_the_script_writes(tmp_path):
    written = {path.name: path.read_bytes() for path in make_pieces.write_pieces(tmp_path)}
    assert {path.name: path.read_bytes() for path in FILES} == written


def test_differing_names_changed_missing_and_superfluous_files(tmp_path):
    written = make_pieces.write_pieces(tmp_path)
    assert make_pieces.differing(tmp_path) == []
    written[0].write_bytes(b"")
    written[1].unlink()
    (tmp_path / "extra.mid").write_bytes(b"")
    assert make_pieces.differing(tmp_path) == sorted([written[0].name, written[1].name, "extra.mid"])


@pytest.mark.parametrize(("names", "code"), [([], 0), (["brahms_wiegenlied.mid"], 1)])
def test_check_says_by_its_exit_status_whether_files_differ(monkeypatch, capsys, names, code):
    monkeypatch.setattr(make_pieces, "differing", lambda: names)
    assert make_pieces.main(["--check"]) == code
    assert all(name in capsys.readouterr().out for name in names)


def test_the_collection_is_small_and_varied():
    pieces = [read_music.read_piece(path) for path in FILES]
    assert 6 <= len(pieces) <= 12
    assert sum(len(_voices(piece)) >= 2 for piece in pieces) * 2 >= len(pieces)
    assert len({piece.time_signatures[0][1:] for piece in pieces}) >= 3
    assert len({note.program for piece in pieces for note in piece.notes}) >= 6
    assert any(len(piece.tempos) >= 4 for piece in pieces)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_piece_reads_back_calm_and_clean(path):
    piece = read_music.read_piece(path)
    assert not piece.warnings
    assert 50 <= piece.tempos[0][1] <= 92
    assert {note.pitch for note in piece.notes} <= set(range(36, 97))
    assert {note.velocity for note in piece.notes} <= set(range(40, 76))
    voices = _voices(piece)
    assert piece.track_names.keys() == voices.keys()
    assert piece.track_names[0] == "melody"
    for notes in voices.values():
        for pitch in {note.pitch for note in notes}:
            same = [note for note in notes if note.pitch == pitch]
            assert all(b.start >= a.end - 1e-6 for a, b in itertools.pairwise(same))


@pytest.mark.parametrize("setting", make_pieces.SETTINGS, ids=lambda setting: setting.file)
def test_bars_add_up(setting):
    full = Fraction(4 * setting.metre[0], setting.metre[1])
    for voice in setting.voices:
        line = make_pieces.read_line(voice.text)
        upbeat = make_pieces.check_bars(line, setting.metre)
        first = 1 if upbeat else 0
        assert set(line.bars[first:-1]) == {full}
        assert line.bars[-1] in (full, full - upbeat)
        assert 16 <= len(line.bars) - first <= 40


@pytest.mark.parametrize("setting", make_pieces.SETTINGS, ids=lambda setting: setting.file)
def test_files_hold_the_notes_of_the_text(setting):
    line = make_pieces.read_line(setting.voices[0].text)
    full = Fraction(4 * setting.metre[0], setting.metre[1])
    shift = (full - line.bars[0]) % full
    piece = read_music.read_piece(RESOURCES / "pieces" / f"{setting.file}.mid")
    melody = _voices(piece)[0]
    assert [note.pitch for note in melody] == [event.pitches[0] for event in line.events]
    starts = [float(event.start + shift) for event in line.events]
    assert piece.quarters([note.start for note in melody]) == pytest.approx(starts, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C4:1 D4 | E4:1 F4 G4 | C4:2", "bar 1 has 3 quarters instead of 4"),
        ("C4:2 D4 | E4:1 F4 G4", "bar 2 has 3 quarters instead of 4"),
        ("C4:2 D4 E4 | F4:4", "more than 4"),
        ("C4:4~ | D4", "leads to another note"),
        ("C4:4~", "leads nowhere"),
        ("H4:4", "'H4' is no note"),
        ("E4+C4:4", "do not rise"),
    ],
)
def test_slips_in_the_text_are_refused(text, message):
    setting = dataclasses.replace(make_pieces.SETTINGS[0], metre=(4, 4), voices=(make_pieces.Voice("melody", 0, text),))
    with pytest.raises(ValueError, match=message):
        make_pieces.build(setting)


def test_voices_of_different_length_are_refused():
    voices = (make_pieces.Voice("melody", 0, "C4:4 | D4"), make_pieces.Voice("bass", 0, "C3:4"))
    setting = dataclasses.replace(make_pieces.SETTINGS[0], metre=(4, 4), voices=voices)
    with pytest.raises(ValueError, match="the same bars"):
        make_pieces.build(setting)


def test_notation_knows_ties_rests_chords_and_lengths_that_last():
    line = make_pieces.read_line("r:1 C4:.5 D4 =C3+Bb3:2~ | C3+Bb3:4 , | F#4:1 r E4:2")
    assert [(e.start, e.length, e.pitches) for e in line.events] == [
        (1, Fraction(1, 2), (60,)),
        (Fraction(3, 2), Fraction(1, 2), (62,)),
        (2, 6, (48, 58)),
        (8, 1, (66,)),
        (10, 2, (64,)),
    ]
    assert line.bars == [4, 4, 4]
    assert line.breaths == [8]


def test_readme_describes_every_piece():
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (RESOURCES / "pieces" / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    described = {(row[0].strip("`"), row[5], row[6], row[7].split(",")[0], row[8]) for row in rows}
    expected = set()
    for setting in make_pieces.SETTINGS:
        line = make_pieces.read_line(setting.voices[0].text)
        bars = len(line.bars) - (1 if make_pieces.check_bars(line, setting.metre) else 0)
        names = ", ".join(voice.name for voice in setting.voices)
        expected.add((f"{setting.file}.mid", "/".join(map(str, setting.metre)), str(bars), f"{setting.qpm:g}", names))
    assert described == expected
