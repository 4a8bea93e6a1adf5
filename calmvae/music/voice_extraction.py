"""A piece in a few voices from high to low, on the sixteenth grid and in bars of its own: what piano models take."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from calmvae.common.text import are, count
from calmvae.midi.piece import Notes, Piece
from calmvae.music import bars, beat_grid, melody_report
from calmvae.music.melody_tokens import (
    FIRST_PITCH,
    HOLD,
    MIN_PITCH,
    NOTE_OFF,
    STEPS_PER_BAR,
    STEPS_PER_QUARTER,
    fold_pitches,
    sounding_voices,
)

# Semitones that it costs a note to lie above one that a higher voice holds, or below one of a lower voice.
_CROSSING = 30.0
# A voice that has been silent for a while draws notes less: so many semitones a step, and at most.
_IDLE, _MOST_IDLE = 0.25, 8.0
# Where the voices lie before their first notes.
_HIGHEST, _LOWEST = 74, 43


@dataclasses.dataclass
class VoiceReport:
    """What became of a piece's notes on the way to its voices (counts of notes unless said otherwise)."""

    notes: int = 0
    kept: int = 0
    doubled: int = 0
    left_out: int = 0
    other_tracks: int = 0
    drums: int = 0
    shortened: int = 0
    octave_folded: int = 0
    off_grid: int = 0
    metres: list[str] = dataclasses.field(default_factory=list)
    realigned: bool = False
    bars: int = 0

    def sentences(self) -> list[str]:
        """The changes a user should know of, in words."""
        said = []
        if n := self.left_out:
            said.append(f"{n} of {count(self.notes, 'note')} {are(n)} left out, for more sound at once than voices")
        said += melody_report.not_taken(self.other_tracks, self.drums)
        kept = count(self.kept, "note")
        return said + melody_report.moved(self.octave_folded, self.realigned, self.off_grid, kept)


@dataclasses.dataclass
class Voices:
    """A piece in voices on the sixteenth grid.

    Attributes:
      tokens: uint8 `[steps, voices]`, the highest voice first; see `melody_tokens`.
      bar_lines: int64 `[bars + 1]`, see `bars.bar_lines`; the last is `steps`.
      notes: int64 `[steps, voices]`, the place in `piece.columns()` of the note that is struck there, else -1.
      lead: steps of silence before the piece's own beginning.
      report: what was done to get it.
      piece: where it comes from.
    """

    tokens: np.ndarray
    bar_lines: np.ndarray
    notes: np.ndarray
    lead: float
    report: VoiceReport
    piece: Piece

    @property
    def bars(self) -> int:
        """How many bars it has."""
        return len(self.bar_lines) - 1

    def first_bar(self) -> int:
        """Index of the first bar in which a note starts."""
        return int(np.searchsorted(self.bar_lines, np.argmax((self.notes >= 0).any(axis=1)), side="right")) - 1

    def part(self, first: int, last: int, repeats: int = 1) -> Voices:
        """Bars `first` to before `last`, over and over; what rings over from before is struck again."""
        begin, end = int(self.bar_lines[first]), int(self.bar_lines[last])
        tokens, notes = self.tokens[begin:end].copy(), self.notes[begin:end]
        ringing = sounding_voices(self.tokens[:begin])[-1] if begin else np.zeros_like(tokens[0])
        tokens[0] = np.where((tokens[0] == HOLD) & (ringing > 0), ringing, tokens[0])
        tokens[0][tokens[0] == NOTE_OFF] = HOLD
        again = tokens.copy()
        again[0] = np.where(again[0] == HOLD, NOTE_OFF, again[0])
        lines = self.bar_lines[first : last + 1] - begin
        return dataclasses.replace(
            self,
            tokens=np.concatenate([tokens, *[again] * (repeats - 1)]),
            notes=np.tile(notes, (repeats, 1)),
            bar_lines=np.concatenate([[0], *[lines[1:] + k * (end - begin) for k in range(repeats)]]),
        )

    def seconds_at(self, step: float) -> float:
        """Time in the piece, in seconds, of a step (negative in an added upbeat)."""
        return float(self.piece.seconds((step - self.lead) / STEPS_PER_QUARTER))


def extract_voices(piece: Piece, voices: int = 4, track: int | str | None = None) -> Voices:
    """Gives every note of a piece to one of a few voices.

    Of a chord with more notes than voices the highest and the lowest are kept; of those between, a pitch that another
    octave has goes first. A held note is cut only where a new one needs its voice.

    Args:
      piece: any piece with at least one pitched note.
      voices: how many.
      track: take only this track (index or name, case ignored); default all but drums.

    Raises:
      EmptyMusicError: no notes, or drums only. InputError: the piece is too long. OptionError: no such track.
    """
    notes, others = beat_grid.pitched_notes(piece, track)
    total = len(piece.columns())
    report = VoiceReport(notes=len(notes), other_tracks=others, drums=total - len(notes) - others)
    report.metres = list(dict.fromkeys(f"{n}/{d}" for _, n, d in piece.time_signatures or [(0.0, 4, 4)]))
    at = beat_grid.in_steps(piece, notes)
    lead = beat_grid.lead_beside_beats(at)
    report.realigned, lead = lead is not None, lead or 0.0
    # What sounds before time 0 (in no MIDI file) gets bars of its own.
    lead += STEPS_PER_BAR * math.ceil(max(0.0, -(at.min() + lead)) / STEPS_PER_BAR)
    at += lead
    starts, ends = beat_grid.nearest_steps(at)
    folded = fold_pitches(notes.pitch)
    lines = _bar_lines(piece, int(ends.max()), report.realigned, round(lead))
    given = _Given(voices, int(lines[-1]))
    order = np.lexsort((-ends, -folded, starts))
    rows = zip(starts[order].tolist(), folded[order].tolist(), ends[order].tolist(), order.tolist(), strict=True)
    for start, chord in itertools.groupby(rows, key=lambda row: row[0]):
        given.strike(start, [row[1:] for row in chord])
    kept = given.notes[given.notes >= 0]
    report.kept, report.doubled, report.shortened = len(kept), given.doubled, given.shortened
    report.left_out = len(notes) - report.kept - report.doubled
    report.octave_folded = int(np.sum(folded[kept] != notes.pitch[kept]))
    report.off_grid = int(np.sum(np.abs(at[0, kept] - starts[kept]) > beat_grid.OFF_GRID))
    report.bars = len(lines) - 1
    places = np.append(_places(piece, notes), -1)
    return Voices(given.written(), lines, places[given.notes], lead, report, piece)


