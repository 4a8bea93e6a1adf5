"""The user's models: fetched published models, and models imported under a name.

They are in `models/NAME/` of the user's cache folder (or of `CALMVAE_CACHE`). A fetched model keeps its published
files, and `fetched.json` records the address, size and SHA-256 of each, so that they can be verified. An imported model
is a model folder.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from calmvae.checkpoints import magenta_js, model_folder, registry
from calmvae.common.errors import ModelError, OptionError

RECORD_FILE = "fetched.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def root() -> Path:
    """The cache folder of the user."""
    import platformdirs

    chosen = os.environ.get("CALMVAE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("calmvae", appauthor=False)


def place(name: str) -> Path:
    """The folder for a model of that name, whether it exists or not.

    Raises:
      OptionError: it is not a valid name.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"'{name}' is not a name for a model; use letters, digits, '.', '_' and '-'.")
    return root() / "models" / name


def imported_folder(name: str | Path) -> Path | None:
    """The folder of the imported model of that name, if there is one."""
    folder = _folder(name)
    return folder if folder and (folder / model_folder.SPEC_FILE).is_file() else None


def fetched(name: str | Path) -> Path | None:
    """The .tar, prefix or folder to open of a published model that was fetched or put there by hand, if it is there."""
    folder, entry = _folder(name), registry.find(str(name))
    if not folder or not entry or entry.kind == "bundle":
        return None
    files = [folder / file.name for file in entry.files]
    if not all(file.is_file() for file in files):
        return None
    if entry.kind == "magenta-js":
        return folder if all((folder / shard).is_file() for shard in magenta_js.shard_names(folder)) else None
    return files[0] if entry.kind == "tar" else files[0].with_suffix("")


def _folder(name: str | Path) -> Path | None:
    return place(str(name)) if _NAME.fullmatch(str(name)) else None


def kept() -> list[str]:
    """Names of all models in the cache."""
    folder = root() / "models"
    found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [name for name in found if imported_folder(name) or fetched(name) or (place(name) / RECORD_FILE).is_file()]


def read_record(name: str) -> dict[str, Any]:
    """The record of the fetched files, `{}` if there is none.

    Raises:
      ModelError: it is damaged.
    """
    path = place(name) / RECORD_FILE
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {str(file): {**about} for file, about in record["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({error!r}); run: calmvae models fetch {name} --again") from error


def sha256(name: str) -> str:
    """The recorded SHA-256 of the largest file of a fetched model, "" without a record."""
    files = read_record(name).values()
    return str(max(files, key=lambda about: about["size"])["sha256"]) if files else ""
