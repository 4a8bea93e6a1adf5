"""A model of melodies: windows are rows of tokens, run by the numpy engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Note, Piece
from calmvae.model import numpy_model
from calmvae.model.interface import Excerpt, Segment, Voice
from calmvae.model.numpy_model import NumpyModel
from calmvae.music import melody_extraction, melody_tokens, melody_windows
from calmvae.music.melody_extraction import Melody
from calmvae.music.melody_tokens import STEPS_PER_BAR, STEPS_PER_QUARTER


class MelodyModel(NumpyModel):
    """See `interface.Model`; a window is a row of tokens, uint8 `[steps]`, see `melody_tokens`."""

    def excerpt(
        self,
        piece: Piece,
        bars: int | None,
        remarks: list[str],
        *,
        melody: str = "skyline",
        track: int | str | None = None,
        start_bar: int | None = None,
    ) -> Excerpt:
        """See `Model.excerpt`; what is shorter than `bars` is repeated."""
        line = melody_of(piece, melody, track, remarks)
        tokens, first, last = _bars_of(line, bars, start_bar, remarks)
        windows, tied = melody_windows.cut_windows(tokens, self.spec.steps)
        qpm = numpy_model.even_tempo(line, first * STEPS_PER_BAR, last * STEPS_PER_BAR, remarks if bars else [])
        report = dataclasses.asdict(line.report)
        players = [Voice("melody", line.program, line.velocity)]
        return Excerpt(line.piece.name, windows, windows, bars or line.bars, tied, qpm, players, report, line)

    def measure(self, given: Excerpt, decoded: np.ndarray) -> dict[str, float]:
        """See `Model.measure`; also of the steps where a note starts."""
        onsets = melody_tokens.onset_accuracy(given.windows, decoded)
        return super().measure(given, decoded) | {"onset_accuracy": onsets}

    def replay(self, excerpt: Excerpt, windows: np.ndarray, name: str, track: str) -> Piece:
        """See `Model.replay`; for excerpts of whole pieces."""
        line: Melody = excerpt.cut_from
        return on_own_time(line, melody_windows.join_windows(windows, excerpt.tied)[: len(line.tokens)], name, track)

    def play(self, segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
        """See `Model.play`; every voice plays the melody, each on a track of its own."""
        windows = np.concatenate([s.windows for s in segments])
        tied = np.concatenate([np.append(False, s.tied[1:]) for s in segments])
        tokens = melody_windows.join_windows(windows, tied)
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
        changes = [k for k, s in enumerate(segments) if k == 0 or s.qpm != segments[k - 1].qpm]
        piece = Piece(
            notes=notes,
            tempos=[(float(begins[k]), segments[k].qpm) for k in changes],
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
    shift, tempos = numpy_model.own_tempos(line)
    at = lambda step: line.seconds_at(step) + shift  # noqa: E731
    notes = [
        Note(pitch, line.velocity, at(start), at(end), line.program)
        for pitch, start, end in melody_tokens.token_notes(tokens)
    ]
    return Piece(notes, tempos, [(0.0, 4, 4)], {0: track}, name)


def melody_of(piece: Piece, method: str, track: int | str | None, remarks: list[str]) -> Melody:
    """A piece's melody; what was changed to get it is added to the remarks."""
    line = melody_extraction.extract_melody(piece, method, track)
    numpy_model.report_changes(line, remarks)
    return line


def _bars_of(line: Melody, bars: int | None, start_bar: int | None, remarks: list[str]) -> tuple[np.ndarray, int, int]:
    """The tokens of so many bars of a melody, repeated where there are fewer; the first bar, and the one after them."""
    if bars is None:
        return line.tokens, 0, line.bars
    first, last = numpy_model.chosen_bars(line, bars, start_bar, remarks)
    tokens = line.tokens[first * STEPS_PER_BAR :]
    if first:
        # What rings over from before the cut is struck again, as at any window's start.
        tokens = melody_windows.cut_windows(line.tokens, len(tokens), first * STEPS_PER_BAR)[0][1][: len(tokens)]
    heard = bool(melody_tokens.is_onset(tokens[: bars * STEPS_PER_BAR]).any())
    numpy_model.report_bars(line, first, last, bars, heard, remarks)
    if last - first < bars:
        tokens = melody_windows.join_windows(np.tile(tokens, (-(-bars // (last - first)), 1)))
    return tokens[: bars * STEPS_PER_BAR], first, last
