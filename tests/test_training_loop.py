"""The training loop without files: its cadence, the best model, early stopping, and what a resumed training knows."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal

import pytest

from calmvae.common.errors import DataError, OptionError
from calmvae.training import training_loop
from calmvae.training.training_options import Options


@dataclasses.dataclass
class Score:
    value: float

    def words(self) -> str:
        return f"value {self.value}"


class Engine:
    """Takes steps that cost nothing."""

    def __init__(self, losses=()):
        self.step, self.losses, self.calls = 0, dict(losses), []

    def train(self, batch):
        assert batch == self.step
        self.step += 1
        return {"loss": self.losses.get(self.step, 1.0)}

    def global_step(self):
        return self.step

    def weights(self):
        return {"w": self.step}

    def load_weights(self, weights):
        self.calls.append(("load", weights))

    def restore(self, checkpoint):
        self.step = checkpoint

    def close(self):
        self.calls.append("closed")


class Task(training_loop.Task):
    """Evaluations of given values; the highest is the best."""

    def __init__(self, values=(), engine=None):
        self.engine, self.values = engine or Engine(), list(values)
        self.batch_size, self.pieces, self.sources, self.held_out = 4, 7, [], True
        self.models, self.sampled = [], []

    def batches(self, step):
        return itertools.count(step)

    def measure(self, weights):
        return Score(self.values.pop(0) if self.values else 0.0)

    def worth(self, line):
        return line["value"]

    def write_model(self, folder, weights, meta):
        assert (folder, weights["w"], meta["pieces"]) == ("model", meta["step"], 7)
        self.models.append(meta["step"])

    def write_samples(self, folder, step):
        self.sampled.append((folder, step))


class NoFiles:
    """A run folder in memory."""

    model = "model"

    def __init__(self, lines=(), kept=None, checkpoint=None):
        self.lines, self.kept, self.saved, self.newest, self.ended, self.events = (
            list(lines),
            kept,
            [],
            checkpoint,
            [],
            [],
        )

    def checkpoint(self):
        return self.newest

    def save(self, engine):
        self.saved.append(engine.step)

    def samples(self):
        return "samples"

    def add_evaluation(self, line):
        self.lines.append(line)

    def evaluations(self):
        return list(self.lines), self.kept or {}

    def add_events(self, step, scalars):
        self.events.append(step)

    def finish(self, reason, step, seconds, best, kept):
        self.ended.append((reason, step, best, kept))

    def close(self):
        pass


def options(**changes) -> Options:
    return Options(**{"steps": 10, "eval_every": 2, "save_every": 4, "sample_every": 0, "log_every": 5, **changes})


def train(task, folder=None, report=None, say=None, start=None, **changes):
    folder = folder or NoFiles()
    return training_loop.Loop(task, folder, options(**changes), start, report, say).run(), folder


def test_everything_has_its_steps():
    task, reports = Task([1, 2, 3, 2, 1]), []
    result, folder = train(task, report=reports.append, sample_every=3)
    assert (result.reason, result.step) == ("steps reached", 10)
    assert [line["step"] for line in folder.lines] == [2, 4, 6, 8, 10]
    # The last step is saved too.
    assert folder.saved == [4, 8, 10] and task.sampled == [("samples", k) for k in (3, 6, 9)]
    assert folder.events == [2, 4, 5, 6, 8, 10, 10]
    assert [(p.step, p.metrics and p.metrics.value, p.best) for p in reports] == [
        (2, 1, True),
        (4, 2, True),
        (5, None, False),
        (6, 3, True),
        (8, 2, False),
        (10, 1, False),
    ]
    assert task.models == [2, 4, 6] and result.best == result.kept == {"step": 6, "value": 3}
    assert folder.ended == [("steps reached", 10, result.best, result.kept)] and task.engine.calls == ["closed"]


def test_early_stopping_counts_evaluations_since_the_best():
    result, folder = train(Task([1, 3, 2, 3, 1, 9]), steps=0, patience=3)
    # As good as the best is not better.
    assert (result.reason, result.step, result.best["step"]) == ("early stopping", 10, 4)
    assert folder.saved == [4, 8, 10]


def test_the_last_model_is_kept_without_early_stopping():
    task = Task([3, 1, 1, 1])
    result, _ = train(task, steps=7, keep="last", patience=1)
    # Step 7 has no evaluation of its own, but the model kept has.
    assert (result.step, result.best["step"], result.kept["step"]) == (7, 2, 7) and task.models == [2, 4, 6, 7]
    with pytest.raises(OptionError, match="--keep is 'all'; choose best or last"):
        options(keep="all")


def test_resuming_remembers_the_best_and_the_patience():
    lines = [{"step": 2, "value": 3.0}, {"step": 4, "value": 1.0}, {"step": 6, "value": 2.0}]
    said, task = [], Task([1])
    result, folder = train(task, NoFiles(lines, lines[2], 6), say=said.append, start={"w": 0}, patience=3)
    assert said == ["Going on from step 6 (6)."]
    assert (result.reason, result.step, result.best, result.kept) == ("early stopping", 8, lines[0], lines[2])
    # Better than the model that is kept, though not than the best.
    task = Task([2.5])
    result, _ = train(task, NoFiles(lines, lines[2], 6), steps=8)
    assert (result.best, result.kept["step"], task.models) == (lines[0], 8, [8])
    # Nothing more to do, and nothing is saved twice.
    result, folder = train(Task(), NoFiles(lines, lines[2], 6), steps=6)
    assert (result.step, folder.saved) == (6, [])


def test_weights_to_start_from():
    said, task = [], Task()
    train(task, say=said.append, start={"w": 5}, steps=1, init="there")
    assert task.engine.calls[0] == ("load", {"w": 5}) and said == ["Starting from the weights of there."]


def test_a_loss_that_is_no_number_ends_it():
    folder = NoFiles()
    with pytest.raises(
        DataError, match=r"the loss is nan at step 3; lower the learning rate .* goes on from its start\."
    ):
        train(Task(engine=Engine({3: float("nan")})), folder)
    assert folder.ended[0][:2] == ("not a number", 3) and folder.saved == []


def test_an_interruption_ends_in_order_and_gives_the_signal_back():
    before, said = signal.getsignal(signal.SIGTERM), []
    stop = lambda progress: os.kill(os.getpid(), signal.SIGTERM) if progress.step == 5 else None  # noqa: E731
    result, folder = train(Task(), report=stop, say=said.append, log_every=1)
    assert (result.reason, result.step, folder.saved) == ("interrupted", 5, [4, 5])
    assert said == ["Stopping after this step, with a checkpoint."] and signal.getsignal(signal.SIGTERM) is before
