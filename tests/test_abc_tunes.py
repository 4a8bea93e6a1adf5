"""ABC tune books to pieces, as the standard 2.1 says: every tune by itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from calmvae.common.errors import InputError, MissingDependencyError
from calmvae.data import convert_folder
from calmvae.midi import abc_tunes, read_music
from tests.test_cases import Case, check, line

HEAD = "X:1\nT:Up\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\n"
SECOND_TUNE = "X:2\nT:Down\nM:6/8\nL:1/8\nK:G\nd2 B G3 | F3 G3 |\n"
C, D, E, F, G = 60, 62, 64, 65, 67


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TUNES = {
    "rests of every kind": ("C z E x|Z|C4|", [(C, 0, 0.5), (E, 1, 1.5), (C, 4, 6)]),
    "a tie over two bars": ("C4-|C4-|C2 D2|", [(C, 0, 5), (D, 5, 6)]),
    "a tied chord": ("[CE]4-|[CE]4|", [(C, 0, 4), (E, 0, 4)]),
    "a quintuplet and a duplet": (
        "(5CDEFG z2|(2:3:2C D z|", [*line([C, D, E, F, G], 0.2), (C, 2, 2.75), (D, 2.75, 3.5)]),
    "a chord with a length": ("[CEG]2 F2|", [(C, 0, 1), (E, 0, 1), (G, 0, 1), (F, 1, 2)]),
    "a first and second ending": ("|:C4|[1 D4:|[2 E4|]", line([C, D, C, E], 2.0)),
    "three endings": ("|:C4|1 D4:|2 E4:|3 F4|]", line([C, D, C, E, C, F], 2.0)),
    "one ending for two passes": ("|:C4|1,2 D4:|3 E4|]", line([C, D, C, D, C, E], 2.0)),
    "a repeat from the beginning": ("C4|D4:|E4|", line([C, D, C, D, E], 2.0)),
    "a section played three times": ("C4|::D4|E4::|F4|", line([C, D, E, D, E, D, E, F], 2.0)),
    "a section played four times": ("|:::C4:::|D4|", line([C, C, C, C, D], 2.0)),
    "two repeats back to back": ("|:C4::D4:|", line([C, C, D, D], 2.0)),
    "da capo al fine": ("C4|!fine!D4|E4!D.C.!|", line([C, D, E, C, D], 2.0)),
    "da capo": ("C4|D4+D.C.+|", line([C, D, C, D], 2.0)),
    "da capo after a repeat": ("|:C4:|!fine!D4|E4!D.C.!|", line([C, C, D, E, C, D], 2.0)),
    "dal segno": ("C4|!segno!D4|E4!D.S.!|", line([C, D, E, D, E], 2.0)),
    "accidentals hold through the bar": ("^C C C2|C4|", [(61, 0, .5), (61, .5, 1), (61, 1, 2), (C, 2, 4)]),
    "accidentals hold in every octave": ("^C c C2|c4|", [(61, 0, .5), (73, .5, 1), (61, 1, 2), (72, 2, 4)]),
    "double accidentals": ("^^C2 __D2|", line([62, 60], 1.0)),
    "octave marks": ("C, c' C2|", [(48, 0, .5), (84, .5, 1), (C, 1, 2)]),
    "a key and a metre in the middle": ("C4|[K:D]F4|[M:3/4]F3|", [(C, 0, 2), (66, 2, 4), (66, 4, 5.5)]),
    "a tempo in the middle": ("C4|[Q:1/4=60]D4|", [(C, 0, 2), (D, 2, 6)]),
    "a length in the middle": ("C4|[L:1/8]D4 E4|", [(C, 0, 2), (D, 2, 3), (E, 3, 4)]),
    "broken rhythm twice over": ("C>>D E<<F|", [(C, 0, .875), (D, .875, 1), (E, 1, 1.125), (F, 1.125, 2)]),
    "a decoration and a comment": ("!trill!C2 ~D2|% the end\n", None),
    "lyrics": ("C D E F|\nw:one two three four\n", line([C, D, E, F])),
    "chord symbols are not played": ('"Am"C2 "G7"D2|', line([C, D], 1.0)),
    "bars over two lines": ("C D|\\\nE F|", line([C, D, E, F])),
}  # fmt: skip


@pytest.mark.parametrize("name", TUNES)
def test_a_tune_is_played_as_the_standard_says(tmp_path, name):
    text, notes = TUNES[name]
    piece = read_music.read_piece(write(tmp_path / "a.abc", HEAD + text))
    if notes is None:
        assert piece.notes[0].start == 0 and piece.duration == pytest.approx(2, abs=0.01)
    else:
        check(piece, Case(notes))


def test_voices(tmp_path):
    text = HEAD + "V:1\n%%MIDI program 73\nC2 D2|E4|\nV:2\n|:C,4:|\n"
    check(read_music.read_piece(write(tmp_path / "a.abc", text)), Case(
        [(C, 0, 1), (D, 1, 2), (E, 2, 4), (48, 0, 2), (48, 2, 4)], program=None, velocities=[80] * 5))  # fmt: skip
    inline = HEAD + "[V:1]C4|[V:2]C,4|[V:1]D4|[V:2]D,4|\n"
    check(read_music.read_piece(write(tmp_path / "b.abc", inline)), Case(line([C, D], 2.0) + line([48, 50], 2.0)))


def test_dynamics(tmp_path):
    loudness = [n.velocity for n in read_music.read_piece(write(tmp_path / "a.abc", HEAD + "!pp!C D !ff!E F|")).notes]
    assert loudness[0] == loudness[1] < 50 < 100 < loudness[2] == loudness[3]


def test_a_tune_book_is_as_many_pieces(tmp_path):
    path = write(tmp_path / "book.abc", f"% tunes\n{HEAD}C D E F|\n\nnotes on the tune\n\n{SECOND_TUNE}")
    first, second = read_music.read_pieces(path)
    assert (first.name, second.name) == ("book#1", "book#2")
    assert [n.pitch for n in second.notes] == [74, 71, 67, 66, 67]
    assert second.time_signatures == [(0.0, 6, 8)]
    assert read_music.read_piece(path).warnings == ["book.abc holds 2 tunes; only book#1 is used."]


def test_what_stands_before_the_tunes_holds_for_all(tmp_path):
    path = write(tmp_path / "book.abc", "M:3/4\nL:1/2\n\nX:1\nK:C\nC|\n\nX:7\nK:G\nF|\n")
    pieces = read_music.read_pieces(path)
    assert [(p.notes[0].pitch, p.notes[0].end, p.time_signatures) for p in pieces] == [
        (60, 1.0, [(0.0, 3, 4)]),
        (66, 1.0, [(0.0, 3, 4)]),
    ]


def test_every_tune_is_kept_or_skipped_and_the_sums_add_up(tmp_path):
    no_key = "X:3\nT:no key\nC D E F|\n"
    path = write(tmp_path / "music" / "book.abc", "") if (tmp_path / "music").mkdir() else tmp_path / "music/book.abc"
    write(path, "\n".join([HEAD + "C D E F|\n", SECOND_TUNE, no_key, HEAD + "C D E F|\n", HEAD + "z4|\n"]))
    summary = convert_folder.convert([path.parent], tmp_path / "out", steps=32)
    records = convert_folder.read_manifest(tmp_path / "out")
    assert [(r["name"], r["status"], r.get("reason")) for r in records] == [
        ("book#1", "kept", None),
        ("book#2", "kept", None),
        ("book#3", "skipped", "unreadable"),
        ("book#4", "skipped", "duplicate"),
        ("book#5", "skipped", "no-notes"),
    ]
    assert "No valid K: field" in records[2]["detail"] and "tune 3" in records[2]["detail"]
    assert (summary.files, summary.entries, summary.kept, sum(summary.skipped.values())) == (1, 5, 2, 3)
    assert read_music.read_pieces(path)[0].warnings[0] == "1 of the 5 tunes in book.abc cannot be read."


def test_what_abc2midi_remarks_is_said(tmp_path):
    piece = read_music.read_piece(write(tmp_path / "a.abc", HEAD + "C @ D E F|"))
    assert piece.warnings == ["1 remark by abc2midi; the first: Unrecognized character: @."]
    piece = read_music.read_piece(write(tmp_path / "b.abc", HEAD + "|:C4|1 D4:|2 E4!D.C.!|]"))
    assert piece.warnings == ["1 remark by abc2midi; the first: instruction !D.C.! ignored."]


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_endings_and_bytes_that_are_no_utf8(tmp_path, ending):
    data = (HEAD.replace("Up", "\xfcber") + "C D E F|").replace("\n", ending).encode("latin-1")
    check(read_music.read_piece(write(tmp_path / "a.abc", data)), Case(line([C, D, E, F])))


def test_no_other_file_is_read(tmp_path, monkeypatch):
    """abc2midi has an instruction for that."""
    secret = write(tmp_path / "secret.abc", "G4|\n")
    for how in ("%%abc-include", "I:abc-include", "%% ABC-INCLUDE"):
        piece = read_music.read_piece(write(tmp_path / "a.abc", f"{HEAD}C4|\n{how} {secret}\nD4|\n"))
        assert [n.pitch for n in piece.notes] == [60, 62]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "is empty"),
        (b"a letter, no tune", "there is no tune in it"),
        (b"X:1\nT:nothing\n", "No valid K: field"),
        (f"{HEAD}C999999 D|".encode(), "lasts 139 hours; up to 48 hours"),
        (f"X:1\nL:1/4\nP:{'(' * 30}A{')9' * 30}\nK:C\nP:A\nCDEF|".encode(), "nested more than 5 deep"),
        (bytes(range(256)), "there is no tune in it"),
    ],
)
def test_damaged_tunes_are_refused_in_one_sentence(tmp_path, data, word):
    with pytest.raises(InputError, match=word) as caught:
        read_music.read_piece(write(tmp_path / "a.abc", data))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_without_symusic_only_abc_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="need the package symusic, which is not installed; run: pip"):
        abc_tunes.read(b"X:1\nK:C\nC|")
    write(tmp_path / "a.abc", HEAD + "C4|")
    with pytest.raises(MissingDependencyError):
        read_music.read_piece(tmp_path / "a.abc")
