"""A piece to its melody, one voice on a grid of sixteenths.

Where Magenta gives up, this module goes on: any metre is laid on the 16-step grid from its beat positions, rests stay
where they are, every program and tempo is accepted. A `MelodyReport` counts what had to be changed on the way.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.midi.piece import Notes, Piece
from calmvae.music import beat_grid
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

METHODS = {
    "skyline": "the highest sounding note at every step; a note under a held higher one stays hidden",
    "onsets": "the highest note of every onset, which ends the one before (as stock Magenta does)",
    "lowest": "the lowest sounding note at every step: the bass line",
}

# Notes of more steps than this in all are painted one by one, to keep the memory small.
_PAINTED_AT_ONCE = 1 << 20
# Notes that overlap by no more than this share of a step come one after the other.
_TOUCH = 0.05


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
      InputError: times are no numbers, or the piece is too long, see `beat_grid.in_steps`.
      OptionError: unknown method or track.
    """
    _check_method(method)
    notes, others = beat_grid.pitched_notes(piece, track)
    return _melody_of(piece, notes, method, _begin_report(piece, len(notes) + others))


def track_melodies(piece: Piece) -> list[Melody]:
    """The skyline of every pitched track by itself; one element only for a piece of one track."""
    notes, _ = beat_grid.pitched_notes(piece)
    tracks = [notes.take(notes.track == track) for track in np.unique(notes.track)]
    return [_melody_of(piece, track, "skyline", _begin_report(piece, len(notes))) for track in tracks]


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise OptionError(f"unknown melody method '{method}'; choose one of {', '.join(METHODS)}.")


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


def _melody_of(piece: Piece, notes: Notes, method: str, report: MelodyReport) -> Melody:
    at = beat_grid.in_steps(piece, notes)
    report.other_tracks -= len(notes)
    lead = beat_grid.lead_beside_beats(at)
    if lead is not None:
        report.lead_steps, report.realigned = lead, True
    # What sounds before time 0 (in no MIDI file) gets bars of its own.
    report.lead_steps += STEPS_PER_BAR * math.ceil(max(0.0, -(at.min() + report.lead_steps)) / STEPS_PER_BAR)
    at += report.lead_steps
    starts, ends = beat_grid.nearest_steps(at)
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
    report.off_grid = int(np.sum(np.abs(at[0, kept] - starts[kept]) > beat_grid.OFF_GRID))
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
