"""The run folder of a training: checkpoints, evaluations, events, samples, and the record of every session.

run.json       the model, and what every session was asked for and how it ended
notes.txt      what the user wrote with --note
metrics.jsonl  one line per evaluation
train/         the newest checkpoints with optimiser slots, to resume from
model/         the model that is kept, ready to generate
events/        TensorBoard
samples/       reconstructions of held-out windows and fresh samples, as .mid and .png
cache/         the training windows of the data set
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

from calmvae.checkpoints import model_folder, tf_checkpoint
from calmvae.common import magenta_import, output_folder
from calmvae.common.errors import OutputError
from calmvae.model.model_spec import ModelSpec
from calmvae.training.training_options import Options


class RunFolder:
    """The files of one training. All its sessions share them; `open_run` opens them."""

    def __init__(self, path: Path) -> None:
        self.path, self.model = path, path / "model"

    def checkpoint(self) -> str | None:
        """The newest checkpoint, if there is one."""
        return tf_checkpoint.latest(self.path / "train")

    def save(self, engine: Any) -> None:
        """Lets an engine write a checkpoint."""
        (self.path / "train").mkdir(exist_ok=True)
        engine.save(str(self.path / "train" / "model.ckpt"))

    def samples(self) -> Path:
        """The folder for samples."""
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        return folder

    def add_evaluation(self, line: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def evaluations(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """All evaluations, oldest first, and that of the model in model/; both empty if either cannot be read."""
        try:
            lines = [json.loads(x) for x in (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
            step = json.loads((self.model / model_folder.SPEC_FILE).read_text(encoding="utf-8"))["step"]
            return lines, next(line for line in reversed(lines) if line["step"] == step)
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            return [], {}

    def add_events(self, step: int, scalars: dict[str, float]) -> None:
        """Writes scalars for TensorBoard."""
        summary = magenta_import.load_tensorflow().Summary()
        for name, value in scalars.items():
            summary.value.add(tag=name, simple_value=value)
        self._events.add_summary(summary, step)

    @functools.cached_property
    def _events(self) -> Any:
        return magenta_import.load_tensorflow().summary.FileWriter(str(self.path / "events"))

    def finish(self, reason: str, step: int, seconds: float, best: dict[str, Any], kept: dict[str, Any]) -> None:
        """Notes in run.json how the session ended."""
        file = self.path / output_folder.RUN_FILE
        record = json.loads(file.read_text(encoding="utf-8"))
        record["sessions"][-1] |= {"ended": reason, "step": step, "seconds": round(seconds, 1)}
        output_folder.write_json(file, record | {"step": step, "best": best, "kept": kept})

    def close(self) -> None:
        """Closes the events."""
        if "_events" in self.__dict__:
            self._events.close()


def open_run(
    path: str | Path,
    options: Options,
    data: str | Path,
    record: dict[str, Any],
    hparams: dict[str, Any],
) -> RunFolder:
    """Makes a run folder or checks an earlier one, and adds a session to its run.json.

    Args:
      path: the run folder.
      options: how to train.
      data: the data set.
      record: the model, for run.json: its "spec", or "config" and "hparams" if it is not of melodies.
      hparams: all hparams of this session.

    Raises:
      OutputError: the folder is not a run folder, is of another training, or cannot be made.
    """
    path = Path(path)
    record_file = path / output_folder.RUN_FILE
    before: dict[str, Any] = {}
    if record_file.exists():
        try:
            before = json.loads(record_file.read_text(encoding="utf-8"))
            difference = _difference(before, record)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OutputError(f"{path} was not made by `calmvae train`; choose another run folder with -o.") from None
        if difference:
            raise OutputError(f"{path} holds a training of {difference}; choose another run folder with -o.")
    elif path.is_dir() and any(path.iterdir()):
        raise OutputError(f"{path} is not empty and was not made by calmvae; choose another run folder with -o.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path} ({error.strerror}); choose another run folder with -o.") from None
    if options.note:
        with open(path / "notes.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M')}  {options.note}\n")
    session = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": output_folder.command_line(),
        "data": str(data),
        "options": dataclasses.asdict(options),
        "hparams": hparams,
        "versions": output_folder.versions(),
    }
    sessions = [*before.get("sessions", []), session]
    output_folder.write_json(record_file, {"calmvae": "train", **record, "sessions": sessions})
    return RunFolder(path)


def _difference(before: dict[str, Any], record: dict[str, Any]) -> str:
    """How the model of an earlier run.json differs from that of a new one, in words, or ""."""
    (name, shape), (our_name, our_shape) = _model_of(before), _model_of(record)
    # Models of melodies with other names may have the same weights.
    if name != our_name and ("config" in before or "config" in record):
        return f"{name}, not {our_name}"
    found = [(key, value) for key, value in shape.items() if value != our_shape.get(key)]
    return f"{name} with {found[0][0]} {found[0][1]}, not {our_shape.get(found[0][0])}" if found else ""


def _model_of(record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of a config, and the hparams that decide the shapes of the weights."""
    if "config" in record:
        return record["config"], record["hparams"]
    spec = ModelSpec.from_json(record["spec"])
    return spec.name, spec.shape()