def _places(piece: Piece, notes: Notes) -> np.ndarray:
    """The places in `piece.columns()` of the notes that `beat_grid.pitched_notes` gave: the pitched ones of tracks."""
    columns = piece.columns()
    return np.flatnonzero(~columns.is_drum & np.isin(columns.track, np.unique(notes.track)))


def _bar_lines(piece: Piece, steps: int, realigned: bool, lead: int) -> np.ndarray:
    """The bar lines of music that is moved by `lead` steps; where the beats are not the file's, a bar every 16."""
    if realigned:
        return np.arange(0, steps + STEPS_PER_BAR, STEPS_PER_BAR, dtype=np.int64)
    own = bars.bar_lines(piece, steps - lead) + lead
    return np.concatenate([np.arange(0, lead, STEPS_PER_BAR, dtype=np.int64), own])


class _Given:
    """Notes given to voices, chord by chord.

    Attributes:
      notes: int64 `[steps, voices]`, which note is struck, else -1.
      doubled: notes of a pitch that is struck anyway. shortened: notes that were cut for another one.
    """

    def __init__(self, voices: int, steps: int) -> None:
        self.voices = voices
        self.notes = np.full((steps, voices), -1, np.int64)
        self.doubled = self.shortened = 0
        self._last: list[float] = [float(p) for p in np.linspace(_HIGHEST, _LOWEST, voices)] if voices > 1 else [64.0]
        self._end = [0] * voices
        self._struck: list[list[tuple[int, int, int]]] = [[] for _ in range(voices)]

    def strike(self, start: int, chord: list[tuple[int, int, int]]) -> None:
        """Notes `(pitch, end, number)` that begin together, the highest first and of equal ones the longest."""
        longest: dict[int, tuple[int, int, int]] = {}
        for note in chord:
            longest.setdefault(note[0], note)
        self.doubled += len(chord) - len(longest)
        wanted = _outer(list(longest.values()), self.voices)
        held = [v for v in range(self.voices) if self._end[v] > start]
        again = {note[0] for note in wanted}
        # A pitch that is struck again ends the note before, as on a piano.
        for v in [v for v in held if self._last[v] in again]:
            held.remove(v)
            self._cut(v, start, counts=False)
        while len(wanted) > self.voices - len(held):
            v = min(held, key=lambda v: self._end[v])
            held.remove(v)
            self._cut(v, start, counts=True)
        free = [v for v in range(self.voices) if v not in held]
        for v, (pitch, end, number) in zip(self._best(start, free, held, wanted), wanted, strict=True):
            self._last[v], self._end[v] = pitch, end
            self._struck[v].append((start, end, pitch))
            self.notes[start, v] = number

    def written(self) -> np.ndarray:
        """The tokens, uint8 `[steps, voices]`."""
        tokens = np.zeros(self.notes.shape, np.uint8)
        for v, struck in enumerate(self._struck):
            for _, end, _ in struck:
                # What is struck at that step is written over it below.
                if end < len(tokens):
                    tokens[end, v] = NOTE_OFF
            for start, _, pitch in struck:
                tokens[start, v] = pitch - MIN_PITCH + FIRST_PITCH
        return tokens

    def _cut(self, voice: int, at: int, counts: bool) -> None:
        start, _, pitch = self._struck[voice][-1]
        self._struck[voice][-1] = start, at, pitch
        self._end[voice] = at
        self.shortened += counts

    def _best(
        self, start: int, free: list[int], held: list[int], wanted: list[tuple[int, int, int]]
    ) -> tuple[int, ...]:
        """The voices for notes, the highest first: near to what they had before, and not across held notes."""
        if len(free) == len(wanted):
            return tuple(free)
        costs = [[self._cost(v, note[0], start, held) for v in free] for note in wanted]
        choices = itertools.combinations(range(len(free)), len(wanted))
        best = min(choices, key=lambda chosen: sum(row[k] for row, k in zip(costs, chosen, strict=True)))
        return tuple(free[k] for k in best)

    def _cost(self, voice: int, pitch: int, start: int, held: list[int]) -> float:
        idle = min(_MOST_IDLE, _IDLE * (start - self._end[voice])) if self._struck[voice] else _MOST_IDLE
        crossed = sum((h < voice) == (self._last[h] < pitch) for h in held)
        return abs(self._last[voice] - pitch) + idle + _CROSSING * crossed


def _outer(chord: list[tuple[int, int, int]], most: int) -> list[tuple[int, int, int]]:
    """At most so many notes of a chord, the highest first: both ends, and between them those that add most."""
    if most == 1:
        return chord[:1]
    chord = list(chord)
    while len(chord) > most:
        classes = [note[0] % 12 for note in chord]
        inner = range(1, len(chord) - 1)
        doubled = [k for k in inner if classes.count(classes[k]) > 1]
        chord.pop(doubled[0] if doubled else len(chord) // 2)
    return chord
