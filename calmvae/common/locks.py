"""Lock files: what one process does and others wait for."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def held(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Holds a lock file, and removes it in the end; calls `wait` once where another process has it."""
    waited = False
    while not (file := _lock(path)):
        if not waited:
            wait()
        waited = True
        time.sleep(0.1)
    try:
        yield
    finally:
        if sys.platform == "win32":  # which removes no open file
            file.close()
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


def _lock(path: Path) -> BinaryIO | None:
    """The file, locked; None while another process has it."""
    file = open(path, "ab")  # noqa: SIM115
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who had it before may have removed it since it was opened.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass
    file.close()
    return None
