"""The registry of published checkpoints, with the addresses, sizes and SHA-256 of their files.

`pretrained/registry.toml` is maintained by hand. CALMVAE_REGISTRY names another file to use instead, for a mirror or a
test. Nothing is downloaded here.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

from calmvae.checkpoints import model_folder
from calmvae.common.errors import InputError
from calmvae.model.model_spec import unknown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The files of each kind of entry: their addresses are the address of the entry with these endings.
KINDS = {
    "tar": ("",),
    "checkpoint": (".index", ".data-00000-of-00001"),
    "magenta-js": ("/config.json", "/weights_manifest.json"),
    "bundle": ("",),
}
_TEXTS, _NUMBERS = ("config", "what", "structure", "source", "licence"), ("bars", "size_mb")


@dataclasses.dataclass(frozen=True)
class File:
    """A file to fetch, with its SHA-256 and size in bytes if they are known beforehand."""

    name: str
    address: str
    sha256: str | None = None
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A published checkpoint.

    Attributes:
      name: its key.
      kind: a key of `KINDS`.
      address: of the file ("tar", "bundle"), the folder ("magenta-js"), or the common prefix ("checkpoint").
      files: the files known beforehand, without the shards of a magenta-js manifest; an index comes before its data.
      config: a key of Magenta's CONFIG_MAP (for a bundle, a config of Performance RNN), or "".
      structure: a description of the model if it has no config.
      bars: length of its window, 0 if it has none.
      size_mb: approximate size in megabytes, 0 if unknown.
      what: its purpose.
      licence: of the weights, as far as it is known.
      source: the page that lists it.
    """

    name: str
    kind: str
    address: str
    files: tuple[File, ...]
    config: str = ""
    structure: str = ""
    bars: int = 0
    size_mb: float = 0
    what: str = ""
    licence: str = ""
    source: str = ""


def entries() -> dict[str, Entry]:
    """All entries by name, in the order of the file.

    Raises:
      InputError: the registry is missing or damaged.
    """
    path = _path()
    try:
        return dict(_read(path, path.stat().st_mtime_ns))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"is damaged ({error})"
    remedy = "repair it or unset CALMVAE_REGISTRY" if os.environ.get("CALMVAE_REGISTRY") else "install calmvae again"
    raise InputError(f"the registry {path} {problem}; {remedy}.")


def find(name: str) -> Entry | None:
    """The entry of that name, if there is one."""
    return entries().get(name)


def get(name: str) -> Entry:
    """The entry of that name.

    Raises:
      OptionError: there is none.
    """
    known = entries()
    if name in known:
        return known[name]
    raise unknown("checkpoint", name, known, f"`calmvae models list` has all {len(known)}.")


def _path() -> Path:
    chosen = os.environ.get("CALMVAE_REGISTRY")
    return Path(chosen).expanduser() if chosen else model_folder.of_package("pretrained") / "registry.toml"


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> dict[str, Entry]:
    """Entries of a registry file that was last changed at a time; a later change makes a new cache entry."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    if "models" not in data:
        raise ValueError("it has no [models.NAME]")
    return {name: _entry(name, table, data) for name, table in data["models"].items()}


def _entry(name: str, table: dict[str, Any], registry: dict[str, Any]) -> Entry:
    kind, address = table.get("kind"), table.get("address")
    if kind not in KINDS:
        raise ValueError(f"the kind of {name} is {kind!r}, not one of {', '.join(KINDS)}")
    if not isinstance(address, str) or not re.match(r"https?://[^/]+/.", address):
        raise ValueError(f"the address of {name} is {address!r}, not one that starts with https://")
    facts = {key: value for key, value in table.items() if key not in ("kind", "address", "files")}
    for key, value in facts.items():
        if not isinstance(value, str if key in _TEXTS else (int, float) if key in _NUMBERS else ()):
            raise ValueError(f"{name} has {key} = {value!r}, an unknown key or a value of the wrong type")
    facts.setdefault("licence", registry.get("licence", ""))
    facts["source"] = registry.get("sources", {}).get(facts.get("source", ""), facts.get("source", ""))
    address = address.rstrip("/")
    return Entry(name, kind, address, _files(name, kind, address, table.get("files", [])), **facts)


def _files(name: str, kind: str, address: str, tables: list[dict[str, Any]]) -> tuple[File, ...]:
    """The files of an entry, with the SHA-256 and sizes of its tables."""
    known = {table["name"]: table for table in tables}
    addresses = [address + end for end in KINDS[kind]]
    files = [_file(a, file, known.pop(file, {})) for a in addresses for file in [a.rpartition("/")[2]]]
    if known:
        raise ValueError(f"{name} has no file {', '.join(known)}")
    return tuple(files)


def _file(address: str, name: str, table: dict[str, Any]) -> File:
    sha256, size = table.get("sha256"), table.get("bytes")
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"{address} does not end in a file name")
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"the SHA-256 of {name} is {sha256!r}, not 64 hexadecimal digits")
    if size is not None and not isinstance(size, int):
        raise ValueError(f"the size of {name} is {size!r}, not a number of bytes")
    return File(name, address, sha256, size)
