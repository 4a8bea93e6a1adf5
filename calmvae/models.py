"""Names and paths to a model ready to generate.

A model folder holds `model.json` (config, hparams, metrics, SHA-256 of the weights) and `model.safetensors` (the
weights under Magenta's variable names). A run folder of `calmvae train` holds one in `model/`. TensorFlow checkpoints
are read too, which imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import outputs, runtime
from calmvae.configs import SHAPE_HPARAMS, ModelSpec, get_spec
from calmvae.errors import ModelError, OptionError

SPEC_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
DEFAULT_MODEL = "calm-mel_2bar"
ENGINES = {
    "numpy": "calmvae's own, without TensorFlow",
    "magenta": "Magenta's TrainedModel on TensorFlow, the reference",
}
_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass
class Model:
    """A model and where it came from.

    Attributes:
      spec: its config.
      engine: encodes and decodes.
      source: the folder or checkpoint.
      sha256: of its weights, when they are a single file.
      meta: what model.json says besides.
    """

    spec: ModelSpec
    engine: runtime.Engine
    source: Path
    sha256: str = ""
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the model."""
        return {"config": self.spec.name, "source": str(self.source), "sha256": self.sha256}


def package_folder(name: str) -> Path:
    """`own_model` or `resources`: inside the installed package, or at the top of the checkout."""
    inside = _HERE / name
    return inside if inside.is_dir() else _HERE.parent / name


def embedded_models() -> list[str]:
    """Names of the models that come with calmvae."""
    return sorted(p.parent.name for p in package_folder("own_model").glob(f"*/{SPEC_FILE}"))


def load_model(
    name: str | Path = DEFAULT_MODEL, config: str | None = None, engine: str = "numpy", seed: int = 0
) -> Model:
    """Opens a model.

    Args:
      name: an embedded model, a model folder, a run folder, or a TensorFlow checkpoint (prefix or folder).
      config: the config of a TensorFlow checkpoint; others know theirs.
      engine: a key of `ENGINES`.
      seed: of the magenta engine's draws; the numpy engine takes one at each call.

    Raises:
      ModelError: nothing of that name, or it is damaged or does not fit its config.
      OptionError: no such engine.
    """
    if engine not in ENGINES:
        raise OptionError(f"unknown engine '{engine}'; choose one of {', '.join(ENGINES)}.")
    folder = find_model_folder(name)
    if folder:
        model = _load_folder(folder)
    else:
        model = _load_checkpoint(name, config)
    if engine == "magenta":
        from calmvae import magenta_engine

        model.engine = magenta_engine.MagentaEngine(model.spec, model.engine.weights, seed)
    return model


def _load_checkpoint(name: str | Path, config: str | None) -> Model:
    prefix = find_checkpoint(name)
    if prefix is None:
        known = ", ".join(embedded_models()) or "none"
        raise ModelError(
            f"no model '{name}': neither an embedded model ({known}), nor a model folder, run folder or checkpoint."
        )
    if config is None:
        raise ModelError(f"{name} is a TensorFlow checkpoint; name the config it was trained with (--config).")
    spec = get_spec(config)
    return Model(spec, runtime.Engine(spec, read_checkpoint(prefix)), Path(prefix))


def find_model_folder(name: str | Path) -> Path | None:
    """The model folder that a name or path stands for, if any."""
    path = Path(name).expanduser()
    candidates = [path, path / "model"]
    if len(path.parts) == 1:
        candidates.append(package_folder("own_model") / path)
    return next((c for c in candidates if (c / SPEC_FILE).is_file()), None)


def find_checkpoint(name: str | Path) -> str | None:
    """The TensorFlow checkpoint prefix that a path stands for (a prefix, its index file, or a folder's latest)."""
    path = Path(name).expanduser()
    for prefix in (path, path.with_suffix("") if path.suffix == ".index" else path):
        if Path(f"{prefix}.index").is_file():
            return str(prefix)
    for folder in (path, path / "train"):
        found = latest_checkpoint(folder)
        if found:
            return found
    return None


def latest_checkpoint(folder: Path) -> str | None:
    """Prefix of the newest checkpoint of a folder (by the step in its name), whole on disk."""
    return next(iter(reversed(_checkpoints(folder))), None)


def _checkpoints(folder: Path) -> list[str]:
    """Prefixes of the checkpoints that are whole, the oldest first."""

    def step(index: Path) -> int:
        digits = index.stem.rpartition("-")[2]
        return int(digits) if digits.isdigit() else -1

    found = sorted(folder.glob("*.index"), key=step) if folder.is_dir() else []
    return [str(i.with_suffix("")) for i in found if list(folder.glob(f"{i.stem}.data-*"))]


