"""Music files to a `Piece` and back to MIDI.

Times are seconds, as in Magenta's NoteSequence; positions on the beat grid are quarter notes, obtained by
integrating the tempo map. A `Piece` keeps only what melodies are made from; the full NoteSequence (controls,
pitch bends) is `corpus.py`'s business.
"""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.errors import InputError

MIDI_SUFFIXES = (".mid", ".midi")
SCORE_SUFFIXES = (".xml", ".musicxml", ".mxl", ".abc")
SUFFIXES = MIDI_SUFFIXES + SCORE_SUFFIXES

DEFAULT_QPM = 120.0
TICKS_PER_QUARTER = 480


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """One note: MIDI pitch and velocity, start and end in seconds, General MIDI program, track index."""

    pitch: int
    velocity: int
    start: float
    end: float
    program: int = 0
    is_drum: bool = False
    track: int = 0


@dataclasses.dataclass
class Piece:
    """A piece of music.

    Attributes:
      notes: sorted by start, then pitch.
      tempos: `(time in seconds, quarters per minute)`, the first at time 0.
      time_signatures: `(time in seconds, numerator, denominator)`; empty means 4/4.
      track_names: track index to name, for the tracks that have one.
      name: what to call it in reports, usually the file's stem.
      warnings: what the reader had to mend or ignore, one sentence each.
    """

    notes: list[Note]
    tempos: list[tuple[float, float]] = dataclasses.field(default_factory=lambda: [(0.0, DEFAULT_QPM)])
    time_signatures: list[tuple[float, int, int]] = dataclasses.field(default_factory=list)
    track_names: dict[int, str] = dataclasses.field(default_factory=dict)
    name: str = ""
    warnings: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes = sorted(self.notes, key=lambda n: (n.start, n.pitch, n.track, n.end))
        tempos = sorted((float(t), float(q)) for t, q in self.tempos if q > 0) or [(0.0, DEFAULT_QPM)]
        if tempos[0][0] > 0:
            # MIDI's own default holds until the first tempo event.
            tempos.insert(0, (0.0, DEFAULT_QPM))
        self.tempos = tempos
        self.time_signatures = sorted(self.time_signatures)

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the last note."""
        return max((n.end for n in self.notes), default=0.0)

    def quarters(self, seconds: Iterable[float] | np.ndarray | float) -> np.ndarray:
        """Positions in quarter notes of the given times in seconds (any shape)."""
        knots, positions, slopes = self._tempo_map()
        seconds = np.asarray(seconds, dtype=np.float64)
        i = np.clip(np.searchsorted(knots, seconds, side="right") - 1, 0, None)
        return positions[i] + (seconds - knots[i]) * slopes[i]

    def seconds(self, quarters: Iterable[float] | np.ndarray | float) -> np.ndarray:
        """Times in seconds of the given positions in quarter notes (any shape)."""
        knots, positions, slopes = self._tempo_map()
        quarters = np.asarray(quarters, dtype=np.float64)
        i = np.clip(np.searchsorted(positions, quarters, side="right") - 1, 0, None)
        return knots[i] + (quarters - positions[i]) / slopes[i]

    def mean_qpm(self, start: float = 0.0, end: float | None = None) -> float:
        """Mean tempo in quarters per minute between two times in seconds (default: the whole piece)."""
        end = self.duration if end is None else end
        if end <= start:
            return float(self.tempos[0][1])
        first, last = self.quarters([start, end])
        return float(60.0 * (last - first) / (end - start))

    def _tempo_map(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        knots = np.array([t for t, _ in self.tempos])
        slopes = np.array([q / 60.0 for _, q in self.tempos])
        positions = np.concatenate([[0.0], np.cumsum(np.diff(knots) * slopes[:-1])])
        return knots, positions, slopes


def read_piece(path: str | Path) -> Piece:
    """Reads a MIDI, MusicXML or ABC file (by its suffix).

    Raises:
      InputError: the file is missing, empty, damaged or of another kind.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; a single music file is expected here ({_list(SUFFIXES)}).")
    if not path.exists():
        raise InputError(f"{path} does not exist; give the path of a music file ({_list(SUFFIXES)}).")
    suffix = path.suffix.lower()
    if suffix in SCORE_SUFFIXES:
        # note_seq is only needed, and only imported, for scores.
        from calmvae import scores

        return scores.read_pieces(path)[0]
    if suffix not in MIDI_SUFFIXES:
        raise InputError(f"{path} has the suffix '{path.suffix}'; music files end in {_list(SUFFIXES)}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    return parse_midi(data, name=path.stem, where=str(path))


def parse_midi(data: bytes, name: str = "", where: str = "the MIDI data") -> Piece:
    """Parses the bytes of a Standard MIDI File.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    midi, found = load_pretty_midi(data, where)
    notes = [
        Note(n.pitch, n.velocity, float(n.start), float(n.end), instrument.program, instrument.is_drum, track)
        for track, instrument in enumerate(midi.instruments)
        for n in instrument.notes
    ]
    times, qpms = midi.get_tempo_changes()
    return Piece(
        notes=notes,
        tempos=list(zip(times.tolist(), qpms.tolist(), strict=True)),
        time_signatures=[(float(t.time), t.numerator, t.denominator) for t in midi.time_signature_changes],
        track_names={i: inst.name.strip() for i, inst in enumerate(midi.instruments) if inst.name.strip()},
        name=name,
        warnings=found,
    )


def load_pretty_midi(data: bytes, where: str) -> tuple[Any, list[str]]:
    """Parses MIDI bytes to a `PrettyMIDI` and the warnings met on the way.

    Raises:
      InputError: the bytes are no readable MIDI file.
    """
    import mido
    import pretty_midi

    if not data:
        raise InputError(f"{where} is empty (0 bytes); a MIDI file was expected.")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # clip: data bytes above 127 are common in old files and harmless.
            parsed = mido.MidiFile(file=io.BytesIO(data), charset="latin1", clip=True)
            if not parsed.tracks or parsed.ticks_per_beat <= 0:
                raise ValueError("no tracks, or time in frames instead of beats")
            midi = pretty_midi.PrettyMIDI(mido_object=parsed)
    except MemoryError:
        raise
    # mido and pretty_midi raise nearly every kind of exception on damaged files.
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where} is not a readable MIDI file ({reason}); export it again.") from error
    return midi, sorted({str(w.message).split(".")[0] + "." for w in caught if w.category is RuntimeWarning})


def write_midi(piece: Piece, path: str | Path) -> Path:
    """Writes a type 1 MIDI file: the tempo map, the time signatures, one track for each track of notes.

    The bytes depend on the piece alone. Positions are rounded to 1/480 quarter.
    """
    import mido

    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    tick = _ticks(piece)
    conductor: list[tuple[int, int, mido.Message | mido.MetaMessage]] = []
    if piece.name:
        conductor.append((0, 0, mido.MetaMessage("track_name", name=piece.name)))
    for time, numerator, denominator in piece.time_signatures:
        message = mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)
        conductor.append((tick(time), 1, message))
    for time, qpm in piece.tempos:
        conductor.append((tick(time), 2, mido.MetaMessage("set_tempo", tempo=round(6e7 / qpm))))
    midi.tracks.append(_track(conductor))

    tracks = sorted({n.track for n in piece.notes})
    melodic = [t for t in tracks if not any(n.is_drum for n in piece.notes if n.track == t)]
    for track in tracks:
        notes = [n for n in piece.notes if n.track == track]
        # Channel 10 is for drums; more than 15 melodic tracks share channels in turn.
        channel = 9 if track not in melodic else [c for c in range(16) if c != 9][melodic.index(track) % 15]
        events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = []
        if track in piece.track_names:
            events.append((0, 0, mido.MetaMessage("track_name", name=piece.track_names[track])))
        program = None
        for note in notes:
            start, end = tick(note.start), max(tick(note.end), tick(note.start) + 1)
            if note.program != program:
                program = note.program
                events.append((start, 2, mido.Message("program_change", channel=channel, program=program)))
            on = dict(channel=channel, note=note.pitch)
            events.append((start, 3, mido.Message("note_on", velocity=note.velocity, **on)))
            events.append((end, 1, mido.Message("note_off", velocity=0, **on)))
        midi.tracks.append(_track(events))

    path = Path(path)
    buffer = io.BytesIO()
    midi.save(file=buffer)
    path.write_bytes(buffer.getvalue())
    return path


def _ticks(piece: Piece):
    return lambda seconds: int(round(float(piece.quarters(seconds)) * TICKS_PER_QUARTER))


def _track(events: list) -> list:
    import mido

    track = mido.MidiTrack()
    now = 0
    for time, _, message in sorted(events, key=lambda e: e[:2]):
        track.append(message.copy(time=max(time - now, 0)))
        now = max(time, now)
    track.append(mido.MetaMessage("end_of_track", time=0))
    return track


def _list(suffixes: tuple[str, ...]) -> str:
    return ", ".join(suffixes)
