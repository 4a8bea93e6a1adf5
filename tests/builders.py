"""Small music for the tests, written so that what is meant can be read off: positions are in quarter notes."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import mido
import numpy as np

from calmvae.midi.piece import Note, Piece
from calmvae.music import melody_tokens

# (pitch, velocity, start, end); positions in quarters.
QuarterNote = tuple[int, int, float, float]

# Linux takes any bytes for a name; Python keeps those that are no UTF-8 as lone surrogates.
ODD_NAME = os.fsdecode(b"caf\xe9") if sys.platform == "linux" else "café"

C_MAJOR = [60, 62, 64, 65, 67, 69, 71, 72]


def seconds_at(quarter: float, tempos: Sequence[tuple[float, float]]) -> float:
    """Time of a position under `(quarter, qpm)` tempos, the first at 0: added up span by span."""
    time = 0.0
    for (begin, qpm), (end, _) in zip(tempos, [*tempos[1:], (float("inf"), 0.0)], strict=True):
        time += max(0.0, min(quarter, end) - begin) * 60 / qpm
    return time


def piece(
    notes: Iterable[QuarterNote],
    tempos: Sequence[tuple[float, float]] = ((0.0, 120.0),),
    metres: Sequence[tuple[float, int, int]] = (),
    program: int = 0,
    track: int = 0,
    is_drum: bool = False,
    name: str = "test",
) -> Piece:
    """A piece from `(pitch, velocity, start, end)`, `(quarter, qpm)` tempos and `(quarter, n, d)` metres."""

    def at(quarter: float) -> float:
        return seconds_at(quarter, tempos)

    return Piece(
        [Note(pitch, velocity, at(start), at(end), program, is_drum, track) for pitch, velocity, start, end in notes],
        [(at(quarter), qpm) for quarter, qpm in tempos],
        [(at(quarter), n, d) for quarter, n, d in metres],
        name=name,
    )


def scale(count: int, length: float = 1.0, first: float = 0.0, pitches: Sequence[int] = C_MAJOR) -> list[QuarterNote]:
    """`count` notes of `length` quarters, one after the other, up and round again."""
    return [(pitches[i % len(pitches)], 64, first + i * length, first + (i + 1) * length) for i in range(count)]


def random_windows(n: int, *shape: int, depth: int = melody_tokens.DEPTH, seed: int = 1) -> np.ndarray:
    """Tokens uint8 `[n, *shape]`, of which four in ten are no holds."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, *shape)) < 0.4, rng.integers(0, depth, (n, *shape)), 0).astype(np.uint8)


def random_tokens(seed: int, steps: int) -> np.ndarray:
    """A row of tokens as `extract_melody` spells them: no NOTE_OFF where nothing sounds."""
    draw = random.Random(seed)
    tokens, sounding = [], False
    for _ in range(steps):
        pitch = draw.randrange(melody_tokens.FIRST_PITCH, melody_tokens.DEPTH)
        token = draw.choices([melody_tokens.HOLD, melody_tokens.NOTE_OFF, pitch], [5, 2, 3])[0]
        if token == melody_tokens.NOTE_OFF and not sounding:
            token = melody_tokens.HOLD
        sounding = token >= melody_tokens.FIRST_PITCH or (token == melody_tokens.HOLD and sounding)
        tokens.append(token)
    return np.array(tokens, np.uint8)


