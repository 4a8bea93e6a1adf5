"""How good is a prior of a few pieces? The mixture of `calmvae personalize` beside the standard prior.

    .venv/bin/python -m benchmarks.personal resources/pieces MY_LIEDER/ [--models calm-mel_2bar calm-mel_16bar]
        [--seeds 2] [--samples 150]

Every path is a group of pieces. A tenth of the bars of each piece is held out (a quarter of the pieces, where none is
long enough). A single short piece has nothing held out, and its own windows stand for held-out ones. The mixture is
fitted to the other windows. Prints a Markdown table, means over the seeds:

- nats: negative log-likelihood of draws from held-out posteriors, of the mixture before its spread is narrowed.
- overlap: mean overlapping area of features with held-out windows, see `sample_statistics`.
- nearest, copied: steps to the nearest window fitted to, and the share of samples that stand there.
- calm: calmness of samples. in key: share of notes in the best key, of windows and of 16 bars as `sample` makes them.
- s: seconds to fit.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.cli import run_personalize
from calmvae.data import convert_folder
from calmvae.data.training_windows import sounding
from calmvae.generate import sampling
from calmvae.latent import mixture_prior, personal_prior, sample_statistics, slerp
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness

_COLUMNS = ("nats", "overlap", "nearest", "copied", "calm", "in key", "in key, 16 bars", "s")
_BARS, _LONG = 16, 60


def parts(pieces: np.ndarray, bars: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which windows to fit to and which to hold out, bool `[n]` each."""
    train, held_out = run_personalize.split(pieces, bars, np.random.default_rng([seed, 3]))
    if not held_out.any() and pieces.max():
        held_out = pieces % 4 == seed % 4
        train = ~held_out
    # Two are needed to compare with.
    return (train, held_out) if held_out.sum() > 1 else (np.ones_like(train),) * 2


def of_samples(model: MelodyModel, prior: Any, own: np.ndarray, held_out: np.ndarray, given: Any) -> list[float]:
    """The columns from overlap to the last but one."""
    rng, size = np.random.default_rng(given.seed), prior.size if prior else model.spec.z_size
    place = prior.latents if prior else np.asarray
    latents = prior.draw(rng, given.samples) if prior else rng.standard_normal((given.samples, size))
    windows = sounding(model.engine.decode(latents, 0.5, given.seed))
    found = sample_statistics.compare(windows, held_out, own)
    count, every = _BARS // model.spec.bars, max(1, sampling._SECTION_BARS // model.spec.bars)
    drawn = [slerp.anchors(np.random.default_rng([given.seed, k]), count, every, size) for k in range(_LONG)]
    walks = [place(slerp.through(anchors, count, every)) for anchors in drawn]
    long = sounding(model.engine.decode(np.concatenate(walks), 0.5, given.seed).reshape(_LONG, -1))
    calm = calmness.of_windows(windows[:100]).mean()
    near, copied = (some[0] if some else math.nan for some in (found.nearest, found.exact))
    key = sample_statistics.in_key(long).mean()
    return [found.mean_overlap, near, copied, float(calm), found.in_key[0], float(key)]


def measure(model: MelodyModel, material: run_personalize.Material, given: Any) -> dict[str, list[float]]:
    """Of each prior its row."""
    train, held_out = parts(material.pieces, model.spec.bars, given.seed)
    mu, sigma = model.engine.encode(material.tokens)
    own, unseen = material.tokens[train], material.tokens[held_out]
    x = mu[held_out] + sigma[held_out] * np.random.default_rng([given.seed, 9]).standard_normal(mu[held_out].shape)
    began = time.monotonic()
    mixture = mixture_prior.fit_few(mu[train], sigma[train], given.seed)
    seconds = time.monotonic() - began
    drawn = dataclasses.replace(mixture, roots=personal_prior.SPREAD * mixture.roots)
    standard = 0.5 * float((x**2).sum(axis=1).mean() + x.shape[1] * math.log(2 * math.pi))
    nats = -float(mixture.log_likelihood(x).mean())
    return {
        "mixture": [nats, *of_samples(model, drawn, own, unseen, given), seconds],
        "standard": [standard, *of_samples(model, None, own, unseen, given), 0.0],
    }


def main() -> None:
    """Fits, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+", help="groups of pieces")
    parser.add_argument("--models", nargs="+", default=["calm-mel_2bar", "calm-mel_16bar"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=150)
    given = parser.parse_args()
    print(f"| model | pieces | windows | prior | {' | '.join(_COLUMNS)} |\n|{'---|' * (4 + len(_COLUMNS))}", flush=True)
    for name in given.models:
        model = open_model.load_model(name)
        for path in given.paths:
            material = run_personalize.read(convert_folder.find_files([path])[0], model.spec)
            rows = []
            for seed in range(given.seeds):
                given.seed = seed
                rows.append(measure(model, material, given))
            for prior in rows[0]:
                shown = " | ".join(f"{value:.3g}" for value in np.mean([row[prior] for row in rows], axis=0))
                print(f"| {name} | {path.stem} | {len(material.tokens)} | {prior} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
