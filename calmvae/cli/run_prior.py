"""The command `calmvae prior`: fits a mixture to the latents of a data set's calmest windows."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import DataError
from calmvae.common.text import command, count, share
from calmvae.latent import mixture_prior, personal_prior, prior_draws
from calmvae.latent.calm_prior import PRIOR_FILE
from calmvae.model.numpy_model import NumpyModel
from calmvae.music import calmness, window_keys

_FEWEST = 64


def prior(data: Path, model: NumpyModel, out: Path, calmest: float, most: int, seed: int, console: Console) -> None:
    """Fits a mixture to the latents of calm windows and writes it.

    Args:
      data: a folder of `calmvae convert` or `calmvae corpus build`.
      model: the model of the latent space.
      out: the output folder.
      calmest: share of the windows that count as calm.
      most: the most windows to score.
      seed: of every draw.
      console: prints.

    Raises:
      OptionError: `calmest` is not a share. DataError: too few windows. OutputError: nowhere to write.
    """
    from calmvae.data import load_dataset

    calmest = share(calmest)
    began = time.monotonic()
    train_set, eval_set = load_dataset.load(data, model.spec, say=console.remark)
    if train_set is eval_set:
        raise DataError(f"{data} has no held-out pieces, which the choice of a prior needs; convert more pieces.")
    arguments = {"data": data, "model": str(model.source), "calmest": calmest, "windows": most, "seed": seed}
    with output_folder.OutputFolder(out, "prior", arguments) as folder:
        drawn = [windows.drawn(most, [seed, part]).tokens for part, windows in enumerate((train_set, eval_set))]
        scores = [calmness.of_windows(tokens) for tokens in drawn]
        # Held-out windows are calm by the limit of the training windows.
        limit = float(np.quantile(scores[0], 1 - calmest))
        calm = [tokens[values >= limit] for tokens, values in zip(drawn, scores, strict=True)]
        if len(calm[0]) < _FEWEST or len(calm[1]) < _FEWEST // 4:
            raise DataError(
                f"{data} has {len(calm[0])} calm windows to fit to and {len(calm[1])} held-out ones, but {_FEWEST} and "
                f"{_FEWEST // 4} are needed; convert more pieces, or raise --calmest."
            )
        if model.spec.voices > 1:
            # A sample must not mix keys; it is transposed after it is decoded.
            calm = [window_keys.in_home_keys(tokens) for tokens in calm]
        latents = [_drawn(model, tokens, [seed, 2, part]) for part, tokens in enumerate(calm)]
        found = mixture_prior.fit(latents[0], latents[1], seed)
        found.record |= {"name": "calm", "calmest": calmest, "from_calmness": round(limit, 2)}
        found.record |= {"windows": len(calm[0]), "held_out_windows": len(calm[1]), "config": model.spec.name}
        if model.spec.voices > 1:
            found.record[prior_draws.KEYS] = "C major, A minor"
        mixture_prior.write(found, folder.path(PRIOR_FILE))
        folder.record |= {"model": model.describe(), "result": found.record}
    chosen = found.record
    console.result(
        folder.record,
        f"{out / PRIOR_FILE}: {count(chosen['components'], 'Gaussian')}, shrinkage {chosen['shrinkage']}, fitted to "
        f"{len(calm[0])} windows of calmness {limit:.0f} or more; {time.monotonic() - began:.0f} s.",
        f"Try it: {command('sample', '--model', personal_prior.name_of(model), '--prior', out)}",
    )


def _drawn(model: NumpyModel, tokens: np.ndarray, seed: list[int]) -> np.ndarray:
    """A draw from the posterior of each window, because the prior has to be as wide as the posteriors."""
    mu, sigma = model.engine.encode(tokens)
    return mu + sigma * np.random.default_rng(seed).standard_normal(mu.shape).astype(np.float32)
