"""The command `calmvae configs`: lists the configs."""

from __future__ import annotations

from typing import Any

from calmvae.cli.console import Console
from calmvae.common import text
from calmvae.model import config_catalog, model_spec


def list_configs(with_magenta: bool, console: Console) -> None:
    """Names, window, size and purpose of the configs."""
    import numpy as np

    from calmvae.model import numpy_engine

    rows: dict[str, dict[str, Any]] = {}
    for name, spec in model_spec.CALM_SPECS.items():
        parameters = sum(int(np.prod(shape)) for shape in numpy_engine.weight_shapes(spec).values())
        rows[name] = {
            "bars": spec.bars,
            "voices": spec.voices,
            "decoder": spec.decoder,
            "parameters": parameters,
            "hparams": spec.hparams,
        }
    lines = [
        f"{name:<20} {model_spec.CALM_SPECS[name].length():>7}  {text.count(row['voices'], 'voice'):<8}  "
        f"{row['decoder']:<12} {row['parameters'] / 1e6:6.1f} M parameters"
        for name, row in rows.items()
    ]
    for name in config_catalog.names()[len(rows) :] if with_magenta else ():
        melodies, bars = config_catalog.spec(name), config_catalog.bars(name)
        decoder = melodies.decoder if melodies else None
        rows[name] = {"bars": bars, "decoder": decoder}
        lines.append(f"{name:<45} {bars:>3} bars  {decoder or 'through Magenta and TensorFlow'}")
    console.result(rows, *lines)
