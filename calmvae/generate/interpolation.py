"""A piece that travels from one piece to another through the latent space. numpy only."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common import text
from calmvae.common.errors import OptionError
from calmvae.generate.arguments import check_bars, check_temperature, opened_model, read_melody
from calmvae.generate.arrangement import Segment, Voice, arrange
from calmvae.generate.made_piece import Made
from calmvae.latent import latent_path
from calmvae.midi.piece import Piece
from calmvae.music import melody_tokens
from calmvae.music.melody_extraction import Melody
from calmvae.music.melody_tokens import STEPS_PER_BAR

# MIDI's tempo event cannot say less than 3.6; nobody plays above 400.
_QPM_RANGE = (4.0, 400.0)


@dataclasses.dataclass
class End:
    """One end of an interpolation: `bars` bars of a given piece."""

    melody: Melody
    windows: np.ndarray
    tied: np.ndarray
    mu: np.ndarray
    qpm: float
    accuracy: float


def interpolate(
    a: Piece | str | Path,
    b: Piece | str | Path,
    model: open_model.Model | str | Path = open_model.DEFAULT_MODEL,
    *,
    steps: int = 8,
    bars: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    tracks: tuple[int | str | None, int | str | None] = (None, None),
    start_bars: tuple[int | None, int | None] = (None, None),
    endpoints: str = "original",
) -> Made:
    """A piece that travels from one piece to another.

    Each of its `steps` sections has `bars` bars. Tempo and velocity glide from A's to B's; where the instruments
    differ, A's fades out as B's fades in.

    Args:
      a, b: pieces or music files.
      model: a loaded model or what `load_model` takes.
      steps: sections, both ends included, at least 2.
      bars: of each section, a multiple of the model's window; default 4 or one window, whichever is longer.
      temperature: 0 decodes the likeliest notes.
      seed: of the draws at a temperature above 0.
      melody: a method of `melody_extraction.METHODS`.
      tracks: take the melody from this track of A, of B.
      start_bars: first bar (from 1) to take of A, of B; default the first bar with a note.
      endpoints: "original" begins and ends with the given melodies themselves, "decoded" with what the model makes
        of them.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: an option, a file or the model is not usable.
    """
    model = opened_model(model)
    if steps < 2:
        raise OptionError(f"--steps is {steps}; an interpolation has at least 2, its two ends.")
    if endpoints not in ("original", "decoded"):
        raise OptionError(f"--endpoints is '{endpoints}'; choose original or decoded.")
    check_temperature(temperature)
    bars = check_bars(max(4, model.spec.bars) if bars is None else bars, model)
    remarks: list[str] = []
    ends = [
        read_end(piece, model, bars, melody, track, start, remarks)
        for piece, track, start in zip((a, b), tracks, start_bars, strict=True)
    ]
    z = latent_path.path(ends[0].mu, ends[1].mu, steps)
    decoded = model.engine.decode(z.reshape(-1, z.shape[-1]), temperature, seed).reshape(steps, -1, model.spec.steps)
    segments = []
    for k, t in enumerate(np.linspace(0.0, 1.0, steps)):
        end = {0: ends[0], steps - 1: ends[1]}.get(k)
        given = end if endpoints == "original" else None
        segments.append(
            Segment(
                windows=given.windows if given else decoded[k],
                tied=given.tied if given else np.zeros(len(decoded[k]), bool),
                qpm=float(ends[0].qpm ** (1 - t) * ends[1].qpm ** t),
                voices=_voices(ends[0].melody, ends[1].melody, float(t)),
                label={0: "A", steps - 1: "B"}.get(k, f"{k}/{steps - 1}"),
                given=end is not None,
            )
        )
    names = [end.melody.piece.name for end in ends]
    piece, sections = arrange(segments, f"{names[0]} to {names[1]}")
    info = {
        "bars_per_step": bars,
        "qpm": [round(s.qpm, 2) for s in segments],
        "reconstruction_accuracy": [round(end.accuracy, 4) for end in ends],
        "changes_between_steps": _changes([s.windows for s in segments]),
        "melodies": [dataclasses.asdict(end.melody.report) for end in ends],
    }
    parts = [arrange([s], f"{piece.name}, step {s.label}")[0] for s in segments]
    return Made(piece, sections, info, remarks, parts).begun()


def read_end(
    piece: Piece | str | Path,
    model: open_model.Model,
    bars: int,
    method: str,
    track: int | str | None,
    start_bar: int | None,
    remarks: list[str],
) -> End:
    """`bars` bars of a piece from `start_bar` (from 1; default the first with a note), encoded; see `interpolate`."""
    line = read_melody(piece, method, track, remarks)
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
        tokens = melody_tokens.cut_windows(line.tokens, len(tokens), first * STEPS_PER_BAR)[0][1][: len(tokens)]
    if not (tokens[: bars * STEPS_PER_BAR] >= melody_tokens.FIRST_PITCH).any():
        raise OptionError(f"{chosen} of {name} {are} silent; choose a bar with notes.")
    if last < line.bars:
        remarks.append(f"{name}: {chosen} of {line.bars} {are} used.")
    elif last - first < bars:
        remarks.append(f"{name}: {chosen}, all there is from there on, {are} repeated to fill {bars}.")
        copies = np.tile(tokens, (-(-bars // (last - first)), 1))
        tokens = melody_tokens.join_windows(copies)
    windows, tied = melody_tokens.cut_windows(tokens[: bars * STEPS_PER_BAR], model.spec.steps)
    mu, _ = model.engine.encode(windows)
    accuracy = float((model.engine.decode(mu) == windows).mean())
    begin, end = (line.seconds_at(bar * STEPS_PER_BAR) for bar in (first, last))
    qpm = float(np.clip(line.piece.mean_qpm(max(begin, 0.0), max(end, 0.0)), *_QPM_RANGE))
    slowest, fastest = line.piece.qpm_range(begin, end)
    if fastest > 1.02 * slowest:
        remarks.append(f"{name}: its tempo, {slowest:.0f} to {fastest:.0f}, is evened out to the mean, {qpm:.0f}.")
    return End(line, windows, tied, mu, qpm, accuracy)


def _voices(a: Melody, b: Melody, t: float) -> list[Voice]:
    velocity = (1 - t) * a.velocity + t * b.velocity
    if a.program == b.program:
        return [Voice("melody", a.program, velocity)]
    # Equal power, so that the middle is as loud as the ends.
    return [
        Voice("melody of A", a.program, velocity * float(np.sqrt(1 - t))),
        Voice("melody of B", b.program, velocity * float(np.sqrt(t))),
    ]


def _changes(steps: list[np.ndarray]) -> list[float]:
    """Share of tokens that differ between neighbouring steps (Hamming distance)."""
    return [round(float((x != y).mean()), 4) for x, y in itertools.pairwise(steps)]
