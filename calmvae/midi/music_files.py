"""The suffixes of music files, and reading their bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from calmvae.common.errors import InputError

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
SCORE_SUFFIXES = (".xml", ".musicxml", ".mxl", ".abc")
SUFFIXES = MIDI_SUFFIXES + SCORE_SUFFIXES

# Bytes; a larger file takes minutes to read.
MAX_BYTES = 32 << 20


def read_bytes(path: Path) -> bytes:
    """The content of a music file.

    Raises:
      InputError: it is missing, empty, too large, unreadable or no regular file (a pipe could block forever).
    """
    endings = ", ".join(SUFFIXES)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{path} is a folder; a single music file is expected here ({endings}).")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} is a device or a pipe; save the music to a file first ({endings}).")
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path} has the suffix '{path.suffix}'; music files end in {endings}.")
        if found.st_size > MAX_BYTES:
            size, most = found.st_size >> 20, MAX_BYTES >> 20
            raise InputError(f"{path} has {size} MiB; music files of up to {most} MiB are read: give an excerpt.")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(f"{path} does not exist; give the path of a music file ({endings}).") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its name and permissions.") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); a music file was expected.")
    return data
