"""A piece to its melody, one voice on a grid of sixteenths.

Where Magenta gives up, this module goes on: any metre is laid on the 16-step grid from its beat positions, rests stay
where they are, every program and tempo is accepted. A `MelodyReport` counts what had to be changed on the way.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata

import numpy as np

from calmvae.common.errors import EmptyMusicError, InputError, OptionError
from calmvae.midi.piece import Notes, Piece
from calmvae.music.melody_report import MelodyReport
from calmvae.music.melody_tokens import (
    FIRST_PITCH,
    HOLD,
    MAX_PITCH,
    MIN_PITCH,
    NOTE_OFF,
    STEPS_PER_BAR,
    STEPS_PER_QUARTER,
    fold_pitches,
)

# Beyond two days of music something is wrong with a file's times, and memory runs out.
MAX_BARS = 50_000

METHODS = {
    "skyline": "the highest sounding note at every step; a note under a held higher one stays hidden",
    "onsets": "the highest note of every onset, which ends the one before (as stock Magenta does)",
    "lowest": "the lowest sounding note at every step: the bass line",
}

# Notes of more steps than this in all are painted one by one, to keep the memory small.
_PAINTED_AT_ONCE = 1 << 20
# A note moved by more than this share of a step is counted as off the grid.
_OFF_GRID = 0.25
# Notes that overlap by no more than this share of a step come one after the other.
_TOUCH = 0.05
# The grid follows the notes when their starts agree this well (mean resultant length, 1 = all alike) on a place
# this far (steps) beside the file's beats. Triplets and swing agree on no place and stay as they are.
_AGREEMENT, _BESIDE = 0.6, 0.1


@dataclasses.dataclass
class Melody:
    """One voice on the sixteenth grid.

    Attributes:
      tokens: uint8 `[steps]`, whole bars of 16 steps.
      report: what was done to get it.
      program, velocity: General MIDI program and mean velocity of its notes.
      piece: where it comes from.
    """

    tokens: np.ndarray
    report: MelodyReport
    program: int
    velocity: int
    piece: Piece

    @property
    def bars(self) -> int:
        """Length in bars of 16 steps."""
        return len(self.tokens) // STEPS_PER_BAR

    def first_bar(self) -> int:
        """Index of the first bar in which a note starts."""
        return int(np.argmax(self.tokens >= FIRST_PITCH)) // STEPS_PER_BAR

    def seconds_at(self, step: int) -> float:
        """Time in the piece, in seconds, of a step of the melody (negative in an added upbeat)."""
        return float(self.piece.seconds((step - self.report.lead_steps) / STEPS_PER_QUARTER))


def extract_melody(piece: Piece, method: str = "skyline", track: int | str | None = None) -> Melody:
    """Reduces a piece to one voice on the grid.

    Args:
      piece: any piece with at least one pitched note.
      method: a key of `METHODS`.
      track: take only this track (index or name, case ignored); default all but drums.

    Raises:
      EmptyMusicError: no notes, or drums only.
      InputError: times are no numbers, or the piece is longer than `MAX_BARS`.
      OptionError: unknown method or track.
    """
    _check_method(method)
    notes = _pitched_notes(piece)
    return _melody_of(piece, _select_track(piece, notes, track), method, _begin_report(piece, len(notes)))


def track_melodies(piece: Piece) -> list[Melody]:
    """The skyline of every pitched track by itself; one element only for a piece of one track."""
    notes = _pitched_notes(piece)
    tracks = [notes.take(notes.track == track) for track in np.unique(notes.track)]
    return [_melody_of(piece, track, "skyline", _begin_report(piece, len(notes))) for track in tracks]


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise OptionError(f"unknown melody method '{method}'; choose one of {', '.join(METHODS)}.")


def _pitched_notes(piece: Piece) -> Notes:
    notes = piece.columns()
    if not len(notes):
        why = f" ({' '.join(piece.warnings).rstrip('.')})" if piece.warnings else ""
        raise EmptyMusicError(f"{piece.name or 'the piece'} has no notes{why}; give a piece with a melody.")
    if notes.is_drum.all():
        raise EmptyMusicError(
            f"{piece.name or 'the piece'} has only drums ({len(notes)} notes); give a piece with a melody."
        )
    return notes.take(~notes.is_drum) if notes.is_drum.any() else notes


def _select_track(piece: Piece, notes: Notes, track: int | str | None) -> Notes:
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


def _begin_report(piece: Piece, pitched: int) -> MelodyReport:
    count = len(piece.columns())
    report = MelodyReport(notes=count, drums=count - pitched, tempo_events=len(piece.tempos))
    # Until it is known which of them are taken.
    report.other_tracks = pitched
    _describe_metre(piece, report)
    return report


def _describe_metre(piece: Piece, report: MelodyReport) -> None:
    """Names the metres and finds how many steps of upbeat put the main metre's bars on the grid."""
    signatures = piece.time_signatures or [(0.0, 4, 4)]
    report.metres = list(dict.fromkeys(f"{n}/{d}" for _, n, d in signatures))
    starts = piece.quarters([t for t, _, _ in signatures])
    first = starts[0]
    if len(report.metres) > 1:
        ends = np.append(starts[1:], max(float(piece.quarters(piece.duration)), starts[-1]))
        spans: dict[str, float] = {}
        for (_, n, d), start, end in zip(signatures, starts, ends, strict=True):
            spans[f"{n}/{d}"] = spans.get(f"{n}/{d}", 0.0) + end - start
        main = max(spans, key=lambda metre: spans[metre])
        first = next(s for (_, n, d), s in zip(signatures, starts, strict=True) if f"{n}/{d}" == main)
    report.lead_steps = float(-round(float(first) * STEPS_PER_QUARTER) % STEPS_PER_BAR)
    report.rebarred = any(n != d for _, n, d in signatures)


