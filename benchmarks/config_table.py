"""Samples every config of Magenta's CONFIG_MAP by its own name and prints a Markdown table of what came of it.

Checkpoints with random weights stand in for trained ones, with small layers, so that each takes seconds; windows,
converters, encoders, decoders and controls are the config's own. Run from the top of the checkout:

    python -m benchmarks.config_table
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common import magenta_import
from calmvae.common.errors import CalmvaeError
from calmvae.generate import sampling
from calmvae.generate.made_piece import Made
from calmvae.model import config_catalog
from tests.random_checkpoints import hparams_of, save_random

N, TEMPERATURE, SEED, CHORDS = 2, 1.0, 0, "C G Am F"


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    known = magenta_import.load().configs.CONFIG_MAP
    print("| config | bars | way | sampled | seconds |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, config in sorted(known.items()):
            other = config_catalog.is_other(name)
            prefix = save_random(name, Path(folder) / name)
            began = time.perf_counter()
            said = _sample_other(name, prefix, config) if other else _sample_melody(name, prefix)
            seconds = time.perf_counter() - began
            way = "Magenta" if other else "calmvae engine"
            print(f"| {name} | {config_catalog.window_bars(config)} | {way} | {said} | {seconds:.1f} |", flush=True)


def _sample_melody(name: str, prefix: str) -> str:
    model = open_model.load_model(prefix, name, hparams_of(name))

    def sample() -> list[Made]:
        return sampling.sample(model, N, bars=model.bars, temperature=TEMPERATURE, seed=SEED)

    return _twice(sample)


def _sample_other(name: str, prefix: str, config: Any) -> str:
    model = open_model.load_model(prefix, name, hparams_of(name))
    steps, depth = config.hparams.max_seq_len, config.data_converter.control_depth
    # What the config asks for, in the order of its sentences: nothing, chords, drum hits.
    said = ""
    for given in ({}, {"chords": CHORDS}, {"controls": np.eye(max(depth, 1))[np.arange(steps) % max(depth, 1)]}):

        def sample(given: dict[str, Any] = given) -> list[Made]:
            return sampling.sample(model, N, temperature=TEMPERATURE, seed=SEED, **given)

        try:
            return _twice(sample) + (f"; without {', '.join(given)}: “{said}”" if said else "")
        except CalmvaeError as error:
            said = said or str(error)
    return f"no: “{said}”"


def _twice(sample: Any) -> str:
    first, second = sample(), sample()
    if first != second:
        return "NOT THE SAME for the same seed"
    return f"yes, {' + '.join(str(len(made.piece.notes)) for made in first)} notes"


if __name__ == "__main__":
    sys.exit(main())