def write_events(
    path: Path, tracks: Sequence[Sequence[tuple[float, mido.Message]]], kind: int = 1, ticks: int = 480
) -> Path:
    """A MIDI file of type `kind` from tracks of `(quarter, message)`."""
    midi = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    for events in tracks:
        track, now = mido.MidiTrack(), 0
        for tick, message in sorted(((round(q * ticks), m) for q, m in events), key=lambda event: event[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        midi.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.save(path)
    return path


def note_events(notes: Iterable[QuarterNote], channel: int = 0) -> list[tuple[float, mido.Message]]:
    """Note-offs come first, so that one at the place of the next note-on ends the note before."""
    notes = list(notes)
    offs = [(end, mido.Message("note_off", note=pitch, channel=channel)) for pitch, _, _, end in notes]
    ons = [(start, mido.Message("note_on", note=p, velocity=v, channel=channel)) for p, v, start, _ in notes]
    return sorted(offs + ons, key=lambda event: event[0])


def tempo(quarter: float, qpm: float) -> tuple[float, mido.MetaMessage]:
    return quarter, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(qpm))


def metre(quarter: float, upper: int, lower: int) -> tuple[float, mido.MetaMessage]:
    return quarter, mido.MetaMessage("time_signature", numerator=upper, denominator=lower)


def write_midi(
    path: Path, notes: Iterable[QuarterNote] = (), upper: int = 4, lower: int = 4, qpm: float = 120.0
) -> Path:
    """Type 1, a conductor and a track of notes: eight quarter notes in 4/4, if nothing else is said."""
    return write_events(path, [[tempo(0, qpm), metre(0, upper, lower)], note_events(notes or scale(8))])


def write_type_0(path: Path) -> Path:
    return write_events(path, [[tempo(0, 90), metre(0, 4, 4), *note_events(scale(8))]], kind=0)


def write_type_2(path: Path) -> Path:
    return write_events(path, [note_events(scale(4)), note_events(scale(4, pitches=[72]))], kind=2)


def write_zero_ticks(path: Path) -> Path:
    """The header says that a quarter has no ticks."""
    data = bytearray(write_midi(path).read_bytes())
    data[12:14] = b"\0\0"
    path.write_bytes(data)
    return path


def write_drums_only(path: Path) -> Path:
    return write_events(path, [note_events(scale(8, pitches=[36, 38]), channel=9)])


def write_no_notes(path: Path) -> Path:
    return write_events(path, [[tempo(0, 60)]])


def write_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def write_random_bytes(path: Path) -> Path:
    path.write_bytes(random.Random(0).randbytes(500))
    return path


def write_truncated(path: Path) -> Path:
    data = write_midi(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def write_high_bytes(path: Path) -> Path:
    """One velocity is 200, which MIDI cannot say."""
    data = write_midi(path, [(60, 99, 0, 1), (62, 64, 1, 2)]).read_bytes()
    at = data.index(bytes([0x90, 60, 99]))
    path.write_bytes(data[: at + 2] + bytes([200]) + data[at + 3 :])
    return path


def write_pads(path: Path) -> Path:
    """Chords of 8 bars each, four voices, struck together: slow ambient music."""
    chords = [(48, 55, 64, 71), (45, 52, 60, 67)]
    return write_midi(path, [(p, 50, i * 32, i * 32 + 32) for i, chord in enumerate(chords) for p in chord], qpm=50)


def write_ritardando(path: Path) -> Path:
    """Twenty tempo events slow the last five quarters down."""
    tempos = [tempo(0, 80), *(tempo(11 + i / 4, 80 - 2 * (i + 1)) for i in range(20))]
    return write_events(path, [[*tempos, metre(0, 4, 4)], note_events(scale(16))])


def write_late(path: Path) -> Path:
    """Eight bars of rest before the first note."""
    return write_midi(path, scale(8, first=32))


def write_one_note(path: Path) -> Path:
    return write_midi(path, [(60, 64, 0, 1)])


# Files no melody comes from, and a word the message has to hold.
UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zero_ticks": (write_zero_ticks, "0 ticks"),
    "drums_only": (write_drums_only, "only drums (8 notes)"),
    "no_notes": (write_no_notes, "has no notes"),
    "empty": (write_empty, "is empty (0 bytes)"),
    "random": (write_random_bytes, "does not hold MThd"),
    "truncated": (write_truncated, "ends in the middle"),
}
