"""MusicXML and ABC to pieces."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from calmvae import magenta, midi, note_sequence, phrases, scores
from calmvae.errors import EmptyMusicError, InputError
from calmvae.piece import Piece
from tests import builders

MUSICXML = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1">
  <part-list>
    <score-part id="P1">
      <part-name>Flute</part-name>
      <midi-instrument id="I1"><midi-channel>1</midi-channel><midi-program>{program}</midi-program></midi-instrument>
    </score-part>
  </part-list>
  <part id="P1">
    <measure number="1">
      <attributes><divisions>2</divisions><time><beats>3</beats><beat-type>4</beat-type></time></attributes>
      <direction><sound tempo="{tempo}"/></direction>
      <note><pitch><step>C</step><octave>5</octave></pitch><duration>2</duration><type>quarter</type></note>
      <note><grace/><pitch><step>A</step><octave>5</octave></pitch><type>eighth</type></note>
      <note><pitch><step>E</step><alter>-1</alter><octave>5</octave></pitch><duration>4</duration><type>half</type></note>
    </measure>
    <measure number="2">
      <note><pitch><step>G</step><octave>5</octave></pitch><duration>6</duration><type>half</type><dot/></note>
    </measure>
  </part>
</score-partwise>
"""

ABC = """X:1
T:Up
M:4/4
L:1/4
Q:1/4=60
K:C
C E G c |
"""

SECOND_TUNE = """X:2
T:Down
M:6/8
L:1/8
K:G
d2 B G3 | F3 G3 |
"""

CONTAINER = """<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>"""


def musicxml(tempo: object = 72, program: object = 74) -> str:
    return MUSICXML.format(tempo=tempo, program=program)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_mxl(path: Path, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def quarters(piece: Piece) -> list[tuple[int, float, float]]:
    at = piece.quarters([[n.start, n.end] for n in piece.notes]).round(6).tolist()
    return [(n.pitch, *span) for n, span in zip(piece.notes, at, strict=True)]


WALTZ = [(72, 0, 1), (75, 1, 3), (79, 3, 6)]


@pytest.mark.parametrize("suffix", [".xml", ".musicxml", ".XML"])
def test_musicxml(tmp_path, suffix):
    piece = midi.read_piece(write(tmp_path / f"waltz{suffix}", musicxml()))
    assert quarters(piece) == WALTZ
    assert piece.tempos == [(0.0, 72.0)] and piece.time_signatures == [(0.0, 3, 4)]
    assert {n.program for n in piece.notes} == {73}
    assert piece.name == "waltz"
    assert piece.warnings == ["1 notes of no length are left out."]


@pytest.mark.parametrize("name", ["waltz.mxl", "WALTZ.MXL", f"{builders.ODD_NAME}.mxl"])
def test_compressed_musicxml(tmp_path, name):
    assert quarters(midi.read_piece(write_mxl(tmp_path / name, **{"score.xml": musicxml()}))) == WALTZ


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "_MAX_UNPACKED", 1 << 20)
    path = write_mxl(tmp_path / "bomb.mxl", **{"score.xml": musicxml(), "padding": bytes(2 << 20)})
    with pytest.raises(InputError, match="it unpacks to more than 1 MiB"):
        midi.read_piece(path)


@pytest.mark.parametrize("program", [0, 1, 128, 500, -3])
def test_any_program_number_gives_one_that_midi_has(tmp_path, program):
    piece = midi.read_piece(write(tmp_path / "a.xml", musicxml(program=program)))
    assert all(0 <= n.program <= 127 for n in piece.notes)
    midi.write_midi(piece, tmp_path / "a.mid")


@pytest.mark.parametrize("tempo", ["-60", "nan", "inf", "1e999", "slow"])
def test_a_tempo_that_is_none_is_refused(tmp_path, tempo):
    path = write(tmp_path / "a.xml", musicxml(tempo=tempo))
    with pytest.raises((InputError, EmptyMusicError), match=r"\ba(\.xml)? (is not|has)"):
        phrases.extract_melody(midi.read_piece(path))


