"""Model folders: `model.json` (config, hparams, metrics, SHA-256) and `model.safetensors` (weights by Magenta's names).

A run folder of `calmvae train` has one in `model/`. For a config of other music than melodies, model.json has the name
of the config in place of a spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import output_folder, tensor_file
from calmvae.common.errors import ModelError
from calmvae.model import model_spec, numpy_engine
from calmvae.model.model_spec import ModelSpec

SPEC_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
_HERE = Path(__file__).resolve().parent.parent


def of_package(name: str) -> Path:
    """A folder of data such as `own_model` or `resources`, in the installed package or at the top of the checkout."""
    inside = _HERE / name
    return inside if inside.is_dir() else _HERE.parent / name


def embedded() -> list[str]:
    """Names of the models that come with calmvae."""
    return sorted(p.parent.name for p in of_package("own_model").glob(f"*/{SPEC_FILE}"))


def find(name: str | Path) -> Path | None:
    """The model folder of a name or path, if there is one."""
    path = Path(name).expanduser()
    candidates = [path, path / "model"]
    if len(path.parts) == 1:
        candidates.append(of_package("own_model") / path)
    return next((c for c in candidates if (c / SPEC_FILE).is_file()), None)


def write(
    folder: Path, spec: ModelSpec, weights: Mapping[str, np.ndarray], meta: dict[str, Any], half: bool = False
) -> None:
    """Writes a model folder; `half` stores float16, which is widened to float32 on load."""
    numpy_engine.check_weights(spec, weights)
    kept = {name: weights[name] for name in numpy_engine.weight_shapes(spec)}
    _write(folder, {"spec": spec.to_json()}, kept, meta, half)


def write_other(
    folder: Path, config: str, hparams: dict[str, Any], weights: Mapping[str, np.ndarray], meta: dict[str, Any]
) -> None:
    """Writes a model folder for a config of other music than melodies.

    Args:
      folder: the folder, made if needed.
      config: its name in Magenta's CONFIG_MAP.
      hparams: the hparams in which the model differs from the config.
      weights: all variables.
      meta: further entries of model.json.
    """
    _write(folder, {"config": config, "hparams": hparams}, weights, meta, half=False)


def _write(folder: Path, what: dict[str, Any], weights: Mapping[str, Any], meta: dict[str, Any], half: bool) -> None:
    kind = np.float16 if half else np.float32
    arrays = {name: np.asarray(value, kind) for name, value in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    tensor_file.write(folder / WEIGHTS_FILE, arrays)
    record = {
        "calmvae": "model",
        **what,
        "parameters": int(sum(a.size for a in arrays.values())),
        "dtype": np.dtype(kind).name,
        "sha256": output_folder.sha256(folder / WEIGHTS_FILE),
        **meta,
    }
    output_folder.write_json(folder / SPEC_FILE, record)


def read_record(folder: Path) -> dict[str, Any]:
    """The content of the model.json of a folder.

    Raises:
      ModelError: it is missing or damaged.
    """
    try:
        record = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        if not isinstance(record.get("spec", {}), dict) or not ({"spec", "config"} & record.keys()):
            raise KeyError("spec")
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from error


def read_spec(folder: Path) -> tuple[ModelSpec, dict[str, Any]]:
    """The spec of a model folder, and the content of its model.json.

    Raises:
      ModelError: model.json is missing or damaged, or its config is not one of melodies.
    """
    record = read_record(folder)
    if "spec" not in record:
        raise model_spec.not_melodies(record["config"], folder)
    return spec_of(folder, record), record


def spec_of(folder: Path, record: dict[str, Any]) -> ModelSpec:
    """The spec in the content of a model.json.

    Raises:
      ModelError: it is damaged.
    """
    try:
        return ModelSpec.from_json(record["spec"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"{folder / SPEC_FILE} is not a readable model description ({error!r}); export the model again.")


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a model folder, mapped into memory; unused ones are not read.

    Raises:
      ModelError: they are missing or damaged.
    """
    with tensor_file.read(folder / WEIGHTS_FILE, "weights", "fetch or export the model again") as (weights, _):
        return weights
