"""Opens a model by its name or path, ready to generate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import find_model
from calmvae.common import magenta_import
from calmvae.common.defaults import DEFAULT_MELODY_MODEL, DEFAULT_MODEL
from calmvae.common.errors import OptionError
from calmvae.model import config_catalog, interface, numpy_engine
from calmvae.model.melody_model import MelodyModel
from calmvae.model.model_spec import SHAPE_HPARAMS, ModelSpec, not_melodies, with_hparams
from calmvae.model.numpy_model import NumpyModel
from calmvae.model.voice_model import VoiceModel


def load_model(
    name: str | Path = DEFAULT_MODEL, config: str | None = None, hparams: dict[str, Any] | None = None
) -> interface.Model:
    """Opens a model of any kind.

    Args:
      name: an embedded model, one fetched or imported by `calmvae models`, a model folder, a run folder, a TensorFlow
        checkpoint (prefix, folder or .tar) or a magenta-js folder.
      config: the config of a TensorFlow checkpoint, if its variables do not show it.
      hparams: with a config, the hparams in which the checkpoint differs from it, if its variables do not show them.

    Raises:
      ModelError: there is no such model, or it is damaged or does not fit its config.
      OptionError: no such config or hparam.
    """
    if hparams is None:
        return of_opened(find_model.open_model(name, config))
    # The shapes are checked when the model is built.
    opened = find_model.open_model(name, strict=False)
    known = config_catalog.known(config or opened.config)
    spec = config_catalog.spec(known)
    told = dataclasses.replace(opened, config=known, hparams={}, spec=spec and with_hparams(spec, hparams))
    return of_opened(told, hparams)


def load_melody_model(name: str | Path = DEFAULT_MELODY_MODEL, config: str | None = None) -> MelodyModel:
    """As `load_model`, for models of melodies.

    Raises:
      ModelError: as `load_model`, or the model is not of melodies.
    """
    model = load_numpy_model(name, config)
    if not isinstance(model, MelodyModel):
        raise not_melodies(model.name, model.source)
    return model


def load_numpy_model(name: str | Path = DEFAULT_MODEL, config: str | None = None) -> NumpyModel:
    """As `load_model`, for models of melodies or of several voices, which need neither Magenta nor TensorFlow.

    Raises:
      ModelError: as `load_model`, or the model is of another kind.
    """
    opened = find_model.open_model(name, config)
    if opened.spec is None:
        raise not_melodies(opened.config, opened.place)
    return of_spec(opened.place, opened.spec, opened.weights, **_record(opened))


def of_spec(place: Path, spec: ModelSpec, weights: Mapping[str, np.ndarray], **record: Any) -> NumpyModel:
    """The model of a spec and weights from a place; `record` as for `interface.Model`."""
    kind = VoiceModel if spec.voices > 1 else MelodyModel
    return kind(place, spec, numpy_engine.Engine(spec, weights), **record)


def of_opened(opened: find_model.Opened, hparams: dict[str, Any] | None = None) -> interface.Model:
    """The model of weights opened by `find_model.open_model`; `hparams` replace those of Magenta's config."""
    if opened.spec is not None:
        return of_spec(opened.place, opened.spec, opened.weights, **_record(opened))
    from calmvae.model import magenta_config, magenta_model

    door = magenta_import.load()
    config = door.configs.CONFIG_MAP.get(opened.config)
    config = config or magenta_config.magenta_config(config_catalog.get_spec(opened.config))
    values, changes = config.hparams.values(), opened.hparams | (hparams or {})
    for name in changes.keys() - values.keys():
        raise OptionError(f"unknown hparam '{name}'; choose one of {', '.join(sorted(values))}.")
    config = config._replace(hparams=door.HParams(**values | changes))
    return magenta_model.MagentaModel(opened.place, opened.config, config, dict(opened.weights), **_record(opened))


def _record(opened: find_model.Opened) -> dict[str, Any]:
    return {"sha256": opened.sha256, "weights_file": find_model.weights_file(opened.place), "meta": opened.meta}


def shaped_like(source: ModelSpec | None, spec: ModelSpec) -> ModelSpec:
    """The spec with the layer and latent sizes of `source`, if that has the same windows and kind of decoder."""
    if source is None or (source.steps, source.decoder, source.voices) != (spec.steps, spec.decoder, spec.voices):
        return spec
    shapes = {n: source.hparams[n] for n in SHAPE_HPARAMS}
    return dataclasses.replace(
        spec,
        hparams={**spec.hparams, **shapes},
        level_lengths=source.level_lengths,
        encoder_lengths=source.encoder_lengths,
    )
