"""What was measured, as the package brings it: the results that the documents quote, each with its command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calmvae.checkpoints import model_folder


def folder() -> Path:
    """Where they lie, a JSON file each."""
    return model_folder.of_package("own_model") / "measured"


def names() -> list[str]:
    """Of all of them."""
    return sorted(path.stem for path in folder().glob("*.json"))


def record(name: str) -> dict[str, Any]:
    """A result with its circumstances.

    Returns:
      command: that gave it.
      date: when.
      needs: what that takes beside the checkout, if anything.
      tolerance: by what share another machine's figures may differ.
      gives: the JSON that the command prints, or its tables (rows by column) and lines.
    """
    return json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))


def result(name: str) -> Any:
    """What the command gave."""
    return record(name)["gives"]
