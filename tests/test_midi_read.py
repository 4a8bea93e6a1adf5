"""The MIDI reader against note_seq and pretty_midi: the same to the last bit, but for the kinds that they misread."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from calmvae.common import magenta_import
from calmvae.common.errors import Damaged, InputError
from calmvae.midi import midi_events, midi_read, note_sequence_bytes, read_music, write_midi
from calmvae.midi.piece import Note, Piece
from tests import builders, conftest, odd_midi
from tests.test_cases import CASES
from tests.test_more_cases import KINDS, QUARTER, control, event, file, meta, quarters, release, strike, track

NAMES = ("/id/é", "ü.mid", "folder")


def ours(data: bytes):
    """calmvae's NoteSequence of a file."""
    (written,) = note_sequence_bytes.note_sequences([note_sequence_bytes.Named(midi_read.read(data), *NAMES)])
    return magenta_import.load_note_seq().NoteSequence.FromString(written)


def theirs(data: bytes):
    """note_seq's NoteSequence of a file."""
    note_seq = magenta_import.load_note_seq()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable()
        try:
            sequence = note_seq.midi_to_note_sequence(data)
        finally:
            logging.disable(logging.NOTSET)
    sequence.id, sequence.filename, sequence.collection_name = NAMES
    return sequence


PLAIN = {
    path.stem: path.read_bytes()
    for path in [*conftest.PIECES, *(CASES / f"{name}.mid" for name in (
        "swing", "triplets", "quintuplets", "one_note", "track_numbers", "tpq_1", "tpq_15360", "velocity_1",
        "tempo_after_first_note", "pitches_0_to_20", "header_of_10_bytes", "silence_of_an_hour_before",
        "off_after_on_same_tick_repeated_notes", "running_status_over_meta", "drums_on_channel_10_with_melody_program",
    ))]
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_what_note_seq_reads_rightly_is_its_own(name):
    assert ours(PLAIN[name]) == theirs(PLAIN[name])


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
    data = write(tmp_path / "a.mid").read_bytes()
    assert ours(data) == theirs(data)


def test_files_of_ours(tmp_path):
    for path in conftest.PIECES:
        data = write_midi.write_midi(read_music.read_piece(path), tmp_path / path.name).read_bytes()
        assert ours(data) == theirs(data)


# Where calmvae's NoteSequence differs from note_seq's on purpose, by kind: a file, and the fields that differ.
DIFFERENT = {
    "tempo outside of the first track": (KINDS["tempo in the last of five tracks"][0], {"notes", "tempos"}),
    "metre outside of the first track": (KINDS["a metre in the third track"][0], {"time_signatures"}),
    "of two tempos at one tick the first, too": (
        file(track(quarters([60]), meta(0x51, b"\x07\xa1\x21"), meta(0x51, b"\x0f\x42\x40"), quarters([62]))),
        {"tempos"}),
    "of two metres at one tick the first, too": (
        file(track(meta(0x58, b"\x04\x02\x18\x08"), meta(0x58, b"\x03\x02\x18\x08"), quarters([60]))),
        {"time_signatures"}),
    "program of the track, not of the channel": (
        KINDS["program in a later track, before the notes"][0], {"notes"}),
    "program of the note's end, not of its strike": (
        file(track(event(0xC0, 5), strike(60), event(0xC0, 9, wait=10), release(60, wait=QUARTER))), {"notes"}),
    "no pedal": (KINDS["pedal in another track"][0], {"notes", "total_time", "control_changes"}),
    "no controller ends notes": (KINDS["all sound off"][0], {"notes", "total_time"}),
    "a note-off ends all strikes of its pitch": (KINDS["struck three times while held"][0], {"notes", "total_time"}),
    "notes without an end are lost": (KINDS["two notes without an end"][0], {"notes", "total_time"}),
    "notes without a length are lost": (KINDS["drums of no length"][0], {"notes", "total_time", "instrument_infos"}),
    "an unknown meta event takes no time": (
        KINDS["an unknown meta event that takes time"][0], {"notes", "total_time"}),
    "names are Latin-1": (file(track(meta(3, "Flöte".encode()), quarters([60]))), {"instrument_infos"}),
    "of several names of a track the last": (
        file(track(meta(3, b"a"), meta(3, b"b"), quarters([60]))), {"instrument_infos"}),
    "controls go to instruments of their track": (
        file(track(control(7, 90)), track(event(0xC0, 1), quarters([60]), event(0xC0, 2), control(7, 91),
                                          quarters([62]), event(0xC0, 3), control(7, 92))), {"control_changes"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENT)
def test_kinds_in_which_it_differs_from_note_seq(kind):
    data, fields = DIFFERENT[kind]
    mine, other = ours(data), theirs(data)
    names = {field.name for field in mine.DESCRIPTOR.fields}
    different = {
        name
        for name in names
        if (list(getattr(mine, name)) != list(getattr(other, name)) if _is_list(mine, name) else
            getattr(mine, name) != getattr(other, name))
    }  # fmt: skip
    assert different and different <= fields | {"total_time"}, different


def _is_list(message, name: str) -> bool:
    return message.DESCRIPTOR.fields_by_name[name].is_repeated


@pytest.mark.parametrize("seed", range(4))
def test_files_read_together_are_read_as_each_by_itself(seed):
    """Plain ones, odd ones, corrupted ones, empty ones and other things, in any order."""
    rng = np.random.default_rng(seed)
    some = [odd_midi.random_midi(k) for k in range(40)] + [b"", b"MThd", b"MTrk" * 9, bytes(range(256))]
    some += [data for data, _ in KINDS.values()]
    for _ in range(40):
        data = bytearray(some[rng.integers(40)])
        data[rng.integers(14, len(data))] = rng.integers(256)
        some.append(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]))
    some = [some[k] for k in rng.permutation(len(some))]
    together, alone = midi_events.read_all(some), [midi_events.read_all([data])[0] for data in some]
    assert sum(isinstance(found, Damaged) for found in together) > 15
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, Damaged):
            assert isinstance(other, Damaged) and str(one) == str(other)
            continue
        for field in dataclasses.fields(one):
            mine, wanted = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(mine, wanted) if isinstance(mine, np.ndarray) else mine == wanted, field.name
    played = midi_read.of_all(together)
    for one, found in zip(played, together, strict=True):
        (by_itself,) = midi_read.of_all([found])
        if isinstance(one, Damaged):
            assert str(one) == str(by_itself)
            continue
        for field in dataclasses.fields(one):
            mine, wanted = getattr(one, field.name), getattr(by_itself, field.name)
            if field.name in ("notes", "controls", "bends"):
                pair = [x.columns() if field.name == "notes" else x for x in (mine, wanted)]
                assert all(map(np.array_equal, *pair)), field.name
            else:
                assert mine == wanted, field.name
    played = [one for one in played if not isinstance(one, Damaged)]
    named = [note_sequence_bytes.Named(one, *NAMES) for one in played]
    assert note_sequence_bytes.note_sequences(named) == [note_sequence_bytes.note_sequences([one])[0] for one in named]


