"""The calm prior: a mixture of Gaussians where a model's calm windows lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calmvae.common.errors import ModelError, OptionError
from calmvae.latent import mixture_prior
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness

PRIOR_FILE = "calm.safetensors"


def check_share(calmest: float) -> None:
    """Raises an `OptionError` for what is no share."""
    if not 0 < calmest <= 1:
        raise OptionError(f"--calmest is {calmest}; it must be above 0 and at most 1.")


def of_windows(tokens: np.ndarray) -> np.ndarray:
    """Calmness of windows uint8 `[n, steps]`, all at one tempo and loudness, `[n]`."""
    return np.array([calmness.of_tokens(row).calmness for row in tokens])


def load_prior(model: MelodyModel, where: Path | None = None) -> mixture_prior.Mixture:
    """The calm prior that lies beside a model, or in a folder.

    Raises:
      ModelError: there is none, it is damaged, or of another model.
    """
    path = (where or model.source) / PRIOR_FILE
    if not path.is_file():
        raise ModelError(f"no calm prior at {path}; make one: calmvae prior DATA --model {model.source} -o out/prior")
    return mixture_prior.read(path).check(model)
