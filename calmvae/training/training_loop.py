"""What every training has in common: options, run folder, the loop and how it ends.

`train_melody` trains melody models, `train_magenta` the other configs of Magenta's.
"""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

from calmvae.checkpoints import model_folder, tf_checkpoint
from calmvae.common import magenta_import, output_folder
from calmvae.common.errors import DataError, OptionError, OutputError


class Metrics(Protocol):
    """An evaluation: a dataclass of numbers that can be said in a few words."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def words(self) -> str:
        """The measurements that a line of progress has room for."""


@dataclasses.dataclass
class Options:
    """How to train.

    Attributes:
      steps: stop at this global step (0: no limit).
      minutes: stop after this much time in this session (0: no limit).
      eval_every, save_every, sample_every, log_every: in steps.
      patience: stop after so many evaluations without a better one (0: never, nor with `keep` "last").
      melody: which melodies to take from a piece, see `training_windows.piece_windows`.
      max_onsets: leave out windows in which more notes start than this (0: take all).
      calmest: train and measure on only so large a share of the windows, those that score the calmest.
      keep: "best" keeps the model of the best held-out score so far in model/, "last" that of the last evaluation. The
        score of a melody model is the mean of accuracy and onset accuracy, of others the loss.
      init: model or checkpoint to start from.
      note: text for notes.txt.
      seed: of weights, shuffling, transposition and sampling.
      threads: to compute with, default one a core.
      engine: a key of `train_melody.ENGINES`.
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
    calmest: float = 1.0
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
    metrics: Metrics | None = None
    best: bool = False
    held_out: bool = True


@dataclasses.dataclass
class Result:
    """How a training ended: why, at which step, its best evaluation, and that of the model which is kept; whether both
    are of held-out windows."""

    reason: str
    step: int
    best: dict[str, Any]
    kept: dict[str, Any]
    held_out: bool = True

    def words(self) -> str:
        """The best evaluation, and that of the model which is kept where it is another."""
        best, kept = _words(self.best), _words(self.kept)
        if best != kept:
            return f"kept is the model of {kept}; the best was {best}"
        return f"best held-out {best}" if self.held_out else f"best {best}, on the training windows"


def _words(line: dict[str, Any]) -> str:
    shown = {"accuracy": "accuracy", "onset_accuracy": "onsets", "loss": "loss"}
    said = ", ".join(f"{word} {line[name]:.3f}" for name, word in shown.items() if name in line)
    return f"{said} at step {line.get('step', 0)}"


def open_run(
    folder: Path,
    options: Options,
    data: str | Path,
    record: dict[str, Any],
    hparams: dict[str, Any],
    differs: Callable[[dict[str, Any]], str],
) -> Path:
    """Checks or makes the run folder and notes what was asked for.

    Args:
      folder: the run folder.
      options: how to train. data: on what.
      record: what run.json says of the model.
      hparams: all of them, noted for this session.
      differs: what stands in the way of going on with the training of an earlier run.json, in words, or "".

    Raises:
      OutputError: the folder is not ours, of another training, or cannot be made. OptionError: no such `keep`.
    """
    if options.keep not in ("best", "last"):
        raise OptionError(f"--keep is '{options.keep}'; choose best or last.")
    record_file = folder / output_folder.RUN_FILE
    before: dict[str, Any] = {}
    if record_file.exists():
        try:
            before = json.loads(record_file.read_text(encoding="utf-8"))
            difference = differs(before)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OutputError(f"{folder} was not made by `calmvae train`; choose another run folder with -o.") from None
        if difference:
            raise OutputError(f"{folder} holds a training of {difference}; choose another run folder with -o.")
    elif folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and was not made by calmvae; choose another run folder with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder} ({error.strerror}); choose another run folder with -o.") from None
    if options.note:
        with open(folder / "notes.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M')}  {options.note}\n")
    sessions = before.get("sessions", [])
    sessions.append(
        {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": output_folder.command_line(),
            "data": str(data),
            "options": dataclasses.asdict(options),
            "hparams": hparams,
            "versions": output_folder.versions(),
        }
    )
    output_folder.write_json(record_file, {"calmvae": "train", **record, "sessions": sessions})
    return folder


