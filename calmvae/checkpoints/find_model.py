"""Finds the weights and the config of a model by its name or path.

It may be an embedded model, a model or run folder, one imported or fetched by `calmvae models`, a TensorFlow checkpoint
(prefix, folder or .tar, in today's or an older layout) or a magenta-js folder. Its config comes from the caller, from
model.json, magenta-js' config.json or the registry, or is the one whose variables have the same names and shapes. A
model that does not fit its config is refused; the error names the first variables that differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import magenta_js, model_cache, model_folder, registry, tf_checkpoint
from calmvae.common import output_folder
from calmvae.common.errors import ModelError
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.music.melody_tokens import STEPS_PER_BAR


@dataclasses.dataclass
class Opened:
    """The weights of a model and its config.

    Attributes:
      place: the folder, file or prefix.
      form: its kind in words, such as "TensorFlow checkpoint".
      weights: variables under today's names.
      config: name of the config.
      told_by: the source of the config, in words.
      spec: the spec of a melody config, else None.
      hparams: for other configs, the hparams in which the model differs from its config.
      sha256: SHA-256 of the weights, if it is recorded.
      meta: the other entries of model.json.
    """

    place: Path
    form: str
    weights: Mapping[str, np.ndarray]
    config: str
    told_by: str
    spec: model_spec.ModelSpec | None
    hparams: dict[str, Any] = dataclasses.field(default_factory=dict)
    sha256: str = ""
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the variables."""
        return {name: tuple(value.shape) for name, value in self.weights.items()}

    def parameters(self) -> int:
        """The number of parameters."""
        return sum(int(value.size) for value in self.weights.values())


def open_model(name: str | Path, config: str | None = None, strict: bool = True) -> Opened:
    """Opens a model.

    Args:
      name: see the module.
      config: its config, if it is not recorded or should be checked.
      strict: raise an error if the config is unknown; otherwise `config` is "".

    Raises:
      ModelError: there is no such model, it is damaged or does not fit its config, or its config is unknown.
      OptionError: there is no such config.
    """
    if config is not None:
        config = config_catalog.known(config)
    folder = model_folder.find(name) or model_cache.imported_folder(name)
    if folder:
        return _of_folder(folder, config)
    kept = model_cache.fetched(name)
    entry = registry.find(str(name)) if kept else None
    place = kept or Path(name).expanduser()
    told, by = (config, "--config") if config else (entry.config, "the registry") if entry else (None, "")
    if magenta_js.is_folder(place):
        opened = _of_magenta_js(place, told, by, strict)
    else:
        checkpoint = tf_checkpoint.find(place)
        if checkpoint is None:
            raise _nothing(name)
        form = "TensorFlow checkpoint" + (" in an archive" if checkpoint.member else "")
        weights = checkpoint.read()
        opened = _identified(Opened(checkpoint.path, form, weights, "", "", None), str(checkpoint), told, by, strict)
    opened.sha256 = model_cache.sha256(str(name)) if kept else ""
    return opened


def open_to_train(name: str | Path, config: str | None) -> Opened:
    """Opens a model to start a training from. If its own config is unknown, it gets that of the training.

    Raises:
      ModelError, OptionError: as `open_model`.
    """
    if config and config_catalog.is_other(config):
        return open_model(name, config)
    opened = open_model(name, strict=False)
    return opened if opened.config else _identified(opened, str(opened.place), config, "--config", True)


def _nothing(name: str | Path) -> ModelError:
    entry = registry.find(str(name))
    if entry:
        return ModelError(f"{name} is published but not here yet; run: calmvae models fetch {name}")
    close = model_spec.closest(str(name), [*model_folder.embedded(), *registry.entries()])
    hint = f" Did you mean {close}?" if close else ""
    return ModelError(
        f"no model '{name}': it is no embedded model ({', '.join(model_folder.embedded()) or 'none'}), is not in "
        f"`calmvae models list`, and is no model folder, run folder, checkpoint, .tar or magenta-js folder.{hint}"
    )


def _of_folder(folder: Path, config: str | None) -> Opened:
    record, weights = model_folder.read_record(folder), model_folder.read_weights(folder)
    meta = {k: v for k, v in record.items() if k not in ("spec", "config", "hparams", "calmvae")}
    opened = Opened(
        folder, "model folder", weights, "", model_folder.SPEC_FILE, None, {}, record.get("sha256", ""), meta
    )
    if "spec" in record:
        opened.spec = model_folder.spec_of(folder, record)
        opened.config = opened.spec.name
        numpy_engine.check_weights(opened.spec, weights)
    else:
        opened.config, opened.hparams = config_catalog.known(record["config"]), record.get("hparams", {})
    if config and config != opened.config:
        raise ModelError(f"{folder} is of config {opened.config}, not {config}; leave --config out.")
    return opened


