"""A model of music in several voices: windows are bars in the metre of the music, of a few tokens a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Note, Piece
from calmvae.model import numpy_model
from calmvae.model.interface import DEFAULT_PROGRAM, Excerpt, Segment, Voice
from calmvae.model.numpy_model import NumpyModel
from calmvae.music import bars as bar_grid
from calmvae.music import melody_tokens, voice_windows
from calmvae.music.calmness import DEFAULT_VELOCITY
from calmvae.music.melody_tokens import STEPS_PER_QUARTER
from calmvae.music.voice_extraction import Voices, extract_voices

_TRACK = "music"
# One pitch so often in a row in one voice is a fault, unless an end has it too.
_RUN = 5


@dataclasses.dataclass(frozen=True)
class _Cut:
    """Bars of a piece in voices.

    Attributes:
      whole: the piece. part: its chosen bars, repeated if they were too few.
      first, last: the first bar, and the one after the last.
    """

    whole: Voices
    part: Voices
    first: int
    last: int

    def steps(self) -> tuple[int, int]:
        """Where the chosen bars begin and end in the whole."""
        return int(self.whole.bar_lines[self.first]), int(self.whole.bar_lines[self.last])


class VoiceModel(NumpyModel):
    """See `interface.Model`; a window is uint8 `[16 * bars, voices]`, see `voice_windows`."""

    even_path: ClassVar[bool] = True
    # Voices that are drawn one by one clash; fresh latents make samples different enough.
    sample_temperature: ClassVar[float] = 0.2

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
        """See `Model.excerpt`; bars are the piece's own, and what is shorter than `bars` is repeated."""
        if melody != "skyline":
            raise OptionError(
                f"--melody is '{melody}', but {self.name} takes all voices; add --voices melody for the bare melody."
            )
        voices = extract_voices(piece, self.spec.voices, track)
        numpy_model.report_changes(voices, remarks)
        cut = _cut(voices, bars, start_bar, remarks)
        windows, tied = voice_windows.cut_windows(cut.part, self.bars)
        qpm = numpy_model.even_tempo(voices, *cut.steps(), remarks if bars else [])
        return Excerpt(
            name=piece.name,
            inputs=windows,
            windows=windows,
            bars=bars or voices.bars,
            tied=tied,
            qpm=qpm,
            players=_players(cut.part),
            report=dataclasses.asdict(voices.report),
            cut_from=cut,
            notes=(len(_own_notes(cut)), len(piece.columns())),
            quarters=float(cut.part.bar_lines[-1]) / STEPS_PER_QUARTER,
        )

    def faults(self, windows: np.ndarray, ends: Sequence[Excerpt]) -> int:
        """See `Model.faults`: bars of a length that neither end has, and one pitch five times in a row or more."""
        known = np.concatenate([voice_windows.bar_lengths(end.windows).ravel() for end in ends])
        odd = int((~np.isin(voice_windows.bar_lengths(windows), known)).sum())
        most = max(_RUN - 1, *(voice_windows.longest_run(end.windows) for end in ends))
        return odd + max(voice_windows.longest_run(windows) - most, 0)

    def voices(self) -> list[Voice]:
        """See `Model.voices`."""
        return [Voice(_TRACK, DEFAULT_PROGRAM, DEFAULT_VELOCITY, k) for k in range(self.spec.voices)]

    def measure(self, given: Excerpt, decoded: np.ndarray) -> dict[str, float]:
        """See `Model.measure`; also F1 of the notes: same pitch, bar and sixteenth, whichever voice has them."""
        shares = {
            "onset_accuracy": melody_tokens.onset_accuracy(given.windows, decoded),
            "note_f1": voice_windows.note_f1(given.windows, decoded),
        }
        return super().measure(given, decoded) | shares

    def replay(self, excerpt: Excerpt, windows: np.ndarray, name: str, track: str) -> Piece:
        """See `Model.replay`; every bar begins where the piece's own does."""
        cut: _Cut = excerpt.cut_from
        whole = cut.whole
        lengths = np.diff(whole.bar_lines)
        # A bar that was decoded shorter is filled up, a longer one is cut.
        fitted = _with_bar_lengths(windows, lengths)
        tokens, _ = voice_windows.join_windows(fitted, excerpt.tied)
        shift, tempos = numpy_model.own_tempos(whole)
        at = lambda step: whole.seconds_at(step) + shift  # noqa: E731
        notes = [
            Note(pitch, round(player.velocity), at(start), at(end), player.program)
            for player, column in zip(excerpt.players, tokens[: len(whole.tokens)].T, strict=True)
            for pitch, start, end in melody_tokens.token_notes(column)
        ]
        signatures = [(max(0.0, t + shift), n, d) for t, n, d in whole.piece.time_signatures]
        return Piece(_apart(notes), tempos, signatures, {0: track}, name)

    def play(self, segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
        """See `Model.play`; the notes of a segment that is `written` are the piece's own."""
        notes: list[Note] = []
        tempos: list[tuple[float, float]] = []
        signatures: list[tuple[float, int, int]] = []
        sections: list[Section] = []
        tracks: dict[str, int] = {}
        begin = quarter = 0.0
        for segment in segments:
            tokens, lines = voice_windows.join_windows(segment.windows, segment.tied)
            step = 60 / segment.qpm / STEPS_PER_QUARTER
            made = _written(segment) if segment.written else _decoded(segment, tokens)
            for track, note in made:
                place = tracks.setdefault(track, len(tracks))
                start, end = begin + note.start * step, begin + note.end * step
                notes.append(dataclasses.replace(note, start=start, end=end, track=place))
            if not tempos or tempos[-1][1] != segment.qpm:
                tempos.append((begin, segment.qpm))
            known = _known_metres(segment.excerpt)
            for bar, upper, lower in bar_grid.metres(np.diff(lines), known):
                if not signatures or signatures[-1][1:] != (upper, lower):
                    signatures.append((begin + float(lines[bar]) * step, upper, lower))
            length = float(lines[-1]) / STEPS_PER_QUARTER
            sections.append(Section(quarter, quarter + length, segment.label, segment.given))
            begin, quarter = begin + float(lines[-1]) * step, quarter + length
        names = {place: track for track, place in tracks.items()}
        return Piece(_apart(notes), tempos, signatures, names, name), sections


def _cut(voices: Voices, bars: int | None, start_bar: int | None, remarks: list[str]) -> _Cut:
    """So many bars of a piece, repeated where there are fewer."""
    if bars is None:
        return _Cut(voices, voices, 0, voices.bars)
    first, last = numpy_model.chosen_bars(voices, bars, start_bar, remarks)
    part = voices.part(first, last, -(-bars // (last - first))).part(0, bars)
    heard = bool(melody_tokens.is_onset(part.tokens).any())
    numpy_model.report_bars(voices, first, last, bars, heard, remarks)
    return _Cut(voices, part, first, last)


def _players(voices: Voices) -> list[Voice]:
    """Who plays each voice: the program and mean velocity of its notes, for a voice without notes of all notes."""
    columns = voices.piece.columns()
    struck = voices.notes[voices.notes >= 0]
    players = []
    for k, column in enumerate(voices.notes.T):
        mine = column[column >= 0]
        mine = mine if len(mine) else struck
        program = int(np.argmax(np.bincount(columns.program[mine]))) if len(mine) else 0
        velocity = float(columns.velocity[mine].mean()) if len(mine) else 0.0
        players.append(Voice(_TRACK, program, velocity, k))
    return players


def _known_metres(excerpt: Excerpt | None) -> list[tuple[int, int]]:
    piece = excerpt.cut_from.whole.piece if excerpt else None
    return list(dict.fromkeys((upper, lower) for _, upper, lower in piece.time_signatures)) if piece else []


def _with_bar_lengths(windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Windows whose bars have the given lengths, int `[bars]`; those behind keep theirs."""
    bar = melody_tokens.STEPS_PER_BAR
    rows = windows.reshape(-1, bar, windows.shape[2]).copy()
    n = min(len(lengths), len(rows))
    inside = np.arange(bar) < lengths[:n, None]
    rows[:n][rows[:n] == melody_tokens.BAR_END] = melody_tokens.HOLD
    rows[:n][~inside] = melody_tokens.BAR_END
    return rows.reshape(windows.shape)


def _decoded(segment: Segment, tokens: np.ndarray) -> Iterable[tuple[str, Note]]:
    """The notes of decoded windows by their tracks, with times in steps."""
    for player in segment.voices:
        if round(player.velocity) > 0:
            for pitch, start, end in melody_tokens.token_notes(tokens[:, player.of]):
                yield player.name, Note(pitch, round(player.velocity), start, end, player.program)


def _written(segment: Segment) -> Iterable[tuple[str, Note]]:
    """A piece's own notes in the bars of a segment by their tracks, with times in steps, none beyond its end."""
    assert segment.excerpt is not None
    cut: _Cut = segment.excerpt.cut_from
    (begin, end), length = cut.steps(), int(cut.part.bar_lines[-1])
    rows, names = _own_notes(cut), cut.whole.piece.track_names
    for offset in range(0, length, end - begin):
        for note in rows:
            start, stop = note.start + offset, min(note.end + offset, float(length))
            if start < length:
                yield names.get(note.track, "") or _TRACK, dataclasses.replace(note, start=start, end=stop)


def _own_notes(cut: _Cut) -> list[Note]:
    """A piece's notes that sound in the chosen bars, with times in steps from the first bar line."""
    (begin, end), piece = cut.steps(), cut.whole.piece
    notes = piece.columns()
    at = piece.quarters(np.stack([notes.start, notes.end])) * STEPS_PER_QUARTER + cut.whole.lead
    first = np.floor(at[0] + 0.5)
    # Notes that ring over from before are struck again.
    chosen = (first < end) & ((first >= begin) | (at[1] >= begin + 1))
    times = np.clip(at[:, chosen] - begin, 0, end - begin)
    moved = dataclasses.replace(notes.take(chosen), start=times[0], end=times[1])
    return [Note(*row) for row in zip(*(column.tolist() for column in moved.columns()), strict=True)]


def _apart(notes: list[Note]) -> list[Note]:
    """Notes of a track and pitch one after the other: one that is struck again ends, and is not there twice at once."""
    out: list[Note] = []
    latest: dict[tuple[int, int, bool], int] = {}
    for note in sorted(notes, key=lambda one: (one.start, -one.end)):
        before = latest.get((note.track, note.pitch, note.is_drum))
        if before is not None and out[before].start == note.start:
            continue
        if before is not None and out[before].end > note.start:
            out[before] = dataclasses.replace(out[before], end=note.start)
        latest[note.track, note.pitch, note.is_drum] = len(out)
        out.append(note)
    return out
