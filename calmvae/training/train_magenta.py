"""Train, resume and fine-tune configs that are not of melodies with Magenta's graph on TensorFlow."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import find_model, model_folder
from calmvae.common import magenta_import
from calmvae.common.errors import DataError, OptionError
from calmvae.common.text import count
from calmvae.data import convert_folder, load_dataset
from calmvae.data.magenta_examples import Examples
from calmvae.generate import sampling
from calmvae.latent import evaluation
from calmvae.midi import tfrecord
from calmvae.model import config_catalog, model_spec
from calmvae.model.magenta_model import MagentaModel
from calmvae.model.magenta_windows import Reader, excerpt_of
from calmvae.training import run_folder, training_loop
from calmvae.training.training_loop import Progress, Result
from calmvae.training.training_options import Options

_EVAL_WINDOWS = 1024
_SAMPLES = 4
# These hparams decide the names and shapes of the weights.
_SHAPE_HPARAMS = (*model_spec.SHAPE_HPARAMS, "nade_num_hidden", "control_preprocessing_rnn_size")


@dataclasses.dataclass
class HeldOut:
    """The evaluation of a model on held-out windows, teacher-forced and without dropout.

    Attributes:
      windows: how many.
      loss: nats + max_beta * the KL beyond the free bits, which training minimises in the end.
      nats: mean negative log-likelihood of a window, given a draw from its posterior that is always the same.
      kl_bits: mean KL of the posterior from the prior.
    """

    windows: int
    loss: float
    nats: float
    kl_bits: float

    def words(self) -> str:
        """The numbers that fit into a line of progress."""
        return f"loss {self.loss:.2f} ({self.nats:.2f} nats, KL {self.kl_bits:.1f} bits)"


def train(
    name: str,
    data: str | Path,
    run: str | Path,
    options: Options,
    settings: list[str] | None = None,
    start: find_model.Opened | None = None,
    report: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Trains until a limit, early stopping or an interruption; called again, goes on from the last checkpoint.

    Args:
      name: the config.
      data: a folder of `convert_folder.convert`, or a TFRecord of NoteSequences.
      run: the run folder.
      options: see `Options`; those of melodies must be left alone.
      settings: hparams, `["learning_rate=0.0003"]`.
      start: the model to start from; its sizes are taken too.
      report: called every `log_every` steps and after every evaluation.
      say: called with sentences for the user.

    Raises:
      DataError: there is nothing to train on, or the loss is no longer a number.
      OptionError: an option or hparam is not for this config, or out of range.
      ModelError: `start` does not fit. OutputError: the run folder is not ours or of another config.
    """
    from calmvae.training import tf_graph

    say = say or (lambda _: None)
    check_options(name, options)
    known = magenta_import.load().configs.CONFIG_MAP[name]
    hparams = _hparams(name, known, settings or [], start)
    train_set, eval_set = load(data, name, say)
    if not any(setting.partition("=")[0].strip() == "batch_size" for setting in settings or []):
        hparams["batch_size"] = _batch_size(hparams["batch_size"], len(train_set), say)
    config = known._replace(hparams=magenta_import.load().HParams(**hparams))
    shape = {key: hparams[key] for key in _SHAPE_HPARAMS if key in hparams}
    folder = run_folder.open_run(run, options, data, {"config": name, "hparams": shape}, hparams)
    say("Building Magenta's graph.")
    # A built model belongs to its graph, and the sampler builds one of its own.
    unbuilt = config._replace(model=copy.deepcopy(config.model))
    engine = tf_graph.ExampleGraph(name, unbuilt, options.seed, options.threads)
    task = _Task(name, config, engine, options.seed, (train_set, eval_set), load_dataset.sources(data))
    return training_loop.Loop(task, folder, options, start.weights if start else None, report, say).run()


def check_options(name: str, options: Options) -> None:
    """Raises an `OptionError` if an option is for melodies only."""
    ours = Options()
    for option in ("melody", "max_onsets", "calmest"):
        if getattr(options, option) != getattr(ours, option):
            raise OptionError(
                f"--{option.replace('_', '-')} goes with melody configs, and {name} is none; leave it out."
            )
    if options.engine not in ("auto", "magenta"):
        raise OptionError(f"--engine is {options.engine}, but {name} is trained by Magenta's graph; leave it out.")


def _hparams(name: str, config: Any, settings: list[str], start: find_model.Opened | None) -> dict[str, Any]:
    """The hparams of the config, changed by the model to start from and by the user."""
    values = copy.deepcopy(config.hparams.values()) | (start.hparams if start else {})
    spec = model_spec.ModelSpec(name, config_catalog.window_bars(config), "", None, values)
    return model_spec.with_hparams(spec, settings).hparams


def _batch_size(wanted: int, windows: int, say: Callable[[str], None]) -> int:
    if windows >= wanted:
        return wanted
    say(f"Batches have {windows} windows, the whole data set, instead of the config's {wanted} (--set batch_size=...).")
    return windows


