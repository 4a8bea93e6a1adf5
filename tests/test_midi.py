"""Files to pieces and back: positions survive to the tick, and what cannot be read is said in one sentence."""

from __future__ import annotations

import dataclasses
import io
import os
import random
from pathlib import Path

import mido
import numpy as np
import pytest

from calmvae.common.errors import CalmvaeError, InputError, OutputError
from calmvae.midi import read_music, write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.music import melody_extraction
from tests import builders

WRITABLE = Note(60, 64, 0.0, 1.0)


def random_tempos(draw: random.Random, count: int) -> list[tuple[float, float]]:
    places = sorted(draw.sample(range(1, 4000), count - 1))
    return [(place / 8, draw.uniform(20, 280)) for place in [0, *places]]


def ticks(piece: Piece) -> list[tuple[int, ...]]:
    at = (
        np.round(piece.quarters([[n.start, n.end] for n in piece.notes]) * write_midi.TICKS_PER_QUARTER)
        .astype(int)
        .tolist()
    )
    return sorted((n.track, n.pitch, n.velocity, n.program, *span) for n, span in zip(piece.notes, at, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_writing_and_reading_gives_the_same_ticks(tmp_path, seed):
    draw = random.Random(seed)
    tempos = random_tempos(draw, draw.choice([1, 2, 30]))
    notes = []
    for track in range(draw.choice([1, 3])):
        # One note of a pitch at a time: MIDI cannot say which of two alike ends.
        now, line = 0.0, []
        for _ in range(200):
            now += draw.randrange(0, 960) / 480
            end = now + draw.randrange(1, 960) / 480
            line.append((draw.randrange(128), draw.randrange(1, 128), now, end))
            now = end
        notes += builders.piece(line, tempos, program=draw.randrange(128), track=track).notes
    made = dataclasses.replace(builders.piece([], tempos), notes=notes)
    back = read_music.read_piece(write_midi.write_midi(made, tmp_path / "made.mid"))
    assert ticks(back) == ticks(made)
    assert [qpm for _, qpm in back.tempos] == pytest.approx([qpm for _, qpm in made.tempos], rel=1e-4)
    assert back.warnings == []


def test_metres_names_and_drums_survive(tmp_path):
    made = builders.piece(builders.scale(4), metres=[(0, 6, 8), (3, 4, 4)])
    made.notes += [Note(36, 99, 0.0, 0.25, is_drum=True, track=1)]
    made.track_names = {0: "flute é", 1: "kit"}
    back = read_music.read_piece(write_midi.write_midi(made, tmp_path / "made.mid"))
    assert back.time_signatures == [(0.0, 6, 8), (1.5, 4, 4)]
    assert [n.is_drum for n in back.notes if n.track == 1] == [True]
    assert back.track_names[1] == "kit"
    assert back.name == "made"


def test_the_bytes_depend_on_the_piece_alone(tmp_path):
    made = builders.piece(builders.scale(20), random_tempos(random.Random(0), 5), [(0, 3, 4)])
    assert len({write_midi.write_midi(made, tmp_path / name).read_bytes() for name in ("a.mid", "b.mid")}) == 1


def test_the_bytes_are_those_mido_writes(tmp_path):
    made = builders.piece(builders.scale(200, 0.3), random_tempos(random.Random(0), 30), [(0, 3, 4), (9, 65, 128)])
    made.notes += [Note(36 + i, 99, i * 20.0, i * 20.0 + 0.1, i % 3, is_drum=i % 2 == 0, track=i % 5) for i in range(9)]
    made.track_names, made.name = {0: "flute é", 1: "x" * 300}, builders.ODD_NAME
    data = write_midi.write_midi(made, tmp_path / "a.mid").read_bytes()
    again = io.BytesIO()
    mido.MidiFile(file=io.BytesIO(data)).save(file=again)
    assert again.getvalue() == data


def test_a_note_of_no_length_is_written_as_one_tick(tmp_path):
    back = read_music.read_piece(write_midi.write_midi(Piece([Note(60, 64, 1.0, 1.0)]), tmp_path / "a.mid"))
    assert back.notes == [Note(60, 64, 1.0, 1.0 + 0.5 / 480)]


def test_twenty_tracks_share_channels_but_stay_apart(tmp_path):
    made = Piece([dataclasses.replace(WRITABLE, pitch=40 + i, program=i, track=i) for i in range(20)])
    back = read_music.read_piece(write_midi.write_midi(made, tmp_path / "a.mid"))
    assert [(n.pitch, n.program, n.is_drum) for n in back.notes] == [(40 + i, i, False) for i in range(20)]


def test_a_piece_of_thirty_hours_can_be_read_back(tmp_path):
    made = builders.piece([(60, 64, 0, 4), (62, 64, 30 * 3600 - 4, 30 * 3600)], [(0, 60)])
    back = read_music.read_piece(write_midi.write_midi(made, tmp_path / "a.mid"))
    assert [(n.start, n.end) for n in back.notes] == [(0, 4), (30 * 3600 - 4, 30 * 3600)]


@pytest.mark.parametrize("count", [1, 2, 17, 1000])
def test_quarters_and_seconds_undo_each_other(count):
    tempos = random_tempos(random.Random(count), count)
    made = builders.piece([], tempos)
    quarters = np.random.default_rng(count).uniform(0, 600, 500)
    assert made.quarters(made.seconds(quarters)) == pytest.approx(quarters, abs=1e-8)
    some = quarters[:20]
    assert made.seconds(some) == pytest.approx([builders.seconds_at(q, tempos) for q in some], abs=1e-6)
    assert (np.diff(made.seconds(np.sort(quarters))) >= 0).all()


def test_tempos_are_put_in_order():
    assert Piece([]).tempos == [(0.0, 120.0)]
    assert Piece([], [(3.0, 60.0)]).tempos == [(0.0, 120.0), (3.0, 60.0)]
    assert Piece([], [(-2, 60)]).tempos == [(0.0, 60.0)]
    nan, inf = float("nan"), float("inf")
    assert Piece([], [(0, 0), (0, -5), (0, nan), (0, inf), (nan, 60)]).tempos == [(0.0, 120.0)]


@pytest.mark.parametrize("qpms", [(60, 120), (120, 60)])
def test_of_two_tempos_at_one_time_the_last_holds(qpms):
    assert Piece([], [(0, qpm) for qpm in qpms]).quarters(1.0) == qpms[-1] / 60


def test_mean_tempo():
    made = builders.piece([(60, 64, 0, 8)], [(0, 60), (4, 120)])
    assert made.duration == 6
    assert made.mean_qpm() == pytest.approx(80)
    assert [made.mean_qpm(*span) for span in ((0, 4), (4, 6), (3, 3))] == pytest.approx([60, 120, 60])


def test_type_0(tmp_path):
    read = read_music.read_piece(builders.write_type_0(tmp_path / "a.mid"))
    assert [n.pitch for n in read.notes] == builders.C_MAJOR
    assert read.quarters([n.start for n in read.notes]) == pytest.approx(np.arange(8))
    assert read.tempos == [(0.0, pytest.approx(90, abs=1e-3))]


def test_type_2_is_read_with_a_warning(tmp_path):
    read = read_music.read_piece(builders.write_type_2(tmp_path / "a.mid"))
    assert len(read.notes) == 8
    assert read.warnings == ["Its 2 independent sequences (type 2) are played together."]


def test_high_data_bytes_are_mended_and_said(tmp_path):
    read = read_music.read_piece(builders.write_high_bytes(tmp_path / "a.mid"))
    assert [(n.pitch, n.velocity) for n in read.notes] == [(60, 127), (62, 64)]
    assert read.warnings == ["1 event with data bytes above 127 is read with 127."]


def test_a_ritardando_stays_on_the_beat(tmp_path):
    read = read_music.read_piece(builders.write_ritardando(tmp_path / "a.mid"))
    assert len(read.tempos) == 21
    assert read.quarters([n.start for n in read.notes]) == pytest.approx(np.arange(16), abs=1e-9)
    assert read.notes[-1].end - read.notes[-1].start > 1.4 * read.notes[0].end


def test_notes_without_an_end_or_of_no_length_are_counted(tmp_path):
    on, off = mido.Message("note_on", note=50, velocity=64), mido.Message("note_off", note=50)
    hanging = mido.Message("note_on", note=51, velocity=64)
    events = [(0, on), (0, off), (1, hanging), *builders.note_events(builders.scale(4))]
    read = read_music.read_piece(builders.write_events(tmp_path / "a.mid", [events]))
    assert [(n.start, n.end) for n in read.notes if n.pitch < 60] == [(0, 0.125), (0.5, 2)]
    assert read.warnings == [
        "1 note has no end; it sounds until its pitch is struck again or its track ends.",
        "1 note has no length; it is played as a sixteenth.",
    ]


def test_an_empty_track_does_no_harm(tmp_path):
    data = bytearray(builders.write_midi(tmp_path / "a.mid").read_bytes())
    data[11] += 1
    assert len(read_music.parse_midi(bytes(data) + b"MTrk\0\0\0\0").notes) == 8


@pytest.mark.parametrize("name", builders.UNUSABLE)
def test_unusable_files_say_why(tmp_path, name):
    write, word = builders.UNUSABLE[name]
    path = write(tmp_path / f"{name}.mid")
    with pytest.raises(CalmvaeError) as caught:
        melody_extraction.extract_melody(read_music.read_piece(path))
    message = str(caught.value)
    assert word in message and name in message and "\n" not in message


def test_a_note_of_days_is_refused(tmp_path):
    path = builders.write_midi(tmp_path / "a.mid", [(60, 64, 0, 500_000)])
    with pytest.raises(InputError, match=r"a\.mid lasts 69 hours; up to 48 hours are read"):
        read_music.read_piece(path)


def odd_paths(folder: Path) -> dict[str, Path]:
    (folder / "folder.mid").mkdir()
    os.mkfifo(folder / "pipe.mid")
    (folder / "loop.mid").symlink_to("loop.mid")
    (folder / "device.mid").symlink_to("/dev/zero")
    with open(folder / "large.mid", "wb") as file:
        file.truncate(1 << 31)
    builders.write_midi(folder / "music.txt")
    odd = {"long.mid": folder / ("x" * 300 + ".mid"), "nul": Path("a\0.mid"), "missing.mid": folder / "missing.mid"}
    return {path.name: path for path in folder.iterdir()} | odd


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("folder.mid", "is a folder"),
        ("pipe.mid", "is a device or a pipe"),
        ("device.mid", "is a device or a pipe"),
        ("loop.mid", "symbolic links"),
        ("large.mid", "has 2048 MiB"),
        ("music.txt", "has the suffix '.txt'"),
        ("missing.mid", "does not exist"),
        ("long.mid", "too long"),
        ("nul", "does not exist"),
    ],
)
def test_odd_paths_are_refused_without_waiting(tmp_path, name, word):
    with pytest.raises(InputError, match=word):
        read_music.read_piece(odd_paths(tmp_path)[name])


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    path = builders.write_midi(tmp_path / "a.mid")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"a.mid cannot be read \(Permission denied\)"):
        read_music.read_piece(path)


