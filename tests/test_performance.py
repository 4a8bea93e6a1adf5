"""The fast reader of plain MIDI files against mido, pretty_midi and note_seq: the same music, sentences and bytes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calmvae.events import NotPlain

from calmvae import entries, events, magenta, midi, performance, scores, wire
from calmvae.errors import InputError
from calmvae.piece import Note, Piece
from tests import builders, conftest, odd_midi

NAMES = ("/id/é", "ü.mid", "folder")
# Of the seeds of each test.
BATCH = 60


def slow_bytes(data: bytes) -> bytes:
    """What note_seq and protocol buffers make of a file."""
    loaded, _ = midi.load_pretty_midi(data, "here")
    return scores.serialize([(magenta.load_note_seq().midi_to_note_sequence(loaded), *NAMES)])[0]


def said_of(data: bytes, read) -> object:
    """The piece, or what is said of a file that has none."""
    try:
        return read(data, "name", "here")
    except InputError as error:
        return str(error)


def compare(data: bytes) -> bool:
    """Holds the fast reader to the slow one; returns whether it read the file at all."""
    assert said_of(data, midi.parse_midi) == said_of(data, midi._parse_odd)
    try:
        played = performance.read(data)
    except NotPlain:
        return False
    assert wire.note_sequences([wire.Named(played, *NAMES)]) == [slow_bytes(data)]
    return True


@pytest.mark.parametrize("path", conftest.PIECES, ids=lambda path: path.stem)
def test_the_pieces(path):
    assert compare(path.read_bytes())


@pytest.mark.parametrize("first", range(0, 300, BATCH))
def test_odd_files(first):
    files = [odd_midi.random_midi(seed) for seed in range(first, first + BATCH)]
    plain = [data for data in files if compare(data)]
    assert len(plain) > BATCH * 0.4
    # Written together they are the same as each by itself, with slow ones in between.
    entries = [(source, *NAMES) for data in files for _, source in readable(data)]
    assert scores.serialize(entries) == [scores.serialize([entry])[0] for entry in entries]
    assert len({isinstance(source, performance.Performance) for source, *_ in entries}) == 2


@pytest.mark.parametrize("seed", range(4))
def test_files_read_together_are_read_as_each_by_itself(seed):
    """Plain ones, odd ones, corrupted ones, empty ones and other things, in any order."""
    rng = np.random.default_rng(seed)
    files = [odd_midi.random_midi(k) for k in range(40)] + [b"", b"MThd", b"MTrk" * 9, bytes(range(256))]
    for _ in range(40):
        data = bytearray(files[rng.integers(40)])
        data[rng.integers(14, len(data))] = rng.integers(256)
        files.append(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]))
    files = [files[k] for k in rng.permutation(len(files))]
    together, alone = events.read_all(files), [events.read_all([data])[0] for data in files]
    assert 15 < sum(found is not None for found in together) < len(files) - 15
    for one, other in zip(together, alone, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            for field in dataclasses.fields(one):
                mine, wanted = getattr(one, field.name), getattr(other, field.name)
                assert np.array_equal(mine, wanted) if isinstance(mine, np.ndarray) else mine == wanted, field.name


def readable(data: bytes) -> list:
    try:
        return scores.read_entries(Path("here.mid"), data)
    except InputError:
        return []


@pytest.mark.parametrize("first", range(0, 300, BATCH))
def test_corrupted_files(first):
    whole = [path.read_bytes() for path in conftest.PIECES] + [odd_midi.random_midi(seed) for seed in range(40)]
    plain = [compare(odd_midi.corrupted(whole[seed % len(whole)], seed)) for seed in range(first, first + BATCH)]
    assert 0 < sum(plain) < BATCH


@pytest.mark.parametrize(
    "write",
    [
        builders.write_midi,
        builders.write_type_0,
        builders.write_type_2,
        builders.write_drums_only,
        builders.write_no_notes,
        builders.write_pads,
        builders.write_ritardando,
        builders.write_late,
        builders.write_one_note,
    ],
)
def test_files_of_mido(tmp_path, write):
    assert compare(write(tmp_path / "a.mid").read_bytes())


def test_files_of_ours(tmp_path):
    for path in conftest.PIECES:
        assert compare(midi.write_midi(midi.read_piece(path), tmp_path / path.name).read_bytes())


NOTE_60, END_60 = b"\x00\x90\x3c\x40", b"\x60\x80\x3c\x00"


def one_track(*parts: bytes, form: int = 1, resolution: int = 96) -> bytes:
    return odd_midi.header(form, 1, resolution) + odd_midi.chunk(b"MTrk", b"".join(parts))


@pytest.mark.parametrize(
    "track",
    [
        # A strike, and at a later note-off's tick another: the first ends, the second goes on.
        [NOTE_60, b"\x60\x90\x3c\x41", b"\x00\x80\x3c\x00", END_60],
        # The same thrice over, so that what goes on depends on what went on before.
        [NOTE_60, *[b"\x60\x90\x3c\x41", b"\x00\x80\x3c\x00"] * 3, END_60],
        # Two note-offs at the tick of a strike that was carried over: the second one ends it, and it is lost.
        [NOTE_60, b"\x60\x90\x3c\x41", b"\x00\x80\x3c\x00", b"\x00\x80\x3c\x00", END_60],
        # A strike and a note-off at one tick, nothing else sounding: lost.
        [NOTE_60, b"\x00\x80\x3c\x00", NOTE_60, END_60],
        # One note-off for two strikes.
        [NOTE_60, b"\x10\x90\x3c\x41", END_60],
        # Running status after a program change, across a meta event and a text.
        [b"\x00\xc0\x05\x00\x06\x00\xff\x01\x01a\x00\x07", NOTE_60, b"\x00\xff\x06\x00", b"\x10\x3c\x00"],
        # A meta event that mido does not know takes no time.
        [NOTE_60, b"\x60\xff\x0b\x00", END_60],
        # Controls before and after their instrument, under another program.
        [b"\x00\xb0\x07\x01", NOTE_60, END_60, b"\x00\xb0\x07\x02\x00\xc0\x05\x00\xb0\x07\x03", NOTE_60, END_60],
        [NOTE_60, END_60, b"\x00\xb0\x07\x02\x00\xc0\x05\x00\xe0\x00\x00", NOTE_60, END_60, b"\x00\xb0\x07\x04"],
        # Events after the end of the track.
        [b"\x00\xff\x2f\x00", NOTE_60, END_60],
        # Tempos: one at the beginning after another, a repeated one, one at the same tick as the one before.
        [b"\x00\xff\x51\x03\x01\x00\x00\x00\xff\x51\x03\x07\x00\x00\x60\xff\x51\x03\x07\x00\x00", NOTE_60, END_60],
        [b"\x60\xff\x51\x03\x01\x00\x00\x00\xff\x51\x03\x07\x00\x00", NOTE_60, END_60],
        # Names after the instrument was made, and other bytes than ASCII.
        [b"\x00\xff\x03\x02\xe9a", NOTE_60, END_60, b"\x00\xff\x03\x01b\x00\xc0\x05", NOTE_60, END_60],
        # System exclusive events, one of them opened twice.
        [b"\x00\xf0\x03\xf0\x01\xf7", NOTE_60, b"\x00\xf7\x01\x01", END_60],
    ],
)
def test_the_odd_rules_one_by_one(track):
    assert compare(one_track(*track))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MThd",
        one_track(NOTE_60, END_60)[:-1],
        one_track(NOTE_60, END_60, form=3),
        one_track(NOTE_60, END_60, resolution=0),
        one_track(NOTE_60, END_60, resolution=-7500),
        one_track(),
        # Data bytes above 127, running status without a status or after a system exclusive event, real-time messages.
        one_track(b"\x00\x90\x3c\xc8", END_60),
        one_track(b"\x00\x3c\x40", END_60),
        one_track(b"\x00\xf0\x01\xf7\x00\x3c\x40", NOTE_60, END_60),
        one_track(b"\x00\xf8", NOTE_60, END_60),
        one_track(b"\x00\xf0\x02\x90\xf7", NOTE_60, END_60),
        # Numbers of five bytes, within reach of the next event and without a status of its own.
        one_track(b"\x80\x80\x80\x80\x00\x90\x3c\x40", END_60),
        one_track(NOTE_60, b"\x80\x80\x80\x80\x10\x3c\x00"),
        # An event that reaches beyond its track, and one later than memory allows.
        one_track(NOTE_60, END_60, b"\x00\x90\x3c"),
        one_track(NOTE_60, b"\xff\xff\xff\x7f\x80\x3c\x00"),
        one_track(b"\x00\xff\x51\x03\x00\x00\x00", NOTE_60, END_60),
        one_track(b"\x00\xff\x59\x02\x09\x00", NOTE_60, END_60),
        one_track(b"\x00\xff\x58\x04\x00\x02\x18\x08", NOTE_60, END_60),
    ],
)
def test_what_is_left_to_the_others(data):
    with pytest.raises(NotPlain):
        performance.read(data)
    compare(data)


def test_steps_of_eight_and_of_one_find_the_same_events():
    part = b"\x81\x00\x3c\x00\x05\x3d\x40\x83\x81\x00\x3d\x00" * 9
    part = b"\x00\x90\x3c\x40" + part + b"\x00\xff\x06\x01x\x00\xc0\x01"
    found = events.read(one_track(part * 3))
    assert len(found.tick) == 3 * (1 + 27 + 2)
    ons = found.tick[(found.status == 0x90) & (found.second > 0)]
    turn = 128 + 5 + (3 << 14 | 1 << 7)
    assert ons[:3].tolist() == [0, 133, 133 + turn]
    assert [meta.event for meta in found.metas] == [28, 58, 88]
    assert (found.status[[28, 29]] == [0xFF, 0xC0]).all()


@pytest.mark.parametrize("count", [0, 1, 7, 200])
def test_columns_and_objects_are_the_same_notes(count):
    rng = np.random.default_rng(count)
    rows = rng.integers(1, 128, [count, 2]).tolist()
    made = Piece([Note(*row, t / 2, t + 1.0, 3, t % 2 == 0, 1) for t, row in enumerate(rows)])
    columns = Piece.of_columns(made.columns())
    assert columns.duration == made.duration
    assert columns == made and repr(columns) == repr(made)
    columns.notes.append(Note(1, 2, 0.0, count + 5.0))
    assert len(columns.columns()) == count + 1 and columns.duration == count + 5
    with pytest.raises(AttributeError, match="no attribute 'note'"):
        columns.note  # noqa: B018


def test_records_do_not_depend_on_the_reader(tmp_path, monkeypatch):
    paths = [*map(str, conftest.PIECES)]
    for seed in range(60):
        path = tmp_path / f"{seed}.mid"
        path.write_bytes(odd_midi.random_midi(seed))
        paths.append(str(path))
    fast = entries.convert_files(paths, 32)

    def refuse(_: bytes) -> None:
        raise NotPlain

    monkeypatch.setattr(performance, "read", refuse)
    assert entries.convert_files(paths, 32) == fast
    assert sum(bool(data) for _, data in fast) > 30


@pytest.mark.parametrize("code", ["midi.write_midi(midi.read_piece(path), out)", "entries.convert_files([path], 32)"])
def test_plain_files_need_no_slow_imports(tmp_path, code):
    heavy = "{'mido', 'pretty_midi', 'note_seq', 'tensorflow'} & {*sys.modules}"
    program = f"import sys; from calmvae import corpus, entries, midi; path, out = sys.argv[1:]; {code}; print({heavy})"
    command = [sys.executable, "-c", program, str(conftest.PIECES[0]), str(tmp_path / "a.mid")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(conftest.ROOT), check=True)
    assert done.stdout.strip() == "set()"
