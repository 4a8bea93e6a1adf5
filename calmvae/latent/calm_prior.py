"""The calm prior: a mixture of Gaussians fitted to the latent codes of calm windows."""

from __future__ import annotations

from pathlib import Path

from calmvae.common.errors import ModelError
from calmvae.latent import mixture_prior
from calmvae.model.numpy_model import NumpyModel

PRIOR_FILE = "calm.safetensors"


def load_prior(model: NumpyModel, where: Path | None = None) -> mixture_prior.Mixture:
    """The calm prior beside a model, or in a folder.

    Raises:
      ModelError: there is none, it is damaged, or of another model.
    """
    path = (where or model.source) / PRIOR_FILE
    if not path.is_file():
        raise ModelError(f"no calm prior at {path}; make one: calmvae prior DATA --model {model.source} -o out/prior")
    return mixture_prior.read(path).check(model)