def read_checkpoint(prefix: str, slots: bool = False) -> dict[str, np.ndarray]:
    """All variables of a TensorFlow checkpoint; the optimiser's only when `slots` are asked for.

    Raises:
      ModelError: the checkpoint is damaged.
    """
    from calmvae import magenta

    tf = magenta.load_tensorflow()
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = list(reader.get_variable_to_shape_map())
        if not slots:
            names = [n for n in names if not n.rpartition("/")[2].startswith("Adam") and not n.startswith("beta")]
        return {n: reader.get_tensor(n) for n in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ModelError(f"{prefix} is not a readable TensorFlow checkpoint ({str(error).splitlines()[0]}).") from error


def write_checkpoint(prefix: str | Path, variables: Mapping[str, Any], keep: int = 0) -> str:
    """Writes a TensorFlow checkpoint, as its Saver does, and returns its prefix.

    Args:
      prefix: path and start of the files' names, with `-STEP` at its end where there are several.
      variables: names to arrays.
      keep: remove older checkpoints of this name but the newest so many (0: remove none).
    """
    from calmvae import magenta

    tf = magenta.load_tensorflow()
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(value) for name, value in variables.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.placeholder(array.dtype, array.shape) for array in arrays.values()]
        save = tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=inputs
        )
        session.run(save, dict(zip(inputs, arrays.values(), strict=True)))
    stem = prefix.name.rpartition("-")[0]
    same = [Path(p) for p in _checkpoints(prefix.parent) if Path(p).name.rpartition("-")[0] == stem]
    for old in same[:-keep] if keep else []:
        for file in old.parent.glob(f"{old.name}.*"):
            file.unlink()
    kept = [p for p in _checkpoints(prefix.parent) if p != str(prefix)]
    tf.train.update_checkpoint_state(str(prefix.parent), str(prefix), [*kept, str(prefix)])
    return str(prefix)


def read_weights(name: str | Path) -> tuple[dict[str, np.ndarray], Path]:
    """Weights of a model folder, run folder or TensorFlow checkpoint, whatever their config, and their place.

    Raises:
      ModelError: there is none, or it is damaged.
    """
    folder = find_model_folder(name)
    if folder:
        return _read_safetensors(folder / WEIGHTS_FILE), folder
    prefix = find_checkpoint(name)
    if prefix is None:
        raise ModelError(f"no checkpoint at {name}; give a model folder, a run folder or a TensorFlow checkpoint.")
    return read_checkpoint(prefix), Path(prefix)


def with_shapes_of(name: str | Path, spec: ModelSpec) -> ModelSpec:
    """The spec with the layer and latent sizes of a model folder of the same kind, so that it can be fine-tuned."""
    folder = find_model_folder(name)
    if not folder:
        return spec
    source = read_spec(folder)[0]
    if (source.bars, source.decoder) != (spec.bars, spec.decoder):
        return spec
    shapes = {n: source.hparams[n] for n in SHAPE_HPARAMS}
    return dataclasses.replace(
        spec,
        hparams={**spec.hparams, **shapes},
        level_lengths=source.level_lengths,
        encoder_lengths=source.encoder_lengths,
    )


def save_model(
    folder: Path, spec: ModelSpec, weights: Mapping[str, np.ndarray], meta: dict[str, Any], half: bool = False
) -> None:
    """Writes a model folder; `half` stores float16, which is widened again on load."""
    from safetensors.numpy import save

    runtime.check_weights(spec, weights)
    kind = np.float16 if half else np.float32
    arrays = {n: np.ascontiguousarray(weights[n], dtype=kind) for n in runtime.weight_shapes(spec)}
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{WEIGHTS_FILE}.{os.getpid()}"
    scratch.write_bytes(save(arrays))
    os.replace(scratch, folder / WEIGHTS_FILE)
    record = {
        "calmvae": "model",
        "spec": spec.to_json(),
        "parameters": int(sum(a.size for a in arrays.values())),
        "dtype": np.dtype(kind).name,
        "sha256": outputs.sha256(folder / WEIGHTS_FILE),
        **meta,
    }
    outputs.write_json(folder / SPEC_FILE, record)


def save_checkpoint(prefix: Path, spec: ModelSpec, weights: Mapping[str, np.ndarray], step: int = 0) -> str:
    """Writes a TensorFlow checkpoint that stock Magenta opens (weights and global step). Returns its prefix."""
    variables: dict[str, Any] = {name: np.asarray(weights[name], np.float32) for name in runtime.weight_shapes(spec)}
    return write_checkpoint(prefix, variables | {"global_step": np.int64(step)})


def read_spec(folder: Path) -> tuple[ModelSpec, dict[str, Any]]:
    """The spec of a model folder, and all that its model.json says.

    Raises:
      ModelError: it is missing or damaged.
    """
    try:
        record = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        return ModelSpec.from_json(record["spec"]), record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder / SPEC_FILE} is not a readable model description ({error!r}); export the model again."
        ) from error


def _load_folder(folder: Path) -> Model:
    spec, record = read_spec(folder)
    weights = _read_safetensors(folder / WEIGHTS_FILE)
    meta = {k: v for k, v in record.items() if k not in ("spec", "calmvae")}
    return Model(spec, runtime.Engine(spec, weights), folder, record.get("sha256", ""), meta)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file, mapped into memory: what is not used is not read."""
    try:
        content = np.memmap(path, np.uint8, mode="r")
        begin = 8 + int.from_bytes(content[:8].tobytes(), "little")
        header = json.loads(content[8:begin].tobytes())
        header.pop("__metadata__", None)
        arrays = {}
        for name, entry in header.items():
            start, stop = entry["data_offsets"]
            raw = content[begin + start : begin + stop]
            arrays[name] = raw.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        return arrays
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} holds no readable weights ({error!r}); fetch or export the model again.") from error
