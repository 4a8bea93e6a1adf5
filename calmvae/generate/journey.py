"""A long piece that begins as A and ends calm: `calmvae journey`.

The phrases come from a path through the latent space that leads from A to B and along the model's calm direction.
Tempo, velocity and density fall on the way. `journey_plan` plans, `journey_phrases` makes the phrases, `phrase_choice`
chooses each of them, `journey_notes` plays them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common.errors import MissingDependencyError, OptionError
from calmvae.generate import journey_loudness, journey_notes, journey_plan, phrase_choice
from calmvae.generate.arguments import opened_piece
from calmvae.generate.journey_notes import Phrase
from calmvae.generate.journey_phrases import Source, State, Traveller
from calmvae.generate.journey_plan import PHRASE_STEPS, Itinerary
from calmvae.generate.made_piece import Made, lead
from calmvae.latent import calm_prior, prior_draws
from calmvae.midi import audio
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model.interface import DEFAULT_PROGRAM
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness, key_finding, melody_windows, phrase_editing
from calmvae.music.calmness import DEFAULT_VELOCITY
from calmvae.music.melody_tokens import STEPS_PER_QUARTER

# The bars of a piece that a journey takes.
BARS = journey_plan.OPENING_PHRASES * journey_plan.PHRASE_BARS
# The share of a phrase's time that may lie outside the key of its neighbours, except in A's own phrases.
FOREIGN = 0.2
# A journey from a model begins louder than samples are played, by this velocity.
_LOUDER = 10


def of_piece(
    piece: Piece | str | Path,
    model: MelodyModel,
    melody: str = "skyline",
    track: int | str | None = None,
    start_bar: int | None = None,
    remarks: list[str] | None = None,
) -> Source:
    """The first 16 bars of a piece's melody; a shorter one is repeated.

    Args:
      piece, model, melody, track, start_bar: see `interpolation.interpolate`.
      remarks: sentences for the user are added to it.

    Raises:
      OptionError, InputError, EmptyMusicError: as `interpolation.interpolate`.
    """
    _check(model)
    remarks = [] if remarks is None else remarks
    end = model.excerpt(opened_piece(piece), BARS, remarks, melody=melody, track=track, start_bar=start_bar)
    tokens = melody_windows.join_windows(end.windows, end.tied)
    [player] = end.players
    return Source(end.name or "the piece", tokens, end.qpm, round(player.velocity), player.program)


def of_model(model: MelodyModel, calm: bool, seed: int) -> Source:
    """A sample of 16 bars, from the calm prior if `calm` is set and the model has one, else from the standard prior."""
    _check(model)
    prior = calm_prior.load_prior(model) if calm and (model.source / calm_prior.PRIOR_FILE).is_file() else None
    count = BARS // model.spec.bars
    rng, every = np.random.default_rng([seed, int(calm)]), max(1, 8 // model.spec.bars)
    windows = model.engine.decode(prior_draws.walk(model, prior, rng, count, every), 0.0, seed)
    name = f"a {'calm ' * calm}sample of {model.spec.name}"
    tokens = melody_windows.join_windows(windows)
    if not len(phrase_editing.onsets(tokens)):
        raise OptionError(f"the {'calm ' * calm}sample of seed {seed} is silent; choose another --seed.")
    return Source(name, tokens, journey_plan.DEFAULT_QPM, DEFAULT_VELOCITY + _LOUDER, DEFAULT_PROGRAM)


def _check(model: MelodyModel) -> None:
    if BARS % model.spec.bars:
        raise OptionError(
            f"{model.spec.name} has windows of {model.spec.bars} bars, which do not fill a journey's {BARS}; choose "
            "another model with --model."
        )


def journey(
    a: Source,
    b: Source,
    model: MelodyModel,
    *,
    minutes: float = 12.0,
    start_qpm: float | None = None,
    end_qpm: float | None = None,
    accompanied: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """A long piece from A to B that becomes calmer and calmer.

    It begins with A's own melody (16 bars, or a quarter of a short journey). Phrases of 4 bars from the path to B
    follow. B is transposed to A's signature.

    Args:
      a, b: where it begins and where it leads, of `of_piece` or `of_model`.
      model: of windows that fill 16 bars; with directions in its folder, the path also follows the calm direction.
      minutes: how long, 1 to 180.
      start_qpm: tempo at the beginning, default A's.
      end_qpm: tempo at the end, default `journey_plan.end_tempo`.
      accompanied: whether a soft second voice plays chords.
      seed: of every draw.
      progress: called with the number of phrases made, and of all.

    Raises:
      OptionError: an option is out of range, or the model's windows do not fit.
    """
    _check(model)
    start = a.qpm if start_qpm is None else start_qpm
    end = journey_plan.end_tempo(start) if end_qpm is None else end_qpm
    onsets = phrase_editing.onsets(a.tokens)
    # Chords begin with the first bar, a melody alone with its upbeat.
    silence = 0.0 if accompanied else int(onsets[0]) / STEPS_PER_QUARTER * 60 / start
    plan = journey_plan.plan(minutes, start, end, a.velocity, len(onsets) / journey_plan.OPENING_PHRASES, silence)
    traveller = Traveller(a, b, model, plan, accompanied, seed)
    walked, end_state = traveller.walk(progress)
    name = f"{a.name} to {b.name}" if a is not b else f"{a.name}, calmer"
    piece, unheard = journey_notes.play(walked, plan, range(plan.phrases), name, traveller.balance), []
    try:
        piece, softer = journey_loudness.settled(piece)
    except MissingDependencyError as error:
        softer, unheard = 0, [f"The loudness of the instruments is not balanced: {error}"]
    made = Made(piece, _sections(plan, traveller.opening), {}, []).begun()
    made.info = _info(traveller, walked, end_state, made.piece) | {"silence_left_out": round(lead(piece), 2)}
    made.info["notes"]["softer"] = softer
    if not unheard:
        made.info["loudness_by_minute"] = _rounded(audio.loudness(made.piece), 1)
    made.remarks = unheard + _remarks(traveller, made.info, a is b)
    return made


def by_minute(piece: Piece) -> list[float]:
    """Calmness of each minute; the rest at the end counts if it lasts half a minute."""
    length = piece.duration
    count = max(1, int(length / 60 + 0.5))
    scores = [calmness.score(piece, 60.0 * k, min(60.0 * (k + 1), length)) for k in range(count)]
    return [round(score.calmness, 2) for score in scores]


def foreign(walked: Sequence[Phrase]) -> list[float]:
    """For each phrase, the share of its time outside the key of its neighbours, see `key_finding.foreign`."""
    times = [key_finding.shares(phrase.tokens) for phrase in walked]
    around = [sum((times[n] for n in (k - 1, k + 1) if 0 <= n < len(times)), np.zeros(12)) for k in range(len(times))]
    return [round(key_finding.foreign(time, near), 3) for time, near in zip(times, around, strict=True)]


def returns(walked: Sequence[Phrase]) -> float:
    """Share of phrases, without A's own, that share at least half of their steps with one of the three before."""
    own = [phrase for phrase in walked if not phrase.given]
    found = [
        any(float((phrase.tokens == before.tokens).mean()) >= 0.5 for before in own[max(k - 3, 0) : k])
        for k, phrase in enumerate(own)
    ]
    return float(np.mean(found)) if found else 0.0


