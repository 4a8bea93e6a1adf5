"""The personal prior: a mixture of Gaussians fitted to the latents of a few pieces, kept beside the model.

It follows MidiMe (Dinculescu, Engel and Roberts 2019, "MidiMe: Personalizing a MusicVAE model with user data").
MusicVAE does not change, and the prior describes the region of the user's music in its latent space. MidiMe fits a
small VAE. The mixture of `mixture_prior.fit_few` is as good and simpler, see benchmarks/personal.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import model_cache, model_folder
from calmvae.common import output_folder
from calmvae.common.errors import ModelError
from calmvae.latent import mixture_prior
from calmvae.model.numpy_model import NumpyModel

PRIOR_FILE = "personal.safetensors"
# The file of earlier versions, whose prior was a VAE.
_OLD_FILE = "personal.json"
# The spread of samples as a part of the fitted one: they are nearer to the pieces than at 1 and keep their key better.
# After ten short pieces 3 of 100 windows of 2 bars are copies; at 1 it is 1 of 240.
SPREAD = 0.8


class Prior(mixture_prior.Mixture):
    """The region of a user's music in a model's latent space. The record names the model, by `sha256_of`."""

    def describe(self) -> dict[str, Any]:
        """What a run.json says of it, with the SHA-256 of its file (empty if it was not saved)."""
        return {**super().describe(), "sha256": output_folder.sha256(self.source) if self.source else ""}

    def check(self, model: NumpyModel) -> Prior:
        """Itself, or a `ModelError` if it was made for another model."""
        ours, theirs = sha256_of(model), self.record.get("model", {}).get("sha256")
        if self.means.shape[1] != model.spec.z_size or (theirs is not None and theirs != ours):
            where = f" in {self.source.parent}" if self.source else ""
            said = f" (SHA-256 {theirs[:12]}, not {ours[:12]})" if theirs else ""
            raise ModelError(
                f"the personal prior{where} belongs to another model than {name_of(model)}{said}; make one for "
                f"this model: {_command(model)}"
            )
        return self


def place(model: NumpyModel) -> Path:
    """The folder of a model's personal prior: inside the model folder, or in the cache folder.

    The cache folder is for embedded models, and for checkpoints, which have no model folder.
    """
    name = Path(name_of(model)).name
    if model_folder.of_package("own_model").resolve() in model.source.resolve().parents:
        return model_cache.root() / "personal" / name
    if (model.source / model_folder.SPEC_FILE).is_file():
        return model.source / "personal"
    # There are many checkpoints of one name.
    return model_cache.root() / "personal" / f"{name}-{sha256_of(model)[:8]}"


def name_of(model: NumpyModel) -> str:
    """What to call the model on the command line."""
    source = model.source.resolve()
    for parent in (model_folder.of_package("own_model").resolve(), (model_cache.root() / "models").resolve()):
        if parent in source.parents:
            return source.relative_to(parent).parts[0]
    return str(model.source)


def sha256_of(model: NumpyModel) -> str:
    """SHA-256 of the model's file of weights, or of the weights where they are several files."""
    found = str(model.describe()["sha256"])
    if found:
        return found
    digest = hashlib.sha256()
    for name, array in sorted(model.engine.weights.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def load_prior(model: NumpyModel, where: Path | None = None) -> Prior:
    """The personal prior of a model.

    Args:
      model: the model.
      where: its folder, if it does not lie where `place` says.

    Raises:
      ModelError: there is none, it is damaged, of an earlier version of calmvae, or of another model.
    """
    folder = where or place(model)
    path, old = folder / PRIOR_FILE, (folder / _OLD_FILE).is_file()
    if not path.is_file() and not old:
        said = f"in {where}" if where else f"beside {name_of(model)}"
        raise ModelError(f"no personal prior {said}; make one: {_command(model)}")
    try:
        found = mixture_prior.read(path)
        prior = Prior(found.shares, found.means, found.roots, found.record, path)
        str(prior.record["model"]["sha256"])
    except (ModelError, KeyError, TypeError) as error:
        if old:
            raise ModelError(
                f"the personal prior in {folder} is of an earlier version of calmvae; make it again: {_command(model)}"
            ) from error
        raise ModelError(f"the personal prior in {folder} is damaged; make it again: {_command(model)}") from error
    return prior.check(model)


def _command(model: NumpyModel) -> str:
    return f"calmvae personalize MY_MIDI/ --model {name_of(model)}"
