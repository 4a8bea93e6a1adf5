"""Writes calmvae/model/magenta_configs.json: what there is to know of Magenta's configs without Magenta.

    .venv/bin/python tools/magenta_configs.py

For each of CONFIG_MAP: its window in bars, its spec if it is one of melodies, and names and shapes of its variables,
as Magenta builds them. A test builds some of them again.
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from calmvae.common import magenta_import  # noqa: E402
from calmvae.common.errors import OptionError  # noqa: E402
from calmvae.model import config_catalog, magenta_config, model_spec  # noqa: E402


def described(name: str) -> dict[str, Any]:
    """What the file says of a config."""
    config = magenta_import.load().configs.CONFIG_MAP[name]
    try:
        spec = magenta_config.spec_of_magenta(name, config).to_json()
        spec["hparams"] = {k: v for k, v in spec["hparams"].items() if v != model_spec.DEFAULT_HPARAMS[k]}
        spec = {k: v for k, v in spec.items() if v is not None and k not in ("name", "bars")}
    except OptionError:
        spec = None
    return {"bars": config_catalog.window_bars(config), "spec": spec, "shapes": shapes(config)}


def shapes(config: Any) -> dict[str, list[int]]:
    """Names and shapes of all variables of Magenta's model."""
    tf, config = magenta_import.load().tf, copy.deepcopy(config)
    config.hparams.batch_size = 2
    with tf.Graph().as_default():
        make_variables(config)
        return {v.op.name: v.shape.as_list() for v in sorted(tf.trainable_variables(), key=lambda v: v.op.name)}


def make_variables(config: Any) -> None:
    """Builds Magenta's model of a config, in batches of 2, in the current graph, with all of its variables."""
    tf, hparams, converter = magenta_import.load().tf, config.hparams, config.data_converter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.model.build(hparams, converter.output_depth, is_training=False)
        control = tf.zeros([hparams.max_seq_len, converter.control_depth]) if converter.control_depth else None
        z = tf.zeros([2, hparams.z_size]) if hparams.z_size else None
        config.model.sample(2, max_length=hparams.max_seq_len, z=z, c_input=control, temperature=1.0)
        if hparams.z_size:
            inputs = tf.zeros([2, hparams.max_seq_len, converter.input_depth + converter.control_depth])
            config.model.encode(inputs, tf.zeros([2, *map(int, converter.length_shape)], tf.int32))


def main() -> None:
    """Writes the file, a line a variable."""
    found = {name: described(name) for name in sorted(magenta_import.load().configs.CONFIG_MAP)}
    lines = []
    for name, entry in found.items():
        shown = [f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in entry["shapes"].items()]
        head = f'  "bars": {entry["bars"]},\n  "spec": {json.dumps(entry["spec"])},\n'
        lines.append(f' "{name}": {{\n{head}  "shapes": {{\n' + ",\n".join(shown) + "\n  }\n }")
    (HERE / "calmvae" / "model" / "magenta_configs.json").write_text(
        "{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
