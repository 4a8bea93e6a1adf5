"""Fresh pieces from a prior, and the samples of a model in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calmvae.checkpoints.open_model import DEFAULT_MODEL
from calmvae.common.errors import OptionError
from calmvae.generate.arguments import check_temperature, opened_model
from calmvae.generate.made_piece import Made
from calmvae.latent import mixture_prior, prior_draws
from calmvae.midi import piano_roll, write_midi
from calmvae.midi.piano_roll import Section
from calmvae.model.interface import DEFAULT_PROGRAM, Excerpt, Model, Segment, Voice
from calmvae.model.numpy_model import NumpyModel
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY

_TRAINING_SAMPLES = 4


def sample(
    model: Model | str | Path = DEFAULT_MODEL,
    n: int = 1,
    *,
    bars: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
    qpm: float = DEFAULT_QPM,
    velocity: int = DEFAULT_VELOCITY,
    program: int = DEFAULT_PROGRAM,
    prior: mixture_prior.Mixture | None = None,
    chords: str | None = None,
    controls: np.ndarray | None = None,
) -> list[Made]:
    """Fresh pieces from the prior.

    Args:
      model: a loaded model or what `load_model` takes.
      n: how many; piece k depends on the seed and k alone.
      bars: of each, a multiple of the model's window; default 16, or one window if the model is not of melodies.
      temperature: 0 decodes the likeliest notes, 1 draws from the model's distribution; default that of the model.
      seed: of latents and draws.
      qpm, velocity, program: how to play them.
      prior: a personal or a calm prior of this model; default the standard normal one.
      chords: for models that play over chords, such as "C G Am F".
      controls: for models conditioned on something else, `[max_seq_len, control_depth]`.

    Raises:
      OptionError, ModelError: an option, the model or the prior cannot be used.
    """
    model = opened_model(model)
    temperature = model.sample_temperature if temperature is None else temperature
    _check(n, temperature, qpm, velocity, program)
    model.check_voice(program, velocity)
    if prior:
        if not isinstance(model, NumpyModel):
            raise OptionError(f"{model.name} has no priors; leave it out, or choose a model such as {DEFAULT_MODEL}.")
        prior.check(model)

    def walk(k: int, points: int, every: int) -> np.ndarray:
        return prior_draws.walk(model, prior, np.random.default_rng([seed, k]), points, every)

    made = []
    drawn = model.sample(n, walk, bars=bars, temperature=temperature, seed=seed, chords=chords, controls=controls)
    for k, (windows, labels) in enumerate(drawn):
        windows = prior_draws.in_some_key(prior, windows, [seed, k, 1])
        voices = [Voice(voice.name, program, velocity, voice.of) for voice in model.voices()]
        segment = Segment(windows, np.zeros(len(windows), bool), qpm, voices, labels[0])
        piece, sections = model.play([segment], f"{model.name} sample {k + 1}, seed {seed}")
        if len(labels) > 1:
            length = sections[-1].end / len(labels)
            sections = [Section(i * length, (i + 1) * length, label) for i, label in enumerate(labels)]
        info = {"notes": len(piece.notes), "prior": prior.describe() if prior else "standard"}
        remarks = [] if piece.notes else [f"Sample {k + 1} is silent; try another seed."]
        made.append(Made(piece, sections, info, remarks))
    return made


def _check(n: int, temperature: float, qpm: float, velocity: int, program: int) -> None:
    if n < 1:
        raise OptionError(f"-n is {n}; ask for at least 1 sample.")
    check_temperature(temperature)
    if not 10 <= qpm <= 400:
        raise OptionError(f"--qpm is {qpm:g}; it must be from 10 to 400 quarters per minute.")
    if not 1 <= velocity <= 127 or not 0 <= program <= 127:
        raise OptionError(
            f"velocity is {velocity} and program {program}; they must be from 1 to 127 and from 0 to 127."
        )


def write_training_samples(model: Model, given: Sequence[Excerpt], folder: Path, step: int, seed: int) -> None:
    """Writes held-out windows with their reconstructions, and four fresh samples.

    Args:
      model: with its present weights.
      given: excerpts of one window each, at least one.
      folder: for `step-NNNNNNNN.mid` and `.png`.
      step: of the training. seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, str, bool]] = []
    if model.z_size:
        means = np.concatenate([mu for mu, _ in model.encode(given)])
        back = model.decode(means, like=given)
        for k, one in enumerate(given):
            rows += [(one.windows[:1], f"given {k + 1}", True), (back[k : k + 1], f"back {k + 1}", False)]
    z = rng.standard_normal((_TRAINING_SAMPLES, model.z_size))
    fresh = model.decode(z, 0.5, seed, [given[0]] * _TRAINING_SAMPLES)
    rows += [(fresh[k : k + 1], f"sample {k + 1}", False) for k in range(_TRAINING_SAMPLES)]
    voices, tied = model.voices(), np.zeros(1, bool)
    segments = [Segment(windows, tied, DEFAULT_QPM, voices, label, real) for windows, label, real in rows]
    piece, sections = model.play(segments, f"step {step}")
    name = folder / f"step-{step:08d}"
    write_midi.write_midi(piece, name.with_suffix(".mid"))
    piano_roll.write_piano_roll(piece, name.with_suffix(".png"), sections=sections)
