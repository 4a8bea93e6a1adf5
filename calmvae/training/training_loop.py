"""The training loop: steps, evaluations, the best model, early stopping.

`train_melody` trains melody models with it, `train_magenta` Magenta's other configs. `run_folder` has its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from calmvae.common.errors import DataError
from calmvae.training.run_folder import RunFolder
from calmvae.training.training_options import Options


class Metrics(Protocol):
    """An evaluation: a dataclass of numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def words(self) -> str:
        """The numbers that fit into a line of progress."""


@dataclasses.dataclass
class Progress:
    """A report during a training.

    Attributes:
      step: of the training.
      scalars: of this step, by Magenta's names.
      examples_per_second: since the last report.
      metrics: the evaluation, if this step has one.
      best: whether that evaluation is the best so far.
      held_out: whether evaluations are of held-out windows.
    """

    step: int
    scalars: dict[str, float]
    examples_per_second: float
    metrics: Metrics | None = None
    best: bool = False
    held_out: bool = True


@dataclasses.dataclass
class Result:
    """How a training ended.

    Attributes:
      reason: why.
      step: at which step.
      best: the best evaluation, a line of metrics.jsonl.
      kept: the evaluation of the model that is kept.
      held_out: whether both are of held-out windows.
    """

    reason: str
    step: int
    best: dict[str, Any]
    kept: dict[str, Any]
    held_out: bool = True

    def words(self) -> str:
        """The best evaluation, and that of the model that is kept if they differ."""
        best, kept = _words(self.best), _words(self.kept)
        if best != kept:
            return f"the model kept has {kept}; the best had {best}"
        return f"best held-out {best}" if self.held_out else f"best {best}, on the training windows"


def _words(line: dict[str, Any]) -> str:
    shown = {"accuracy": "accuracy", "onset_accuracy": "onsets", "loss": "loss"}
    said = ", ".join(f"{word} {line[name]:.3f}" for name, word in shown.items() if name in line)
    return f"{said} at step {line.get('step', 0)}"


class Task(Protocol):
    """What is trained, on which examples, and how it is measured. `Loop` trains it.

    Attributes:
      engine: takes the steps: `numpy_trainer.Learner` or a graph of `tf_graph.py`.
      batch_size: examples per step.
      pieces: how many pieces the training windows are from.
      sources: the collections of the data set, of `load_dataset.sources`.
      held_out: whether evaluations are of held-out windows, or of the training windows because there are no others.
    """

    engine: Any
    batch_size: int
    pieces: int
    sources: list[dict[str, Any]]
    held_out: bool

    def batches(self, step: int) -> Iterator[Any]:
        """The batches for `engine.train`, from a step on."""

    def measure(self, weights: dict[str, Any]) -> Metrics:
        """Evaluates the present weights."""

    def worth(self, line: dict[str, Any]) -> float:
        """The score of an evaluation, a line of metrics.jsonl; the best has the highest."""

    def write_model(self, folder: Path, weights: dict[str, Any], meta: dict[str, Any]) -> None:
        """Writes a model folder."""

    def write_samples(self, folder: Path, step: int) -> None:
        """Writes samples of the present model."""


