"""A piece in voices: which notes are kept, where bars begin, and windows there and back."""

from __future__ import annotations

import random

import numpy as np
import pytest

from calmvae.common.errors import EmptyMusicError
from calmvae.midi import read_music
from calmvae.midi.piece import Note, Piece
from calmvae.music import bars, melody_tokens, voice_windows
from calmvae.music.melody_tokens import BAR_END, FIRST_PITCH, HOLD, MIN_PITCH, NOTE_OFF
from calmvae.music.voice_extraction import extract_voices
from tests.conftest import PIECES


def piece(*notes, qpm=60.0, metres=()):
    """Notes `(pitch, start, length)` in sixteenths."""
    step = 15 / qpm
    made = [Note(p, 80, s * step, (s + n) * step) for p, s, n in notes]
    return Piece(made, tempos=[(0.0, qpm)], time_signatures=[(s * step, n, d) for s, n, d in metres])


def token(pitch):
    return pitch - MIN_PITCH + FIRST_PITCH


def sounding(tokens):
    """The pitches heard at each step, whichever voice has them."""
    columns = np.stack([melody_tokens.sounding_tokens(column) for column in tokens.T], axis=1)
    return [sorted(set(row[row > 0].tolist())) for row in columns]


@pytest.mark.parametrize(
    ("metre", "lines"),
    [
        ((4, 4), [0, 16, 32]),
        ((3, 4), [0, 12, 24, 36]),
        ((6, 8), [0, 12, 24, 36]),
        ((2, 4), [0, 16, 32]),
        ((12, 8), [0, 12, 24, 36]),
        ((5, 4), [0, 12, 20, 32]),
        ((7, 8), [0, 14, 28, 42]),
        ((9, 8), [0, 12, 18, 30, 36]),
        ((3, 8), [0, 12, 24, 36]),
        ((7, 4), [0, 12, 28, 40]),
        ((4, 2), [0, 16, 32]),
        ((9, 32), [0, 14, 27, 40]),
    ],
)
def test_bars_of_every_metre_have_at_most_sixteen_steps(metre, lines):
    found = bars.bar_lines(piece((60, 0, 32), metres=[(0, *metre)]), 32)
    assert found.tolist() == lines
    assert (np.diff(found) <= 16).all() and found[-1] >= 32


def test_a_new_metre_begins_a_new_bar_and_an_upbeat_is_a_short_one():
    waltz = piece((60, 0, 60), metres=[(0, 1, 4), (4, 3, 4), (28, 4, 4)])
    assert bars.bar_lines(waltz, 60).tolist() == [0, 4, 16, 28, 44, 60]
    # What comes before the first metre is in 4/4; a metre after the last note is none.
    late = piece((60, 0, 30), metres=[(20, 3, 4), (400, 5, 4)])
    assert bars.bar_lines(late, 30).tolist() == [0, 16, 20, 32]


def test_every_note_of_music_in_few_voices_is_kept_high_to_low():
    chords = [(p, s, 4) for s in range(0, 64, 4) for p in (76, 67, 60, 48)]
    voices = extract_voices(piece(*chords), 4)
    assert voices.report.kept == voices.report.notes == 64 and not voices.report.left_out
    for column, pitch in zip(voices.tokens.T, (76, 67, 60, 48), strict=True):
        assert (column[:64:4] == token(pitch)).all() and (np.delete(column[:64], np.s_[::4]) == HOLD).all()


def test_a_line_stays_in_its_voice_wherever_it_goes():
    line = [84 - 2 * k for k in range(20)]
    voices = extract_voices(piece(*[(p, 2 * k, 2) for k, p in enumerate(line)]), 5)
    assert len(set(np.nonzero(voices.tokens >= FIRST_PITCH)[1].tolist())) == 1


def test_of_thick_chords_both_ends_stay_and_doubled_pitches_go_first():
    chord = [84, 76, 72, 67, 64, 55, 48]
    voices = extract_voices(piece(*[(p, 0, 4) for p in chord], (50, 8, 2)), 4)
    kept = [row + MIN_PITCH - FIRST_PITCH for row in voices.tokens[0].tolist() if row >= FIRST_PITCH]
    # C and E and G are there three, two and one times over: what lies between and is doubled goes.
    assert kept == [84, 64, 55, 48] or kept == [84, 67, 64, 48] or kept == [84, 67, 55, 48], kept
    assert 84 in kept and 48 in kept and {p % 12 for p in kept} == {0, 4, 7}
    assert voices.report.left_out == 3 and voices.report.kept == 5


def test_a_held_note_is_cut_only_where_its_voice_is_needed():
    free = extract_voices(piece((40, 0, 16), (72, 0, 4), (74, 4, 4), (76, 8, 8)), 3)
    assert free.report.shortened == 0 and sounding(free.tokens)[15] == [token(40), token(76)]
    full = extract_voices(piece((40, 0, 16), (72, 0, 4), (74, 4, 4), (76, 8, 8), (60, 8, 8)), 2)
    assert full.report.shortened == 1 and full.report.kept == 5
    assert sounding(full.tokens)[9] == [token(60), token(76)]
    # The same pitch struck again ends the note before it, as a key does.
    again = extract_voices(piece((60, 0, 16), (60, 4, 4)), 3)
    assert again.report.shortened == 0 and sounding(again.tokens)[6] == [token(60)] and not sounding(again.tokens)[9]


