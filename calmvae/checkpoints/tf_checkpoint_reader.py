"""Reads TensorFlow checkpoints without TensorFlow, from their `.index` and `.data-*` files.

The index is a table of sorted keys in LevelDB's format. Each value is a BundleEntryProto with the place of a variable
in the data (tensorflow/core/util/tensor_bundle, protobuf/tensor_bundle.proto). The data are mapped into memory, so the
optimiser's variables, two thirds of a large checkpoint, are never read. A test compares with TensorFlow's own reader.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Iterator

import numpy as np

from calmvae.midi import tfrecord

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# Numbers of tensorflow/core/framework/types.proto.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 17: "<u2", 19: "<f2"}


class Unreadable(Exception):
    """The files are damaged, or only TensorFlow can read them; holds the reason."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A variable in the data: NumPy type ("" if it has none), shape, number of the file, place, size and checksum."""

    kind: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class Bundle:
    """The variables of a checkpoint.

    Args:
      part: returns the bytes of a file, uint8 `[size]`, given the suffix after the prefix, such as ".index".

    Raises:
      Unreadable: the index is damaged or compressed, or not an index.
    """

    def __init__(self, part: Callable[[str], np.ndarray]) -> None:
        self._part = part
        try:
            table = dict(_table(part(".index").tobytes()))
            header = _message(table.pop(b""))
            self.shards = int(header.get(1, [1])[0])
            if header.get(2, [0])[0]:
                raise Unreadable("it was written by a big-endian machine")
            self.entries = {key.decode(): _entry(value) for key, value in table.items() if b"\0" not in key}
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
            raise Unreadable(f"its index is damaged ({error!r})") from error

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all variables."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def read(self, name: str) -> np.ndarray:
        """The values of a variable, read-only.

        Raises:
          Unreadable: its bytes are missing or damaged, or it is not numeric.
        """
        entry = self.entries[name]
        if not entry.kind:
            raise Unreadable(f"{name} is not numeric, or is stored in slices")
        data = self._part(f".data-{entry.shard:05d}-of-{self.shards:05d}")
        raw = data[entry.offset : entry.offset + entry.size]
        kind = np.dtype(entry.kind)
        if len(raw) != entry.size or entry.size != math.prod(entry.shape) * kind.itemsize:
            raise Unreadable(f"{name} is cut off")
        if tfrecord.checksum(raw) != struct.pack("<L", entry.checksum):
            raise Unreadable(f"the bytes of {name} do not match their checksum")
        try:
            return raw.view(kind).reshape(entry.shape) if raw.size else np.zeros(entry.shape, kind)
        except ValueError as error:
            raise Unreadable(f"{name} has the shape {entry.shape}") from error


def _entry(value: bytes) -> Entry:
    fields = _message(value)
    dimensions = [_message(d).get(1, [0])[0] for d in _message(fields.get(2, [b""])[0]).get(2, [])]
    numbers = [int(fields.get(field, [0])[0]) for field in (3, 4, 5, 6)]
    # Field 7: a variable in slices, which have their own entries.
    kind = "" if 7 in fields else _TYPES.get(fields.get(1, [0])[0], "")
    return Entry(kind, tuple(map(int, dimensions)), *numbers)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise Unreadable("its .index is no index")
    footer, at = data[-_FOOTER:], 0
    numbers = []
    for _ in range(4):
        number, at = _varint(footer, at)
        numbers.append(number)
    for _, handle in _block(data, numbers[2], numbers[3]):
        offset, after = _varint(handle, 0)
        yield from _block(data, offset, _varint(handle, after)[0])


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block of a table; a key is stored as its difference from the one before."""
    content, tail = data[offset : offset + size], data[offset + size : offset + size + 5]
    if len(tail) < 5 or tfrecord.checksum(content + tail[:1]) != tail[1:]:
        raise Unreadable("its index is damaged or cut off")
    if tail[0]:
        raise Unreadable("its index is compressed")
    (restarts,) = struct.unpack("<L", content[-4:])
    end, at, key = len(content) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(content, at)
        own, at = _varint(content, at)
        length, at = _varint(content, at)
        key = key[:shared] + content[at : at + own]
        at += own
        yield key, content[at : at + length]
        at += length


def _message(data: bytes) -> dict[int, list]:
    """The fields of a protocol buffer: numbers to lists of values, integers or bytes."""
    fields: dict[int, list] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif tag & 7 in (1, 5):
            length = 8 if tag & 7 == 1 else 4
            value, at = int.from_bytes(data[at : at + length], "little"), at + length
        else:
            raise ValueError(f"wire type {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
