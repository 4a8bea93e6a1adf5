"""Models kept for the user: published ones that were fetched, and others imported under a name.

They lie in `models/NAME/` of the user's cache folder (`CALMVAE_CACHE` names another): what was fetched as it was
published, beside `fetched.json` with each file's address, size and SHA-256, so that it can be verified at any time;
what was imported as a model folder.
"""

from __future__ import annotations

import dataclasses
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

Say = Callable[[str], None]


def root() -> Path:
    """The folder of all that calmvae keeps for its user."""
    import platformdirs

    chosen = os.environ.get("CALMVAE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("calmvae", appauthor=False)


def place(name: str) -> Path:
    """Where a model of that name lies, or would.

    Raises:
      OptionError: it is not a name.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"'{name}' is not a name for a model; use letters, digits, '.', '_' and '-'.")
    return root() / "models" / name


def imported_folder(name: str | Path) -> Path | None:
    """The folder of an imported model, if there is one of that name."""
    folder = _folder(name)
    return folder if folder and (folder / model_folder.SPEC_FILE).is_file() else None


def fetched(name: str | Path) -> Path | None:
    """What to open of a published model that was fetched, or put there by hand: its .tar, prefix or folder."""
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
    """Names of all models kept."""
    folder = root() / "models"
    found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [name for name in found if imported_folder(name) or fetched(name) or (place(name) / RECORD_FILE).is_file()]


def read_record(name: str) -> dict[str, Any]:
    """The record of what was fetched, `{}` if there is none.

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
    """SHA-256 on record of the file that holds most of a fetched model's weights."""
    files = read_record(name).values()
    return str(max(files, key=lambda about: about["size"])["sha256"]) if files else ""


def fetch_model(
    name: str,
    progress: Callable[[str, int, int], None] | None = None,
    say: Say = lambda _: None,
    again: bool = False,
) -> Path:
    """Fetches all files of a published model that are not here yet, and checks those that are.

    Args:
      name: in the registry.
      progress: called with a file's name, bytes fetched, and bytes in all.
      say: called with sentences worth reading.
      again: fetch everything anew, and forget the SHA-256 on record.

    Returns:
      the folder.

    Raises:
      OptionError: no such model. FetchError: it cannot be fetched, or is not what it was.
    """
    from calmvae.common import download

    entry, folder = registry.get(name), place(name)
    record = {} if again else read_record(name)
    if again:
        _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    todo, done = list(entry.files), 0
    while done < len(todo):
        file, done = todo[done], done + 1
        about = record.get(file.name, {})
        # What was trusted at first is known from then on.
        remote = download.Remote(file.address, file.sha256 or about.get("sha256"), file.size or about.get("size"))
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)

        def step(now: int, total: int, label: str = file.name) -> None:
            if progress:
                progress(label, now, total)

        got = download.fetch(remote, target, step, say)
        known = "registry" if file.sha256 else about.get("known") or got.checked or "first use"
        record[file.name] = {"address": file.address, "size": got.size, "sha256": got.sha256, "known": known}
        _write_record(folder, name, record)
        if file.name == "weights_manifest.json":
            todo += [registry.File(n, f"{entry.address}/{n}", None, None) for n in magenta_js.shard_names(folder)]
    return folder


def _write_record(folder: Path, name: str, files: dict[str, Any]) -> None:
    record = {"calmvae": "fetched", "name": name, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "files": files}
    output_folder.write_json(folder / RECORD_FILE, record)


def _remove(folder: Path) -> None:
    """Removes a model's files, and a folder that is ours."""
    if folder.is_dir():
        shutil.rmtree(folder)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a file of a model stands: "ok", "changed", "missing" or "new", its SHA-256, and what that is known by."""

    name: str
    file: str
    state: str
    sha256: str = ""
    known: str = ""


def verify(name: str) -> list[Verdict]:
    """Compares every file of a kept model with what is on record.

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
        raise ModelError(f"no model '{name}' is kept in {root() / 'models'}; run: calmvae models fetch {name}")
    return [
        _verdict(name, place(name), file, wanted, record.get(file, {}).get("known", "registry"))
        for file, wanted in files.items()
    ]


def verify_folder(name: str, folder: Path) -> Verdict:
    """Compares the weights of a model folder with what its model.json says."""
    wanted = model_folder.read_record(folder).get("sha256", "")
    return _verdict(name, folder, model_folder.WEIGHTS_FILE, wanted, model_folder.SPEC_FILE)


def _verdict(name: str, folder: Path, file: str, wanted: str, known: str) -> Verdict:
    path = folder / file
    if not path.is_file():
        return Verdict(name, file, "missing")
    found = output_folder.sha256(path)
    state = "new" if not wanted else "ok" if found == wanted else "changed"
    return Verdict(name, file, state, found, known if wanted else "nothing")