@pytest.mark.parametrize("name", ["sp ace.mid", "ü 曲.MID", f"{builders.ODD_NAME}.midi"])
def test_any_file_name_can_be_read_and_be_a_title(tmp_path, name):
    read = read_music.read_piece(builders.write_midi(tmp_path / name))
    assert read.name == Path(name).stem
    assert len(read_music.read_piece(write_midi.write_midi(read, tmp_path / "again.mid")).notes) == 8


@pytest.mark.parametrize(
    ("field", "value"),
    [("pitch", 128), ("pitch", -1), ("velocity", 0), ("velocity", 128), ("program", 128), ("start", -1), ("start", 2)],
)
def test_notes_that_midi_cannot_say_are_not_written(tmp_path, field, value):
    with pytest.raises(OutputError, match="cannot be written to a MIDI file"):
        write_midi.write_midi(Piece([dataclasses.replace(WRITABLE, **{field: value})]), tmp_path / "a.mid")
    assert not (tmp_path / "a.mid").exists()


@pytest.mark.parametrize("wrong", [{"tempos": [(0, 3.0)]}, {"time_signatures": [(0, 5, 3)]}])
def test_tempos_and_metres_that_midi_cannot_say_are_not_written(tmp_path, wrong):
    with pytest.raises(OutputError, match="cannot be written as MIDI"):
        write_midi.write_midi(Piece([WRITABLE], **wrong), tmp_path / "a.mid")


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        write_midi.write_midi(Piece([WRITABLE]), tmp_path / "none" / "a.mid")
