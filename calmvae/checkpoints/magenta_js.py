"""Reads and writes models in magenta-js' format: config.json, weights_manifest.json and TensorFlow.js's shards.

magenta-js runs two structures of melody models: flat models, and models of two encoder levels with a conductor over
the same segments. Both have one encoder layer, and decoder layers of one size. A model of another structure is written
with `levels.js`, which runs it within magenta-js, and with a type that magenta-js alone refuses. TensorFlow is not
needed.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.model import numpy_engine
from calmvae.model.model_spec import DEFAULT_HPARAMS, ModelSpec
from calmvae.music.melody_tokens import MAX_PITCH, MIN_PITCH, STEPS_PER_BAR

CONFIG_FILE, MANIFEST_FILE, ADAPTER_FILE = "config.json", "weights_manifest.json", "levels.js"
QUANTIZED = ("uint8", "uint16")
TYPE = "MusicVAE"
# magenta-js refuses every other type, and its error shows the type.
ADAPTED_TYPE = f"MusicVAE in calmvae's levels, to be loaded with the {ADAPTER_FILE} of its folder"
CONVERTER = "MelodyConverter"
# calmvae's own key in config.json, which magenta-js ignores.
KEY = "calmvae"
# The largest file that browsers cache.
SHARD_BYTES = 4 << 20

_DTYPES = {"float32": "<f4", "int32": "<i4"}
_QUANTIZED_DTYPES = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}
_LARGEST = 1 << 31
_MOST_STEPS = 4096
_MEND = "fetch or export the model again"
_NAME = re.compile(r"[\w.-]{1,64}")
# A file in the folder or below it: no URL, no absolute path, no "..".
_SHARD = re.compile(r"(?:(?!\.)[\w.@ -]+/)*(?!\.)[\w.@ -]+")


@dataclasses.dataclass(frozen=True)
class Facts:
    """The content of a magenta-js config.json.

    Attributes:
      type: type of the model, "MusicVAE" or another.
      converter: type of its data converter, "" without one.
      args: arguments of the data converter: numSteps, numSegments, minPitch and so on.
      controls: names of the controls: a chord encoder, the key, extra controls.
      own: the entries that calmvae added.
    """

    type: str
    converter: str
    args: dict[str, Any]
    controls: tuple[str, ...] = ()
    own: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One weight of a manifest."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype[Any]
    scale: float = 1.0
    least: float = 0.0

    def size(self) -> int:
        """Number of its bytes."""
        return math.prod(self.shape) * self.stored.itemsize

    def array(self, data: np.ndarray) -> np.ndarray:
        """Its bytes as float32, rounded once, as in JavaScript."""
        values = data.view(self.stored)
        with np.errstate(over="ignore"):
            if self.stored.kind == "u":
                values = values.astype(np.float64) * self.scale + self.least
            if self.dtype == "int32":
                values = np.floor(values + 0.5)
            return values.astype(np.float32).reshape(self.shape)


def runs_alone(spec: ModelSpec) -> bool:
    """True if magenta-js runs a model of this structure without `levels.js`."""
    levels, encoder = spec.level_lengths, spec.encoder_lengths
    flat = spec.decoder == "categorical" and not encoder
    paired = spec.decoder == "hierarchical" and levels is not None and len(levels) == 2 and encoder == levels[::-1]
    return (flat or paired) and len(spec.hparams["enc_rnn_size"]) == len(set(spec.hparams["dec_rnn_size"])) == 1


def export(
    place: Path | Callable[[str], Path], spec: ModelSpec, weights: Mapping[str, np.ndarray], quantize: str | None = None
) -> dict[str, Any]:
    """Writes a model in magenta-js' format.

    Args:
      place: a folder, made if needed, or a function from file names to paths, such as `OutputFolder.path`.
      spec: the model's config.
      weights: under Magenta's variable names; variables that the config does not have are left out.
      quantize: "uint8" or "uint16" to round the weights to 256 or 65536 values, a quarter or half of the size.

    Returns:
      `files` in the order of writing, `bytes` of all weights, `dtype` of the weights, `adapter`: True if the model
      needs `levels.js`.

    Raises:
      ModelError: the weights do not fit the config or are not finite, or the config has residual connections or
        several voices.
      OptionError: no such `quantize`.
    """
    if quantize not in (None, *QUANTIZED):
        raise OptionError(f"weights cannot be quantised to '{quantize}'; choose one of {', '.join(QUANTIZED)}.")
    if spec.hparams["residual_encoder"] or spec.hparams["residual_decoder"]:
        raise ModelError(f"config {spec.name} has residual connections, which magenta-js does not support.")
    if spec.voices > 1:
        raise ModelError(f"config {spec.name} has {spec.voices} voices, and magenta-js has no music of several voices.")
    numpy_engine.check_weights(spec, weights)
    stored = [_stored(name, weights[name], quantize) for name in numpy_engine.weight_shapes(spec)]
    data = b"".join(part for _, part in stored)
    count = -(-len(data) // SHARD_BYTES)
    shards = [f"group1-shard{k + 1}of{count}.bin" for k in range(count)]
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
    put = place.joinpath if isinstance(place, Path) else place
    for k, shard in enumerate(shards):
        put(shard).write_bytes(data[k * SHARD_BYTES : (k + 1) * SHARD_BYTES])
    output_folder.write_json(
        put(MANIFEST_FILE), [{"paths": shards, "weights": [entry for entry, _ in stored]}], indent=None
    )
    output_folder.write_json(put(CONFIG_FILE), config_json(spec))
    adapter = [] if runs_alone(spec) else [ADAPTER_FILE]
    for file in adapter:
        shutil.copyfile(Path(__file__).with_name(file), put(file))
    files = [*shards, MANIFEST_FILE, CONFIG_FILE, *adapter]
    return {"files": files, "bytes": len(data), "dtype": quantize or "float32", "adapter": bool(adapter)}


def config_json(spec: ModelSpec) -> dict[str, Any]:
    """The config.json of a model for magenta-js; the entries under `KEY` are for `levels.js` and `spec_of`."""
    alone, args = runs_alone(spec), {"minPitch": MIN_PITCH, "maxPitch": MAX_PITCH, "numSteps": spec.steps}
    if alone and spec.level_lengths:
        args["numSegments"] = spec.level_lengths[0]
    own = {"name": spec.name, "levelLengths": spec.level_lengths, "encoderLengths": spec.encoder_lengths}
    kind = TYPE if alone else ADAPTED_TYPE
    return {"type": kind, "dataConverter": {"type": CONVERTER, "args": args}, KEY: own}


def _stored(name: str, weight: np.ndarray, quantize: str | None) -> tuple[dict[str, Any], bytes]:
    """The manifest entry of a weight, and its bytes."""
    values = _finite(name, np.asarray(weight, np.float32), "train the model again")
    entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": "float32"}
    if quantize is None:
        return entry, values.astype("<f4").tobytes()
    scale, least, numbers = _quantized(values.astype(np.float64), np.dtype(_QUANTIZED_DTYPES[quantize]))
    entry["quantization"] = {"dtype": quantize, "min": least, "scale": scale, "original_dtype": "float32"}
    return entry, numbers.tobytes()


def _quantized(values: np.ndarray, dtype: np.dtype[Any]) -> tuple[float, float, np.ndarray]:
    """Scale, minimum and integers of a weight, as in TensorFlow.js's converter."""
    least, largest, steps = float(values.min()), float(values.max()), int(np.iinfo(dtype).max)
    if least == largest:
        return 1.0, least, np.zeros(values.shape, dtype)
    scale = (largest - least) / steps
    if least <= 0 <= largest:
        # Shifts the range so that zero is one of its values.
        least = -round(-least / scale) * scale
    numbers = np.round((values.clip(least, steps * scale + least) - least) / scale)
    return scale, least, numbers.clip(0, steps).astype(dtype)


