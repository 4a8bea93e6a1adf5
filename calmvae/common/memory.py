"""The memory that the machine has for this process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def total() -> float:
    """Bytes of memory of the machine or, if that is less, of the container; infinity if neither is known."""
    found = [float(text) for text in map(_read, _LIMITS) if text.isdigit()]
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    return min((size for size in found if size > 0), default=float("inf"))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