def _of_magenta_js(folder: Path, told: str | None, by: str, strict: bool) -> Opened:
    weights, facts = magenta_js.read(folder)
    spec = magenta_js.spec_of(weights, facts)
    opened = Opened(folder, "magenta-js checkpoint", weights, "", "config.json", spec)
    if spec is None:
        steps = facts.args.get("numSteps")
        bars = [config_catalog.bars(name) for name in config_catalog.alike(opened.shapes())]
        if not told and not any(n * STEPS_PER_BAR == steps for n in bars):
            what = f"a {facts.type} of {facts.converter or 'no known kind'}, {steps or '?'} steps long"
            raise ModelError(
                f"{folder} holds {what}, like no config of Magenta's; calmvae cannot sample it, magenta-js can play it."
            )
        return _identified(opened, str(folder), told, by, strict)
    numpy_engine.check_weights(spec, weights)
    names = config_catalog.matching(numpy_engine.weight_shapes(spec))
    same = [n for n in names if config_catalog.bars(n) == spec.bars]
    opened.config = same[-1] if same else spec.name
    opened.spec = dataclasses.replace(spec, name=opened.config)
    if told and told != opened.config:
        wanted = config_catalog.spec(told)
        if wanted is None or _kind(wanted) != _kind(spec):
            raise ModelError(
                f"{folder} holds a {spec.decoder} model of melodies of {spec.bars} bars, not one of config {told}, "
                f"which {by} says; leave --config out."
            )
        opened.config, opened.spec = told, dataclasses.replace(spec, name=told)
    return opened


def _kind(spec: model_spec.ModelSpec) -> tuple[Any, ...]:
    """The structure of a spec, without the sizes of its layers."""
    return spec.bars, spec.decoder, spec.level_lengths, spec.encoder_lengths


def _identified(opened: Opened, place: str, told: str | None, by: str, strict: bool) -> Opened:
    """The model with its config: `told` if that fits, or the config found by the variables."""
    shapes = opened.shapes()
    if told:
        opened.config, opened.told_by = told, by
        if config_catalog.shapes(told).items() <= shapes.items():
            opened.spec = config_catalog.spec(told)
            return opened
        _refuse_other(opened, place, told, by)
        return _resized(opened, place, told)
    fitting = config_catalog.matching(shapes)
    specs = [config_catalog.spec(name) for name in fitting]
    # calmvae's configs of the sizes of a config of Magenta's have the same structure; then it is Magenta's.
    if not fitting or (len(fitting) > 1 and (None in specs or len({str(s.shape()) for s in specs if s}) > 1)):
        if strict:
            raise _unknown(place, fitting, config_catalog.alike(shapes))
        return opened
    opened.config, opened.told_by, opened.spec = fitting[-1], "names and shapes of its variables", specs[-1]
    return opened


def _refuse_other(opened: Opened, place: str, told: str, by: str) -> None:
    """Raises a ModelError if the variables are those of another config or structure."""
    shapes = opened.shapes()
    others = config_catalog.matching(shapes)
    if others or not config_catalog.is_like(told, shapes):
        fits = f" (they are those of {' or '.join(others)})" if others else ""
        numpy_engine.check_shapes(f"{told}, which {by} says{fits}", config_catalog.shapes(told), opened.weights, place)


def _resized(opened: Opened, place: str, told: str) -> Opened:
    """A model trained with other sizes than its config's; its variables give the sizes."""
    sizes = config_catalog.sizes(opened.shapes())
    spec = config_catalog.spec(told)
    opened.told_by += ", its sizes by its variables"
    if spec:
        opened.spec = model_spec.with_hparams(spec, {k: v for k, v in sizes.items() if k in spec.hparams})
        numpy_engine.check_shapes(told, numpy_engine.weight_shapes(opened.spec), opened.weights, place)
    else:
        # Magenta checks the shapes when it builds the model.
        own = config_catalog.sizes(config_catalog.shapes(told))
        opened.hparams = {name: value for name, value in sizes.items() if own.get(name) != value}
    return opened


def _unknown(place: str, fitting: list[str], alike: list[str]) -> ModelError:
    if fitting:
        return ModelError(f"the variables of {place} fit {', '.join(fitting)} alike; choose one of them with --config.")
    if alike:
        return ModelError(
            f"the variables of {place} are those of {' or '.join(alike)} in other sizes; name the config that it was "
            "trained with (--config)."
        )
    return ModelError(
        f"the variables of {place} fit no config that calmvae knows; name the config that it was trained with "
        "(--config), see `calmvae configs --magenta`."
    )


def sha256_of(opened: Opened) -> str:
    """SHA-256 of the file with a model's weights; "" if they are in several files."""
    file = weights_file(opened.place)
    return opened.sha256 or (output_folder.sha256(file) if file else "")


def weights_file(place: Path) -> Path | None:
    """The file with the weights of a model opened from `place`; None if they are in several files."""
    candidates = (place, place / model_folder.WEIGHTS_FILE, Path(f"{place}.data-00000-of-00001"))
    return next((path for path in candidates if path.is_file()), None)
