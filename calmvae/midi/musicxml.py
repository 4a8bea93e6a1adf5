"""Plays MusicXML scores: one order of measures for all parts, tempos, metres and notes.

calmvae has its own reader, because no library passes `tests/test_musicxml.py`. music21 repeats each part alone, so
that parts with endings fall out of step, and stops at unknown signs. partitura ignores programs and transpositions by
octaves, verovio ignores dynamics and percussion (`benchmarks/score_readers.py` compares them).
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from calmvae.common.errors import Damaged
from calmvae.common.text import are, count, no_length
from calmvae.midi import musicxml_file, musicxml_order, musicxml_part, musicxml_signs, musicxml_ties
from calmvae.midi.musicxml_dynamics import Loudness
from calmvae.midi.musicxml_part import Bar
from calmvae.midi.piece import DEFAULT_QPM, Instrument, Notes, Performance

# Ticks per quarter note as in note_seq; usual note lengths divide it.
_RESOLUTION = 220
_MAX_NOTES = 2_000_000

# A place in the score: a measure and a position within it.
Place = tuple[int, Fraction]


def read(data: bytes) -> Performance:
    """Reads a score.

    Raises:
      Damaged: no readable XML, or too many notes.
      NoMusicError: XML, but no score.
    """
    root, said = musicxml_file.load(data)
    parts = root.findall("part")
    left_out: Counter[str] = Counter()
    unplayed: Counter[str] = Counter()
    players = {found.get("id"): found for found in root.iter("score-part")}
    shortened = 0
    bars: list[list[Bar]] = []
    for part in parts:
        reader = musicxml_part.Reader(musicxml_part.read_players(players.get(part.get("id"))), left_out, unplayed)
        bars.append([reader.read(measure) for measure in part.findall("measure")])
        shortened += reader.shortened
    score = _Score(bars, musicxml_order.play_order(musicxml_order.read_marks(parts)))
    names = [_name(players.get(part.get("id"))) for part in parts]
    notes, instruments = _notes(score, names)
    if shortened:
        said.append(no_length(shortened))
    said += score.said
    for kind, n in left_out.items():
        noun, that, why = kind.partition(" that ")
        said.append(f"{count(n, noun)}{that}{why} {are(n)} left out.")
    if unplayed:
        said.append(f"Signs that are not played: {', '.join(f'{n} {kind}' for kind, n in unplayed.most_common())}.")
    empty = np.zeros((0, 3), np.int64), np.zeros(0)
    return Performance(
        resolution=_RESOLUTION,
        tempos=score.tempos,
        time_signatures=score.timed(score.metres),
        key_signatures=score.timed(score.keys),
        instruments=instruments,
        notes=notes,
        controls=empty,
        bends=(empty[0][:, :2], empty[1]),
        warnings=said,
        encoding="musicxml",
    )


def _name(score_part: Element | None) -> str:
    return " ".join((score_part.findtext("part-name") or "").split()) if score_part is not None else ""


class _Score:
    """All parts on one time line, in quarter notes as played.

    Attributes:
      bars: the bars of each part.
      order: measures as played, with their passes.
      written, played: begins of the measures as written, and of the measures as played.
      tempos: `(seconds, quarters per minute)`.
      metres, keys: `(quarter, values)`.
      said: remarks for the user.
    """

    def __init__(self, bars: list[list[Bar]], order: list[tuple[int, int]]) -> None:
        self.bars, self.order = bars, order
        self.said = []
        if len(order) >= musicxml_order.MAX_PLAYED:
            most = musicxml_order.MAX_PLAYED
            self.said.append(f"Its repeats make more than {most} measures; the first {most} are played.")
        elif silent := max((len(part) for part in bars), default=0) - len({measure for measure, _ in order}):
            self.said.append(f"{count(silent, 'measure')} {are(silent)} never played, by its repeats and jumps.")
        columns = list(itertools.zip_longest(*bars))
        metres = _events(columns, "metres")
        self._lengths = _lengths(columns, metres)
        uneven = sum(len({bar.length for bar in column if bar and bar.length}) > 1 for column in columns)
        if uneven:
            ends = "ends" if uneven == 1 else "end"
            self.said.append(
                f"{count(uneven, 'measure')} {ends} earlier in one part than in another; the latest end counts."
            )
        self.written = list(itertools.accumulate(self._lengths, initial=Fraction(0)))
        self.played = list(itertools.accumulate((self._lengths[m] for m, _ in order), initial=Fraction(0)))
        self.metres = self._as_played(_with_upbeat(metres, self._lengths))
        self.keys = self._as_played(_events(columns, "keys"))
        self._seconds = _Seconds(self._as_played(self._read_tempos(columns)))
        self.tempos = self._seconds.tempos

    def _read_tempos(self, columns: Sequence[Sequence[Bar | None]]) -> dict[Place, float]:
        """The tempos in figures; without any, the usual tempos of tempo words."""
        tempos = _events(columns, "tempos")
        if tempos:
            return tempos
        words = _events(columns, "words")
        found = {place: qpm for place, text in words.items() if (qpm := musicxml_signs.tempo_of_words(text))}
        if found:
            place, qpm = min(found.items())
            self.said.append(f"Its tempo is given only in words; {words[place]!r} is played at {qpm:g}.")
        return found

    def _as_played(self, events: dict[Place, Any]) -> list[tuple[Fraction, Any]]:
        """Events in the order of playing; each measure begins with the values that are written for it."""
        places = sorted(events)
        found: list[tuple[Fraction, Any]] = []
        now = None
        for (measure, _), begin in zip(self.order, self.played, strict=False):
            first = bisect.bisect_left(places, (measure, Fraction(0)))
            last = bisect.bisect_left(places, (measure + 1, Fraction(0)))
            here = [(begin + at, events[measure, at]) for _, at in places[first:last]]
            if first and not (here and here[0][0] == begin):
                here.insert(0, (begin, events[places[first - 1]]))
            for at, value in here:
                if value != now:
                    found.append((at, value))
                    now = value
        return found

    def timed(self, events: list[tuple[Fraction, Any]]) -> list[Any]:
        """Events as rows of their times in seconds and their values."""
        return [(float(self.seconds([at])[0]), *value) for at, value in events]

    def seconds(self, quarters: Sequence[Fraction]) -> np.ndarray:
        """Times of positions in quarter notes."""
        return self._seconds.at(np.array([float(at) for at in quarters]))


class _Seconds:
    """Quarter notes to seconds."""

    def __init__(self, tempos: list[tuple[Fraction, float]]) -> None:
        begins, qpms = [0.0], [DEFAULT_QPM]
        for at, qpm in tempos:
            if at <= 0:
                qpms[0] = qpm
            else:
                begins.append(float(at))
                qpms.append(qpm)
        self._begins, self._lengths = np.array(begins), 60.0 / np.array(qpms)
        self._times = np.append(0.0, np.cumsum(np.diff(self._begins) * self._lengths[:-1]))
        self.tempos = list(zip(self._times.tolist(), qpms, strict=True))

    def at(self, quarters: np.ndarray) -> np.ndarray:
        i = np.maximum(np.searchsorted(self._begins, quarters, side="right") - 1, 0)
        return self._times[i] + (quarters - self._begins[i]) * self._lengths[i]


def _events(columns: Sequence[Sequence[Bar | None]], name: str) -> dict[Place, Any]:
    """Events of all parts by their places; of several at one place the last of the first part."""
    found: dict[Place, Any] = {}
    for measure, column in enumerate(columns):
        for bar in reversed([bar for bar in column if bar is not None]):
            found |= {(measure, at): value for at, value in getattr(bar, name)}
    return found


def _lengths(columns: Sequence[Sequence[Bar | None]], metres: dict[Place, tuple[int, int]]) -> list[Fraction]:
    """Lengths of measures in quarter notes: those of the longest part; an empty measure has the length of its metre."""
    lengths = []
    metre = (4, 4)
    for measure, column in enumerate(columns):
        metre = metres.get((measure, Fraction(0)), metre)
        longest = max((bar.length for bar in column if bar is not None), default=Fraction(0))
        lengths.append(longest or Fraction(4 * metre[0], metre[1]))
    return lengths


def _with_upbeat(metres: dict[Place, tuple[int, int]], lengths: list[Fraction]) -> dict[Place, tuple[int, int]]:
    """The metres, with an own metre for an incomplete first measure, so that the bar lines stay in place."""
    metre = metres.get((0, Fraction(0)))
    if metre is None or len(lengths) < 2 or lengths[0] >= Fraction(4 * metre[0], metre[1]):
        return metres
    lower = metre[1]
    while (upper := lengths[0] / 4 * lower).denominator > 1 and lower < 128:
        lower *= 2
    if upper.denominator > 1:
        return metres
    return {(1, Fraction(0)): metre} | metres | {(0, Fraction(0)): (int(upper), lower)}


def _notes(score: _Score, names: list[str]) -> tuple[Notes, list[Instrument]]:
    """The notes of all parts, sorted by instrument and time."""
    # Instrument, start, pitch, end, velocity.
    played: list[tuple[int, Fraction, int, Fraction, int]] = []
    instruments: dict[tuple[int, int, bool], int] = {}
    for part, bars in enumerate(score.bars):
        loudness = Loudness(bars, score.written)
        for start, end, sound, measure in musicxml_ties.joined(score.order, score.played, bars):
            key = (part, sound.program, sound.is_drum)
            instrument = instruments.setdefault(key, len(instruments))
            played.append((instrument, start, sound.pitch, end, loudness.at(measure, sound)))
            if len(played) > _MAX_NOTES:
                raise Damaged(f"its repeats make more than {_MAX_NOTES} notes")
    played.sort(key=lambda note: note[:3])
    kinds = list(instruments)
    notes = Notes(
        pitch=np.array([note[2] for note in played], np.int64),
        velocity=np.array([note[4] for note in played], np.int64),
        start=score.seconds([note[1] for note in played]),
        end=score.seconds([note[3] for note in played]),
        program=np.array([kinds[note[0]][1] for note in played], np.int64),
        is_drum=np.array([kinds[note[0]][2] for note in played], bool),
        track=np.array([note[0] for note in played], np.int64),
    )
    return notes, [Instrument(program, is_drum, names[part]) for part, program, is_drum in instruments]
