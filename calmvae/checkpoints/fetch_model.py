"""Fetches the files of published models from the internet, and verifies them."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from calmvae.checkpoints import magenta_js, model_cache, model_folder, registry
from calmvae.common import output_folder
from calmvae.common.errors import ModelError


def fetch(
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

    entry, folder = registry.get(name), model_cache.place(name)
    record = {} if again else model_cache.read_record(name)
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
        output_folder.write_json(
            folder / model_cache.RECORD_FILE, {"calmvae": "fetched", "name": name, "at": now, "files": record}
        )
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
    folder = model_cache.imported_folder(name)
    if folder:
        return [verify_folder(name, folder)]
    record, entry = model_cache.read_record(name), registry.find(name)
    published = {file.name: file.sha256 for file in entry.files} if entry else {}
    names = [*published, *(file for file in record if file not in published)]
    files = {file: str(published.get(file) or record.get(file, {}).get("sha256", "")) for file in names}
    if not entry or not any((model_cache.place(name) / file).exists() for file in files):
        raise ModelError(
            f"there is no model '{name}' in {model_cache.root() / 'models'}; run: calmvae models fetch {name}"
        )
    return [
        _verdict(name, model_cache.place(name), file, wanted, record.get(file, {}).get("known", "registry"))
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
