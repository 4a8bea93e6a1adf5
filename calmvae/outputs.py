"""Output folders: nothing is overwritten that calmvae did not make, and each folder says how it came to be.

Files are written into a scratch folder and moved into place when the command has succeeded, together with a
`run.json` that lists them with their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from calmvae.errors import OutputError

RUN_FILE = "run.json"
_PACKAGES = ("numpy", "pretty_midi", "matplotlib", "tinysoundfont", "tensorflow", "magenta", "note-seq")


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of calmvae, Python and the packages that shape its output (without importing them)."""
    found = {"python": platform.python_version()}
    for name in ("calmvae", *_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_json(path: Path, data: Any) -> None:
    """Writes JSON so that a reader never sees half a file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(scratch, path)


class OutputFolder:
    """A folder that one command fills.

    Use as a context manager: `path(name)` gives a place in the scratch folder; leaving the block without an error
    moves everything into place.

    Raises:
      OutputError: the folder cannot be made, or holds a file of a name to be written that calmvae did not write or
        that was changed since.
    """

    def __init__(self, folder: str | Path, command: str, arguments: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.record: dict[str, Any] = {
            "calmvae": command,
            "versions": versions(),
            "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
            "inputs": [],
        }
        self._started = time.time()
        self._made: list[str] = []
        self._before = self._read_before()

    def add_inputs(self, paths: Iterable[str | Path]) -> None:
        """Notes input files and their SHA-256."""
        self.record["inputs"] += [{"file": str(p), "sha256": sha256(p)} for p in paths]

    def path(self, name: str) -> Path:
        """Where to write the output `name` (relative, may have folders).

        Raises:
          OutputError: a file of that name is not ours to replace.
        """
        self._check(name)
        self._made.append(name)
        scratch = self._scratch / name
        scratch.parent.mkdir(parents=True, exist_ok=True)
        return scratch

    def __enter__(self) -> OutputFolder:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(tempfile.mkdtemp(prefix=".calmvae-", dir=self.folder))
        except OSError as error:
            raise OutputError(f"cannot write to {self.folder} ({error.strerror}); choose another folder with -o.") from None
        self._check(RUN_FILE, owned=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _commit(self) -> None:
        outputs = {}
        for name in self._made:
            source, target = self._scratch / name, self.folder / name
            outputs[name] = sha256(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
        for name in set(self._before) - set(outputs):
            # Left from an earlier run of ours and not changed since: it would contradict the new run.json.
            stale = self.folder / name
            if stale.is_file() and sha256(stale) == self._before[name]:
                stale.unlink()
                if stale.parent != self.folder and not any(stale.parent.iterdir()):
                    stale.parent.rmdir()
        self.record["outputs"] = outputs
        self.record["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.record["seconds"] = round(time.time() - self._started, 3)
        write_json(self.folder / RUN_FILE, self.record)

    def _read_before(self) -> dict[str, str]:
        try:
            before = json.loads((self.folder / RUN_FILE).read_text(encoding="utf-8"))
            return dict(before["outputs"]) if "calmvae" in before else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _check(self, name: str, owned: bool = False) -> None:
        target = self.folder / name
        if not target.exists():
            return
        if owned:
            try:
                if "calmvae" in json.loads(target.read_text(encoding="utf-8")):
                    return
            except (OSError, ValueError, TypeError):
                pass
        elif name in self._before:
            if sha256(target) == self._before[name]:
                return
            raise OutputError(
                f"{target} was changed since calmvae wrote it; move it away or choose another folder with -o."
            )
        raise OutputError(f"{target} was not made by calmvae; move it away or choose another folder with -o.")


def command_line() -> str:
    """What was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
