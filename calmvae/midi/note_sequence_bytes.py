"""Writes the bytes of NoteSequences from arrays, the same bytes as note_seq and protocol buffers.

Neither is imported. The fields of a message are in the order of their numbers, and fields that are 0 are left out.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from calmvae.midi.piece import Performance

# Types of fields in the wire format.
_VARINT, _DOUBLE, _BYTES = 0, 1, 2

# The source_info. MIDI: encoding_type MIDI and, as note_seq writes, parser PRETTY_MIDI. Scores: source_type SCORE_BASED
# and encoding_type MUSIC_XML or ABC.
_SOURCE = {
    "midi": bytes([13 << 3 | _BYTES, 4, 2 << 3, 3, 3 << 3, 2]),
    "musicxml": bytes([13 << 3 | _BYTES, 4, 1 << 3, 1, 2 << 3, 1]),
    "abc": bytes([13 << 3 | _BYTES, 4, 1 << 3, 1, 2 << 3, 2]),
}

# The number of a field and its values, one per message: integers, booleans or float64.
Field = tuple[int, np.ndarray]
# Bytes ("B") or doubles ("d") of all messages, and which messages have them (None: all).
Column = tuple[str, Any, np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Named:
    """A performance, and the `id`, `filename` and `collection_name` of its NoteSequence."""

    played: Performance
    identity: str
    filename: str
    collection: str


def note_sequences(pieces: Sequence[Named]) -> list[bytes]:
    """The serialized NoteSequences of pieces.

    Their notes are written together, because for a small piece the calls of numpy take most of the time.
    """
    all_played = [piece.played for piece in pieces]
    parts = [part for played in all_played for part in played.instruments]
    programs = np.array([part.program for part in parts], np.int64)
    drums = np.array([part.is_drum for part in parts], bool)
    # The first instrument of each piece among all instruments.
    base = np.cumsum([0, *(len(played.instruments) for played in all_played)])[:-1]

    def written(number: int, first: int, fields: list[Field], instruments: list[np.ndarray]) -> list[bytes]:
        counts = [len(some) for some in instruments]
        instrument = np.concatenate(instruments)
        at = instrument + np.repeat(base, counts)
        fields = [*fields, (first, instrument), (first + 1, programs[at]), (first + 2, drums[at])]
        return _messages(number, fields, counts)

    notes = [played.notes for played in all_played]
    pitch, velocity, start, end = (
        np.concatenate([getattr(some, name) for some in notes]) for name in ("pitch", "velocity", "start", "end")
    )
    of_note = written(8, 7, [(1, pitch), (2, velocity), (3, start), (4, end)], [some.track for some in notes])
    bends, bend_times = (np.concatenate(some) for some in zip(*(played.bends for played in all_played), strict=True))
    of_bend = written(10, 3, [(1, bend_times), (2, bends[:, 1])], [played.bends[0][:, 0] for played in all_played])
    controls, times = (np.concatenate(some) for some in zip(*(played.controls for played in all_played), strict=True))
    fields = [(1, times), (2, controls[:, 1]), (3, controls[:, 2])]
    of_control = written(11, 4, fields, [played.controls[0][:, 0] for played in all_played])
    return [_whole(*each) for each in zip(pieces, of_note, of_bend, of_control, strict=True)]


def _whole(piece: Named, notes: bytes, bends: bytes, controls: bytes) -> bytes:
    played = piece.played
    parts = [_text(1, piece.identity), _text(2, piece.filename), _text(3, piece.collection)]
    parts.append(_varint(4 << 3) + _varint(played.resolution))
    parts += [_timed(5, played.time_signatures), _timed(6, played.key_signatures), _timed(7, played.tempos)]
    parts.append(notes)
    if len(played.notes):
        parts.append(_varint(9 << 3 | _DOUBLE) + struct.pack("<d", played.notes.end.max()))
    parts += [bends, controls, _SOURCE[played.encoding]]
    for number, part in enumerate(played.instruments):
        if part.name:
            name = _text(2, part.name)
            parts.append(_bytes(23, _varint(1 << 3) + _varint(number) + name if number else name))
    return b"".join(parts)


def _timed(number: int, rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Messages with the given fields 1, 2, ...; a piece has too few of them for arrays."""
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


def _messages(number: int, fields: list[Field], counts: list[int]) -> list[bytes]:
    """Messages of one kind (`number` below 16) of less than 128 bytes, one for each value of the fields.

    Returns:
      the bytes of the first `counts[0]` messages, of the next `counts[1]`, and so on.
    """
    total = len(fields[0][1])
    if not total:
        return [b""] * len(counts)
    columns = [column for field in fields for column in _field(*field)]
    # The length of a message: the columns that all messages have, and those that only some have.
    length: Any = sum(8 if kind == "d" else 1 for kind, _, used in columns if used is None)
    for kind, _, used in columns:
        if used is not None:
            length = length + used * (8 if kind == "d" else 1)
    columns = [("B", number << 3 | _BYTES, None), ("B", length, None), *columns]
    layout = _layout("".join(kind for kind, _, _ in columns))
    rows = np.empty(total, layout)
    for name, (_, values, _) in zip(layout.names or (), columns, strict=True):
        rows[name] = values
    table = rows.view(np.uint8).reshape(total, -1)
    if any(used is not None for _, _, used in columns):
        mask = np.ones(table.shape, bool)
        begin = 0
        for kind, _, used in columns:
            end = begin + (8 if kind == "d" else 1)
            if used is not None:
                mask[:, begin:end] = used[:, None]
            begin = end
        table = table[mask]
    written = table.tobytes()
    ends = np.append(0, np.cumsum(np.broadcast_to(length + 2, total)))[np.cumsum([0, *counts])].tolist()
    return [written[begin:end] for begin, end in itertools.pairwise(ends)]


@functools.cache
def _layout(kinds: str) -> np.dtype:
    """The dtype of consecutive bytes and doubles."""
    return np.dtype([(f"{i}", "<f8" if kind == "d" else "u1") for i, kind in enumerate(kinds)])


def _field(number: int, values: np.ndarray) -> list[Column]:
    """The bytes and doubles of a field, its tag first; none if all values are 0."""
    present = values != 0
    count = np.count_nonzero(present)
    if not count:
        return []
    used = None if count == len(values) else present
    if values.dtype == np.float64:
        return [("B", number << 3 | _DOUBLE, used), ("d", values, used)]
    return [("B", number << 3 | _VARINT, used), *_varints(values, used)]


def _varints(values: np.ndarray, used: np.ndarray | None) -> list[Column]:
    """The bytes of integers as varints; negative integers have 64 bits."""
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