def test_counts_add_up_and_notes_point_into_the_piece():
    for seed in range(20):
        draw = random.Random(seed)
        given = piece(*[(draw.randrange(15, 115), draw.randrange(200), draw.randrange(1, 30)) for _ in range(300)])
        given.notes[:] = [*given.notes, Note(36, 90, 0.0, 1.0, 0, True, 1)]
        voices = extract_voices(given, draw.choice([1, 2, 4, 5]))
        report = voices.report
        assert report.drums == 1 and report.notes == 300
        assert report.kept + report.doubled + report.left_out == report.notes
        places = np.argwhere(voices.notes >= 0)
        columns = given.columns()
        assert len(places) == report.kept == len(set(voices.notes[voices.notes >= 0].tolist()))
        for step, voice in places.tolist():
            note = voices.notes[step, voice]
            assert not columns.is_drum[note] and (columns.pitch[note] + MIN_PITCH - FIRST_PITCH - step) is not None
            assert (int(voices.tokens[step, voice]) + MIN_PITCH - FIRST_PITCH - columns.pitch[note]) % 12 == 0


def test_windows_hold_the_music_and_its_bars():
    for seed in range(30):
        draw = random.Random(seed)
        metre = draw.choice([(4, 4), (3, 4), (6, 8), (5, 4), (2, 4), (7, 8)])
        given = piece(
            *[(draw.randrange(30, 100), draw.randrange(150), draw.randrange(1, 20)) for _ in range(60)],
            metres=[(0, *metre), (60, 4, 4)],
        )
        voices = extract_voices(given, 5)
        windows, tied = voice_windows.cut_windows(voices, 2)
        assert windows.shape[1:] == (32, 5) and (voice_windows.bar_lengths(windows).ravel() <= 16).all()
        tokens, lines = voice_windows.join_windows(windows, tied)
        n = len(voices.tokens)
        assert np.array_equal(tokens[:n], voices.tokens) and not (tokens[n:] >= FIRST_PITCH).any()
        assert np.array_equal(lines[: len(voices.bar_lines)], voices.bar_lines)
        # Each window stands alone: it begins with what sounds.
        heard = sounding(voices.tokens)
        for k, window in enumerate(windows):
            at = int(lines[2 * k])
            if at < n:
                assert sorted(set(window[0][window[0] >= FIRST_PITCH].tolist())) == heard[at]
        sliding, _ = voice_windows.cut_windows(voices, 2, 1)
        assert np.array_equal(sliding[::2][: len(windows) - 1], windows[:-1])


def test_a_bar_ends_where_most_voices_say_so():
    window = np.zeros((1, 32, 5), np.uint8)
    window[0, 12:16] = BAR_END
    window[0, 20, :2] = BAR_END
    window[0, 16:, 0] = BAR_END
    assert voice_windows.bar_lengths(window).tolist() == [[12, 16]]
    window[0, 0:16] = BAR_END
    assert voice_windows.bar_lengths(window)[0, 0] == 1
    tokens, lines = voice_windows.join_windows(window)
    assert lines.tolist() == [0, 1, 17] and not (tokens == BAR_END).any()


def test_what_rings_at_a_windows_end_is_not_carried_on_unless_it_is_tied():
    windows = np.zeros((2, 32, 3), np.uint8)
    windows[0, 0], windows[1, 0, 0] = [50, 40, 30], 50
    loose, _ = voice_windows.join_windows(windows)
    assert loose[32].tolist() == [50, NOTE_OFF, NOTE_OFF]
    bound, _ = voice_windows.join_windows(windows, np.array([[False] * 3, [True, False, False]]))
    assert bound[32].tolist() == [HOLD, NOTE_OFF, NOTE_OFF]


def test_note_f1_counts_notes_whichever_voice_has_them():
    given = np.zeros((1, 32, 3), np.uint8)
    given[0, 0], given[0, 8, 0], given[0, 16, 2] = [50, 40, 30], 52, 33
    assert voice_windows.note_f1(given, given) == voice_windows.note_f1(given, given, lengths=True) == 1
    assert voice_windows.note_f1(given, given[:, :, ::-1]) == 1
    other = given.copy()
    other[0, 4, 1] = NOTE_OFF
    assert voice_windows.note_f1(given, other) == 1
    assert voice_windows.note_f1(given, other, lengths=True) == pytest.approx(0.8)
    other[0, 16, 2] = 0
    assert voice_windows.note_f1(given, other) == pytest.approx(8 / 9)
    assert voice_windows.note_f1(given, np.zeros_like(given)) == 0
    # A bar's end is no note.
    ended = np.where(np.arange(32)[None, :, None] >= 12, BAR_END, given)
    assert len(voice_windows.window_notes(ended)) == 4


def test_recordings_beside_the_beats_get_bars_where_their_long_notes_start():
    late = piece(*[(60 + k % 5, 16 * k + 3.4, 12) for k in range(8)], *[(72, 4 * k + 3.4, 2) for k in range(32)])
    voices = extract_voices(late, 4)
    assert voices.report.realigned and (np.diff(voices.bar_lines) == 16).all()
    begins = np.flatnonzero((voices.tokens >= FIRST_PITCH).sum(axis=1) == 2)
    assert (begins % 16 == 0).all()


def test_no_notes_no_voices():
    with pytest.raises(EmptyMusicError):
        extract_voices(Piece([], name="nothing"), 4)
    with pytest.raises(EmptyMusicError, match="only drums"):
        extract_voices(Piece([Note(40, 80, 0, 1, 0, True)]), 4)


@pytest.mark.parametrize("name", ["amazing_grace", "satie_gymnopedie_1"])
def test_embedded_pieces_are_whole_in_five_voices(name):
    path = next(path for path in PIECES if path.stem == name)
    voices = extract_voices(read_music.read_piece(path), 5)
    assert voices.report.kept + voices.report.doubled >= 0.98 * voices.report.notes
    assert (np.diff(voices.bar_lines)[:-1] == 12).all()