def _info(traveller: Traveller, walked: Sequence[Phrase], state: State, piece: Piece) -> dict[str, Any]:
    """Measurements for run.json: the plan, phrase by phrase, and the music made from it."""
    plan, opening = traveller.plan, traveller.opening
    begins = [plan.seconds(k * PHRASE_STEPS) for k in range(plan.phrases + 1)]
    seconds, apart, minutes = np.diff(begins), foreign(walked), by_minute(piece)
    planned = [traveller.planned(k, state.level) for k in range(plan.phrases)]
    # The plan is for the melody alone; a curve of the whole music starts where its first minute is.
    risen = minutes[0] - float(np.mean([value for value, begin in zip(planned, begins, strict=False) if begin < 60]))
    notes = np.array([len(phrase_editing.onsets(phrase.tokens)) for phrase in walked])
    return {
        "keys": [str(key) for key in traveller.keys],
        "transposed": traveller.shift,
        "stages": [round(begins[k], 2) for k in plan.stages],
        "plan": {
            "seconds": _rounded(begins[:-1], 2),
            "qpm": _rounded(plan.qpm[:: journey_plan.PHRASE_BARS], 2),
            "velocity": _rounded(plan.velocity, 1),
            "onsets_per_second": _rounded(plan.onsets / seconds, 3),
            "place": _rounded(plan.place, 4),
            "calmness": [round(min(value + risen, 100.0), 1) for value in planned],
            "longest_rest": round(_planned_rest(traveller), 2),
            "end": round(begins[-1], 2),
        },
        "onsets_per_second": _rounded(notes / seconds, 3),
        "calmness_by_minute": minutes,
        "longest_rest": round(journey_notes.longest_rest(piece), 2),
        "foreign": {"most": max(apart[opening:], default=0.0), "most_of_a": max(apart[:opening])},
        "phrases": {"all": len(walked), "given": opening, "returning": round(returns(walked), 3)},
        "notes": {"all": len(piece.notes), **{name: state.counts[name] for name in phrase_choice.COUNTS}},
    }


