"""Chords under a melody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calmvae.midi import read_music
from calmvae.music import harmonize, key_finding, melody_extraction, melody_tokens
from calmvae.music.harmonize import Chord
from calmvae.music.key_finding import Key
from tests.builders import random_tokens
from tests.conftest import PIECES
from tests.test_key_finding import tokens

C, A_MINOR = Key(0, False), Key(9, True)


def melody(*bars: tuple[int, ...]) -> np.ndarray:
    """Bars of four quarters each."""
    return tokens(*itertools.chain(*bars))


def test_triads_by_hand():
    assert [c.classes for c in harmonize.triads(C)] == [
        (0, 4, 7), (2, 5, 9), (4, 7, 11), (5, 9, 0), (7, 11, 2), (9, 0, 4),
    ]  # fmt: skip
    minor = [c.classes for c in harmonize.triads(A_MINOR)]
    # The dominant is major; the diminished triad of the second degree is replaced.
    assert minor[0] == (9, 0, 4) and minor[4] == (4, 8, 11) and minor[1] == (2, 5, 9)


def test_a_plain_tune_gets_its_chords():
    tune = melody((60, 64, 67, 64), (65, 69, 72, 69), (67, 71, 74, 71), (72, 72, 72, 72))
    assert [c.degree for c in harmonize.chords(tune, C, True)] == [0, 3, 4, 0]
    tune = melody((60, 64, 67, 64), (65, 69, 72, 69), (62, 65, 69, 65), (67, 67, 71, 71))
    assert [c.degree for c in harmonize.chords(tune, C, False)] == [0, 3, 1, 4]


def test_fit_by_hand():
    """A C for two beats (one and a half times: 4 x 1.5 and 4), then D: of 16 x 1.25 weights the C has half."""
    heard = np.repeat(np.array([41, 41, 43, 43], np.uint8), 4)
    assert harmonize._fit(heard, Chord(0, (0, 4, 7))) == pytest.approx(10 / 20)
    assert harmonize._fit(np.zeros(16, np.uint8), Chord(0, (0, 4, 7))) == 0


def test_a_natural_seventh_keeps_the_raised_one_away():
    tune = melody((69, 69, 69, 69), (67, 67, 64, 67), (64, 64, 64, 64), (69, 69, 69, 69))  # G in the second bar
    found = harmonize.chords(tune, A_MINOR, True)
    assert 8 not in found[1].classes


def test_greensleeves_has_its_own_chords():
    """D E F sharp E D B G over G major, with no semitone between a long note and the chord."""
    seventh = melody((74, 76, 78, 74), (74, 74, 71, 67), (69, 69, 72, 72), (69, 69, 69, 69))
    found = harmonize.chords(seventh, A_MINOR, True)
    assert found[1].classes == (7, 11, 2) and found[3].classes[0] == 9
    for bar, chord in zip(melody_tokens.sounding_tokens(seventh).reshape(4, 16), found, strict=True):
        assert harmonize._rub(bar, chord) == 0, chord


def test_what_is_a_semitone_from_the_melody_is_left_out():
    """A C sharp over D minor's third would be: D and A remain of a chord that has to close on D."""
    found = harmonize.chords(melody(*[(74, 78, 74, 78)] * 4), Key(2, True), True)
    assert 5 not in found[-1].classes and found[-1].classes[0] == 2
    assert len(found[-1].pitches) == 3


def test_rub_by_hand():
    heard = np.repeat(np.array([41, 41, 46, 0], np.uint8), 4)  # C twice, F, a rest: over C E G a third rubs.
    assert harmonize._rub(heard, Chord(0, (0, 4, 7))) == pytest.approx(1 / 3)
    assert harmonize._rub(np.zeros(16, np.uint8), Chord(0, (0, 4, 7))) == 0


def test_embedded_pieces_hardly_rub():
    """Of the sounding time of their first sixteen bars; a semitone was 12 % when only six triads were tried."""
    shares = []
    for path in PIECES:
        tokens = np.resize(melody_extraction.extract_melody(read_music.read_piece(path)).tokens[:256], 256)
        key = key_finding.key_of(key_finding.shares(tokens))
        for k in range(0, 256, 64):
            heard = melody_tokens.sounding_tokens(tokens)[k : k + 64].reshape(4, 16)
            found = harmonize.chords(tokens[k : k + 64], key, k % 128 == 64)
            shares += [harmonize._rub(bar, chord) for bar, chord in zip(heard, found, strict=True)]
    assert np.mean(shares) < 0.07


@pytest.mark.parametrize("key", [C, A_MINOR, Key(6, False), Key(1, True)])
def test_voices_lie_well_and_move_little(key):
    before, moves = None, []
    for seed in range(20):
        row, _ = key_finding.into_scale(random_tokens(seed, 64), key.natural)
        found = harmonize.chords(row, key, seed % 2 == 1, before)
        assert len(found) == 4
        for last, chord in itertools.pairwise([before, *found] if before else found):
            bass, *upper = chord.pitches
            assert len(set(chord.pitches)) == 3 and 38 <= bass <= 52 and all(50 <= p <= 67 for p in upper)
            assert {p % 12 for p in chord.pitches} == set(chord.classes) and bass % 12 == chord.classes[0]
            moves += [abs(a - b) for a, b in zip(chord.pitches, last.pitches, strict=True)]
        before = found[-1]
    assert np.mean(moves) < 4


def test_shared_notes_are_held():
    bars = [Chord(0, (0, 4, 7), (48, 52, 55)), Chord(5, (9, 0, 4), (45, 52, 60)), Chord(0, (0, 4, 7), (48, 52, 55))]
    assert harmonize.held(bars) == [
        (48, 0, 1), (52, 0, 3), (55, 0, 1), (45, 1, 2), (60, 1, 2), (48, 2, 3), (55, 2, 3),
    ]  # fmt: skip
    assert harmonize.held([]) == []
