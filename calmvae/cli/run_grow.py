"""`calmvae grow`: a model of long windows from one of short windows, ready for `calmvae train --from`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import model_folder, open_model
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Growing
from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.common.text import command, count
from calmvae.data import load_dataset, training_windows
from calmvae.latent import evaluation
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.training import grow_model, grow_top

_EVAL_WINDOWS = 512
# Far more sequences a batch than in a whole training: each costs a fiftieth.
_HPARAMS = {"batch_size": 256, "learning_rate": 0.005, "max_beta": 0.3, "beta_rate": 0.9995}
_LAST_RATE = 0.03


def grow(model: str, data: Path, out: Path, config: str, wanted: Growing, console: Console) -> None:
    """Writes a model folder."""
    small, spec = open_model.load_numpy_model(model), config_catalog.get_spec(config)
    sizes = {name: small.spec.hparams[name] for name in ("enc_rnn_size", "dec_rnn_size")}
    spec = model_spec.with_hparams(spec, sizes)
    if not grow_model.can_grow(small.spec, spec) or grow_model.levels_above(small.spec, spec) != 1:
        raise ModelError(
            f"{model} ({small.spec.name}) is not the lower part of {config}; choose a --config with the same levels "
            "and one more, such as calm-mel_16bar for calm-mel_2bar."
        )
    decay = {"decay_rate": _LAST_RATE ** (1 / max(wanted.steps, 1))}
    own = model_spec.with_hparams(model_spec.with_hparams(spec, _HPARAMS | decay), wanted.settings or [])
    for name in model_spec.SHAPE_HPARAMS:
        if own.hparams[name] != spec.hparams[name]:
            raise OptionError(
                f"--set {name} would change the model, and grow keeps the sizes of {model}; leave it out."
            )
    with output_folder.OutputFolder(
        out, "grow", {"model": model, "data": data, "config": config, **vars(wanted), "settings": wanted.settings or []}
    ) as folder:
        made = folder.path(model_folder.SPEC_FILE).parent
        train_set, eval_set = load_dataset.load(data, spec, wanted.melody, wanted.max_onsets, say=console.remark)
        batches = _batches(model, small.engine, train_set.tokens, own.hparams["batch_size"], wanted, console)
        began = time.monotonic()

        def report(step: int, scalars: dict[str, float]) -> None:
            if step % 100 == 0:
                speed = step * own.hparams["batch_size"] / (time.monotonic() - began)
                off, bits = count(round(scalars["losses/r_loss"]), "nat"), scalars["losses/kl_bits"]
                console.remark(f"step {step}  latents off by {off}  KL {bits:.0f} bits  {speed:.0f} sequences/s")

        weights = grow_top.train(small.engine, own, batches, wanted.steps, wanted.seed, wanted.threads, report)
        metrics = evaluation.evaluate(numpy_engine.Engine(spec, weights), eval_set.drawn(_EVAL_WINDOWS, 0).tokens)
        folder.path(model_folder.WEIGHTS_FILE)
        meta: dict[str, Any] = {"grown_from": small.describe(), "metrics": dataclasses.asdict(metrics)}
        model_folder.write(made, spec, weights, meta)
        folder.record |= {"model": small.describe(), "metrics": dataclasses.asdict(metrics)}
    console.result(
        folder.record,
        f"{out}: held-out {metrics.words()}. Continue: {command('train', data, '--config', config, '--from', out)}",
    )


def _batches(
    name: str, small: numpy_engine.Engine, tokens: np.ndarray, size: int, wanted: Growing, console: Console
) -> Iterator[grow_top.Sequences]:
    """Endless batches of sequences in an order drawn anew every time all have been seen."""
    n = min(wanted.windows, len(tokens)) if wanted.windows else len(tokens)
    picked = np.random.default_rng([wanted.seed, 5]).permutation(len(tokens))[:n]
    console.remark(f"Reading {count(n, 'window')} with {name}.")
    sequences = grow_top.Sequences.of(small, next(training_windows.batches(tokens[picked], n, wanted.seed)))
    epoch, order = 0, np.zeros(0, np.int64)
    while True:
        while len(order) < size:
            order = np.append(order, np.random.default_rng([wanted.seed, 6, epoch]).permutation(n))
            epoch += 1
        yield sequences.take(np.sort(order[:size]))
        order = order[size:]
