"""Windows of pieces and batches of windows. What needs TensorFlow is in test_training_data.py."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from calmvae.common.errors import DataError, EmptyMusicError, OptionError
from calmvae.data import training_windows
from calmvae.data.training_windows import WindowSet
from calmvae.music import melody_extraction, melody_tokens
from tests import builders
from tests.builders import piece, scale


def windows(count: int, seed: int = 0, low: int = 30, high: int = 60) -> np.ndarray:
    """Different windows of 32 steps with notes in the given range of tokens."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(low, high, (count, 32))
    tokens[rng.random((count, 32)) < 0.6] = melody_tokens.HOLD
    tokens[:, 0] = rng.integers(low, high, count)
    return tokens.astype(np.uint8)


def window_set(tokens: np.ndarray) -> WindowSet:
    return WindowSet(tokens, np.zeros(len(tokens), np.uint16), {"some": Counter(pieces=1)})


def take(count: int, *args: object, **kwargs: object) -> np.ndarray:
    return np.stack(list(itertools.islice(training_windows.batches(*args, **kwargs), count)))


def test_windows_slide_by_a_bar_and_have_a_note():
    melody = melody_extraction.extract_melody(piece(scale(8) + scale(4, first=32)))
    found = training_windows.sliding_windows(melody.tokens, 32)
    # 9 bars: notes start in bars 1, 2 and 9, so the windows that begin in bars 1, 2 and 8 have one.
    assert found.shape == (3, 32) and found.dtype == np.uint8
    assert (found[0] == melody.tokens[:32]).all() and (found[2] == melody.tokens[-32:]).all()
    _, silent = training_windows.piece_windows(melody.piece, 32)
    assert silent == 5


def test_a_note_held_into_a_window_is_struck_there():
    found = training_windows.sliding_windows(melody_extraction.extract_melody(piece([(60, 64, 0, 12)])).tokens, 16)
    assert found.shape == (3, 16)
    assert (found[:, 0] == 60 - 21 + 2).all() and not found[:, 1:].any()


@pytest.mark.parametrize(("melody", "count"), [("skyline", 1), ("lowest", 1), ("onsets", 1), ("tracks", 2), ("all", 3)])
def test_which_melodies_are_taken(melody, count):
    made = piece(scale(8))
    made.notes += piece(scale(8, pitches=[40, 43]), track=1).notes
    found, silent = training_windows.piece_windows(made, 32, melody)
    assert (len(found), silent) == (count, 0)


def test_unknown_melodies_and_empty_pieces_are_refused():
    with pytest.raises(OptionError, match="choose one of skyline, onsets, lowest, tracks, all"):
        training_windows.piece_windows(piece(scale(4)), 32, "highest")
    with pytest.raises(EmptyMusicError, match="only drums"):
        training_windows.piece_windows(piece(scale(4), is_drum=True), 32, "tracks")


@pytest.mark.parametrize(("count", "batch"), [(64, 16), (50, 16), (7, 16), (1, 4), (33, 33)])
def test_a_resumed_training_sees_what_an_unbroken_one_would(count, batch):
    tokens = windows(count)
    whole = take(12, tokens, batch, 3)
    assert whole.shape == (12, batch, 32) and whole.dtype == np.uint8
    for start in (1, 5, 11):
        assert (take(12 - start, tokens, batch, 3, start) == whole[start:]).all()
    assert (take(12, tokens, batch, 4) != whole).any()