def is_folder(path: Path) -> bool:
    """True for the folder of a magenta-js model."""
    return (path / CONFIG_FILE).is_file() and (path / MANIFEST_FILE).is_file()


def read(folder: Path) -> tuple[dict[str, np.ndarray], Facts]:
    """Reads a magenta-js model, written by calmvae, Magenta or TensorFlow.js's converter.

    Returns:
      the weights, all widened to float32, and the facts of its config.json.

    Raises:
      ModelError: a file is missing, too short or damaged, or its path leads out of the folder.
    """
    facts = _checked(folder / CONFIG_FILE, "description", dict, _facts)
    weights: dict[str, np.ndarray] = {}
    for paths, entries in _groups(folder):
        begin, data = 0, _shards(folder, paths, sum(entry.size() for entry in entries))
        for entry in entries:
            if entry.name in weights:
                raise ModelError(f"{folder / MANIFEST_FILE} has two weights {entry.name}; {_MEND}.")
            end = begin + entry.size()
            weights[entry.name] = _finite(entry.name, entry.array(data[begin:end]), _MEND)
            begin = end
    return weights, facts


def shard_names(folder: Path) -> list[str]:
    """The shard files named by the manifest of a folder.

    Raises:
      ModelError: the manifest is missing or damaged, or a path leads out of the folder.
    """
    return list(dict.fromkeys(path for paths, _ in _groups(folder) for path in paths))