class Loop:
    """Trains a task until there is a reason to stop.

    It goes on from the newest checkpoint of the run folder. Without one it starts from given weights, or else from
    those that the engine drew.

    Args:
      task: what to train.
      folder: the run folder.
      options: how to train.
      start: weights to start from.
      report: called every `log_every` steps and after every evaluation.
      say: called with sentences for the user.
    """

    def __init__(
        self,
        task: Task,
        folder: RunFolder,
        options: Options,
        start: Mapping[str, Any] | None = None,
        report: Callable[[Progress], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.task, self.folder, self.options = task, folder, options
        self.report, self.say = report or (lambda _: None), say or (lambda _: None)
        lines, self.kept = folder.evaluations()
        best = max(range(len(lines)), key=lambda k: task.worth(lines[k]), default=0)
        self.best = lines[best] if lines else {}
        self.since_best = len(lines[best + 1 :])
        checkpoint = folder.checkpoint()
        if checkpoint:
            task.engine.restore(checkpoint)
            self.say(f"Going on from step {task.engine.global_step()} ({checkpoint}).")
        elif start:
            task.engine.load_weights(start)
            self.say(f"Starting from the weights of {options.init}.")
        self.step = task.engine.global_step()
        self._saved = self.step if checkpoint else -1

    def run(self) -> Result:
        """Trains.

        Raises:
          DataError: the loss is no longer a number.
        """
        began = time.monotonic()
        with contextlib.closing(self.folder), _interruptible(self.say) as interrupted:
            reason = self._train(began, interrupted)
        self._finish(reason, began)
        self.task.engine.close()
        return Result(reason, self.step, self.best, self.kept, self.task.held_out)

    def _train(self, began: float, interrupted: threading.Event) -> str:
        options, batches = self.options, self.task.batches(self.step)
        lap_step, lap_time = self.step, began
        while not (reason := self._reason_to_stop(began, interrupted)):
            scalars = self.task.engine.train(next(batches))
            self.step += 1
            if not math.isfinite(scalars["loss"]):
                self._finish("not a number", began)
                raise DataError(
                    f"the loss is {scalars['loss']} at step {self.step}; lower the learning rate with --set "
                    f"learning_rate=0.0003; the training then goes on from {self.folder.checkpoint() or 'its start'}."
                )
            metrics, better = self._evaluate() if self.step % options.eval_every == 0 else (None, False)
            if self.step % options.save_every == 0:
                self._save()
            if options.sample_every and self.step % options.sample_every == 0:
                self.task.write_samples(self.folder.samples(), self.step)
            logged = self.step % options.log_every == 0
            if logged or metrics:
                # An engine may give numbers that a device still computes.
                scalars = {name: float(value) for name, value in scalars.items()}
            if logged:
                self.folder.add_events(self.step, scalars)
            if logged or metrics:
                now = time.monotonic()
                speed = (self.step - lap_step) * self.task.batch_size / max(now - lap_time, 1e-9)
                lap_step, lap_time = self.step, now
                self.report(Progress(self.step, scalars, speed, metrics, better, self.task.held_out))
        if self._saved != self.step:
            self._save()
        if not self.kept or (options.keep == "last" and self.kept["step"] != self.step):
            self._evaluate()
        return reason

    def _reason_to_stop(self, began: float, interrupted: threading.Event) -> str | None:
        options = self.options
        if interrupted.is_set():
            return "interrupted"
        if options.steps and self.step >= options.steps:
            return "steps reached"
        if options.minutes and time.monotonic() - began > options.minutes * 60:
            return "time is up"
        if options.keep == "best" and options.patience and self.since_best >= options.patience:
            return "early stopping"
        return None

    def _save(self) -> None:
        self.folder.save(self.task.engine)
        self._saved = self.step

    def _evaluate(self) -> tuple[Metrics, bool]:
        """Evaluates the present model and keeps it if it should be kept; says whether it is the best so far."""
        weights, worth = self.task.engine.weights(), self.task.worth
        metrics = self.task.measure(weights)
        numbers = dataclasses.asdict(metrics)
        line = {"step": self.step, **numbers}
        self.folder.add_evaluation(line)
        self.folder.add_events(self.step, {f"eval/{name}": float(value) for name, value in numbers.items()})
        better = not self.best or worth(line) > worth(self.best)
        self.since_best = 0 if better else self.since_best + 1
        self.best = line if better else self.best
        # After a session with `keep` "last", the kept model may be worse than the best so far.
        if self.options.keep == "last" or not self.kept or worth(line) > worth(self.kept):
            self.kept = line
            meta = {"step": self.step, "metrics": numbers, "pieces": self.task.pieces}
            meta |= {"data": self.task.sources} if self.task.sources else {}
            self.task.write_model(self.folder.model, weights, meta)
        return metrics, better

    def _finish(self, reason: str, began: float) -> None:
        self.folder.finish(reason, self.step, time.monotonic() - began, self.best, self.kept)


@contextlib.contextmanager
def _interruptible(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one acts at once."""
    event = threading.Event()
    before: dict[int, Any] = {}

    def stop(number: int, _frame: Any) -> None:
        event.set()
        signal.signal(number, before[number])
        say("Stopping after this step, with a checkpoint.")

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield event
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
