"""The user's models: fetched published models, and models imported under a name.

They are in `models/NAME/` of the user's cache folder (or of `CALMVAE_CACHE`). A fetched model keeps its published
files, and `fetched.json` records the address, size and SHA-256 of each, so that they can be verified. An imported model
is a model folder.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calmvae.checkpoints import magenta_js, model_folder, registry
from calmvae.common import output_folder
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


def fetch_model(
    name: str,
    progress: Callable[[str, int, int], None] = lambda file, done, total: None,
    say: Callable[[str], None] = lambda sentence: None,
    again: bool = False,
) -> Path:
    """Fetches the missing files of a published model, and checks the others.

    Args:
      name: in the registry.
      progress: called with a file's name, the bytes fetched, and the bytes in all.
      say: called with sentences for the user.
      again: fetch all files again, and forget the recorded SHA-256.

    Returns:
      the folder.

    Raises:
      OptionError: no such model.
      FetchError: a file cannot be fetched, or is not the published one.
    """
    from calmvae.common import download

    entry, folder = registry.get(name), place(name)
    record = {} if again else read_record(name)
    if again and folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    todo = list(entry.files)
    for file in todo:
        about = record.get(file.name, {})
        # A SHA-256 that was trusted at the first download is checked from then on.
        remote = download.Remote(file.address, file.sha256 or about.get("sha256"), file.size or about.get("size"))
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        got = download.fetch(remote, target, functools.partial(progress, file.name), say)
        known = "registry" if file.sha256 else about.get("known") or got.checked or "first use"
        record[file.name] = {"address": file.address, "size": got.size, "sha256": got.sha256, "known": known}
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        output_folder.write_json(folder / RECORD_FILE, {"calmvae": "fetched", "name": name, "at": now, "files": record})
        if file.name == magenta_js.MANIFEST_FILE:
            todo += [registry.File(n, f"{entry.address}/{n}") for n in magenta_js.shard_names(folder)]
    return folder


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The state of a file: "ok", "changed", "missing" or "new", its SHA-256, and the source of the expected one."""

    name: str
    file: str
    state: str
    sha256: str = ""
    known: str = ""


def verify(name: str) -> list[Verdict]:
    """Compares every file of a model in the cache with the recorded SHA-256.

    Raises:
      ModelError: there is no such model.
    """
    folder = imported_folder(name)
    if folder:
        return [verify_folder(name, folder)]
    record, entry = read_record(name), registry.find(name)
    published = {file.name: file.sha256 for file in entry.files} if entry else {}
    names = [*published, *(file for file in record if file not in published)]
    files = {file: str(published.get(file) or record.get(file, {}).get("sha256", "")) for file in names}
    if not entry or not any((place(name) / file).exists() for file in files):
        raise ModelError(f"there is no model '{name}' in {root() / 'models'}; run: calmvae models fetch {name}")
    return [
        _verdict(name, place(name), file, wanted, record.get(file, {}).get("known", "registry"))
        for file, wanted in files.items()
    ]


def verify_folder(name: str, folder: Path) -> Verdict:
    """Compares the weights of a model folder with the SHA-256 in its model.json."""
    wanted = model_folder.read_record(folder).get("sha256", "")
    return _verdict(name, folder, model_folder.WEIGHTS_FILE, wanted, model_folder.SPEC_FILE)


def _verdict(name: str, folder: Path, file: str, wanted: str, known: str) -> Verdict:
    path = folder / file
    if not path.is_file():
        return Verdict(name, file, "missing")
    found = output_folder.sha256(path)
    state = "new" if not wanted else "ok" if found == wanted else "changed"
    return Verdict(name, file, state, found, known if wanted else "nothing")
