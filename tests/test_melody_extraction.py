"""Pieces to rows of tokens, rows to windows, and windows to rows."""

from __future__ import annotations

import random

import numpy as np
import pytest

from calmvae.common.errors import EmptyMusicError, InputError, OptionError
from calmvae.midi.piece import Note, Piece
from calmvae.music import melody_extraction, melody_tokens, melody_windows
from calmvae.music.melody_tokens import HOLD, NOTE_OFF
from tests import builders
from tests.builders import piece, scale


def token(pitch: int) -> int:
    return pitch - 21 + 2


def row(steps: int, **events: int) -> list[int]:
    """A row of holds with the given events: `at_4=token(60)`."""
    tokens = [HOLD] * steps
    for name, event in events.items():
        tokens[int(name.removeprefix("at_"))] = event
    return tokens


def tokens_of(*notes: builders.QuarterNote, method: str = "skyline") -> list[int]:
    return melody_extraction.extract_melody(piece(notes), method).tokens.tolist()


def test_a_bar_of_quarter_notes():
    melody = melody_extraction.extract_melody(piece(scale(4), program=73))
    assert melody.tokens.tolist() == row(16, at_0=token(60), at_4=token(62), at_8=token(64), at_12=token(65))
    assert melody.tokens.dtype == np.uint8
    assert (melody.bars, melody.program, melody.velocity, melody.first_bar()) == (1, 73, 64, 0)
    assert melody.report.sentences() == []


HIGH, LOW = (72, 64, 0, 2), (60, 64, 1, 3)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # The low note starts under the high one and is not struck when it is laid bare.
        ("skyline", row(16, at_0=token(72), at_8=NOTE_OFF)),
        ("onsets", row(16, at_0=token(72), at_4=token(60), at_12=NOTE_OFF)),
        ("lowest", row(16, at_0=token(72), at_4=token(60), at_12=NOTE_OFF)),
    ],
)
def test_a_low_note_under_a_held_high_one(method, expected):
    assert tokens_of(HIGH, LOW, method=method) == expected


def test_a_high_note_over_a_held_low_one():
    notes = (60, 64, 0, 4), (72, 64, 1, 2)
    assert tokens_of(*notes) == row(16, at_0=token(60), at_4=token(72), at_8=NOTE_OFF)
    assert tokens_of(*notes, method="lowest") == row(16, at_0=token(60))
    assert tokens_of(*notes, method="onsets") == row(16, at_0=token(60), at_4=token(72), at_8=NOTE_OFF)


def test_of_a_chord_the_method_takes_one_voice():
    chord = [(pitch, 64, 0, 1) for pitch in (60, 64, 67)]
    assert tokens_of(*chord)[0] == tokens_of(*chord, method="onsets")[0] == token(67)
    assert tokens_of(*chord, method="lowest")[0] == token(60)


def test_of_a_unison_the_later_start_is_struck():
    assert tokens_of((60, 64, 0, 4), (60, 64, 1, 2)) == row(16, at_0=token(60), at_4=token(60), at_8=NOTE_OFF)


def test_the_report_counts_every_note():
    made = piece([(72, 64, 0, 2), (60, 64, 1, 3), (74, 64, 2.1, 4)])
    made.notes += [Note(36, 64, 0, 1, is_drum=True, track=2), Note(50, 64, 0, 1, track=1)]
    report = melody_extraction.extract_melody(made, track=0).report
    assert (report.notes, report.in_melody, report.hidden, report.other_tracks, report.drums) == (5, 2, 1, 1, 1)
    assert report.off_grid == 1
    assert len(report.sentences()) == 4


def test_tracks_by_number_and_by_name():
    made = piece(scale(4))
    made.notes += piece(scale(4, pitches=[40]), track=3).notes
    made.track_names = {3: "Bass"}
    for track in (3, "3", " bass "):
        assert set(melody_extraction.extract_melody(made, track=track).tokens) == {HOLD, token(40)}
    assert [m.tokens[0] for m in melody_extraction.track_melodies(made)] == [token(60), token(40)]
    assert [m.report.other_tracks for m in melody_extraction.track_melodies(made)] == [4, 4]
    with pytest.raises(OptionError, match=r"'viola'; its tracks are 0, 3 \(Bass\)"):
        melody_extraction.extract_melody(made, track="viola")


@pytest.mark.parametrize(
    ("pitch", "folded"), [(21, 21), (108, 108), (20, 32), (0, 24), (109, 97), (127, 103), (-9, 27)]
)
def test_notes_outside_the_piano_move_by_octaves(pitch, folded):
    melody = melody_extraction.extract_melody(piece([(pitch, 64, 0, 1)]))
    assert melody.tokens[0] == token(folded)
    assert melody.report.octave_folded == (pitch != folded)


@pytest.mark.parametrize(
    ("upper", "lower", "rebarred"), [(4, 4, False), (2, 2, False), (3, 4, True), (6, 8, True), (5, 4, True)]
)
def test_any_metre_is_laid_on_sixteen_steps(upper, lower, rebarred):
    melody = melody_extraction.extract_melody(piece(scale(12), metres=[(0, upper, lower)]))
    assert np.flatnonzero(melody.tokens).tolist() == list(range(0, 48, 4))
    assert melody.report.metres == [f"{upper}/{lower}"]
    assert melody.report.rebarred == rebarred
    said = f"metre {upper}/{lower} is re-barred onto 16 steps a bar"
    assert (said in melody.report.sentences()) == rebarred


