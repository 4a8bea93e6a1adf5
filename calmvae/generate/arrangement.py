"""Decoded windows to a `Piece`: voices, tempos, sections. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Note, Piece
from calmvae.music import melody_tokens
from calmvae.music.melody_extraction import Melody
from calmvae.music.melody_tokens import STEPS_PER_QUARTER


@dataclasses.dataclass(frozen=True)
class Voice:
    """Who plays: a track's name, a General MIDI program, a velocity."""

    name: str
    program: int
    velocity: float


@dataclasses.dataclass
class Segment:
    """Windows to be played one after the other at one tempo by one or two voices."""

    windows: np.ndarray
    tied: np.ndarray
    qpm: float
    voices: list[Voice]
    label: str
    given: bool = False


def arrange(segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
    """Plays segments one after the other."""
    windows = np.concatenate([s.windows for s in segments])
    tied = np.concatenate([np.append(False, s.tied[1:]) for s in segments])
    tokens = melody_tokens.join_windows(windows, tied)
    starts = np.cumsum([0] + [s.windows.size for s in segments])
    seconds = np.array([s.windows.size / STEPS_PER_QUARTER * 60 / s.qpm for s in segments])
    begins = np.concatenate([[0.0], np.cumsum(seconds)])

    def at(step: int) -> float:
        k = min(int(np.searchsorted(starts, step, side="right")) - 1, len(segments) - 1)
        return float(begins[k] + (step - starts[k]) / STEPS_PER_QUARTER * 60 / segments[k].qpm)

    tracks = list(dict.fromkeys(voice.name for s in segments for voice in s.voices))
    notes = []
    for pitch, start, end in melody_tokens.token_notes(tokens):
        segment = segments[int(np.searchsorted(starts, start, side="right")) - 1]
        for voice in segment.voices:
            velocity = round(voice.velocity)
            if velocity > 0:
                track = tracks.index(voice.name)
                notes.append(Note(pitch, velocity, at(start), at(end), voice.program, False, track))
    piece = Piece(
        notes=notes,
        tempos=[(float(begins[k]), s.qpm) for k, s in enumerate(segments) if k == 0 or s.qpm != segments[k - 1].qpm],
        time_signatures=[(0.0, 4, 4)],
        track_names=dict(enumerate(tracks)),
        name=name,
    )
    sections = [
        Section(starts[k] / STEPS_PER_QUARTER, starts[k + 1] / STEPS_PER_QUARTER, s.label, s.given)
        for k, s in enumerate(segments)
    ]
    return piece, sections


def on_own_time(line: Melody, tokens: np.ndarray, name: str, track: str) -> Piece:
    """A melody at the tempo map of the piece that `line` was taken from."""
    # An upbeat added in front to reach the grid lies before the piece's time 0.
    shift = max(0.0, -line.seconds_at(0))
    at = lambda step: line.seconds_at(step) + shift  # noqa: E731
    notes = [
        Note(pitch, line.velocity, at(start), at(end), line.program)
        for pitch, start, end in melody_tokens.token_notes(tokens)
    ]
    tempos = [(0.0, line.piece.tempos[0][1])] + [(t + shift, q) for t, q in line.piece.tempos if t + shift > 0]
    return Piece(notes, tempos, [(0.0, 4, 4)], {0: track}, name)
