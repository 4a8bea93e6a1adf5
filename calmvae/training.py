"""Train, resume and fine-tune a calm-* model on a converted data set.

A run folder tells its own story:

    run.json       what was asked for, with what data, versions and hparams; how it stands and how it ended
    notes.txt      what the user wrote with --note
    metrics.jsonl  one line an evaluation
    train/         the newest checkpoints with optimiser slots, to resume from
    model/         the best model so far, ready to generate
    events/        TensorBoard
    samples/       what the model made of held-out windows, and out of nothing, as .mid and .png
"""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import checkpoints, configs, datasets, evaluation, examples, folders, magenta, models, outputs, runtime
from calmvae.errors import DataError, OptionError, OutputError

ENGINES = {
    "auto": "numpy; cudnn where there is a GPU; magenta for dropout and residual connections",
    "numpy": "calmvae's own gradient, the fastest on a CPU",
    "cudnn": "Magenta's graph on TensorFlow with Keras' LSTM kernel, cuDNN's on a GPU",
    "magenta": "Magenta's graph on TensorFlow",
}

_EVAL_WINDOWS = 1024


@dataclasses.dataclass
class Options:
    """How to train.

    Attributes:
      steps: stop at this global step (0: no limit).
      minutes: stop after this much time in this session (0: no limit).
      eval_every, save_every, sample_every, log_every: in steps.
      patience: stop after so many evaluations without a better one (0: never).
      melody: which melodies to take from a piece, see `examples.piece_windows`.
      max_onsets: leave out windows in which more notes start than this (0: take all).
      calm: train and measure on calm windows only, see `examples.is_calm`.
      keep: "best" keeps the model of the best accuracy so far in model/, "last" that of the last evaluation.
      init: model or checkpoint to start from.
      note: text for notes.txt.
      seed: of weights, shuffling, transposition and sampling.
      threads: to compute with, default one a core.
      engine: a key of `ENGINES`.
    """

    steps: int = 20000
    minutes: float = 0.0
    eval_every: int = 500
    save_every: int = 500
    sample_every: int = 2000
    log_every: int = 50
    patience: int = 20
    melody: str = "skyline"
    max_onsets: int = 0
    calm: bool = False
    keep: str = "best"
    init: str | None = None
    note: str | None = None
    seed: int = 0
    threads: int | None = None
    engine: str = "auto"


@dataclasses.dataclass
class Progress:
    """What a training reports now and then."""

    step: int
    scalars: dict[str, float]
    examples_per_second: float
    metrics: evaluation.Metrics | None = None
    best: bool = False


@dataclasses.dataclass
class Result:
    """How a training ended: why, at which step, and its best evaluation."""

    reason: str
    step: int
    best: dict[str, Any]


