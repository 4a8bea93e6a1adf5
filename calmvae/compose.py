"""Sample, interpolate, reconstruct: from latent vectors to pieces. numpy only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calmvae import evaluation, latent, midi, models, personal, phrases, render, runtime, text
from calmvae.calmness import DEFAULT_QPM, DEFAULT_VELOCITY
from calmvae.errors import OptionError
from calmvae.made import Made
from calmvae.phrases import STEPS_PER_BAR, STEPS_PER_QUARTER, Melody
from calmvae.piece import Note, Piece
from calmvae.render import Section

DEFAULT_PROGRAM = 0
# Samples decoded together, always as many: the last bits of a product depend on how many rows it has.
_GROUP = 8
_SECTION_BARS = 8
# MIDI's tempo event cannot say less than 3.6; nobody plays above 400.
_QPM_RANGE = (4.0, 400.0)


@dataclasses.dataclass(frozen=True)
class Voice:
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
    model: models.Model | str | Path = models.DEFAULT_MODEL,
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
      melody: a method of `phrases.METHODS`.
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
    bars = check_bars(bars or max(4, model.spec.bars), model)
    remarks: list[str] = []
    ends = [
        read_end(piece, model, bars, melody, track, start, remarks)
        for piece, track, start in zip((a, b), tracks, start_bars, strict=True)
    ]
    z = latent.path(ends[0].mu, ends[1].mu, steps)
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


def sample(
    model: models.Model | str | Path = models.DEFAULT_MODEL,
    n: int = 1,
    *,
    bars: int = 16,
    temperature: float = 0.5,
    seed: int = 0,
    qpm: float = DEFAULT_QPM,
    velocity: int = DEFAULT_VELOCITY,
    program: int = DEFAULT_PROGRAM,
    prior: personal.Prior | None = None,
) -> list[Made]:
    """Fresh pieces from the prior.

    A piece longer than the model's window is decoded along a smooth path through fresh draws, one every 8 bars, so
    that its windows belong together.

    Args:
      model: a loaded model or what `load_model` takes.
      n: pieces; piece k depends on the seed and k alone.
      bars: of each, a multiple of the model's window.
      temperature: 0 decodes the likeliest notes, 1 as the model believes.
      seed: of latents and draws.
      qpm, velocity, program: how to play them.
      prior: a personal one of this model; default the standard normal one.

    Raises:
      OptionError, ModelError: an option, the model or the prior is not usable.
    """
    model = opened_model(model)
    check_sampling(n, temperature, qpm, velocity, program)
    size, place = (prior.check(model).size, prior.latents) if prior else (model.spec.z_size, np.asarray)
    count, every = check_bars(bars, model) // model.spec.bars, max(1, _SECTION_BARS // model.spec.bars)
    made: list[Made] = []
    while len(made) < n:
        group = range(len(made), len(made) + _GROUP)
        paths = [place(latent.walk(np.random.default_rng([seed, k]), count, every, size)) for k in group]
        tokens = model.engine.decode(np.concatenate(paths), temperature, [latent.hash_seed(seed, k) for k in group])
        for k, windows in list(zip(group, np.split(tokens, _GROUP), strict=True))[: n - len(made)]:
            voices = [Voice("melody", program, velocity)]
            segment = Segment(windows, np.zeros(count, bool), qpm, voices, f"sample {k + 1}")
            made.append(sampled(*arrange([segment], f"{model.spec.name} sample {k + 1}, seed {seed}"), k, prior))
    return made


def sampled(piece: Piece, sections: list[Section], k: int, prior: personal.Prior | None = None) -> Made:
    """The k-th sample with what there is to say of it."""
    info = {"notes": len(piece.notes), "prior": prior.describe() if prior else "standard"}
    return Made(piece, sections, info, [] if piece.notes else [f"Sample {k + 1} is silent; try another seed."])


def reconstruct(
    piece: Piece | str | Path,
    model: models.Model | str | Path = models.DEFAULT_MODEL,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    track: int | str | None = None,
) -> Made:
    """What the model makes of a piece: its melody encoded and decoded, window by window, at its own tempo.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: as `interpolate`.
    """
    model = opened_model(model)
    check_temperature(temperature)
    remarks: list[str] = []
    line = read_melody(piece, melody, track, remarks)
    windows, tied = phrases.cut_windows(line.tokens, model.spec.steps)
    mu, _ = model.engine.encode(windows)
    decoded = model.engine.decode(mu, temperature, seed)
    tokens = phrases.join_windows(decoded, tied)[: len(line.tokens)]
    accuracy = float((decoded == windows).mean())
    onsets = evaluation.onset_accuracy(windows, decoded)
    remarks.append(f"{accuracy:.1%} of the steps come back ({onsets:.1%} of those where a note starts).")
    made = on_own_time(line, tokens, f"{line.piece.name} reconstructed", "reconstruction")
    info = {
        "reconstruction_accuracy": round(accuracy, 4),
        "onset_accuracy": round(onsets, 4),
        "windows": len(windows),
        "exact_windows": int((decoded == windows).all(axis=1).sum()),
        "melody": dataclasses.asdict(line.report),
    }
    sections = [Section(0.0, line.bars * 4.0, line.piece.name, emphasis=True)]
    given = on_own_time(line, line.tokens, line.piece.name, "given melody")
    return Made(made, sections, info, remarks, beside=given).begun()


def opened_model(model: models.Model | str | Path) -> models.Model:
    return model if isinstance(model, models.Model) else models.load_model(model)


def read_melody(piece: Piece | str | Path, method: str, track: int | str | None, remarks: list[str]) -> Melody:
    """A piece's melody; what was changed to get it is added to the remarks."""
    piece = piece if isinstance(piece, Piece) else midi.read_piece(piece)
    line = phrases.extract_melody(piece, method, track)
    changes = piece.warnings + [f"{s}." for s in line.report.sentences()]
    remarks += [f"{piece.name or 'The piece'}: {change}" for change in changes]
    return line


