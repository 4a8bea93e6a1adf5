"""The data sets of `calmvae convert` and `calmvae corpus build` as windows to train and to measure on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calmvae.common import output_folder
from calmvae.common.errors import DataError
from calmvae.common.text import count
from calmvae.data import training_windows
from calmvae.model import model_spec
from calmvae.music.melody_tokens import STEPS_PER_BAR

_BARS_OF_PARTS = 2


def data_files(data: str | Path) -> tuple[list[Path], list[Path]]:
    """TFRecords to train on and to evaluate on.

    Raises:
      DataError: there are none.
    """
    path = Path(data)
    if path.is_file():
        return [path], []
    train, held_out = (sorted(path.glob(f"{part}-*.tfrecord")) for part in ("train", "eval"))
    if not train:
        raise DataError(f"{path} holds no train-*.tfrecord; make a data set with `calmvae convert`.")
    return train, held_out


def sources(data: str | Path) -> list[dict[str, Any]]:
    """Of a data set of `calmvae corpus build`, each collection's name, title, terms, address and pieces trained on."""
    try:
        record = json.loads((Path(data) / output_folder.RUN_FILE).read_text(encoding="utf-8"))
        found = record["summary"]["collections"]
        return [{"name": n, **{k: c[k] for k in ("title", "terms", "address", "train")}} for n, c in found.items()]
    # Another kind of data set, or a single TFRecord.
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def load(
    data: str | Path,
    spec: model_spec.ModelSpec,
    melody: str = "skyline",
    max_onsets: int = 0,
    calmest: float = 1.0,
    cache: Path | None = None,
    *,
    say: Callable[[str], None],
) -> tuple[training_windows.WindowSet, training_windows.WindowSet]:
    """Windows to train on and held-out ones; the former themselves where no piece is held out.

    Args:
      data: a folder of TFRecords, or one.
      spec: says how long the windows are.
      melody, max_onsets, calmest, cache: see `training_windows.load_windows`.
      say: called with the counts.

    Raises:
      DataError: nothing to train on.
    """
    # Parts of a bar are taken from windows of bars, so that they begin as they do there.
    steps = spec.steps if spec.bars else _BARS_OF_PARTS * STEPS_PER_BAR
    train_set, eval_set = (
        training_windows.load_windows(files, steps, melody, max_onsets, calmest, cache, voices=spec.voices)
        for files in data_files(data)
    )
    train_set = training_windows.without(train_set, eval_set)
    if not spec.bars:
        train_set, eval_set = train_set.split(spec.steps), eval_set.split(spec.steps)
    if not len(train_set.tokens):
        raise DataError(
            f"{data} has no window of {spec.length()} to train on ({train_set.pieces} pieces, left out: "
            f"{train_set.dropped}); give more pieces with `calmvae convert`."
        )
    dropped = ", ".join(f"{n} {why}" for why, n in train_set.dropped.items() if n) or "none"
    windows, pieces = count(len(train_set.tokens), "window"), count(train_set.pieces, "piece")
    say(
        f"{windows} of {spec.length()} from {pieces} to train on "
        f"(left out: {dropped}), {len(eval_set.tokens)} from {count(eval_set.pieces, 'held-out piece')}."
    )
    if not len(eval_set.tokens):
        say("No held-out pieces: the evaluation is on the training windows and says nothing about new music.")
        eval_set = train_set
    return train_set, eval_set
