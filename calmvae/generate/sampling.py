"""Fresh pieces from a prior. numpy only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common import seeds
from calmvae.common.errors import OptionError
from calmvae.generate.arguments import check_bars, check_temperature, opened_model
from calmvae.generate.arrangement import Segment, Voice, arrange
from calmvae.generate.made_piece import Made
from calmvae.latent import latent_path, mixture_prior
from calmvae.midi import piano_roll, write_midi
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model import numpy_engine
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY

DEFAULT_PROGRAM = 0
# Samples decoded together, always as many: the last bits of a product depend on how many rows it has.
_GROUP = 8
_SECTION_BARS = 8


def sample(
    model: open_model.Model | str | Path = open_model.DEFAULT_MODEL,
    n: int = 1,
    *,
    bars: int = 16,
    temperature: float = 0.5,
    seed: int = 0,
    qpm: float = DEFAULT_QPM,
    velocity: int = DEFAULT_VELOCITY,
    program: int = DEFAULT_PROGRAM,
    prior: mixture_prior.Mixture | None = None,
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
      prior: a personal or a calm one of this model; default the standard normal one.

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
        paths = [place(latent_path.walk(np.random.default_rng([seed, k]), count, every, size)) for k in group]
        tokens = model.engine.decode(np.concatenate(paths), temperature, [seeds.hash_seed(seed, k) for k in group])
        for k, windows in list(zip(group, np.split(tokens, _GROUP), strict=True))[: n - len(made)]:
            voices = [Voice("melody", program, velocity)]
            segment = Segment(windows, np.zeros(count, bool), qpm, voices, f"sample {k + 1}")
            made.append(sampled(*arrange([segment], f"{model.spec.name} sample {k + 1}, seed {seed}"), k, prior))
    return made


def sampled(piece: Piece, sections: list[Section], k: int, prior: mixture_prior.Mixture | None = None) -> Made:
    """The k-th sample with what there is to say of it."""
    info = {"notes": len(piece.notes), "prior": prior.describe() if prior else "standard"}
    return Made(piece, sections, info, [] if piece.notes else [f"Sample {k + 1} is silent; try another seed."])


def check_sampling(n: int, temperature: float, qpm: float, velocity: int, program: int) -> None:
    """Raises an `OptionError` for an option of `sample` that is out of range."""
    if n < 1:
        raise OptionError(f"-n is {n}; ask for at least 1 sample.")
    check_temperature(temperature)
    if not 10 <= qpm <= 400:
        raise OptionError(f"--qpm is {qpm:g}; it must be from 10 to 400 quarters per minute.")
    if not 1 <= velocity <= 127 or not 0 <= program <= 127:
        raise OptionError(f"velocity {velocity} must be from 1 to 127 and program {program} from 0 to 127.")


def write_training_samples(engine: numpy_engine.Engine, tokens: np.ndarray, folder: Path, step: int, seed: int) -> None:
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
    write_midi.write_midi(piece, name.with_suffix(".mid"))
    piano_roll.write_piano_roll(piece, name.with_suffix(".png"), sections=sections)