def read_end(
    piece: Piece | str | Path,
    model: models.Model,
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
        tokens = phrases.cut_windows(line.tokens, len(tokens), first * STEPS_PER_BAR)[0][1][: len(tokens)]
    if not (tokens[: bars * STEPS_PER_BAR] >= phrases.FIRST_PITCH).any():
        raise OptionError(f"{chosen} of {name} {are} silent; choose a bar with notes.")
    if last < line.bars:
        remarks.append(f"{name}: {chosen} of {line.bars} {are} used.")
    elif last - first < bars:
        remarks.append(f"{name}: {chosen}, all there is from there on, {are} repeated to fill {bars}.")
        copies = np.tile(tokens, (-(-bars // (last - first)), 1))
        tokens = phrases.join_windows(copies)
    windows, tied = phrases.cut_windows(tokens[: bars * STEPS_PER_BAR], model.spec.steps)
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


def arrange(segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
    """Plays segments one after the other."""
    windows = np.concatenate([s.windows for s in segments])
    tied = np.concatenate([np.append(False, s.tied[1:]) for s in segments])
    tokens = phrases.join_windows(windows, tied)
    starts = np.cumsum([0] + [s.windows.size for s in segments])
    seconds = np.array([s.windows.size / STEPS_PER_QUARTER * 60 / s.qpm for s in segments])
    begins = np.concatenate([[0.0], np.cumsum(seconds)])

    def at(step: int) -> float:
        k = min(int(np.searchsorted(starts, step, side="right")) - 1, len(segments) - 1)
        return float(begins[k] + (step - starts[k]) / STEPS_PER_QUARTER * 60 / segments[k].qpm)

    tracks = list(dict.fromkeys(voice.name for s in segments for voice in s.voices))
    notes = []
    for pitch, start, end in phrases.token_notes(tokens):
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
        for pitch, start, end in phrases.token_notes(tokens)
    ]
    tempos = [(0.0, line.piece.tempos[0][1])] + [(t + shift, q) for t, q in line.piece.tempos if t + shift > 0]
    return Piece(notes, tempos, [(0.0, 4, 4)], {0: track}, name)


def _changes(steps: list[np.ndarray]) -> list[float]:
    """Share of tokens that differ between neighbouring steps (Hamming distance)."""
    return [round(float((x != y).mean()), 4) for x, y in itertools.pairwise(steps)]


def check_bars(bars: int, model: models.Model) -> int:
    if bars < 1 or bars % model.spec.bars:
        raise OptionError(f"--bars is {bars}; {model.spec.name} makes multiples of {model.spec.bars} bars.")
    return bars


def check_sampling(n: int, temperature: float, qpm: float, velocity: int, program: int) -> None:
    """Raises an `OptionError` for an option of `sample` that is out of range."""
    if n < 1:
        raise OptionError(f"-n is {n}; ask for at least 1 sample.")
    check_temperature(temperature)
    if not 10 <= qpm <= 400:
        raise OptionError(f"--qpm is {qpm:g}; it must be from 10 to 400 quarters per minute.")
    if not 1 <= velocity <= 127 or not 0 <= program <= 127:
        raise OptionError(f"velocity {velocity} must be from 1 to 127 and program {program} from 0 to 127.")


def check_temperature(temperature: float) -> None:
    if not 0 <= temperature <= 5:
        raise OptionError(f"--temperature is {temperature:g}; it must be from 0 (the likeliest notes) to 5.")


def write_training_samples(engine: runtime.Engine, tokens: np.ndarray, folder: Path, step: int, seed: int) -> None:
    """Writes what a model in training makes: four held-out windows with their reconstructions, four samples."""
    rng = np.random.default_rng(seed)
    given = tokens[rng.permutation(len(tokens))[:4]]
    back = engine.decode(engine.encode(given)[0])
    fresh = engine.decode(rng.standard_normal((4, engine.spec.z_size)), 0.5, seed)
    voice = [Voice("melody", DEFAULT_PROGRAM, DEFAULT_VELOCITY)]
    rows: list[tuple[np.ndarray, str, bool]] = []
    for k, (x, y) in enumerate(zip(given, back, strict=True), 1):
        rows += [(x, f"given {k}", True), (y, f"back {k}", False)]
    rows += [(x, f"sample {k}", False) for k, x in enumerate(fresh, 1)]
    segments = [Segment(w[None], np.zeros(1, bool), DEFAULT_QPM, voice, label, g) for w, label, g in rows]
    piece, sections = arrange(segments, f"step {step}")
    name = folder / f"step-{step:08d}"
    midi.write_midi(piece, name.with_suffix(".mid"))
    render.write_piano_roll(piece, name.with_suffix(".png"), sections=sections)