class Loop:
    """Steps, evaluations, checkpoints and samples until there is a reason to stop.

    A subclass says what a batch is, measures, writes the model and samples.

    Args:
      folder: the run folder.
      options: how to train.
      engine: takes the steps: `numpy_trainer.Learner` or a graph of `tf_graph.py`.
      batch_size: examples a step.
      start: weights to start from, if the run folder holds no checkpoint yet.
      report: called every `log_every` steps. say: called with sentences worth reading.
    """

    # Of an evaluation's numbers, those whose mean says which is best, and whether more of it is better. By accuracy
    # alone a model that only holds notes would win where little was learned.
    score: tuple[str, ...] = ("accuracy", "onset_accuracy")
    more_is_better = True
    # Whether evaluations are of held-out windows, or of the training's own for want of them.
    held_out = True

    def __init__(
        self,
        folder: Path,
        options: Options,
        engine: Any,
        batch_size: int,
        start: Any,
        report: Callable[[Progress], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.options, self.engine, self.batch_size = folder, options, engine, batch_size
        self.report, self.say = report, say
        self.sources: list[dict[str, Any]] = []
        self.interrupted = False
        self.best, self.kept, self.since_best = self._history()
        checkpoint = tf_checkpoint.latest(folder / "train")
        if checkpoint:
            self.engine.restore(checkpoint)
            say(f"Going on from step {self.engine.global_step()} ({checkpoint}).")
        elif start:
            self.engine.load_weights(start)
            say(f"Starting from the weights of {options.init}.")
        self.step = self.engine.global_step()
        self.writer = magenta_import.load_tensorflow().summary.FileWriter(str(folder / "events"))

    def batches(self, step: int) -> Iterator[Any]:
        """What `engine.train` takes, from a step on."""
        raise NotImplementedError

    def measure(self, weights: dict[str, Any]) -> Metrics:
        """How the present weights do on held-out windows."""
        raise NotImplementedError

    def write_model(self, weights: dict[str, Any], meta: dict[str, Any]) -> None:
        """Writes them to model/."""
        raise NotImplementedError

    def write_samples(self, folder: Path) -> None:
        """Writes what the model makes now."""
        raise NotImplementedError

    def pieces(self) -> int:
        """How many are trained on."""
        raise NotImplementedError

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
        return Result(reason, self.step, self.best, self.kept, self.held_out)

    def _loop(self, began: float) -> str:
        options, batches = self.options, self.batches(self.step)
        saved = self.step if (self.folder / "train").exists() else -1
        lap_step, lap_time = self.step, time.monotonic()
        while True:
            reason = self._reason_to_stop(began)
            if reason:
                if saved != self.step:
                    self._save()
                if not self.kept or (options.keep == "last" and self.kept["step"] != self.step):
                    self._evaluate()
                return reason
            scalars = self.engine.train(next(batches))
            self.step += 1
            if not math.isfinite(scalars["loss"]):
                last = tf_checkpoint.latest(self.folder / "train") or "none yet"
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
                speed = (self.step - lap_step) * self.batch_size / max(now - lap_time, 1e-9)
                lap_step, lap_time = self.step, now
                if self.report:
                    self.report(Progress(self.step, scalars, speed, metrics, better, self.held_out))

    def _reason_to_stop(self, began: float) -> str | None:
        options = self.options
        if self.interrupted:
            return "interrupted"
        if options.steps and self.step >= options.steps:
            return "steps reached"
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            return "time is up"
        if options.keep == "best" and options.patience and self.since_best >= options.patience:
            return "early stopping"
        return None

    def _save(self) -> None:
        (self.folder / "train").mkdir(exist_ok=True)
        self.engine.save(str(self.folder / "train" / "model.ckpt"))

    def _evaluate(self) -> tuple[Metrics, bool]:
        weights = self.engine.weights()
        metrics = self.measure(weights)
        line = {"step": self.step, **dataclasses.asdict(metrics)}
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._write_events({f"eval/{name}": float(value) for name, value in dataclasses.asdict(metrics).items()})
        better = not self.best or self._worth(line) > self._worth(self.best)
        self.since_best = 0 if better else self.since_best + 1
        self.best = line if better else self.best
        # The best so far is not there any more if it came before a session that kept its last.
        if self.options.keep == "last" or not self.kept or self._worth(line) > self._worth(self.kept):
            self.kept = line
            meta = {"step": self.step, "metrics": dataclasses.asdict(metrics), "pieces": self.pieces()}
            meta |= {"data": self.sources} if self.sources else {}
            self.write_model(weights, meta)
        return metrics, better

    def _worth(self, line: dict[str, Any]) -> float:
        mean = sum(float(line[name]) for name in self.score) / len(self.score)
        return mean if self.more_is_better else -mean

    def _write_events(self, scalars: dict[str, float]) -> None:
        summary = magenta_import.load_tensorflow().Summary()
        for name, value in scalars.items():
            summary.value.add(tag=name, simple_value=value)
        self.writer.add_summary(summary, self.step)

    def _sample(self) -> None:
        (self.folder / "samples").mkdir(exist_ok=True)
        self.write_samples(self.folder / "samples")

    def _history(self) -> tuple[dict[str, Any], dict[str, Any], int]:
        """Best evaluation so far, that of the model which is kept, and the number of those after the best, so that a
        resumed run does not forget."""
        try:
            text = (self.folder / "metrics.jsonl").read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
            step = json.loads((self.folder / "model" / model_folder.SPEC_FILE).read_text(encoding="utf-8"))["step"]
            kept = next(line for line in reversed(lines) if line["step"] == step)
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            return {}, {}, 0
        best = max(range(len(lines)), key=lambda i: self._worth(lines[i]))
        return lines[best], kept, len(lines) - 1 - best

    def _finish(self, reason: str, seconds: float) -> None:
        path = self.folder / output_folder.RUN_FILE
        record = json.loads(path.read_text(encoding="utf-8"))
        record["sessions"][-1] |= {"ended": reason, "step": self.step, "seconds": round(seconds, 1)}
        record |= {"step": self.step, "best": self.best, "kept": self.kept}
        output_folder.write_json(path, record)

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