def train(
    spec: configs.ModelSpec,
    data: str | Path,
    run: str | Path,
    options: Options,
    report: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Trains until a limit, early stop or interruption; called again, goes on from the last checkpoint.

    Args:
      spec: config and hparams.
      data: a folder of `corpus.convert`, or a TFRecord of NoteSequences.
      run: the run folder.
      options: see `Options`.
      report: called every `log_every` steps.
      say: called with sentences worth reading.

    Raises:
      DataError: nothing to train on, or the loss is no longer a number.
      ModelError: `options.init` does not fit. OutputError: the run folder is not ours or of another config.
    """
    say = say or (lambda _: None)
    folder = _open_run(Path(run), spec, data, options)
    train_set, eval_set = datasets.load(
        data, spec, options.melody, options.max_onsets, options.calm, folder / "cache", say
    )
    start = _start(spec, options, say) if options.init else None
    if start is None and len(spec.level_lengths or ()) > 2 and not (folder / "train").exists():
        say(f"{spec.name} learns far sooner from a model of 2 bars: see `calmvae grow --help`.")
    trainer = _Trainer(spec, folder, options, train_set, eval_set, start, report, say)
    trainer.sources = datasets.sources(data)
    return trainer.run()


def _start(spec: configs.ModelSpec, options: Options, say: Callable[[str], None]) -> dict[str, np.ndarray]:
    """The weights to start from: those of a model of the same shape, or of one whose windows ours are made of."""
    from calmvae import growth, learner

    opened = models.to_start_from(str(options.init), spec.name)
    weights, source = dict(opened.weights), opened.spec
    if source and growth.can_grow(source, spec):
        say(f"{options.init} gives the levels up to its {source.bars} bars; those above start from nothing.")
        return growth.grown(source, weights, spec, learner.initial_weights(runtime.weight_shapes(spec), options.seed))
    runtime.check_weights(spec, weights)
    return weights


def _open_run(folder: Path, spec: configs.ModelSpec, data: str | Path, options: Options) -> Path:
    """Checks or makes the run folder and notes what was asked for."""
    record_file = folder / outputs.RUN_FILE
    record: dict[str, Any] = {}
    if record_file.exists():
        try:
            record = json.loads(record_file.read_text(encoding="utf-8"))
            before = configs.ModelSpec.from_json(record["spec"])
        except (ValueError, KeyError, TypeError):
            raise OutputError(f"{folder} was not made by `calmvae train`; choose another run folder with -o.") from None
        ours = spec.shape()
        for name, theirs in before.shape().items():
            if theirs != ours[name]:
                raise OutputError(
                    f"{folder} holds a training of {before.name} with {name} {theirs}, not {ours[name]}; choose "
                    "another run folder with -o."
                )
    elif folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and was not made by calmvae; choose another run folder with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder} ({error.strerror}); choose another run folder with -o.") from None
    if options.note:
        with open(folder / "notes.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M')}  {options.note}\n")
    sessions = record.get("sessions", [])
    sessions.append(
        {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": outputs.command_line(),
            "data": str(data),
            "options": dataclasses.asdict(options),
            "hparams": spec.hparams,
            "versions": outputs.versions(),
        }
    )
    outputs.write_json(record_file, {"calmvae": "train", "spec": spec.to_json(), "sessions": sessions})
    return folder


def _engine(spec: configs.ModelSpec, options: Options, say: Callable[[str], None]) -> Any:
    """What computes the steps: calmvae's own gradient, or Magenta's graph where that can do more."""
    from calmvae import graph, learner

    if options.keep not in ("best", "last"):
        raise OptionError(f"--keep is '{options.keep}'; choose best or last.")
    if options.engine not in ENGINES:
        raise OptionError(f"unknown engine '{options.engine}'; choose one of {', '.join(ENGINES)}.")
    able = learner.supports(spec)
    if options.engine in ("numpy", "cudnn") and not able:
        raise OptionError(f"dropout and residual connections need --engine magenta; {options.engine} has neither.")
    engine = options.engine
    if engine == "auto":
        has_gpu = bool(magenta.load_tensorflow().config.list_physical_devices("GPU"))
        engine = "magenta" if not able else "cudnn" if has_gpu else "numpy"
    if engine == "numpy":
        return learner.Learner(spec, options.seed, options.threads)
    say(f"Training with {ENGINES[engine]}.")
    return graph.TrainingGraph(spec, options.seed, options.threads, cudnn=engine == "cudnn")


class _Trainer:
    """The loop and what it keeps track of."""

    def __init__(
        self,
        spec: configs.ModelSpec,
        folder: Path,
        options: Options,
        train_set: examples.WindowSet,
        eval_set: examples.WindowSet,
        start: dict[str, np.ndarray] | None,
        report: Callable[[Progress], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self.spec, self.folder, self.options, self.report, self.say = spec, folder, options, report, say
        self.train_tokens = train_set.tokens
        self.eval_tokens = eval_set.drawn(_EVAL_WINDOWS, 0).tokens
        self.pieces = train_set.pieces
        self.sources: list[dict[str, Any]] = []
        self.engine = _engine(spec, options, say)
        self.interrupted = False
        self.best, self.since_best = self._history()
        checkpoint = checkpoints.latest(folder / "train")
        if checkpoint:
            self.engine.restore(checkpoint)
            say(f"Going on from step {self.engine.global_step()} ({checkpoint}).")
        elif start:
            self.engine.load_weights(start)
            say(f"Starting from the weights of {options.init}.")
        self.step = self.engine.global_step()
        self.writer = magenta.load_tensorflow().summary.FileWriter(str(folder / "events"))

    def run(self) -> Result:
        self._watch_signals()
        began = time.monotonic()
        try:
            reason = self._loop(began)
        finally:
            self._restore_signals()
            self.writer.close()
        self._finish(reason, time.monotonic() - began)
        self.engine.close()
        return Result(reason, self.step, self.best)

    def _loop(self, began: float) -> str:
        options, batch_size = self.options, self.spec.hparams["batch_size"]
        batches = examples.batches(self.train_tokens, batch_size, options.seed, self.step)
        saved = self.step if (self.folder / "train").exists() else -1
        lap_step, lap_time = self.step, time.monotonic()
        while True:
            reason = self._reason_to_stop(began)
            if reason:
                if saved != self.step:
                    self._save()
                if self.best.get("step", -1) < 0 or (options.keep == "last" and self.best["step"] != self.step):
                    self._evaluate()
                return reason
            scalars = self.engine.train(next(batches))
            self.step += 1
            if not math.isfinite(scalars["loss"]):
                last = checkpoints.latest(self.folder / "train") or "none yet"
                self._finish("not a number", time.monotonic() - began)
                raise DataError(
                    f"the loss is {scalars['loss']} at step {self.step}; the last good checkpoint is {last}; "
                    "lower the learning rate (--set learning_rate=0.0003) and go on from there."
                )
            metrics, better = None, False
            if self.step % options.eval_every == 0:
                metrics, better = self._evaluate()
            if self.step % options.save_every == 0:
                self._save()
                saved = self.step
            if options.sample_every and self.step % options.sample_every == 0:
                self._sample()
            logged = self.step % options.log_every == 0
            if logged:
                self._write_events(scalars)
            if logged or metrics:
                now = time.monotonic()
                speed = (self.step - lap_step) * batch_size / max(now - lap_time, 1e-9)
                lap_step, lap_time = self.step, now
                if self.report:
                    self.report(Progress(self.step, scalars, speed, metrics, better))

    def _reason_to_stop(self, began: float) -> str | None:
        options = self.options
        if self.interrupted:
            return "interrupted"
        if options.steps and self.step >= options.steps:
            return "steps reached"
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            return "time is up"
        if options.patience and self.since_best >= options.patience:
            return "no better for long"
        return None

    def _save(self) -> None:
        (self.folder / "train").mkdir(exist_ok=True)
        self.engine.save(str(self.folder / "train" / "model.ckpt"))

    def _evaluate(self) -> tuple[evaluation.Metrics, bool]:
        weights = self.engine.weights()
        metrics = evaluation.evaluate(runtime.Engine(self.spec, weights), self.eval_tokens)
        line = {"step": self.step, **dataclasses.asdict(metrics)}
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._write_events({f"eval/{name}": float(value) for name, value in dataclasses.asdict(metrics).items()})
        better = self.options.keep == "last" or metrics.accuracy > self.best.get("accuracy", -1.0)
        if better:
            self.best, self.since_best = line, 0
            meta = {"step": self.step, "metrics": dataclasses.asdict(metrics), "pieces": self.pieces}
            meta |= {"data": self.sources} if self.sources else {}
            folders.write(self.folder / "model", self.spec, weights, meta)
        else:
            self.since_best += 1
        return metrics, better

    def _write_events(self, scalars: dict[str, float]) -> None:
        summary = magenta.load_tensorflow().Summary()
        for name, value in scalars.items():
            summary.value.add(tag=name, simple_value=value)
        self.writer.add_summary(summary, self.step)

    def _sample(self) -> None:
        from calmvae import compose

        engine = runtime.Engine(self.spec, self.engine.weights())
        (self.folder / "samples").mkdir(exist_ok=True)
        compose.write_training_samples(engine, self.eval_tokens, self.folder / "samples", self.step, self.options.seed)

    def _history(self) -> tuple[dict[str, Any], int]:
        """Best evaluation so far and the number of those after it, so that a resumed run does not forget."""
        try:
            text = (self.folder / "metrics.jsonl").read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
        except (OSError, ValueError):
            return {}, 0
        if not lines or not (self.folder / "model" / folders.SPEC_FILE).exists():
            return {}, 0
        best = max(range(len(lines)), key=lambda i: lines[i]["accuracy"])
        return lines[best], len(lines) - 1 - best

    def _finish(self, reason: str, seconds: float) -> None:
        path = self.folder / outputs.RUN_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        record["sessions"][-1] |= {"ended": reason, "step": self.step, "seconds": round(seconds, 1)}
        record |= {"step": self.step, "best": self.best}
        outputs.write_json(path, record)

    def _watch_signals(self) -> None:
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, _frame: Any) -> None:
            # The first one ends the training in order; a second one is obeyed at once.
            self.interrupted = True
            signal.signal(number, self._handlers[number])
            self.say("Stopping after this step, with a checkpoint.")

        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, stop)

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
