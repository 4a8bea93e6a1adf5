"""A model of melodies: windows are rows of tokens, run by the numpy engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from calmvae.common import text
from calmvae.common.errors import OptionError
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Note, Piece
from calmvae.model.interface import Excerpt, Segment, Voice
from calmvae.model.numpy_model import QPM_RANGE, NumpyModel
from calmvae.music import melody_extraction, melody_tokens, melody_windows
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY
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
        qpm = _tempo(line, first, last, remarks if bars else [])
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


def excerpts_of(tokens: np.ndarray) -> list[Excerpt]:
    """Windows uint8 `[n, steps]` as excerpts of no piece, one each."""
    bars, tied = tokens.shape[1] // STEPS_PER_BAR, np.zeros(1, bool)
    players = [Voice("melody", 0, DEFAULT_VELOCITY)]
    return [Excerpt("", row[None], row[None], bars, tied, DEFAULT_QPM, players) for row in tokens]


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


def melody_of(piece: Piece, method: str, track: int | str | None, remarks: list[str]) -> Melody:
    """A piece's melody; what was changed to get it is added to the remarks."""
    line = melody_extraction.extract_melody(piece, method, track)
    changes = piece.warnings + [f"{s}." for s in line.report.sentences()]
    remarks += [f"{piece.name or 'The piece'}: {change}" for change in changes]
    return line


def _bars_of(line: Melody, bars: int | None, start_bar: int | None, remarks: list[str]) -> tuple[np.ndarray, int, int]:
    """The tokens of so many bars of a melody, repeated where there are fewer; the first bar, and the one after them."""
    if bars is None:
        return line.tokens, 0, line.bars
    name = line.piece.name or "the piece"
    first = line.first_bar() if start_bar is None else start_bar - 1
    if not 0 <= first < line.bars:
        raise OptionError(f"bar {first + 1} of {name} was asked for; it has bars 1 to {line.bars}.")
    if first and start_bar is None:
        remarks.append(f"{name}: {text.bars(1, first)}, before the first note, {text.are(first)} left out.")
    last = min(first + bars, line.bars)
    chosen, are = text.bars(first + 1, last), text.are(last - first)
    tokens = line.tokens[first * STEPS_PER_BAR :]
    if first:
        # What rings over from before the cut is struck again, as at any window's start.
        tokens = melody_windows.cut_windows(line.tokens, len(tokens), first * STEPS_PER_BAR)[0][1][: len(tokens)]
    if not (tokens[: bars * STEPS_PER_BAR] >= melody_tokens.FIRST_PITCH).any():
        raise OptionError(f"{chosen} of {name} {are} silent; choose a bar with notes.")
    if last < line.bars:
        remarks.append(f"{name}: {chosen} of {line.bars} {are} used.")
    elif last - first < bars:
        remarks.append(f"{name}: {chosen}, all there is from there on, {are} repeated to fill {bars}.")
        tokens = melody_windows.join_windows(np.tile(tokens, (-(-bars // (last - first)), 1)))
    return tokens[: bars * STEPS_PER_BAR], first, last


def _tempo(line: Melody, first: int, last: int, remarks: list[str]) -> float:
    """The mean tempo of bars `first` to before `last`, in quarters per minute."""
    begin, end = (line.seconds_at(bar * STEPS_PER_BAR) for bar in (first, last))
    qpm = float(np.clip(line.piece.mean_qpm(max(begin, 0.0), max(end, 0.0)), *QPM_RANGE))
    slowest, fastest = line.piece.qpm_range(begin, end)
    if fastest > 1.02 * slowest:
        name = line.piece.name or "the piece"
        remarks.append(f"{name}: its tempo, {slowest:.0f} to {fastest:.0f}, is evened out to the mean, {qpm:.0f}.")
    return qpm
