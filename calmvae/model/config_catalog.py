"""The windows, specs and variables of all configs, calmvae's and Magenta's, without importing Magenta.

tools/magenta_configs.py writes `magenta_configs.json` from Magenta itself; a test writes it again.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calmvae.common import magenta_import
from calmvae.model import magenta_config, model_spec, numpy_engine
from calmvae.music.melody_tokens import STEPS_PER_BAR

Shapes = Mapping[str, tuple[int, ...]]

_NADE = "decoder/nade/w_enc"
_SIZES = {
    "enc_rnn_size": re.compile(r"^encoder/(?:hierarchical_level_0/)?cell_(\d+)/bidirectional_rnn/fw/.*/bias$"),
    "dec_rnn_size": re.compile(
        r"^(?:core_decoder/)?(?:core_decoder_0/)?decoder/multi_rnn_cell/cell_(\d+)/lstm_cell/bias$"
    ),
}


@functools.lru_cache(maxsize=1)
def _magenta() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "magenta_configs.json").read_text(encoding="utf-8"))


def names() -> list[str]:
    """The names of calmvae's configs and Magenta's."""
    return [*model_spec.CALM_SPECS, *_magenta()]


def bars(name: str) -> int:
    """The length of a config's window."""
    return model_spec.CALM_SPECS[name].bars if name in model_spec.CALM_SPECS else _magenta()[name]["bars"]


def spec(name: str) -> model_spec.ModelSpec | None:
    """The spec of a melody config; None for another config."""
    if name in model_spec.CALM_SPECS:
        return model_spec.CALM_SPECS[name]
    entry = _magenta()[name]
    if entry["spec"] is None:
        return None
    return model_spec.ModelSpec.from_json({"name": name, "bars": entry["bars"], **entry["spec"]})


def get_spec(name: str) -> model_spec.ModelSpec:
    """The spec of a calm-* config, or of a melody config of Magenta's.

    Raises:
      OptionError: there is no such config, or it is not one of one-hot melodies without controls.
    """
    if known(name) not in names():
        return magenta_config.spec_of_magenta(name, magenta_import.load().configs.CONFIG_MAP[name])
    found = spec(name)
    if found is None:
        raise model_spec.not_melodies(name)
    return found


def known(name: str) -> str:
    """The name, if it is a config of calmvae's or Magenta's, or one that was added to Magenta's CONFIG_MAP.

    Raises:
      OptionError: there is no such config.
    """
    everything = names()
    if name in everything or (magenta_import.is_loaded() and name in magenta_import.load().configs.CONFIG_MAP):
        return name
    raise model_spec.unknown("config", name, everything)


@functools.lru_cache(maxsize=64)
def shapes(name: str) -> Shapes:
    """Names and shapes of the variables of a config."""
    if name in model_spec.CALM_SPECS:
        return numpy_engine.weight_shapes(model_spec.CALM_SPECS[name])
    return {variable: tuple(shape) for variable, shape in _magenta()[name]["shapes"].items()}


def matching(found: Shapes) -> list[str]:
    """Configs with exactly these variables."""
    return [name for name in names() if shapes(name) == dict(found)]


def alike(found: Shapes) -> list[str]:
    """Configs of this structure in any sizes, with the same inputs and outputs."""
    return [name for name in names() if is_like(name, found)]


def is_like(name: str, found: Shapes) -> bool:
    """True if a config has this structure."""
    return (structure(shapes(name)), _ends(shapes(name))) == (structure(found), _ends(found))


def structure(found: Shapes) -> set[str]:
    """Names of variables, without the numbers of the layers."""
    return {re.sub(r"/cell_\d+/", "/cell/", name) for name in found}


def _ends(found: Shapes) -> list[int]:
    """Sizes of a model's input and outputs at a step."""
    sizes = [shape[0] for name, shape in sorted(found.items()) if name.endswith("output_projection/bias")]
    if _NADE in found:
        # Only part of the LSTM's projection goes to the outputs.
        sizes = [found[_NADE][0]]
    for name, shape in sorted(found.items()):
        if re.match(r"encoder/.*cell_0/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell/kernel$", name):
            sizes.append(shape[0] - shape[1] // 4)
            break
    return sizes


def sizes(found: Shapes) -> dict[str, Any]:
    """The hparams given by shapes: z_size and the sizes of layers."""
    told: dict[str, Any] = {}
    if "encoder/mu/bias" in found:
        told["z_size"] = int(found["encoder/mu/bias"][0])
    for hparam, pattern in _SIZES.items():
        cells = {int(m[1]): int(found[m[0]][0]) // 4 for m in map(pattern.match, found) if m}
        if cells:
            told[hparam] = [cells[k] for k in sorted(cells)]
    if _NADE in found:
        told["nade_num_hidden"] = int(found[_NADE][-1])
    return told


def is_other(name: str) -> bool:
    """True for a config of Magenta's that is not one of melodies with a flat encoder (False for an unknown one)."""
    return name in names() and spec(name) is None


def window_bars(config: Any) -> int:
    """Bars of the window of a config of Magenta's."""
    # A window of events (not steps) has the length in bars to which it was cut.
    bars = getattr(config.data_converter, "_hop_size_bars", None)
    return bars or int(config.hparams.max_seq_len) // STEPS_PER_BAR
