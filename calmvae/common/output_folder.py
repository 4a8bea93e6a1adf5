"""Output folders: calmvae overwrites only its own files, and each folder records how it was made.

Files are written into a scratch folder. When the command succeeds, they move into place, together with a `run.json`
that lists them with their SHA-256.
"""

from __future__ import annotations

import contextlib
import errno
import functools
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
from pathlib import Path, PurePosixPath
from typing import Any

from calmvae import __version__
from calmvae.common.errors import InputError, OutputError

RUN_FILE = "run.json"
# Bytes of a file name that are not UTF-8 (lone surrogates in Python) are written as JSON escapes.
JSON_ERRORS = "backslashreplace"
# Commands whose name in run.json is not the one that is typed.
_TYPED = {"export": "models export"}
_PACKAGES = ("numpy", "symusic", "pretty_midi", "matplotlib", "tinysoundfont", "tensorflow", "magenta", "note-seq")


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def real_path(path: str | Path) -> str:
    """As `os.path.realpath`, but resolves a folder only once for all its files."""
    return (
        os.path.realpath(path)
        if os.path.islink(path)
        else os.path.join(_real_folder(os.path.dirname(path)), os.path.basename(path))
    )


@functools.lru_cache(maxsize=256)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def versions() -> dict[str, str]:
    """Versions of calmvae, Python and the packages that affect the output, without importing them."""
    found = {"python": platform.python_version(), "calmvae": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader never sees half of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(content)
    os.replace(scratch, path)


def write_json(path: Path, data: Any, indent: int | None = 2) -> None:
    """Writes JSON in one step, indented for people or (`indent=None`) compact and fast for programs."""
    text = json.dumps(data, indent=indent, ensure_ascii=False) + "\n"
    write_whole(path, text.encode("utf-8", JSON_ERRORS))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


class OutputFolder:
    """A folder that one command fills; use it as a context manager.

    `path(name)` returns a place in the scratch folder. Leaving the block without an error moves everything into place
    and removes the other files of an earlier run of the same command, unless they were changed or are inputs. After an
    error nothing stays behind.

    Raises:
      OutputError: the folder cannot be made, was made by another command, or a file to be written exists and was not
        written by calmvae or was changed since.
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
        self._made: dict[str, None] = {}
        self._inputs: set[str] = set()
        self._new_folders: list[Path] = []
        self._before: dict[str, str] = {}

    def add_inputs(self, paths: Iterable[str | Path]) -> None:
        """Records input files with their SHA-256; they are not overwritten or removed.

        Raises:
          InputError: one cannot be read.
        """
        paths = list(paths)
        self.protect(paths)
        for path in paths:
            try:
                self.record["inputs"].append({"file": str(path), "sha256": sha256(path)})
            except OSError as error:
                raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error

    def protect(self, paths: Iterable[str | Path]) -> None:
        """Marks files as inputs without recording them in `run.json`."""
        self._inputs |= {real_path(p) for p in paths}

    def path(self, name: str) -> Path:
        """The path to write the output `name` to (relative, may have folders).

        Raises:
          OutputError: a file of that name exists that this command may not replace.
        """
        self._check(name)
        self._made[name] = None
        scratch = self._scratch / name
        scratch.parent.mkdir(parents=True, exist_ok=True)
        return scratch

    def __enter__(self) -> OutputFolder:
        self._before = self._read_before()
        self._new_folders = [p for p in (self.folder, *self.folder.parents) if not os.path.lexists(p)]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_dead_scratch()
            self._scratch = Path(tempfile.mkdtemp(prefix=f".calmvae-{os.getpid()}-", dir=self.folder))
        except OSError as error:
            self._remove_new_folders()
            raise self._cannot_write(error) from None
        return self

    def _remove_dead_scratch(self) -> None:
        """Removes the scratch folders of killed commands, whose process numbers no longer run."""
        for scratch in self.folder.glob(".calmvae-*-*"):
            number = scratch.name.split("-")[1]
            if number.isdigit() and not _is_running(int(number)):
                shutil.rmtree(scratch, ignore_errors=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        done = False
        try:
            if kind is None:
                self._commit()
                done = True
            elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._cannot_write(error) from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
            if not done:
                self._remove_new_folders()

    def _commit(self) -> None:
        outputs = {name: sha256(self._scratch / name) for name in self._made}
        try:
            for name in outputs:
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._scratch / name, target)
            for name in self._before.keys() - outputs.keys():
                self._remove_stale(name)
            self.record["outputs"] = outputs
            self.record["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            self.record["seconds"] = round(time.time() - self._started, 3)
            write_json(self.folder / RUN_FILE, self.record)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _remove_stale(self, name: str) -> None:
        """Removes an unchanged output of an earlier run, which would contradict the new run.json."""
        stale = self.folder / name
        if not stale.is_file() or os.path.realpath(stale) in self._inputs or sha256(stale) != self._before[name]:
            return
        stale.unlink()
        if stale.parent != self.folder and not any(stale.parent.iterdir()):
            stale.parent.rmdir()

    def _remove_new_folders(self) -> None:
        for folder in self._new_folders:
            try:
                folder.rmdir()
            except OSError:
                return

    def _read_before(self) -> dict[str, str]:
        """The outputs of the run that made this folder.

        Raises:
          OutputError: another command or program made it.
        """
        file = self.folder / RUN_FILE
        if not os.path.lexists(file):
            return {}
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            made_by = before["calmvae"] if isinstance(before, dict) else None
        except (OSError, ValueError, KeyError):
            made_by = None
        if not made_by:
            raise self._foreign(file)
        if made_by != self.record["calmvae"]:
            typed = _TYPED.get(made_by, made_by)
            raise OutputError(f"{self.folder} was made by `calmvae {typed}`; choose another folder with -o.")
        outputs = before.get("outputs")
        return {n: s for n, s in outputs.items() if _is_inside(n)} if isinstance(outputs, dict) else {}

    def _check(self, name: str) -> None:
        target = self.folder / name
        for parent in PurePosixPath(name).parents:
            if os.path.lexists(self.folder / parent) and not (self.folder / parent).is_dir():
                raise self._foreign(self.folder / parent)
        if not os.path.lexists(target):
            return
        if name not in self._before or target.is_dir():
            raise self._foreign(target)
        if os.path.realpath(target) in self._inputs:
            raise OutputError(f"{target} is an input and would be overwritten; choose another folder with -o.")
        try:
            changed = sha256(target) != self._before[name]
        except OSError:
            changed = True
        if changed:
            raise OutputError(
                f"{target} was changed since calmvae wrote it; move it away or choose another folder with -o."
            )

    def _foreign(self, target: Path) -> OutputError:
        return OutputError(f"{target} was not made by calmvae; move it away or choose another folder with -o.")

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write to {self.folder} ({error.strerror}); choose another folder with -o.")


def _is_inside(name: str) -> bool:
    """False for a path of a crafted run.json that leads outside its folder."""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def command_line() -> str:
    """The command line as it was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
