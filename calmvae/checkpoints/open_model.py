"""A name or path to a model ready to generate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from calmvae.checkpoints import find_model
from calmvae.model import config_catalog, numpy_engine
from calmvae.model.model_spec import SHAPE_HPARAMS, ModelSpec, not_melodies

DEFAULT_MODEL = "calm-mel_2bar"


@dataclasses.dataclass
class Model:
    """A model and where it came from.

    Attributes:
      spec: its config.
      engine: encodes and decodes.
      source: the folder or checkpoint.
      sha256: of its weights, when they are a single file and it is on record.
      meta: what model.json says besides.
    """

    spec: ModelSpec
    engine: numpy_engine.Engine
    source: Path
    sha256: str = ""
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the model."""
        sha256 = self.sha256 or find_model.sha256_of(self.source)
        return {"config": self.spec.name, "source": str(self.source), "sha256": sha256}


def load_model(name: str | Path = DEFAULT_MODEL, config: str | None = None) -> Model:
    """Opens a melody model.

    Args:
      name: an embedded model, one fetched or imported by `calmvae models`, a model folder, a run folder, a TensorFlow
        checkpoint (prefix, folder or .tar) or a magenta-js folder.
      config: the config of a TensorFlow checkpoint, where it cannot be told from its variables.

    Raises:
      ModelError: nothing of that name, or it is damaged, does not fit its config, or is not of melodies.
      OptionError: no such config.
    """
    return of_opened(find_model.open_model(name, config))


def of_opened(opened: find_model.Opened) -> Model:
    """A model of melodies of what `find_model.open_model` opened; see `load_model`."""
    if opened.spec is None:
        raise not_melodies(opened.config, opened.place)
    engine = numpy_engine.Engine(opened.spec, opened.weights)
    return Model(opened.spec, engine, opened.place, opened.sha256, opened.meta)


def with_shapes_of(name: str | Path, spec: ModelSpec) -> ModelSpec:
    """The spec with the layer and latent sizes of a model of the same kind, so that it can be fine-tuned."""
    return shaped_like(to_start_from(name, spec.name).spec, spec)


def shaped_like(source: ModelSpec | None, spec: ModelSpec) -> ModelSpec:
    """The spec with the layer and latent sizes of another of the same kind."""
    if source is None or (source.bars, source.decoder) != (spec.bars, spec.decoder):
        return spec
    shapes = {n: source.hparams[n] for n in SHAPE_HPARAMS}
    return dataclasses.replace(
        spec,
        hparams={**spec.hparams, **shapes},
        level_lengths=source.level_lengths,
        encoder_lengths=source.encoder_lengths,
    )


def spec_to_train(name: str | Path) -> ModelSpec:
    """The config to fine-tune a model with: its own, with the hparams that the config has for training.

    Raises:
      ModelError: the model's config is not known, or not one of melodies.
    """
    opened = find_model.open_model(name)
    if opened.spec is None:
        raise not_melodies(opened.config, opened.place)
    known = config_catalog.spec(opened.config) if opened.config in config_catalog.names() else None
    return known or opened.spec


def to_start_from(name: str | Path, config: str) -> find_model.Opened:
    """What training starts from; of a model that does not tell its config, that of the training is taken."""
    opened = find_model.open_model(name, strict=False)
    return opened if opened.config else find_model.open_model(name, config)
