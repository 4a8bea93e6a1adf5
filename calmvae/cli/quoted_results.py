"""The measured results that the documents quote, each with its command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calmvae.checkpoints import model_folder


def folder() -> Path:
    """The folder of the records, a JSON file each."""
    return model_folder.of_package("own_model") / "measured"


def names() -> list[str]:
    """The names of all records."""
    return sorted(path.stem for path in folder().glob("*.json"))


def record(name: str) -> dict[str, Any]:
    """A result with its circumstances.

    Returns:
      command: the command.
      date: the date.
      needs: inputs that are not in the checkout, if any.
      tolerance: the share by which figures of another machine may differ.
      gives: the JSON that the command prints, or its tables (rows by column) and lines.
    """
    return json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))


def result(name: str) -> Any:
    """The result of the command."""
    return record(name)["gives"]
