"""Train, resume and fine-tune a model of melodies on a converted data set; `run_folder` lists the files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import find_model, model_folder, open_model
from calmvae.common import memory, output_folder
from calmvae.common.errors import OptionError
from calmvae.data import load_dataset, training_windows
from calmvae.latent import evaluation
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.training import jax_device, run_folder, training_loop
from calmvae.training.training_loop import Progress, Result
from calmvae.training.training_options import Options

ENGINES = {
    "auto": "numpy; jax where JAX has a GPU; magenta for dropout and residual connections",
    "numpy": "calmvae's own gradient, the fastest on a CPU",
    "jax": "JAX, the engine for a GPU",
    "magenta": "Magenta's graph on TensorFlow",
}

_EVAL_WINDOWS = 1024


def train(
    spec: model_spec.ModelSpec,
    data: str | Path,
    run: str | Path,
    options: Options,
    report: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    start: find_model.Opened | None = None,
) -> Result:
    """Trains until a limit, early stopping or an interruption; called again, goes on from the last checkpoint.

    Args:
      spec: config and hparams.
      data: a folder of `convert_folder.convert`, or a TFRecord of NoteSequences.
      run: the run folder.
      options: see `Options`.
      report: called every `log_every` steps and after every evaluation.
      say: called with sentences for the user.
      start: the opened model of `options.init`; opened here if it is not given.

    Raises:
      DataError: there is nothing to train on, or the loss is no longer a number.
      ModelError: `options.init` does not fit. OutputError: the run folder is not ours or of another config.
    """
    say = say or (lambda _: None)
    _check_memory(spec, options)
    folder = run_folder.open_run(run, options, data, {"spec": spec.to_json()}, spec.hparams)
    train_set, eval_set = load_dataset.load(
        data, spec, options.melody, options.max_onsets, options.calmest, folder.path / "cache", say=say
    )
    if options.init and start is None:
        start = find_model.open_to_train(options.init, spec.name)
    weights = _weights(spec, start, options, say) if start else None
    if not folder.checkpoint():
        if start is None and len(spec.level_lengths or ()) > 2:
            say(f"{spec.name} learns far sooner from a model of 2 bars: see `calmvae grow --help`.")
        if start is not None and spec.hparams["beta_rate"] == 0:
            say(f"Beta is {spec.hparams['max_beta']:g} from the start.")
    engine = _engine(spec, options, say)
    task = _Task(spec, engine, options.seed, train_set, eval_set, load_dataset.sources(data))
    return training_loop.Loop(task, folder, options, weights, report, say).run()


def spec_to_train(
    config: str | None, settings: list[str], start: find_model.Opened | None, run: Path
) -> model_spec.ModelSpec:
    """The given config of melodies, or that of the model to start from, with the sizes of that model.

    If all levels come from that model, beta is `max_beta` from the start: `beta_rate` is 0, unless the settings or the
    last session of the run have another rate.

    Args:
      config: its name. settings: hparams, as NAME=VALUE. start: the model to start from. run: the run folder.

    Raises:
      ModelError: the config of the model to start from is not known, or not of melodies.
    """
    if start and not config:
        if start.spec is None:
            raise model_spec.not_melodies(start.config, start.place)
        known = config_catalog.spec(start.config) if start.config in config_catalog.names() else None
        spec = known or start.spec
    else:
        spec = config_catalog.get_spec(config or model_spec.DEFAULT_CONFIG)
    rate = _beta_rate_of(run, start is not None)
    if start:
        spec = open_model.shaped_like(start.spec, spec)
        if rate is None and (start.spec is None or start.spec.steps == spec.steps):
            rate = 0.0
    held = {} if rate is None else {"beta_rate": rate}
    return model_spec.with_hparams(model_spec.with_hparams(spec, held), settings)


def _beta_rate_of(run: Path, tuned: bool) -> float | None:
    """The `beta_rate` of the last session of a run, if the run fine-tunes a model."""
    try:
        sessions = json.loads((run / output_folder.RUN_FILE).read_text(encoding="utf-8"))["sessions"]
        tuned = tuned or any(session["options"]["init"] for session in sessions)
        return float(sessions[-1]["hparams"]["beta_rate"]) if tuned else None
    # There is no such run yet. If the folder holds something else, `train` refuses it.
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _weights(
    spec: model_spec.ModelSpec, start: find_model.Opened, options: Options, say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """The weights of a model of the same shape, or grown from a model of shorter windows."""
    from calmvae.training import grow_model, numpy_trainer

    weights, source = dict(start.weights), start.spec
    if source and grow_model.can_grow(source, spec):
        say(f"{options.init} gives the levels up to its {source.length()}; the levels above start untrained.")
        return grow_model.grown(
            source, weights, spec, numpy_trainer.initial_weights(numpy_engine.weight_shapes(spec), options.seed)
        )
    numpy_engine.check_weights(spec, weights)
    return weights


def step_bytes(spec: model_spec.ModelSpec) -> float:
    """An estimate of the memory that a training step takes on a CPU, in bytes.

    It counts the weights five times (gradient, Adam's two moments, a copy), and ten numbers of 4 bytes for every cell
    of every layer at every step. For five configs it was 0.8 to 1.1 times the measured memory.
    """
    hparams, cells = spec.hparams, 0
    for sizes, levels, ways in (
        (hparams["enc_rnn_size"], spec.encoder_lengths, 2),
        (hparams["dec_rnn_size"], spec.level_lengths, 1),
    ):
        # From the highest level down; an encoder names its lowest level first. A level has the product as its steps.
        lengths = list(levels or [spec.steps])[:: -1 if ways == 2 else 1]
        cells += ways * sum(sizes) * int(np.cumprod(lengths).sum())
    weights = sum(math.prod(shape) for shape in numpy_engine.weight_shapes(spec).values())
    return 4.0 * (5 * weights + 10 * hparams["batch_size"] * cells)


def _check_memory(spec: model_spec.ModelSpec, options: Options) -> None:
    needed, there = step_bytes(spec), memory.total()
    if needed > there and options.engine in ("auto", "numpy") and not jax_device.has_gpu():
        batch = spec.hparams["batch_size"]
        fitting = max(1, int(batch * 0.8 * there / needed))
        raise OptionError(
            f"a step of {spec.name} with batches of {batch} takes about {needed / 1e9:.0f} GB of memory, and this "
            f"machine has {there / 1e9:.0f} GB; use smaller batches: --set batch_size={fitting}."
        )


def _engine(spec: model_spec.ModelSpec, options: Options, say: Callable[[str], None]) -> Any:
    """The engine that the options name; "auto" takes the fastest one that can train the spec."""
    from calmvae.training import numpy_trainer, tf_graph

    if options.engine not in ENGINES:
        raise OptionError(f"unknown engine '{options.engine}'; choose one of {', '.join(ENGINES)}.")
    able = numpy_trainer.supports(spec)
    if options.engine in ("numpy", "jax") and not able:
        raise OptionError(
            f"--engine {options.engine} has no dropout and no residual connections; use --engine magenta."
        )
    engine = options.engine
    if engine == "auto":
        engine = "magenta" if not able else "jax" if jax_device.has_gpu() else "numpy"
    if engine == "numpy":
        return numpy_trainer.Learner(spec, options.seed, options.threads)
    if engine == "jax":
        say(f"Training with JAX on {jax_device.describe()}.")
        from calmvae.training import jax_trainer

        return jax_trainer.Learner(spec, options.seed)
    say(f"Training with {ENGINES[engine]}.")
    return tf_graph.TrainingGraph(spec, options.seed, options.threads)


class _Task(training_loop.Task):
    """A model of melodies and its windows."""

    def __init__(
        self,
        spec: model_spec.ModelSpec,
        engine: Any,
        seed: int,
        train_set: training_windows.WindowSet,
        eval_set: training_windows.WindowSet,
        sources: list[dict[str, Any]],
    ) -> None:
        self.spec, self.engine, self.batch_size, self.seed = spec, engine, spec.hparams["batch_size"], seed
        self.pieces, self.sources, self.held_out = train_set.pieces, sources, eval_set is not train_set
        self.train_tokens, self.eval_tokens = train_set.tokens, eval_set.drawn(_EVAL_WINDOWS, 0).tokens

    def batches(self, step: int) -> Iterator[np.ndarray]:
        return training_windows.batches(self.train_tokens, self.batch_size, self.seed, step)

    def measure(self, weights: dict[str, np.ndarray]) -> evaluation.Metrics:
        return evaluation.evaluate(numpy_engine.Engine(self.spec, weights), self.eval_tokens)

    def worth(self, line: dict[str, Any]) -> float:
        # By accuracy alone the best model might only hold notes and start none.
        return (float(line["accuracy"]) + float(line["onset_accuracy"])) / 2

    def write_model(self, folder: Path, weights: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        model_folder.write(folder, self.spec, weights, meta)

    def write_samples(self, folder: Path, step: int) -> None:
        from calmvae.generate import sampling

        if not self.spec.bars:
            # Less than a bar is no music to listen to.
            return
        model = open_model.of_spec(folder, self.spec, self.engine.weights())
        rows = np.random.default_rng(self.seed).permutation(len(self.eval_tokens))[:4]
        sampling.write_training_samples(model, model.excerpts_of(self.eval_tokens[rows]), folder, step, self.seed)