@pytest.mark.parametrize("seed", range(200))
def test_odd_files_give_valid_music(seed):
    """NoteSequences that Magenta takes, whatever is in the file, and a piece that can be written and read again."""
    try:
        piece = read_music.parse_midi(odd_midi.random_midi(seed))
    except InputError:
        return
    sequence = ours(odd_midi.random_midi(seed))
    for n in sequence.notes:
        assert 0 <= n.pitch < 128 and 0 < n.velocity < 128 and 0 <= n.program < 128 and 0 <= n.start_time < n.end_time
    assert all(0 < tempo.qpm < 6e7 + 1 for tempo in sequence.tempos)
    assert sequence.total_time == max((n.end_time for n in sequence.notes), default=0)
    assert len(piece.notes) == len(sequence.notes)


def test_steps_of_eight_and_of_one_find_the_same_events():
    part = b"\x81\x00\x3c\x00\x05\x3d\x40\x83\x81\x00\x3d\x00" * 9
    part = b"\x00\x90\x3c\x40" + part + b"\x00\xff\x06\x01x\x00\xc0\x01"
    data = odd_midi.header(1, 1, 96) + odd_midi.chunk(b"MTrk", part * 3)
    found, careful = midi_events.read(data), midi_events.read_all([data], careful=True)[0]
    assert len(found.tick) == 3 * (1 + 27 + 2)
    ons = found.tick[(found.status == 0x90) & (found.second > 0)]
    turn = 128 + 5 + (3 << 14 | 1 << 7)
    assert ons[:3].tolist() == [0, 133, 133 + turn]
    assert [m.event for m in found.metas] == [28, 58, 88]
    assert (found.status[[28, 29]] == [0xFF, 0xC0]).all()
    assert (found.tick == careful.tick).all() and (found.first == careful.first).all()


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


@pytest.mark.parametrize(
    "code", ["calmvae.write_midi(calmvae.read_piece(path), out)", "convert_file.convert_files([path], 32)"]
)
def test_midi_files_need_no_slow_imports(tmp_path, code):
    heavy = "{'mido', 'pretty_midi', 'note_seq', 'tensorflow', 'symusic'} & {*sys.modules}"
    imports = "import sys, calmvae; from calmvae.data import convert_file; path, out = sys.argv[1:]"
    program = f"{imports}; {code}; print({heavy})"
    done = conftest.run_python(program, conftest.PIECES[0], tmp_path / "a.mid", cwd=Path(conftest.ROOT))
    assert done.stdout.strip() == "set()"