def test_an_upbeat_puts_the_main_metre_on_the_bar_line():
    melody = melody_extraction.extract_melody(piece(scale(9), metres=[(0, 1, 4), (1, 4, 4)]))
    assert melody.report.metres == ["1/4", "4/4"]
    assert melody.report.lead_steps == 12
    assert np.flatnonzero(melody.tokens).tolist() == list(range(12, 48, 4))
    assert melody.seconds_at(12) == 0 and melody.seconds_at(16) == 0.5 and melody.seconds_at(0) == -1.5


def test_a_recording_beside_its_beats_gets_its_own_grid():
    late = melody_extraction.extract_melody(piece(scale(32, first=0.34 / 4)))
    assert late.report.realigned and late.report.off_grid == 0
    assert late.tokens[16:].tolist() == melody_extraction.extract_melody(piece(scale(32))).tokens.tolist()
    assert late.seconds_at(16) == pytest.approx(0.34 / 4 / 2)


@pytest.mark.parametrize("length", [1 / 3, 2 / 3])
def test_triplets_agree_on_no_other_grid(length):
    report = melody_extraction.extract_melody(piece(scale(48, length))).report
    assert not report.realigned
    assert report.off_grid > 0


def test_tempo_changes_do_not_move_notes():
    tempos = [(0, 60), (2.5, 200), (7.25, 33)]
    steady = melody_extraction.extract_melody(piece(scale(32, 0.5)))
    assert (melody_extraction.extract_melody(piece(scale(32, 0.5), tempos)).tokens == steady.tokens).all()


def test_what_sounds_before_time_0_gets_a_bar_of_its_own():
    melody = melody_extraction.extract_melody(Piece([Note(60, 64, -1.0, 0.0), Note(62, 64, 0.0, 1.0)]))
    assert melody.tokens.tolist() == row(32, at_8=token(60), at_16=token(62), at_24=NOTE_OFF)
    assert melody.seconds_at(8) == -1.0


def test_pieces_without_a_melody_are_refused():
    with pytest.raises(EmptyMusicError, match=r"empty has no notes \(2 were lost\); give"):
        melody_extraction.extract_melody(Piece([], name="empty", warnings=["2 were lost."]))
    with pytest.raises(EmptyMusicError, match=r"has only drums \(8 notes\)"):
        melody_extraction.extract_melody(piece(scale(8), is_drum=True))
    with pytest.raises(OptionError, match="unknown melody method 'highest'; choose one of skyline, onsets, lowest"):
        melody_extraction.extract_melody(piece(scale(8)), "highest")


@pytest.mark.parametrize("end", [1e9, float("inf")])
def test_a_piece_longer_than_days_is_refused(end):
    with pytest.raises(InputError, match="up to 50000 are read"):
        melody_extraction.extract_melody(Piece([Note(60, 64, 0, end)]))


def test_joining_undoes_cutting():
    draw = random.Random(1)
    for seed in range(300):
        tokens = builders.random_tokens(seed, draw.randrange(1, 200))
        steps = draw.choice([1, 2, 3, 7, 16, 32, 256])
        windows, tied = melody_windows.cut_windows(tokens, steps)
        assert windows.shape == (-(-len(tokens) // steps), steps)
        joined = melody_windows.join_windows(windows, tied)
        assert joined[: len(tokens)].tolist() == tokens.tolist()
        assert not melody_tokens.sounding_tokens(joined)[len(tokens) :].any()


def test_each_window_sounds_like_its_place_in_the_row():
    draw = random.Random(2)
    for seed in range(100):
        tokens = builders.random_tokens(seed, draw.randrange(1, 200))
        steps, hop = draw.randrange(1, 40), draw.randrange(1, 60)
        windows, _ = melody_windows.cut_windows(tokens, steps, hop)
        sounding = np.append(melody_tokens.sounding_tokens(tokens), np.zeros(hop + steps, np.uint8))
        for i, window in enumerate(windows):
            assert melody_tokens.sounding_tokens(window).tolist() == sounding[i * hop : i * hop + steps].tolist()


def test_windows_joined_untied_strike_again():
    windows, tied = melody_windows.cut_windows(np.array(row(8, at_0=token(60)), np.uint8), 4)
    assert tied.tolist() == [False, True]
    assert windows.tolist() == [row(4, at_0=token(60))] * 2
    assert melody_windows.join_windows(windows).tolist() == row(8, at_0=token(60), at_4=token(60))
    silent = np.array([row(4, at_0=token(60)), row(4)])
    assert melody_windows.join_windows(silent).tolist() == row(8, at_0=token(60), at_4=NOTE_OFF)


@pytest.mark.parametrize(("steps", "hop"), [(0, None), (-1, 1), (4, 0), (4, -2)])
def test_windows_of_no_length_are_refused(steps, hop):
    with pytest.raises(OptionError, match="both must be 1 or more"):
        melody_windows.cut_windows(np.zeros(8, np.uint8), steps, hop)


def test_notes_of_a_row():
    tokens = np.array(row(16, at_2=token(60), at_4=token(62), at_6=NOTE_OFF, at_14=token(64)), np.uint8)
    assert melody_tokens.token_notes(tokens) == [(60, 2, 4), (62, 4, 6), (64, 14, 16)]
    assert melody_tokens.token_notes(tokens[:0]) == []


@pytest.mark.parametrize("semitones", [0, 1, -1, 7, 12, -24, 40, -90])
def test_transposing_keeps_the_pitch_class_and_the_range(semitones):
    tokens = np.array([HOLD, NOTE_OFF, *range(2, 90)], np.uint8)
    moved = melody_tokens.transpose(tokens, semitones).astype(int)
    assert moved[:2].tolist() == [HOLD, NOTE_OFF]
    assert moved[2:].min() >= 2 and moved[2:].max() < 90
    assert ((moved[2:] - tokens[2:] - semitones) % 12 == 0).all()