def _align(at: np.ndarray, report: MelodyReport) -> None:
    """Moves the grid to the notes where a recording's beats are not the file's (nine in ten of POP909's files)."""
    angle = 2 * np.pi * (at[0] % 1)
    resultant = complex(np.cos(angle).mean(), np.sin(angle).mean())
    phase = float(np.angle(resultant)) / (2 * np.pi)
    if abs(resultant) < _AGREEMENT or abs(phase) < _BESIDE:
        return
    # With the beats gone the bar lines are too: they go where long notes start.
    step = np.floor(at[0] - phase + 0.5).astype(np.int64) % STEPS_PER_BAR
    weight = np.bincount(step, weights=at[1] - at[0], minlength=STEPS_PER_BAR)
    score = weight + np.roll(weight, -8) / 2 + (np.roll(weight, -4) + np.roll(weight, -12)) / 4
    report.lead_steps = float(-(int(np.argmax(score)) + phase) % STEPS_PER_BAR)
    report.realigned = True


def _melody_of(piece: Piece, notes: Notes, method: str, report: MelodyReport) -> Melody:
    at = piece.quarters(np.stack([notes.start, notes.end])) * STEPS_PER_QUARTER
    # So put that times that are no number fail too.
    if not np.abs(at).max() < MAX_BARS * STEPS_PER_BAR:
        raise InputError(
            f"{piece.name or 'the piece'} has a note that ends {np.abs(at).max() / STEPS_PER_BAR:.6g} bars after its "
            f"beginning; up to {MAX_BARS} are read: cut the piece or mend that note."
        )
    report.other_tracks -= len(notes)
    _align(at, report)
    # What sounds before time 0 (in no MIDI file) gets bars of its own.
    report.lead_steps += STEPS_PER_BAR * math.ceil(max(0.0, -(at.min() + report.lead_steps)) / STEPS_PER_BAR)
    at += report.lead_steps
    steps = np.floor(at + 0.5).astype(np.int64)
    starts, ends = steps[0], np.maximum(steps[1], steps[0] + 1)
    folded = fold_pitches(notes.pitch)
    total = math.ceil(int(ends.max()) / STEPS_PER_BAR) * STEPS_PER_BAR
    owner = _owners(starts, ends, folded, method, total)
    tokens = _tokens(owner, starts, folded)

    onsets = np.flatnonzero(tokens >= FIRST_PITCH)
    kept = owner[onsets]
    report.in_melody = len(kept)
    report.same_sixteenth = _same_sixteenth(at, starts, owner, kept)
    report.hidden = len(notes) - len(kept) - report.same_sixteenth
    report.octave_folded = int(np.sum(folded[kept] != notes.pitch[kept]))
    report.off_grid = int(np.sum(np.abs(at[0, kept] - starts[kept]) > _OFF_GRID))
    events = np.append(np.flatnonzero(tokens), total)
    lengths = np.diff(events)[tokens[events[:-1]] >= FIRST_PITCH]
    report.shortened = int(np.sum(lengths < (ends - starts)[kept]))
    report.bars = total // STEPS_PER_BAR
    return Melody(
        tokens=tokens,
        report=report,
        program=int(np.argmax(np.bincount(notes.program[kept]))),
        velocity=round(float(notes.velocity[kept].mean())),
        piece=piece,
    )