def _finite(name: str, weight: np.ndarray, mend: str) -> np.ndarray:
    if not np.isfinite(weight).all():
        raise ModelError(f"the weight {name} has values that are not finite; {mend}.")
    return weight


def _checked(file: Path, what: str, kind: type, parse: Callable[[Any], Any]) -> Any:
    """The result of `parse` on a JSON file; every failure becomes a ModelError of one sentence."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(data, kind):
            raise ValueError(f"{type(data).__name__} instead of {kind.__name__}")
        return parse(data)
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}); {_MEND}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{file} is not a readable {what} of a magenta-js model ({said}); {_MEND}.") from error


def _facts(config: dict[str, Any]) -> Facts:
    converter = config.get("dataConverter") or {}
    controls = [str(config["chordEncoder"])] if config.get("chordEncoder") else []
    controls += ["key"] if config.get("conditionOnKey") else []
    controls += [str(control["name"]) for control in config.get("extraControls") or []]
    kind, args = str(converter.get("type") or ""), dict(converter.get("args") or {})
    return Facts(str(config["type"]), kind, args, tuple(controls), dict(config.get(KEY) or {}))


def _groups(folder: Path) -> list[tuple[list[str], list[_Entry]]]:
    """The shard names and the weights of each group."""
    return _checked(folder / MANIFEST_FILE, "list of weights", list, lambda groups: [_group(g) for g in groups])


def _group(group: dict[str, Any]) -> tuple[list[str], list[_Entry]]:
    paths = [str(path) for path in group["paths"]]
    for path in paths:
        if not _SHARD.fullmatch(path):
            raise ValueError(f"{path[:80]!r} is not a file of this folder")
    return paths, [_entry(weight) for weight in group["weights"]]


def _entry(weight: dict[str, Any]) -> _Entry:
    name, shape, dtype = str(weight["name"]), weight["shape"], weight["dtype"]
    if not name.isprintable() or len(name) > 200:
        raise ValueError(f"a weight has the name {name[:80]!r}")
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < _LARGEST for n in shape) or len(shape) > 8:
        raise ValueError(f"{name} has the shape {str(shape)[:80]}")
    quantization = weight.get("quantization")
    kind = quantization["dtype"] if quantization else dtype
    known = _QUANTIZED_DTYPES if quantization else _DTYPES
    if dtype not in _DTYPES or kind not in known or (kind == "float16" and dtype != "float32"):
        raise ValueError(f"{name} is of the unknown type {str(kind)[:80]!r}")
    entry = _Entry(name, tuple(shape), dtype, np.dtype(known[kind]))
    if not quantization or kind == "float16":
        return entry
    scale, least = float(quantization["scale"]), float(quantization["min"])
    if not math.isfinite(scale) or not math.isfinite(least):
        raise ValueError(f"{name} has the scale {scale} and the minimum {least}")
    return dataclasses.replace(entry, scale=scale, least=least)


def _shards(folder: Path, paths: list[str], wanted: int) -> np.ndarray:
    """All bytes of a group's shards, checked to be as many as its weights need."""
    files = [folder / path for path in paths]
    try:
        found = sum(file.stat().st_size for file in files)
        if found != wanted:
            where = " to ".join(dict.fromkeys(paths[:1] + paths[-1:])) or "no shards"
            said = f"need {wanted} bytes, but there are {found} in {where}"
            raise ModelError(f"the weights of {folder / MANIFEST_FILE} {said}; {_MEND}.")
        # A weight may begin in one shard and end in the next.
        return np.concatenate([np.fromfile(file, np.uint8) for file in files] or [np.zeros(0, np.uint8)])
    except OSError as error:
        raise ModelError(f"{error.filename or folder} cannot be read ({error.strerror}); {_MEND}.") from error


