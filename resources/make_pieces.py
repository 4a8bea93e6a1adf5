"""Writes the calming pieces of `resources/pieces` from the notes in this file.

    python resources/make_pieces.py            # writes resources/pieces/*.mid
    python resources/make_pieces.py --check    # exits 1 if the files there are not what it would write

The notation, read from left to right:

    G4:1.5      a note: name, accidental (# or b), octave (C4 is middle C), a colon and its length in quarters
    E4          the length of the note before
    C3+G3+E4:2  a chord, from the lowest note up
    =C3+G3:2    a chord that is held even where the voice breaks its chords
    r:1         a rest
    D5:3~ | D5  a note tied to the next one
    ,           the end of a phrase, where a singer breathes; the loudness rises and falls within each phrase
    |           a bar line

A voice with `broken` plays its chords one note after the other in eighths: "0 1 2 1" is lowest, middle, highest,
middle, as long as the chord lasts. The first bar may be short, an upbeat; the last one may then lack as much. Every
other bar has to add up. In the files the upbeat ends a whole bar, so that the bar lines lie where the metre has them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import re
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from calmvae.midi.piece import Note, Piece
from calmvae.midi.write_midi import write_midi

PIECES = Path(__file__).parent / "pieces"

PIANO, CELESTA, MUSIC_BOX, GUITAR, HARP, STRINGS, FLUTE, PAD = 0, 8, 10, 24, 46, 48, 73, 89

_STEP = Fraction(1, 2)
_SWELL, _DOWNBEAT = 8, 2
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHIFT = {"": 0, "#": 1, "b": -1}


@dataclasses.dataclass(frozen=True)
class Voice:
    """One track: its notes as text, General MIDI program and loudness; `broken` is the order of broken chords."""

    name: str
    program: int
    text: str
    velocity: int = 58
    broken: str = ""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One piece. `tempo_changes` holds (bar, quarter within the bar, quarters per minute), bars counted from 1."""

    file: str
    metre: tuple[int, int]
    qpm: float
    voices: tuple[Voice, ...]
    tempo_changes: tuple[tuple[int, float, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Event:
    """A note or a chord, in quarters from the beginning of the text."""

    start: Fraction
    length: Fraction
    pitches: tuple[int, ...]
    tied: bool = False
    held: bool = False


@dataclasses.dataclass(frozen=True)
class Line:
    """A voice's text, understood."""

    events: list[Event]
    bars: list[Fraction]
    breaths: list[Fraction]


def pitch_of(name: str) -> int:
    """MIDI pitch of a note name such as F#4."""
    match = re.fullmatch(r"([A-G])([#b]?)(\d)", name)
    if not match:
        raise ValueError(f"'{name}' is no note; write it like F#4 or Bb3.")
    letter, accidental, octave = match.groups()
    return 12 * (int(octave) + 1) + _SEMITONES[letter] + _SHIFT[accidental]


def read_line(text: str) -> Line:
    """Reads a voice's text; see the top of this file."""
    events: list[Event] = []
    bars: list[Fraction] = []
    breaths: list[Fraction] = []
    now, length = Fraction(0), Fraction(1)
    for bar in text.split("|"):
        begin = now
        for token in bar.split():
            if token == ",":
                breaths.append(now)
                continue
            what, _, number = token.rstrip("~").partition(":")
            length = Fraction(number) if number else length
            if what != "r":
                pitches = tuple(pitch_of(name) for name in what.lstrip("=").split("+"))
                if list(pitches) != sorted(set(pitches)):
                    raise ValueError(f"the notes of '{token}' do not rise.")
                events.append(Event(now, length, pitches, token.endswith("~"), token.startswith("=")))
            now += length
        bars.append(now - begin)
    return Line(_join_ties(events), bars, breaths)


def check_bars(line: Line, metre: tuple[int, int]) -> Fraction:
    """Makes sure that every bar adds up. Returns the length of the upbeat in quarters, 0 if there is none."""
    full = Fraction(4 * metre[0], metre[1])
    upbeat = line.bars[0] % full
    for number, bar in enumerate(line.bars, start=0 if upbeat else 1):
        last = number == len(line.bars) - (1 if upbeat else 0)
        if bar != full and number != 0 and not (last and bar == full - upbeat):
            raise ValueError(f"bar {number} has {float(bar):g} quarters instead of {float(full):g}.")
    if not 0 <= line.bars[0] <= full:
        raise ValueError(f"the first bar has {float(line.bars[0]):g} quarters, more than {float(full):g}.")
    return upbeat


def build(setting: Setting) -> Piece:
    """The piece that a setting describes.

    Raises:
      ValueError: a bar does not add up, or the voices differ in length or upbeat.
    """
    full = Fraction(4 * setting.metre[0], setting.metre[1])
    lines = [read_line(voice.text) for voice in setting.voices]
    try:
        upbeat = {check_bars(line, setting.metre) for line in lines}
        if len(upbeat) > 1 or len({tuple(line.bars) for line in lines}) > 1:
            raise ValueError("the voices do not have the same bars.")
    except ValueError as error:
        raise ValueError(f"{setting.file}: {error}") from error
    # Where the text begins: after the silent part of the upbeat's bar.
    shift = (full - upbeat.pop()) % full
    bar_one = full if shift else Fraction(0)

    changes = [(bar_one + (bar - 1) * full + Fraction(quarter), qpm) for bar, quarter, qpm in setting.tempo_changes]
    knots = _tempo_knots([(Fraction(0), setting.qpm), *changes])
    notes = []
    for track, (voice, line) in enumerate(zip(setting.voices, lines, strict=True)):
        for event in _break_chords(line.events, voice.broken):
            loudness = voice.velocity + _shape(event.start, lines[0])
            loudness += _DOWNBEAT if (event.start + shift) % full == 0 else 0
            start, end = (_seconds(event.start + shift + d, knots) for d in (0, event.length))
            notes += [Note(pitch, loudness, start, end, voice.program, track=track) for pitch in event.pitches]
    return Piece(
        notes=notes,
        tempos=[(seconds, qpm) for _, seconds, qpm in knots],
        time_signatures=[(0.0, *setting.metre)],
        track_names={track: voice.name for track, voice in enumerate(setting.voices)},
        name=setting.file,
    )


def write_pieces(folder: Path) -> list[Path]:
    """Writes every piece into a folder. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_midi(build(setting), folder / f"{setting.file}.mid") for setting in SETTINGS]


def differing(folder: Path = PIECES) -> list[str]:
    """Names of files that are missing, superfluous or not what this script writes."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = {path.name: path.read_bytes() for path in write_pieces(Path(scratch))}
    found = {path.name: path.read_bytes() for path in folder.glob("*.mid")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _join_ties(events: list[Event]) -> list[Event]:
    joined: list[Event] = []
    for event in events:
        before = joined[-1] if joined else None
        if before and before.tied:
            if before.pitches != event.pitches or before.start + before.length != event.start:
                raise ValueError(f"the tie at quarter {float(event.start):g} leads to another note.")
            joined[-1] = dataclasses.replace(before, length=before.length + event.length, tied=event.tied)
        else:
            joined.append(event)
    if joined and joined[-1].tied:
        raise ValueError("the tie at the end leads nowhere.")
    return joined


def _break_chords(events: list[Event], broken: str) -> list[Event]:
    order = [int(place) for place in broken.split()]
    if not order:
        return events
    played: list[Event] = []
    for event in events:
        if event.held or len(event.pitches) == 1:
            played.append(event)
            continue
        if event.length % _STEP:
            raise ValueError(f"the broken chord at quarter {float(event.start):g} is no row of eighths.")
        for i in range(int(event.length / _STEP)):
            place = min(order[i % len(order)], len(event.pitches) - 1)
            played.append(Event(event.start + i * _STEP, _STEP, (event.pitches[place],)))
    return played


def _shape(start: Fraction, melody: Line) -> int:
    """The swell: 0 at the ends of a phrase of the melody, `_SWELL` in its middle."""
    ends = sorted({Fraction(0), *melody.breaths, sum(melody.bars, Fraction(0))})
    for begin, end in itertools.pairwise(ends):
        if begin <= start < end:
            place = (start - begin) / (end - begin)
            return round(_SWELL * 4 * place * (1 - place))
    return 0


def _tempo_knots(changes: list[tuple[Fraction, float]]) -> list[tuple[Fraction, float, float]]:
    """(quarters, seconds, quarters per minute) of each tempo event."""
    knots = [(changes[0][0], 0.0, changes[0][1])]
    for quarters, qpm in changes[1:]:
        knots.append((quarters, _seconds(quarters, knots), qpm))
    return knots


def _seconds(quarters: Fraction, knots: list[tuple[Fraction, float, float]]) -> float:
    begin, seconds, qpm = [knot for knot in knots if knot[0] <= quarters][-1]
    return seconds + float(quarters - begin) * 60 / qpm


# Brahms, Wiegenlied op. 49 no. 4 (1868): the strophe, in F instead of E flat. The short notes before bar 12 are left
# out, those of bar 15 written out.
BRAHMS = Setting(
    "brahms_wiegenlied",
    (3, 4),
    72,
    (
        Voice(
            "melody",
            MUSIC_BOX,
            """
            A4:.5 A4 | C5:1.5 A4:.5 A4:1 | C5:1 r , A4:.5 C5 | F5:1 E5:1.5 D5:.5 | D5:1 C5 , G4:.5 A4 |
            Bb4:1 G4 G4:.5 A4 | Bb4:1 r , G4:.5 Bb4 | E5 D5 C5:1 E5 | F5 r , F4:.5 F4 |
            F5:2 D5:.5 Bb4 | C5:2 A4:.5 F4 | Bb4:1 C5 D5 | C5:2 , F4:.5 F4 |
            F5:2 D5:.5 Bb4 | C5:2 A4:.5 F4 | Bb4:.5 C5:.25 Bb4 A4:1 G4 | F4:2
            """,
        ),
        Voice(
            "accompaniment",
            MUSIC_BOX,
            """
            r:1 | F3+A3+C4:3 | F3+A3+C4 | F3+A3+C4 | F3+A3+C4:1 E3+Bb3+C4:2 |
            E3+Bb3+C4:3 | E3+Bb3+C4 | E3+Bb3+C4 | F3+A3+C4 |
            F3+Bb3+D4 | F3+A3+C4 | E3+Bb3+C4 | F3+A3+C4 |
            F3+Bb3+D4 | F3+A3+C4 | G3+Bb3+D4:1 F3+A3+C4 E3+Bb3+C4 | =F3+A3+C4:2
            """,
            velocity=45,
            broken="0 1 2 1 2 1",
        ),
    ),
)

# Gruber, Silent Night (1818) in the form sung today: two strophes, the second one with a second voice.
_SILENT_NIGHT = """
    G4:.75 A4:.25 G4:.5 E4:1.5 | G4:.75 A4:.25 G4:.5 E4:1.5 , | D5:1 D5:.5 B4:1.5 | C5:1 C5:.5 G4:1.5 , |
    A4:1 A4:.5 C5:.75 B4:.25 A4:.5 | G4:.75 A4:.25 G4:.5 E4:1.5 , |
    A4:1 A4:.5 C5:.75 B4:.25 A4:.5 | G4:.75 A4:.25 G4:.5 E4:1.5 , |
    D5:1 D5:.5 F5:.75 D5:.25 B4:.5 | C5:1.5 E5 , | C5:.75 G4:.25 E4:.5 G4:.75 F4:.25 D4:.5 | C4:2.5 r:.5 ,
"""
_SILENT_NIGHT_CHORDS = """
    C3+G3+C4:3 | C3+G3+C4 | G2+F3+B3 | C3+G3+C4 | F2+C3+A3 | C3+G3+C4 | F2+C3+A3 | C3+G3+C4 |
    G2+F3+B3 | C3+G3+C4 | C3+G3+C4:1.5 G2+F3+B3 | C3+E3+G3:3
"""
SILENT_NIGHT = Setting(
    "silent_night",
    (6, 8),
    60,
    (
        Voice("melody", CELESTA, f"{_SILENT_NIGHT} | {_SILENT_NIGHT}", velocity=60),
        Voice(
            "second voice",
            CELESTA,
            """
            r:3 | r | r | r | r | r | r | r | r | r | r | r |
            E4:.75 F4:.25 E4:.5 C4:1.5 | E4:.75 F4:.25 E4:.5 C4:1.5 | F4:1 F4:.5 D4:1.5 | E4:1 E4:.5 E4:1.5 |
            F4:1 F4:.5 A4:.75 G4:.25 F4:.5 | E4:.75 F4:.25 E4:.5 C4:1.5 |
            F4:1 F4:.5 A4:.75 G4:.25 F4:.5 | E4:.75 F4:.25 E4:.5 C4:1.5 |
            F4:1 F4:.5 D4:.75 F4:.25 D4:.5 | E4:1.5 G4 | E4:1 C4:.5 E4:.75 D4:.25 B3:.5 | C4:2.5 r:.5
            """,
            velocity=50,
        ),
        Voice("accompaniment", PAD, f"{_SILENT_NIGHT_CHORDS} | {_SILENT_NIGHT_CHORDS}", velocity=42),
    ),
)

# New Britain (1829), the tune of Amazing Grace: one strophe, unaccompanied.
AMAZING_GRACE = Setting(
    "amazing_grace",
    (3, 4),
    76,
    (
        Voice(
            "melody",
            FLUTE,
            """
            D4:1 | G4:2 B4:.5 G4 | B4:2 A4:1 | G4:2 E4:1 | D4:2 , D4:1 |
            G4:2 B4:.5 G4 | B4:2 A4:1 | D5:3~ | D5:2 , B4:1 |
            D5:2 B4:.5 G4 | B4:2 A4:1 | G4:2 E4:1 | D4:2 , D4:1 |
            G4:2 B4:.5 G4 | B4:2 A4:1 | G4:3~ | G4:2
            """,
            velocity=62,
        ),
    ),
)

# Greensleeves (English, 16th century) in the Dorian form: verse and refrain.
GREENSLEEVES = Setting(
    "greensleeves",
    (6, 8),
    88,
    (
        Voice(
            "melody",
            GUITAR,
            """
            A4:.5 | C5:1 D5:.5 E5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |
            C5:1 A4:.5 A4:.75 G#4:.25 A4:.5 | B4:1 G#4:.5 E4:1 , A4:.5 |
            C5:1 D5:.5 E5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |
            C5:.75 B4:.25 A4:.5 G#4:.75 F#4:.25 G#4:.5 | A4:2.5 r:.5 , |
            G5:1.5 G5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |
            C5:1 A4:.5 A4:.75 G#4:.25 A4:.5 | B4:1 G#4:.5 E4:1.5 , |
            G5:1.5 G5:.75 F#5:.25 E5:.5 | D5:1 B4:.5 G4:.75 A4:.25 B4:.5 |
            C5:.75 B4:.25 A4:.5 G#4:.75 F#4:.25 G#4:.5 | A4:2.5
            """,
            velocity=60,
        ),
        Voice(
            "accompaniment",
            GUITAR,
            """
            r:.5 | A2+E3+A3+C4:3 | G2+D3+G3+B3 | A2+E3+A3:1.5 F2+C3+A3 | E2+B2+G#3+B3:3 |
            A2+E3+A3+C4 | G2+D3+G3+B3 | A2+E3+A3:1.5 E2+B2+G#3 | A2+E3+A3+C4:3 |
            C3+G3+C4+E4 | G2+D3+G3+B3 | A2+E3+A3:1.5 F2+C3+A3 | E2+B2+G#3+B3:3 |
            C3+G3+C4+E4 | G2+D3+G3+B3 | A2+E3+A3:1.5 E2+B2+G#3 | =A2+E3+A3+C4:2.5
            """,
            velocity=46,
            broken="0 1 2 3 2 1",
        ),
    ),
)

# Tallis's Canon (1567): first the tune over alto and bass, then again with the canon an octave and four quarters
# behind it, as Tallis has it in the tenor.
_TALLIS = """
    {} | G4 F#4 G4 G4 | A4 A4 B4 G4 , | C5 C5 B4 B4 | A4 A4 G4 , D5 |
    C5 A4 B4 B4 | A4 A4 G4 , D4 | E4 F#4 G4 B4 | A4 A4 G4 ,
"""
_TALLIS_ALTO = """
    D4 D4 B3 D4 | E4 D4 D4 G4 | E4 F#4 G4 D4 | E4 D4 D4 G4 |
    E4 D4 D4 D4 | E4 F#4 G4 G3 | E4 D4 B3 D4 | C4 A3 B3
"""
_TALLIS_BASS = """
    D3 D3 E3 B2 | C3 D3 G2 B2 | A2 A2 G2 G3 | G3 F#3 G3 G3 |
    A3 F#3 G3 G2 | C3 D3 G2 B2 | C3 D3 E3 B2 | C3 D3 G2
"""
TALLIS = Setting(
    "tallis_canon",
    (4, 4),
    80,
    (
        Voice("melody", STRINGS, _TALLIS.format("G4:1") + _TALLIS.format("G4"), velocity=60),
        Voice(
            "canon",
            STRINGS,
            """
            r:1 | r:4 | r | r | r | r | r | r | r | r:3 G3:1 | G3 F#3 G3 G3 | A3 A3 B3 G3 | C4 C4 B3 B3 |
            A3 A3 G3 D4 | C4 A3 B3 B3 | A3 A3 G3 D3 | E3 F#3 G3
            """,
            velocity=52,
        ),
        Voice("alto", STRINGS, f"D4:1 | {_TALLIS_ALTO} D4 | {_TALLIS_ALTO}", velocity=48),
        Voice("bass", STRINGS, f"G2:1 | {_TALLIS_BASS} G2 | {_TALLIS_BASS}", velocity=48),
    ),
)

# Schubert, Wiegenlied D 498 (1816): two strophes with the piano's interlude; the grace notes of bar 6 are left out.
_SCHUBERT = """
    C5:1 Eb5 Bb4:.75 C5:.25 Db5:1 | C5:.5 C5 Bb4:.25 Ab4 G4 Ab4 Bb4:1 Eb4 , |
    C5 Eb5 Bb4:.75 C5:.25 Db5:1 | C5:.5 C5 Bb4:.25 C5 Db5 Bb4 Ab4:1 r , |
    Bb4:1.5 Bb4:.5 C5:.75 Bb4:.25 Ab4:1 | Eb5 Db5:.5 C5 Bb4:1 Eb4 , |
    C5 Eb5 Bb4:.75 C5:.25 Db5:1 | C5:.5 C5 Bb4:.25 C5 Db5 Bb4 Ab4:1 r , |
    Bb4:1 Db5:.25 C5 Db5 Bb4 Ab4:.5 C5 Eb5:1 | Bb4:1 Db5:.25 C5 Db5 Bb4 Ab4:.5 C5 Ab4:1 ,
"""
_SCHUBERT_CHORDS = """
    Ab2+Eb3+C4:2 Eb3+G3+Db4 | Ab2+Eb3+C4 Eb3+G3+Bb3 |
    Ab2+Eb3+C4 Eb3+G3+Db4 | Ab2+Eb3+C4:1 Eb3+G3+Db4 Ab2+Eb3+C4:2 |
    Eb3+G3+Bb3 Ab2+Eb3+C4 | C3+Eb3+Ab3 Eb3+G3+Bb3 |
    Ab2+Eb3+C4 Eb3+G3+Db4 | Ab2+Eb3+C4:1 Eb3+G3+Db4 Ab2+Eb3+C4:2 |
    Eb3+G3+Db4 Ab2+Eb3+C4 | Eb3+G3+Db4 {}Ab2+Eb3+C4
"""
SCHUBERT = Setting(
    "schubert_wiegenlied",
    (4, 4),
    52,
    (
        Voice("melody", FLUTE, f"{_SCHUBERT} | {_SCHUBERT}", velocity=60),
        Voice(
            "accompaniment",
            GUITAR,
            _SCHUBERT_CHORDS.format("") + "|" + _SCHUBERT_CHORDS.format("="),
            velocity=46,
            broken="0 2 1 2",
        ),
    ),
)

# Auld Lang Syne (Scots, printed with this tune in 1799): verse and chorus.
AULD_LANG_SYNE = Setting(
    "auld_lang_syne",
    (4, 4),
    72,
    (
        Voice(
            "melody",
            STRINGS,
            """
            C4:1 | F4:1.5 F4:.5 F4:1 A4 | G4:1.5 F4:.5 G4:1 A4 | F4:1.5 F4:.5 A4:1 C5 | D5:3 , D5:1 |
            C5:1.5 A4:.5 A4:1 F4 | G4:1.5 F4:.5 G4:1 A4 | F4:1.5 D4:.5 D4:1 C4 | F4:3 , D5:1 |
            C5:1.5 A4:.5 A4:1 F4 | G4:1.5 F4:.5 G4:1 D5 | C5:1.5 A4:.5 A4:1 C5 | D5:3 , D5:1 |
            C5:1.5 A4:.5 A4:1 F4 | G4:1.5 F4:.5 G4:1 A4 | F4:1.5 D4:.5 D4:1 C4 | F4:3
            """,
        ),
        Voice(
            "accompaniment",
            PIANO,
            """
            r:1 | F2+C3+F3+A3:4 | C3+E3+G3+Bb3 | F2+C3+F3+A3 | Bb2+D3+F3+Bb3 |
            F2+C3+F3+A3 | C3+E3+G3+Bb3 | Bb2+D3+F3+Bb3:3 C3+G3:1 | F2+C3+F3+A3:4 |
            F2+C3+F3+A3 | C3+E3+G3+Bb3 | F2+C3+F3+A3 | Bb2+D3+F3+Bb3 |
            F2+C3+F3+A3 | C3+E3+G3+Bb3 | Bb2+D3+F3+Bb3:3 C3+G3:1 | =F2+C3+F3+A3:3
            """,
            velocity=44,
            broken="0 1 2 3 2 3 2 1",
        ),
    ),
)

# Ar Hyd y Nos (Welsh, printed in 1784), All Through the Night.
_AR_HYD_Y_NOS = """
    G4:1.5 F#4:.5 E4:1 G4 | A4:1.5 G4:.5 F#4:1 D4 | E4:2 F#4:1.5 F#4:.5 | G4:3 r:1 ,
"""
_AR_HYD_Y_NOS_CHORDS = "G2+D3+B3:2 E3+G3+B3 | A2+E3+C4 D3+F#3+A3 | C3+G3+C4 D3+A3+C4"
AR_HYD_Y_NOS = Setting(
    "ar_hyd_y_nos",
    (4, 4),
    66,
    (
        Voice(
            "melody",
            HARP,
            f"""
            {_AR_HYD_Y_NOS} | {_AR_HYD_Y_NOS} |
            C5 B4 C5 D5 | E5 D5 C5 B4 , | C5 B4 A4 G4 | B4 A4 G4 F#4 , | {_AR_HYD_Y_NOS}
            """,
            velocity=62,
        ),
        Voice(
            "accompaniment",
            HARP,
            f"""
            {_AR_HYD_Y_NOS_CHORDS} | G2+D3+B3:4 | {_AR_HYD_Y_NOS_CHORDS} | G2+D3+B3:4 |
            C3+G3:1 G2+D3 A2+E3 B2+G3 | C3+G3 B2+G3 A2+E3 G2+D3 | A2+E3 G2+D3 F#2+D3 E2+B2 |
            G2+D3 D3+A3 E3+B3 D3+A3 | {_AR_HYD_Y_NOS_CHORDS} | G2+D3+B3:2 =G2+D3+B3
            """,
            velocity=46,
            broken="0 1 2 1",
        ),
    ),
)

# Schumann, Träumerei op. 15 no. 7 (1838): the first eight bars, then the last eight; the inner voices made simpler.
_TRAEUMEREI = """
    F4:2.5 E4:.5 F4 A4 | C5 F5 F5:2 E5:.5 D5 | C5 F5 G4 A4 Bb4 D5 F4 G4 | A4 C5 G4:2 , C4:1 |
    F4:2.5 E4:.5 F4 A4 | C5 A5 A5:1.5 G5:.5 F5
"""
_TRAEUMEREI_CHORDS = """
    F2:1 C3+F3+A3+C4:3 | F2+C3+A3:1 Bb2+F3+D4:3 | C3+A3+F4:1 C3+Bb3+E4 C3+G3+E4 A2+F3+C4 |
    F3+A3+C4 C3+G3+E4:2 G2:.5 A2 | F2:1 C3+F3+A3+C4:3
"""
TRAEUMEREI = Setting(
    "schumann_traeumerei",
    (4, 4),
    66,
    (
        Voice(
            "melody",
            PIANO,
            f"""
            C4:1 | {_TRAEUMEREI} E5 | F5 A5 D5 F5 E5:1.5 Eb5:.5 | D5:1 E5 C5 , r:.5 C4 |
            {_TRAEUMEREI} D5 | C5 F5 G4 A4 Bb4 D5 G4 A4 | Bb4 D5 D4 E4 F4:2
            """,
            velocity=60,
        ),
        Voice(
            "accompaniment",
            PIANO,
            f"""
            r:1 | {_TRAEUMEREI_CHORDS} | F2+C3+A3:1 C#3+A3+E4+G4:3 |
            D3+A3+F4:1.5 F3+C4+Ab4:.5 G3+C4+G4:1.5 A3+C4+F#4:.5 | G3+B3+F4:2 C3+C4+E4:1 Bb2:.5 G2 |
            {_TRAEUMEREI_CHORDS} | F2+C3+A3:1 G2+B3+D4+F4:3 |
            C3+A3+F4:1 C3+Bb3+E4 C3+G3+E4 Bb2+G3+D4:.5 D3+A3+F#4 | G2+G3+D4:1 C3+G3+Bb3 F2+C3+A3:2
            """,
            velocity=44,
        ),
    ),
    tempo_changes=(
        (8, 1, 60), (8, 2, 54), (9, 0, 66),
        (14, 1, 60), (14, 3, 63), (15, 0, 60), (15, 2, 56), (16, 0, 52), (16, 1, 48), (16, 2, 44),
    ),
)  # fmt: skip

# Satie, Gymnopédie no. 1 (1888), up to the middle; the lowest basses, A and B below the range, an octave higher.
GYMNOPEDIE = Setting(
    "satie_gymnopedie_1",
    (3, 4),
    72,
    (
        Voice(
            "melody",
            PIANO,
            """
            r:3 | r | r | r , | r:1 F#5 A5 | G5 F#5 C#5 | B4 C#5 D5 | A4:3 | F#4~ | F#4~ | F#4~ | F#4 , |
            r:1 F#5 A5 | G5 F#5 C#5 | B4 C#5 D5 | A4:3 | C#5 | F#5 | E4~ | E4~ | E4 , |
            A4:1 B4 C5 | E5 D5 B4 | D5 C5 B4 | D5:3~ | D5:2 , D5:1 | E5 F5 G5 | A5 C5 D5 | E5 D5 B4 |
            D5:3~ | D5:2 , D5:1 | G5:3 | F#5 | B4:1 A4 B4 | C#5 D5 E5 | C#5 D5 E5 | F#4:3 | C5 | D5
            """,
            velocity=58,
        ),
        Voice(
            "chords",
            PIANO,
            """
            r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 |
            r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 |
            r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 |
            r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 A3+C#4+F#4:2 |
            r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 G3+B3:2 | r:1 B3+D4+G4:2 | r:1 F3+A3+D4:2 |
            r:1 A3+C4+E4:2 | r:1 G3+B3+E4:2 | r:1 D3+G3+B3+E4:2 | r:1 C3+E3+A3+D4:2 | r:1 C3+F#3+A3+D4:2 |
            r:1 A3+C4+F4:2 | r:1 A3+C4+E4:2 | r:1 D3+G3+B3+E4:2 | r:1 C3+E3+A3+D4:2 | r:1 C3+F#3+A3+D4:2 |
            r:1 B3+E4+G4:2 | r:1 A3+C#4+F#4:2 | r:1 B3+D4+F#4:2 | r:1 C#4+E4+A4:2 | r:1 A3+C#4+F#4+A4:2 |
            r:1 B2+A3+D4 E3+B3+D4+G4 | C4+E4+A4:3 | D4+F#4+A4
            """,
            velocity=44,
        ),
        Voice(
            "bass",
            PIANO,
            """
            G2:3 | D2 | G2 | D2 | G2 | D2 | G2 | D2 | G2 | D2 | G2 | D2 | G2 | D2 | G2 | D2 |
            F#2 | B2 | E2 | E2 | D2 | A2 | D2 | D2 | D2 | D2 | D2 | D2 | D2 | D2 | D2 |
            E2 | F#2 | B2 | E2 | E2 | E2 | A2+G3 | D2+A2+D3
            """,
            velocity=46,
        ),
    ),
)

SETTINGS = (
    BRAHMS,
    SILENT_NIGHT,
    AMAZING_GRACE,
    GREENSLEEVES,
    TALLIS,
    SCHUBERT,
    AULD_LANG_SYNE,
    AR_HYD_Y_NOS,
    TRAEUMEREI,
    GYMNOPEDIE,
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the calming pieces from the notes in this script.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed files differ")
    if parser.parse_args(arguments).check:
        names = differing()
        if names:
            print(f"These pieces are not what the script writes: {', '.join(names)}; run it without --check.")
        return 1 if names else 0
    for path in write_pieces(PIECES):
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