def load(data: str | Path, name: str, say: Callable[[str], None]) -> tuple[Examples, Examples]:
    """The examples to train on and the held-out ones; twice the former if no piece is held out.

    Args:
      data: a folder of TFRecords, or one TFRecord.
      name: the config.
      say: called with the counts.

    Raises:
      DataError: there is nothing to train on.
    """
    config = magenta_import.load().configs.CONFIG_MAP[name]
    train_set, eval_set = (
        Examples.read(Reader(config, mode), tfrecord.note_sequences(files))
        for mode, files in zip(("train", "eval"), load_dataset.data_files(data), strict=True)
    )
    say_converted(Path(data), name, say)
    left_out = train_set.left_out + eval_set.left_out
    reasons = ", ".join(f"{count} {why}" for why, count in left_out.most_common())
    bars = config_catalog.window_bars(config)
    if not len(train_set):
        raise DataError(
            f"{data} has no window of {name} to train on ({len(train_set.pieces)} pieces can be used, left out: "
            f"{reasons or 'none'}); give pieces with {count(bars, 'bar')} of what it plays."
        )
    say(
        f"{count(len(train_set), 'window')} of {count(bars, 'bar')} from {count(len(train_set.pieces), 'piece')} to "
        f"train on, {len(eval_set)} from {count(len(eval_set.pieces), 'held-out piece')}; pieces left out: "
        f"{reasons or 'none'}."
    )
    unknown = train_set.unknown_drums + eval_set.unknown_drums
    if unknown:
        say(f"{unknown} drum notes are left out: {name} has no class for their pitches.")
    if not len(eval_set):
        say("No held-out windows: the evaluation is on the training windows and says nothing about new music.")
        eval_set = train_set
    return train_set, eval_set


def say_converted(data: Path, name: str, say: Callable[[str], None]) -> None:
    """Says which pieces were left out when the files were converted, maybe for another config."""
    if not (data / convert_folder.MANIFEST).is_file():
        return
    records = convert_folder.read_manifest(data)
    skipped = Counter(r["detail"] for r in records if r["status"] == "skipped")
    drums_only = sum(r.get("reason") == "drums-only" for r in records)
    if skipped:
        most = ", ".join(f"{count} ({why})" for why, count in skipped.most_common(3))
        more = ", ..." if len(skipped) > 3 else "."
        say(f"{count(sum(skipped.values()), 'piece')} left out when {data} was made: {most}{more}")
    if drums_only:
        say(f"{drums_only} of them are only drums; to keep them: calmvae convert --config {name}.")


class _Task(training_loop.Task):
    """A config of Magenta's and its examples."""

    def __init__(
        self,
        name: str,
        config: Any,
        engine: Any,
        seed: int,
        sets: tuple[Examples, Examples],
        sources: list[dict[str, Any]],
    ) -> None:
        self.name, self.config, self.engine, self.seed = name, config, engine, seed
        self.train_set, eval_set = sets
        self.batch_size, self.pieces, self.sources = config.hparams.batch_size, len(self.train_set.pieces), sources
        self.held_out = eval_set is not self.train_set
        # Always the same windows.
        windows = list(itertools.chain.from_iterable(eval_set.windows))
        drawn = np.random.default_rng(0).permutation(len(windows))[:_EVAL_WINDOWS]
        self.eval_windows, self.eval_reader = [windows[k] for k in np.sort(drawn)], eval_set.reader
        # Its graph is built once; its weights change.
        self.sampler = MagentaModel(Path(name), name, config, {})

    def batches(self, step: int) -> Iterator[list[np.ndarray]]:
        return self.train_set.batches(self.batch_size, self.seed, step)

    def measure(self, weights: dict[str, np.ndarray]) -> HeldOut:
        hparams, n = self.config.hparams, len(self.eval_windows)
        noise = np.random.default_rng(0).standard_normal((n, hparams.z_size)).astype(np.float32)
        found = []
        for first in range(0, n, self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, n))
            # The graph takes full batches only; the windows that fill up the last one are not counted.
            full = np.resize(rows, self.batch_size)
            batch = self.eval_reader.batch([self.eval_windows[k] for k in full])
            found.append([part[: len(rows)] for part in self.engine.measure(batch, noise[full])])
        nats, mu, sigma = (np.concatenate(parts) for parts in zip(*found, strict=True))
        nats, kl = nats.astype(np.float64).mean(), evaluation.kl_nats(mu, sigma)
        cost = hparams.max_beta * np.maximum(kl - hparams.free_bits * np.log(2), 0)
        return HeldOut(n, float(nats + cost.mean()), float(nats), float(kl.mean() / np.log(2)))

    def worth(self, line: dict[str, Any]) -> float:
        return -float(line["loss"])

    def write_model(self, folder: Path, weights: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        values = self.config.hparams.values()
        known = magenta_import.load().configs.CONFIG_MAP[self.name].hparams.values()
        changed = {key: values[key] for key in _SHAPE_HPARAMS if values.get(key) != known.get(key)}
        model_folder.write_other(folder, self.name, changed, weights, meta)

    def write_samples(self, folder: Path, step: int) -> None:
        self.sampler.weights = self.engine.weights()
        given = [excerpt_of(window, self.sampler.bars) for window in self.eval_windows[:_SAMPLES]]
        sampling.write_training_samples(self.sampler, given, folder, step, self.seed)
