"""Reads and writes TFRecord files without TensorFlow.

A record is its length (8 bytes), the checksum of the length, its bytes, and their checksum. Checksums are CRC-32C,
masked as in TensorFlow's record_writer.h. Numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from calmvae.common import magenta_import
from calmvae.common.errors import DataError

_MASK = 0xA282EAD8
# The library takes only bytes, which are copied from a mapped file in chunks.
_CHUNK = 1 << 24


def write(path: str | Path, records: Iterable[bytes]) -> None:
    """Writes a file of records.

    Raises:
      OSError: it cannot be written.
    """
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + checksum(length) + record + checksum(record))


def read(path: str | Path) -> Iterator[bytes]:
    """Yields the records of a file.

    Raises:
      DataError: the file is missing or damaged.
    """
    try:
        with open(path, "rb") as file:
            while head := file.read(12):
                if len(head) < 12 or checksum(head[:8]) != head[8:]:
                    raise DataError(f"{path} is not a readable TFRecord (it is damaged at byte {file.tell()}).")
                (size,) = struct.unpack("<Q", head[:8])
                # A forged length must not lead beyond the end of the file.
                size = min(size, os.fstat(file.fileno()).st_size)
                record, tail = file.read(size), file.read(4)
                if len(tail) < 4 or checksum(record) != tail:
                    raise DataError(f"{path} is not a readable TFRecord (it is damaged or cut at byte {file.tell()}).")
                yield record
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its name and permissions.") from error


def note_sequences(paths: Iterable[str | Path]) -> Iterator[Any]:
    """NoteSequences of TFRecord files.

    Raises:
      DataError: a file is missing or damaged.
    """
    note_seq = magenta_import.load_note_seq()
    from google.protobuf.message import DecodeError

    for path in paths:
        for data in read(path):
            try:
                yield note_seq.NoteSequence.FromString(data)
            except DecodeError as error:
                raise DataError(f"{path} is not a readable TFRecord of NoteSequences ({error}).") from error


def checksum(data: Any) -> bytes:
    """The masked CRC-32C of bytes or an array of bytes, as it is written after them."""
    import google_crc32c

    crc = 0
    for at in range(0, len(data), _CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[at : at + _CHUNK]))
    return struct.pack("<L", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)
