"""A piece's pitched notes on the grid of sixteenths: what a model of any number of voices begins with."""

from __future__ import annotations

import unicodedata

import numpy as np

from calmvae.common.errors import EmptyMusicError, InputError, OptionError
from calmvae.midi.piece import Notes, Piece
from calmvae.music.melody_tokens import STEPS_PER_BAR, STEPS_PER_QUARTER

# Beyond two days of music something is wrong with a file's times, and memory runs out.
MAX_BARS = 50_000
# A note moved by more than this share of a step is counted as off the grid.
OFF_GRID = 0.25
# The grid follows the notes when their starts agree this well (mean resultant length, 1 = all alike) on a place
# this far (steps) beside the file's beats. Triplets and swing agree on no place and stay as they are.
_AGREEMENT, _BESIDE = 0.6, 0.1


def pitched_notes(piece: Piece, track: int | str | None = None) -> tuple[Notes, int]:
    """The notes of a piece without drums, or of one track of it, and how many of other tracks are left out.

    Raises:
      EmptyMusicError: no notes, or drums only. OptionError: no such track.
    """
    notes = piece.columns()
    name = piece.name or "the piece"
    if not len(notes):
        why = f" ({' '.join(piece.warnings).rstrip('.')})" if piece.warnings else ""
        raise EmptyMusicError(f"{name} has no notes{why}; give a piece with a melody.")
    if notes.is_drum.all():
        raise EmptyMusicError(f"{name} has only drums ({len(notes)} notes); give a piece with a melody.")
    pitched = notes.take(~notes.is_drum) if notes.is_drum.any() else notes
    chosen = _of_track(piece, pitched, track)
    return chosen, len(pitched) - len(chosen)


def _of_track(piece: Piece, notes: Notes, track: int | str | None) -> Notes:
    if track is None:
        return notes
    indices = np.unique(notes.track).tolist()
    wanted = str(track).strip()
    found = [i for i in indices if str(i) == wanted]
    found = found or [i for i in indices if _folded(piece.track_names.get(i, "")) == _folded(wanted)]
    if not found:
        names = ", ".join(f"{i} ({piece.track_names[i]})" if i in piece.track_names else str(i) for i in indices)
        raise OptionError(f"{piece.name or 'the piece'} has no pitched track '{wanted}'; its tracks are {names}.")
    return notes.take(np.isin(notes.track, found))


def _folded(name: str) -> str:
    """A name for comparing: case and the ways to write one accented letter do not count."""
    return unicodedata.normalize("NFC", name).casefold()


def in_steps(piece: Piece, notes: Notes) -> np.ndarray:
    """Where notes begin and end, in sixteenths, float64 `[2, notes]`.

    Raises:
      InputError: times are no numbers, or the piece is longer than `MAX_BARS`.
    """
    at = piece.quarters(np.stack([notes.start, notes.end])) * STEPS_PER_QUARTER
    # So put that times that are no number fail too.
    if not np.abs(at).max() < MAX_BARS * STEPS_PER_BAR:
        raise InputError(
            f"{piece.name or 'the piece'} has a note that ends {np.abs(at).max() / STEPS_PER_BAR:.6g} bars after its "
            f"beginning; up to {MAX_BARS} are read: cut the piece or mend that note."
        )
    return at


def lead_beside_beats(at: np.ndarray) -> float | None:
    """How many steps to move notes so that a bar of 16 steps begins at 0; None where they follow the file's beats.

    In many recordings the beats are not the file's (in nine of ten of POP909's files).

    Args:
      at: see `in_steps`.
    """
    angle = 2 * np.pi * (at[0] % 1)
    resultant = complex(np.cos(angle).mean(), np.sin(angle).mean())
    phase = float(np.angle(resultant)) / (2 * np.pi)
    if abs(resultant) < _AGREEMENT or abs(phase) < _BESIDE:
        return None
    # With the beats gone the bar lines are too: they go where long notes start.
    step = np.floor(at[0] - phase + 0.5).astype(np.int64) % STEPS_PER_BAR
    weight = np.bincount(step, weights=at[1] - at[0], minlength=STEPS_PER_BAR)
    score = weight + np.roll(weight, -8) / 2 + (np.roll(weight, -4) + np.roll(weight, -12)) / 4
    return float(-(int(np.argmax(score)) + phase) % STEPS_PER_BAR)


def nearest_steps(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps in which notes begin, and those after their ends, int64 `[notes]` each; every note has one at least."""
    steps = np.floor(at + 0.5).astype(np.int64)
    return steps[0], np.maximum(steps[1], steps[0] + 1)
