"""Reads the files of a .tar, the format of Magenta's releases.

Archives are not trusted: one with a path outside of it, a link or a device, or larger than any release is refused. The
files of a plain .tar are read in place; a compressed one is unpacked into a temporary folder.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np

from calmvae.common.errors import ModelError

# The largest release, hierdec-trio_16bar, has 2.6 GB.
MAX_BYTES = 8 << 30
_MAX_MEMBERS = 10_000
_MAX_READ = 1 << 24
_CHUNK = 1 << 20
_COMPRESSED = {b"\x1f\x8b": "gz", b"BZ": "bz2", b"\xfd7": "xz"}


def is_archive(path: Path) -> bool:
    """True for a .tar file, by its name or its first bytes."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(512)
    return head[257:262] == b"ustar" or path.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the bytes of an archive's files by their names, uint8 `[size]`.

    Raises:
      ModelError: it is damaged, or not safe to open.
    """
    with open(path, "rb") as file:
        kind = _COMPRESSED.get(file.read(2), "")
    try:
        members = list(_members(path, kind))
        if not kind:
            yield {m.name: _mapped(path, m.offset_data, m.size) for m in members}
            return
        with tempfile.TemporaryDirectory(prefix="calmvae-") as folder:
            yield _unpacked(path, kind, members, Path(folder))
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError) as error:
        raise ModelError(f"{path} is not a readable .tar ({error}); fetch it again.") from error
    except OSError as error:
        # Damaged compression raises an OSError without strerror.
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); fetch it again.") from error


def _members(path: Path, kind: str) -> Iterator[tarfile.TarInfo]:
    """Yields the files of an archive and checks every member."""
    total = count = 0
    with _archive(path, kind) as archive:
        end = path.stat().st_size
        for member in archive:
            count += 1
            total += member.size
            _check(path, member)
            if total > MAX_BYTES or count > _MAX_MEMBERS:
                raise ModelError(
                    f"{path} would unpack to more than {MAX_BYTES >> 30} GB or {_MAX_MEMBERS} files, more than any "
                    "published checkpoint; it was not opened."
                )
            if not kind and member.offset_data + member.size > end:
                raise ModelError(f"{path} is cut off within {member.name!r}; fetch it again.")
            # macOS adds a "._" file for each file.
            if member.isfile() and not PurePosixPath(member.name).name.startswith("._"):
                yield member


@contextlib.contextmanager
def _archive(path: Path, kind: str) -> Iterator[tarfile.TarFile]:
    opener: Any = {"": open, "gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind]
    with opener(path, "rb") as file, tarfile.open(fileobj=_Bounded(file), mode="r:") as archive:  # type: ignore[call-overload]
        yield archive


class _Bounded:
    """A file with a limit on each read, because a forged header can announce a name of any length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _check(path: Path, member: tarfile.TarInfo) -> None:
    name = member.name.replace("\\", "/")
    outside = name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
    faults = (
        (outside, "lies outside of it"),
        (member.issym() or member.islnk(), "is a link"),
        (member.issparse(), "is a sparse file"),
        (not member.isfile() and not member.isdir(), "is no file"),
    )
    if fault := next((words for holds, words in faults if holds), ""):
        raise ModelError(f"{path} holds {member.name!r}, which {fault}; such an archive is not opened.")


def _mapped(path: Path, offset: int, size: int) -> np.ndarray:
    return np.memmap(path, np.uint8, mode="r", offset=offset, shape=(size,)) if size else np.zeros(0, np.uint8)


def _unpacked(path: Path, kind: str, members: list[tarfile.TarInfo], folder: Path) -> dict[str, np.ndarray]:
    """Unpacks files under numbers as names."""
    with _archive(path, kind) as archive:
        for k, member in enumerate(members):
            with open(folder / str(k), "wb") as file:
                shutil.copyfileobj(cast(IO[bytes], archive.extractfile(member)), file, _CHUNK)
    # Not mapped, because some systems cannot remove a mapped file.
    return {member.name: np.fromfile(folder / str(k), np.uint8) for k, member in enumerate(members)}