def test_abc(tmp_path):
    piece = midi.read_piece(write(tmp_path / "tune.abc", ABC))
    assert quarters(piece) == [(60, 0, 1), (64, 1, 2), (67, 2, 3), (72, 3, 4)]
    assert piece.mean_qpm() == 60 and piece.name == "tune" and piece.warnings == []


def test_a_tune_book_is_as_many_pieces(tmp_path):
    path = write(tmp_path / "book.abc", f"{ABC}\n{SECOND_TUNE}")
    first, second = scores.read_pieces(path)
    assert (first.name, second.name) == ("book#1", "book#2")
    assert [n.pitch for n in second.notes] == [74, 71, 67, 66, 67]
    assert second.time_signatures == [(0.0, 6, 8)]
    assert midi.read_piece(path).warnings == ["book.abc holds 2 tunes; only book#1 is used."]


def test_a_tune_book_with_one_number_twice(tmp_path):
    path = write(tmp_path / "book.abc", f"{ABC}\n{SECOND_TUNE.replace('X:2', 'X:1')}")
    first, second = scores.read_pieces(path)
    assert (first.name, second.name, len(first.notes), len(second.notes)) == ("book#1", "book#2", 4, 5)
    assert second.warnings == ["Reference numbers come twice, so its tunes are counted from 1."]


def test_a_tune_that_cannot_be_parsed_is_counted(tmp_path):
    path = write(tmp_path / "book.abc", f"{ABC}\n{SECOND_TUNE.replace('d2', '(3d2')}")
    (tune,) = scores.read_pieces(path)
    assert tune.name == "book"
    assert tune.warnings == ["1 of 2 tunes cannot be parsed."]


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_and_bytes_that_are_no_utf8(tmp_path, ending):
    data = ABC.replace("Up", "\xfcber").replace("\n", ending).encode("latin-1")
    assert len(midi.read_piece(write(tmp_path / "a.abc", data)).notes) == 4


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.xml", b"", "is empty"),
        ("a.abc", b"", "is empty"),
        ("a.xml", b"not xml", "syntax error"),
        ("a.xml", musicxml()[:700].encode(), "is not a readable MusicXML file"),
        ("a.mxl", b"not a zip", "not a zip file"),
        ("a.mxl", builders.random.Random(0).randbytes(400), "not a zip file"),
        ("a.xml", musicxml(program="flute").encode(), "invalid literal"),
        ("a.abc", b"a letter, no tune", "a.abc"),
        ("a.abc", ABC.replace("C E", "(3C E").encode(), "a.abc is not a readable ABC file"),
    ],
)
def test_damaged_scores_are_refused_in_one_sentence(tmp_path, name, data, word):
    with pytest.raises((InputError, EmptyMusicError), match=word) as caught:
        phrases.extract_melody(midi.read_piece(write(tmp_path / name, data)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_score_without_notes(tmp_path):
    path = write(tmp_path / "a.xml", "<score-partwise/>")
    with pytest.raises(EmptyMusicError, match="a has no notes"):
        phrases.extract_melody(midi.read_piece(path))


def test_entities_do_not_blow_up(tmp_path):
    entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><score-partwise>&e12;</score-partwise>'
    with pytest.raises(InputError, match="is not a readable MusicXML file"):
        midi.read_piece(write(tmp_path / "a.xml", text))


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(InputError, match="a MIDI, MusicXML or ABC file was expected"):
        note_sequence.read_note_sequences(write(tmp_path / "a.txt", ABC))


def test_a_midi_file_gives_the_sequence_note_seq_gives(tmp_path):
    note_seq = magenta.load_note_seq()
    for make in (builders.write_ritardando, builders.write_type_0, builders.write_pads, builders.write_drums_only):
        path = make(tmp_path / "a.mid")
        ((name, sequence, warnings),) = note_sequence.read_note_sequences(path)
        assert sequence == note_seq.midi_file_to_note_sequence(str(path))
        assert (name, warnings) == ("a", [])
        assert note_sequence.piece_of(sequence, "a") == midi.read_piece(path)