def spec_of(weights: Mapping[str, np.ndarray], facts: Facts) -> ModelSpec | None:
    """The spec of a melody model without controls, with sizes from the shapes of its weights; None for other models.

    Raises:
      ModelError: the melodies have other pitches than calmvae's, the window is no whole number of bars, or the weights
        fit no structure.
    """
    if facts.type not in (TYPE, ADAPTED_TYPE) or facts.converter != CONVERTER or facts.controls:
        return None
    pitches = facts.args.get("minPitch"), facts.args.get("maxPitch")
    if pitches != (MIN_PITCH, MAX_PITCH):
        found = " to ".join(str(pitch)[:80] for pitch in pitches)
        wanted = f"calmvae needs {MIN_PITCH} to {MAX_PITCH}; take such a model, for example Magenta's mel_2bar_small."
        raise ModelError(f"the model's melodies have the pitches {found}, {wanted}")
    steps = facts.args.get("numSteps")
    if type(steps) is not int or not 0 < steps <= _MOST_STEPS or steps % STEPS_PER_BAR:
        wanted = f"calmvae needs a multiple of {STEPS_PER_BAR}, up to {_MOST_STEPS}"
        raise ModelError(f"the model's windows have {str(steps)[:80]} steps; {wanted}: {_MEND}.")
    bars = steps // STEPS_PER_BAR
    levels, encoder = _lengths(facts, steps)
    name = facts.own.get("name")
    spec = ModelSpec(
        name=name if isinstance(name, str) and _NAME.fullmatch(name) else f"mel_{bars}bar",
        bars=bars,
        decoder="hierarchical" if levels else "categorical",
        level_lengths=levels,
        hparams=copy.deepcopy(DEFAULT_HPARAMS) | {"max_seq_len": steps},
        encoder_lengths=encoder,
    )
    spec.hparams.update(_sizes(weights, spec))
    numpy_engine.check_weights(spec, weights)
    return spec


def _lengths(facts: Facts, steps: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Level lengths of the decoder and of the encoder."""
    if "levelLengths" in facts.own:
        found = facts.own.get("levelLengths"), facts.own.get("encoderLengths")
    else:
        segments = facts.args.get("numSegments")
        length = steps // segments if type(segments) is int and segments > 0 else 0
        found = ([segments, length], [length, segments]) if segments else (None, None)
    for lengths in found:
        whole = isinstance(lengths, list) and all(type(n) is int and n > 0 for n in lengths)
        if lengths is not None and (not whole or math.prod(lengths) != steps):
            raise ModelError(f"the model's levels {str(lengths)[:80]} do not make up its {steps} steps; {_MEND}.")
    levels, encoder = (tuple(lengths) if lengths else None for lengths in found)
    return levels, encoder


def _sizes(weights: Mapping[str, np.ndarray], spec: ModelSpec) -> dict[str, Any]:
    """The hparams given by the shapes of the weights."""

    def layers(scope: str) -> list[int]:
        names = itertools.takewhile(weights.__contains__, map(scope.format, itertools.count()))
        return [weights[name].size // 4 for name in names]

    core = "core_decoder/decoder" if spec.level_lengths else "decoder"
    lowest = spec.encoder_levels()[0][0]
    encoder = layers(lowest + "/cell_{}/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell/bias")
    decoder = layers(core + "/multi_rnn_cell/cell_{}/lstm_cell/bias")
    if not encoder or not decoder or "encoder/mu/bias" not in weights:
        raise ModelError(f"the model has no weights under {lowest}, {core} or encoder/mu; {_MEND}.")
    return {"z_size": weights["encoder/mu/bias"].size, "enc_rnn_size": encoder, "dec_rnn_size": decoder}