def _same_sixteenth(at: np.ndarray, starts: np.ndarray, owner: np.ndarray, kept: np.ndarray) -> int:
    """How many notes are left out for one of the melody that begins in their step, after or before them and not with
    them: the grid is too coarse for both.

    Args:
      at: where notes begin and end, in steps, float64 `[2, notes]`.
      starts: the step in which each begins.
      owner: the note heard at each step.
      kept: the notes of the melody.
    """
    lost = np.ones(len(starts), bool)
    lost[kept] = False
    rows = np.flatnonzero(lost)
    others = owner[starts[rows]]
    rows, others = rows[others >= 0], others[others >= 0]
    beside = starts[others] == starts[rows]
    rows, others = rows[beside], others[beside]
    apart = (at[1, rows] <= at[0, others] + _TOUCH) | (at[1, others] <= at[0, rows] + _TOUCH)
    return int(apart.sum())


def _tokens(owner: np.ndarray, starts: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """The tokens that say which note is heard at each step. `[steps]` to uint8 `[steps]`."""
    tokens = np.zeros(len(owner), np.uint8)
    changes = np.flatnonzero(owner[1:] != owner[:-1]) + 1
    if owner[0] >= 0:
        changes = np.append(0, changes)
    current = owner[changes]
    begins = (current >= 0) & (starts[current] == changes)
    # A lower note laid bare by the end of a higher one is not struck again. A bare NOTE_OFF after silence says
    # nothing; keep one spelling for one music.
    ends = np.zeros(len(changes), np.int64)
    ends[1:] = np.where(begins[:-1], NOTE_OFF, HOLD)
    tokens[changes] = np.where(begins, pitches[current] - MIN_PITCH + FIRST_PITCH, ends)
    return tokens


def _owners(starts: np.ndarray, ends: np.ndarray, pitches: np.ndarray, method: str, total: int) -> np.ndarray:
    """Index of the note heard at each step, -1 for silence."""
    owner = np.full(total, -1, np.int64)
    if method == "onsets":
        order = np.lexsort((pitches, starts))
        last_of_step = np.append(starts[order][1:] != starts[order][:-1], True)
        winners = order[last_of_step]
        following = np.append(starts[winners][1:], total)
        for i, limit in zip(winners, following, strict=True):
            owner[starts[i] : min(ends[i], limit)] = i
        return owner
    # Painted from the voice that matters least to the one that matters most; of equal pitches the later start wins.
    rank = MAX_PITCH - pitches if method == "lowest" else pitches
    # By rank, start and place, in one number, which is sorted faster than three.
    order = np.sort((rank * total + starts) * len(starts) + np.arange(len(starts))) % len(starts)
    starts, lengths = starts[order], (ends - starts)[order]
    if lengths.sum() > _PAINTED_AT_ONCE:
        for i, start, length in zip(order, starts, lengths, strict=True):
            owner[start : start + length] = i
        return owner
    # Every step of every note; of several notes at a step the highest place in the order is left.
    place = np.repeat(np.arange(len(order)), lengths)
    steps = np.arange(len(place)) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    np.maximum.at(owner, steps, place)
    return np.where(owner >= 0, order[owner], -1)
