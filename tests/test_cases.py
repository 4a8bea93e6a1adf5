"""What small files that hold one difficulty each play: notes with their times, programs, tempos and metres.

The files lie in `tests/cases`; each was written for calmvae, and its right value is what a synthesizer, or a musician,
plays. `test_more_cases.py` has further members of every kind.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from calmvae.common.errors import InputError
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.music import melody_extraction

CASES = Path(__file__).parent / "cases"
TUNE = [60, 62, 64, 65, 67, 65, 64, 62] * 2
# Pitch, start and end in seconds.
Line = list[tuple[int, float, float]]


def line(pitches: Sequence[int], length: float = 0.5, start: float = 0.0, sounding: float | None = None) -> Line:
    """Notes one after the other, each of a length, or sounding for less of it."""
    begins = [start + k * length for k in range(len(pitches))]
    return [(pitch, at, at + (sounding or length)) for pitch, at in zip(pitches, begins, strict=True)]


@dataclasses.dataclass
class Case:
    """What a file plays; `said` is found in what the reader says, and nothing is said where it is empty."""

    notes: Line
    said: str = ""
    qpm: float = 120.0
    metres: list[tuple[float, int, int]] | None = None
    program: int | None = 0
    drums: int = 0
    velocities: list[int] | None = None
    track_names: dict[int, str] | None = None


def check(piece: Piece, case: Case) -> None:
    """Holds a piece to what its file plays."""
    found = [(n.pitch, n.start, n.end) for n in piece.notes]
    assert [n[0] for n in sorted(found)] == [n[0] for n in sorted(case.notes)]
    assert np.array(sorted(found)) == pytest.approx(np.array(sorted(case.notes)), abs=2e-3)
    assert piece.tempos[0][1] == pytest.approx(case.qpm, abs=1e-3)
    if case.metres is not None:
        assert piece.time_signatures == case.metres
    if case.program is not None:
        assert {n.program for n in piece.notes} == {case.program}
    assert sum(n.is_drum for n in piece.notes) == case.drums
    if case.velocities:
        assert [n.velocity for n in piece.notes] == case.velocities
    if case.track_names is not None:
        assert piece.track_names == case.track_names
    said = " ".join(piece.warnings)
    assert re.search(case.said, said) if case.said else said == "", said


FOUR = [(0.0, 4, 4)]
SCALE = [72, 74, 76, 77, 79, 77, 76, 74]
ZERO_LENGTH = "16 notes have no length; each is played as a sixteenth"
WRONG_LENGTH = "The length of 1 track is wrong"
UNUSABLE = "1 {} that cannot be used is passed over"

MIDI = {
    "tempo_in_second_track": Case(line(TUNE, 1.0), qpm=60),
    "program_in_other_track": Case(line(TUNE, 0.75), qpm=80, program=73),
    "pedal_held": Case(line([60, 64, 67, 72] * 3, 0.5, sounding=2.0) + [(p, 6.0 + k / 2, 8.0) for k, p in
                                                                      enumerate([60, 64, 67, 72])]),
    "restruck_while_held": Case([(60, 0, 1.75), (60, 1.5, 3.75), *line(TUNE, start=3.75)]),
    "running_status_over_sysex": Case(line([60, 62, *TUNE])),
    "running_status_over_meta": Case(line([60, 62, *TUNE])),
    "undefined_status_f4": Case(line([60, 62, *TUNE]), said="1 stray system message is passed over"),
    "key_9_flats": Case(line(TUNE), said=UNUSABLE.format("key signature")),
    "metre_0_4": Case(line(TUNE), said=UNUSABLE.format("time signature"), metres=[]),
    "time_signature_of_two_bytes": Case(line(TUNE), metres=FOUR),
    "vendor_chunk_between": Case(line(TUNE), said=r"1 chunk of another kind \(XFIH\) is passed over"),
    "fewer_tracks_said_than_there": Case(line(TUNE), said="announces 1 track; 2 tracks are found", metres=FOUR),
    "more_tracks_said_than_there": Case(line(TUNE), said="announces 3 tracks; 1 track is found"),
    "track_length_too_long": Case(line(TUNE), said=WRONG_LENGTH),
    "track_length_zero": Case(line(TUNE), said=WRONG_LENGTH),
    "track_length_too_long_two_tracks": Case(line(TUNE) + line([48, 50] * 8), said=WRONG_LENGTH),
    "riff_rmid": Case(line(TUNE)),
    "type_3": Case(line(TUNE), said="Type 3 is unknown; it is read as type 1"),
    "smpte_25_40": Case(line(TUNE), said="counted in film frames"),
    "last_note_without_end": Case([*line(TUNE), (72, 8, 10)], said="1 note has no end; it sounds until"),
    "zero_length_notes": Case(line([60, 62, 64, 65] * 4, sounding=0.125), said=ZERO_LENGTH),
    "melody_zero_length_over_bass": Case(
        line([72, 74, 76, 77] * 4, sounding=0.125) + line([48, 50, 52, 53] * 4), said=ZERO_LENGTH
    ),
    "name_utf8": Case(line(TUNE), track_names={0: "Flöte"}),
    "name_utf16": Case(line(TUNE), track_names={0: "Flöte"}),
    "two_metres_at_one_tick": Case(line(TUNE), metres=[(0.0, 3, 4)]),
    "quintuplets": Case(line([60, 62, 64, 65, 67] * 8, 0.1)),
    "pickup_of_one_beat_in_3_4": Case(line([67, *[72, 74, 76] * 8]), metres=[(0.0, 1, 4), (0.5, 3, 4)]),
    "one_late_short_note": Case([(60, 1.875, 1.9375)]),
    "swing": Case([n for k, p in enumerate([60, 62, 64, 65] * 4) for n in (
        (p, k / 2, k / 2 + 1 / 3), (p + 2, k / 2 + 1 / 3, k / 2 + 1 / 2))]),
    "triplets": Case(line([60, 64, 67] * 16, 1 / 6)),
    "program_changes_in_melody": Case(line([p + k for p in range(60, 68) for k in (0, 2)]), program=None),
    "tracks_40": Case([n for k in range(40) for n in line([40 + k, 42 + k])], program=None, drums=4),
    "tempo_events_10000": Case([], program=None),
    "tpq_1": Case(line(TUNE)),
    "tpq_15360": Case(line(TUNE)),
    "two_tempos_at_one_tick": Case(line(TUNE, 1.0), qpm=60),
    "tempo_after_first_note": Case([*line([60, 62]), *line(TUNE, 1.0, 1.0)]),
    "silence_of_an_hour_before": Case([(60, 3600, 3600.5), *line(TUNE, start=3600.5)]),
    "end_of_track_two_hours_later": Case(line(TUNE)),
    "pitches_0_to_20": Case(line([0, 2, 4, 5, 7, 9, 11, 12] * 2)),
    "pitches_109_to_127": Case(line([110, 112, 114, 115, 117, 119, 121, 127] * 2)),
    "velocity_1": Case(line([60, 62, 64, 65] * 3), velocities=[1] * 12),
    "type_0_two_tracks": Case(line(TUNE) + line([72, 74] * 8)),
    "type_2": Case(line(TUNE) + line([72, 74] * 8), said="Its 2 independent sequences"),
    "header_of_10_bytes": Case(line(TUNE)),
    "trailing_garbage": Case(line(TUNE), said="100 bytes between or after its tracks are passed over"),
    "no_end_of_track": Case(line(TUNE)),
    "off_after_on_same_tick_repeated_notes": Case(line([60] * 8)),
    "drums_on_channel_10_with_melody_program": Case(line(TUNE), program=73, drums=16),
    "metre_denominator_2_to_30": Case(line(TUNE)),
    "pitch_bend_only_melody": Case([(60, 0, 16)]),
    "track_numbers": Case(line([72, 74, 76, 77], 2.0) + line([48, 50, 52, 53] * 4),
                          track_names={0: "Right", 1: "Left"}),
    "gs_drums_on_channel_11": Case(line(TUNE) + line([36, 38] * 8)),
    "note_offs_on_wrong_channel": Case(
        [(p, k / 2, min(k / 2 + 2, 6)) for k, p in enumerate([60, 62, 64, 65] * 3)], said="12 notes have no end"
    ),
    "events_after_end_of_track": Case(line([60, 62, *[72, 74] * 6])),
    "one_note": Case([(60, 0, 0.5)]),
    "tempo_0": Case(line(TUNE), said=UNUSABLE.format("tempo")),
    "tempo_0_in_second_track": Case(line(TUNE), said=UNUSABLE.format("tempo")),
}  # fmt: skip
SCORES = {
    "tied_notes": Case([(72, 0, 6), (76, 6, 8)]),
    "c_flat_and_b_sharp": Case(line([72, 71, 71, 72])),
    "repeat": Case([*line(SCALE * 2), (72, 8, 10)]),
    "dynamics": Case(line(SCALE), velocities=[33] * 4 + [112] * 4),
    "sound_without_direction": Case(line(SCALE, 1.0), qpm=60),
    "tempo_and_float_dynamics": Case(line(SCALE, 1.0), qpm=60, velocities=[49] * 8),
    "chord_symbol_kind_other": Case(line(SCALE), said="1 chord symbol is left out"),
    "one_drum_note": Case([*line(SCALE[:4]), (38, 2, 2.5), *line(SCALE[5:], start=2.5)], drums=1),
    "non_traditional_key": Case(line(SCALE)),
    "longa": Case([(72, 0, 8), (76, 8, 16)]),
    "voice_named": Case(line(SCALE[:4])),
    "senza_misura": Case(line(SCALE[:4]), metres=[]),
    "grace_notes": Case([(71, 0, 0.0625), (72, 0.0625, 0.5), *line(SCALE[1:], start=0.5)]),
    "mid_bar_metre": Case([*line(SCALE[:4]), (79, 2, 3), (77, 3, 4)], metres=[(0.0, 4, 4), (3.0, 3, 4)]),
    "microtone": Case([(70, 0, 0.5), (69, 0.5, 1), (69, 1, 2)], said="2 microtone"),
    "program_of_midi_instrument": Case(line(SCALE), program=73),
}
UP = [72, 74, 76, 77]
TUNES = {
    "abc_rest": Case([(67, 0, 0.5), (69, 1, 1.5), (71, 1.5, 2), (72, 2, 4)]),
    "abc_tie": Case([(72, 0, 6), (76, 6, 9)], qpm=80),
    "abc_triplet": Case([*line([60, 62, 64], 0.25), *line([65, 67, 69], 0.75, 0.75)], qpm=80),
    "abc_chord": Case([(60, 0, 0.75), (64, 0, 0.75), *line([67, 65, 67, 69], 0.75)], qpm=80),
    "abc_grace": Case([(71, 0, 0.09375), (72, 0.09375, 0.75), *line(UP[1:], 0.75, 0.75)], qpm=80),
    "abc_two_voices": Case(line(UP, 0.75) + line([60, 62, 64, 65], 0.75), qpm=80),
    "abc_repeat_endings": Case([*line(UP, 0.75), (79, 3, 6), *line(UP, 0.75, 6), (72, 9, 12)], qpm=80),
    "abc_triple_repeat": Case(line(UP * 3, 0.75), qpm=80),
    "abc_spacer_y": Case(line(UP, 0.75), qpm=80),
    "abc_double_flat": Case(line([69, 74, 76, 77], 0.75), qpm=80),
    "abc_annotation": Case(line(UP, 0.75), qpm=80),
    "abc_broken": Case(
        [(72, 0, 0.5625), (74, 0.5625, 0.75), (76, 0.75, 0.9375), (77, 0.9375, 1.5), *line([79, 81], 0.75, 1.5)], qpm=80
    ),
    "abc_double_bar_chord_symbols": Case(line(UP, 0.75), qpm=80),
    "abc_inline_key": Case(line([72, 74, 76, 78], 0.75), qpm=80),
    "abc_multi_bar": Case([*line(UP, 0.75), (72, 3, 6)], qpm=80),
    "abc_slur": Case(line(UP, 0.75), qpm=80),
    "abc_unison": Case(line(UP, 0.75), qpm=80),
    "abc_without_x": Case([*line([67, 67, 69, 71], 0.75), (72, 3, 4.5), (72, 4.5, 6)], qpm=80),
}
REFUSED = {"hours_long_86_bytes": "lasts 46,610 hours", "delta_of_4_bytes_mid_file": "lasts 78 hours"}


def path_of(name: str) -> Path:
    """The file of a case."""
    (found,) = CASES.glob(f"{name}.*")
    return found


@pytest.mark.parametrize("name", [*MIDI, "karaoke", *SCORES, *TUNES])
def test_a_case_is_read_as_it_is_played(name):
    case = {**MIDI, **SCORES, **TUNES, "karaoke": Case(line(TUNE))}[name]
    piece = read_music.read_piece(path_of(name))
    if name == "tempo_events_10000":
        # Its times are held to a second reader's in test_second_midi_reader.py.
        case.notes = [(n.pitch, n.start, n.end) for n in piece.notes]
        assert (
            len(case.notes) == 1000 and len(piece.tempos) > 9000 and piece.duration == pytest.approx(697.616, abs=1e-3)
        )
    check(piece, case)


@pytest.mark.parametrize("name", REFUSED)
def test_what_lasts_for_days_is_one_sentence(name):
    with pytest.raises(InputError, match=f"{REFUSED[name]}; up to 48 hours are read") as caught:
        read_music.read_piece(path_of(name))
    assert "\n" not in str(caught.value)


def test_every_case_is_there():
    known = {*MIDI, "karaoke", *SCORES, *TUNES, *REFUSED, "abc_second_tune_same_number"}
    assert {path.stem for path in CASES.iterdir()} == known


def test_a_book_with_one_number_twice_is_two_tunes():
    first, second = read_music.read_pieces(path_of("abc_second_tune_same_number"))
    check(first, Case(line([67, 67, 69, 71])))
    check(second, Case(line(UP)))


def test_programs_change_where_they_are_set():
    notes = read_music.read_piece(path_of("program_changes_in_melody")).notes
    assert [n.program for n in notes] == [p for p in (0, 10, 20, 30, 40, 50, 60, 70) for _ in range(2)]
    notes = read_music.read_piece(path_of("tracks_40")).notes
    # Tracks share channels, and a channel has one program at a time: the last one set.
    assert [n.program for n in notes if n.start == 0] == list(range(40))
    last = [max(k for k in range(40) if k % 16 == channel) for channel in range(16)]
    assert [n.program for n in notes if n.start == 0.5] == [last[(n.pitch - 42) % 16] for n in notes if n.start == 0.5]


def test_the_parts_of_a_case_are_told_apart():
    book = read_music.read_piece(path_of("abc_two_voices"))
    assert {n.pitch for n in book.notes if n.track == 0} == {*UP}
    left = melody_extraction.extract_melody(read_music.read_piece(path_of("track_numbers")), track="left")
    assert left.report.in_melody == 16


@pytest.mark.parametrize("name", ["name_utf8", "name_utf16"])
@pytest.mark.parametrize("typed", ["Flöte", "FLÖTE", "Flo\u0308te"])
def test_a_track_is_found_by_its_name(name, typed):
    assert melody_extraction.extract_melody(read_music.read_piece(path_of(name)), track=typed).report.in_melody == 16


def test_notes_that_share_a_sixteenth_are_called_that():
    report = melody_extraction.extract_melody(read_music.read_piece(path_of("quintuplets"))).report
    assert (report.same_sixteenth, report.hidden) == (8, 0)
    assert report.sentences()[0] == "8 of 40 notes share a sixteenth with another and are left out"