@pytest.mark.parametrize(("count", "batch"), [(64, 16), (50, 16), (7, 16)])
def test_an_epoch_has_every_window_once(count, batch):
    tokens = np.unique(windows(count), axis=0)
    count = len(tokens)
    stream = take(3 * count // batch + 3, tokens, batch, 0, transpose=(0, 0)).reshape(-1, 32)
    epochs = [stream[i * count : (i + 1) * count] for i in range(3)]
    for epoch in epochs:
        assert (np.unique(epoch, axis=0) == tokens).all()
    assert count == 1 or (epochs[0] != epochs[1]).any()


def test_transposition_is_fresh_in_every_epoch_and_whole():
    tokens = windows(40)
    epochs = take(20, tokens, 10, 0).reshape(5, 40, 32)
    shapes = [{row.tobytes() for row in training_windows.intervals(epoch)} for epoch in epochs]
    assert all(shape == {row.tobytes() for row in training_windows.intervals(tokens)} for shape in shapes)
    rows = [{row.tobytes() for row in epoch} for epoch in epochs]
    assert all(len(a & b) < 20 for a, b in itertools.combinations(rows, 2))
    lowest, highest = training_windows.TRANSPOSE
    place = {row.tobytes(): i for i, row in enumerate(training_windows.intervals(tokens))}
    batch = epochs.reshape(-1, 32)
    moved = batch[:, 0].astype(int) - tokens[[place[r.tobytes()] for r in training_windows.intervals(batch)], 0]
    assert set(moved) == set(range(lowest, highest + 1))


@pytest.mark.parametrize(("low", "high"), [(2, 4), (88, 90), (2, 90)])
def test_transposition_stays_in_range_and_keeps_holds(low, high):
    tokens = windows(30, low=low, high=high)
    batch = take(30, tokens, 20, 1, transpose=(-12, 12)).reshape(-1, 32)
    notes = batch >= melody_tokens.FIRST_PITCH
    assert batch.max() < melody_tokens.DEPTH
    # A note moved below the range would have become a NOTE_OFF, of which there are none.
    assert not (batch == melody_tokens.NOTE_OFF).any() and notes[:, 0].all()
    assert {r.tobytes() for r in training_windows.intervals(batch)} <= {
        r.tobytes() for r in training_windows.intervals(tokens)
    }


def test_windows_without_notes_do_no_harm_in_batches():
    tokens = np.zeros((3, 32), np.uint8)
    tokens[1, 4] = melody_tokens.NOTE_OFF
    assert take(5, tokens, 8, 0).max() == melody_tokens.NOTE_OFF


def test_no_windows_no_batches():
    with pytest.raises(DataError, match="there are no windows"):
        next(training_windows.batches(np.zeros((0, 32), np.uint8), 4, 0))


def test_held_out_windows_are_left_out_in_any_transposition():
    ours, theirs = windows(50, 1), windows(10, 2)
    copies = np.concatenate([melody_tokens.transpose(theirs[:4], shift) for shift in (0, -7, 12)])
    left = training_windows.without(window_set(np.concatenate([ours, copies])), window_set(theirs))
    assert (left.tokens == ours).all()
    assert left.dropped == {"held-out": 12} and left.pieces == 1


def test_one_other_note_makes_another_window():
    theirs = windows(1, 2)
    other = theirs.copy()
    other[0, np.flatnonzero(other[0])[-1]] += 1
    assert len(training_windows.without(window_set(other), window_set(theirs)).tokens) == 1


@pytest.mark.parametrize("empty", ["ours", "theirs"])
def test_nothing_to_leave_out(empty):
    none, some = np.zeros((0, 32), np.uint8), windows(5)
    ours, theirs = (none, some) if empty == "ours" else (some, none)
    assert training_windows.without(window_set(ours), window_set(theirs)).tokens is ours


def test_intervals_tell_holds_and_offs_from_notes():
    tokens = np.array([[0, 1, 40, 1, 0, 43], [0, 1, 50, 1, 0, 53], [0, 0, 40, 1, 0, 43]], np.uint8)
    first, second, third = training_windows.intervals(tokens).tolist()
    assert first == second != third
    assert first[:2] == [0, 1] and first[5] - first[2] == 3


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"train-00000.tfrecord does not exist; make a data set"):
        training_windows.load_windows([tmp_path / "train-00000.tfrecord"], 32)


def test_windows_of_random_rows():
    for seed in range(20):
        tokens = builders.random_tokens(seed, 160)
        found = training_windows.sliding_windows(tokens, 32)
        assert len(found) <= 9
        assert ((found >= melody_tokens.FIRST_PITCH).sum(axis=1) > 0).all()