def _rounded(values: Iterable[float], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def _planned_rest(traveller: Traveller) -> float:
    """The longest silence in seconds that the plan allows: A's own, and from the end of a phrase to the next note."""
    plan = traveller.plan
    longest = phrase_editing.longest_rest(traveller.given.reshape(-1))
    steps = np.maximum(plan.rest, longest * (np.arange(plan.phrases) < traveller.opening))
    slowest = plan.qpm[journey_plan.PHRASE_BARS - 1 :: journey_plan.PHRASE_BARS]
    return float(((steps + phrase_editing.REST) / STEPS_PER_QUARTER * 60 / slowest).max())


def _remarks(traveller: Traveller, info: dict[str, Any], alone: bool) -> list[str]:
    """Sentences for the user; the last is the result."""
    said, counts, keys = [], info["notes"], traveller.keys
    if not traveller.direction.any():
        said.append("The model has no calm direction (calmvae directions); tempo, velocity and density still fall.")
    if traveller.shift and not alone:
        said.append(f"B is transposed by {traveller.shift:+d} semitones, to {keys[1]}, as A is in {keys[0]}.")
    parts = {"moved": "moved by a semitone into the key", "octaves": "by octaves for smaller steps"}
    parts |= {"left_out": "left out", "lengthened": "held longer"}
    parts |= {"softer": "played softer, to sound no louder than the minute before"}
    changed = ", ".join(f"{counts[name]} {words}" for name, words in parts.items() if counts[name])
    if changed:
        said.append(f"Notes changed on the path: {changed}.")
    first, last = info["calmness_by_minute"][0], info["calmness_by_minute"][-1]
    qpm = traveller.plan.qpm
    said.append(
        f"{info['phrases']['all']} phrases in {len(info['stages'])} stages; tempo {qpm[0]:.0f} to {qpm[-1]:.0f}, "
        f"calmness {first:.0f} in the first minute and {last:.0f} in the last."
    )
    return said


def _sections(plan: Itinerary, opening: int) -> list[Section]:
    """A itself, and the stages."""
    quarters = PHRASE_STEPS / STEPS_PER_QUARTER
    found = [Section(0.0, opening * quarters, "A", emphasis=True)]
    ends = [*plan.stages[1:], plan.phrases]
    for k, (first, end) in enumerate(zip(plan.stages, ends, strict=True), 1):
        first = max(first, opening)
        if first < end:
            qpm = plan.qpm[first * journey_plan.PHRASE_BARS]
            found.append(Section(first * quarters, end * quarters, f"stage {k} · {qpm:.0f} qpm"))
    return found
