"""The bytes of a NoteSequence, written from arrays: what note_seq and protocol buffers write of the same music.

Neither is imported. A message's fields come in the order of their numbers, and those that are 0 are left out.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from calmvae.performance import Performance

# Types of fields in the wire format.
_VARINT, _DOUBLE, _BYTES = 0, 1, 2

# The source_info: encoding_type MIDI, parser PRETTY_MIDI.
_SOURCE = bytes([13 << 3 | _BYTES, 4, 2 << 3, 3, 3 << 3, 2])

# A field's number and its values, one a message: integers, truth values or float64.
Field = tuple[int, np.ndarray]
# Bytes ("B") or doubles ("d") of all messages, and which messages have them, None for all.
Column = tuple[str, Any, np.ndarray | None]


def note_sequence(played: Performance, identity: str, filename: str, collection: str) -> bytes:
    """The serialized NoteSequence of what a file plays, with `id`, `filename` and `collection_name` as given."""
    notes = played.notes
    controls, control_times = played.controls
    bends, bend_times = played.bends
    programs = np.array([part.program for part in played.instruments], np.int64)
    drums = np.array([part.is_drum for part in played.instruments], bool)
    of_note: list[Field] = [(1, notes.pitch), (2, notes.velocity), (3, notes.start), (4, notes.end)]
    of_note += _instrument(7, notes.track, programs, drums)
    of_bend: list[Field] = [(1, bend_times), (2, bends[:, 1]), *_instrument(3, bends[:, 0], programs, drums)]
    of_control: list[Field] = [(1, control_times), (2, controls[:, 1]), (3, controls[:, 2])]
    of_control += _instrument(4, controls[:, 0], programs, drums)
    parts = [_text(1, identity), _text(2, filename), _text(3, collection)]
    parts.append(_varint(4 << 3) + _varint(played.resolution))
    parts += [_timed(5, played.time_signatures), _timed(6, played.key_signatures), _timed(7, played.tempos)]
    parts.append(_messages(8, of_note))
    if len(notes):
        parts.append(_varint(9 << 3 | _DOUBLE) + struct.pack("<d", notes.end.max()))
    parts.append(_messages(10, of_bend))
    parts.append(_messages(11, of_control))
    parts.append(_SOURCE)
    for number, part in enumerate(played.instruments):
        if part.name:
            name = _text(2, part.name)
            parts.append(_bytes(23, _varint(1 << 3) + _varint(number) + name if number else name))
    return b"".join(parts)


def _instrument(number: int, instrument: np.ndarray, programs: np.ndarray, drums: np.ndarray) -> list[Field]:
    """The fields of an instrument, its program and whether it is drums, which follow each other in every message."""
    return [(number, instrument), (number + 1, programs[instrument]), (number + 2, drums[instrument])]


def _timed(number: int, rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Messages with the fields 1, 2, ... as given; there are too few of them in a piece to make arrays."""
    out = []
    for row in rows:
        content = b""
        for field, value in enumerate(row, 1):
            if value:
                double = isinstance(value, float)
                content += _varint(field << 3 | (_DOUBLE if double else _VARINT))
                content += struct.pack("<d", value) if double else _varint(value)
        out.append(_bytes(number, content))
    return b"".join(out)


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode()) if text else b""


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _messages(number: int, fields: list[Field]) -> bytes:
    """Messages of one kind (`number` below 16) and less than 128 bytes each, one for each value of the fields."""
    if not len(fields[0][1]):
        return b""
    columns = [column for field in fields for column in _field(*field)]
    # A message's length: of the columns that all have, and of those that only some have.
    length: Any = sum(8 if kind == "d" else 1 for kind, _, used in columns if used is None)
    for kind, _, used in columns:
        if used is not None:
            length = length + used * (8 if kind == "d" else 1)
    columns = [("B", number << 3 | _BYTES, None), ("B", length, None), *columns]
    layout = _layout("".join(kind for kind, _, _ in columns))
    rows = np.empty(len(fields[0][1]), layout)
    for name, (_, values, _) in zip(layout.names or (), columns, strict=True):
        rows[name] = values
    table = rows.view(np.uint8).reshape(len(rows), -1)
    if all(used is None for _, _, used in columns):
        return table.tobytes()
    mask = np.ones(table.shape, bool)
    begin = 0
    for kind, _, used in columns:
        end = begin + (8 if kind == "d" else 1)
        if used is not None:
            mask[:, begin:end] = used[:, None]
        begin = end
    return table[mask].tobytes()


@functools.cache
def _layout(kinds: str) -> np.dtype:
    """Bytes and doubles, one after the other."""
    return np.dtype([(f"{i}", "<f8" if kind == "d" else "u1") for i, kind in enumerate(kinds)])


def _field(number: int, values: np.ndarray) -> list[Column]:
    """The bytes and doubles that make up a field, its tag first; none when all values are 0."""
    present = values != 0
    count = np.count_nonzero(present)
    if not count:
        return []
    used = None if count == len(values) else present
    if values.dtype == np.float64:
        return [("B", number << 3 | _DOUBLE, used), ("d", values, used)]
    return [("B", number << 3 | _VARINT, used), *_varints(values, used)]


def _varints(values: np.ndarray, used: np.ndarray | None) -> list[Column]:
    """The bytes of integers as varints; negative ones have 64 bits."""
    if values.min() >= 0 and values.max() <= 0x7F:
        return [("B", values, used)]
    rest = values.astype(np.int64).view(np.uint64)
    columns: list[Column] = []
    while rest.any():
        more = rest > 0x7F
        columns.append(("B", rest & np.uint64(0x7F) | more * np.uint64(0x80), used))
        rest = rest >> np.uint64(7)
        used = more
    return columns
