"""The bytes of a NoteSequence, written from arrays: what note_seq and protocol buffers write of the same music.

Neither is imported. A message's fields come in the order of their numbers, and those that are 0 are left out.
"""

from __future__ import annotations

import numpy as np

from calmvae.performance import Performance

# Types of fields in the wire format.
_VARINT, _DOUBLE, _BYTES = 0, 1, 2

# SourceInfo: encoding_type MIDI, parser PRETTY_MIDI.
_SOURCE = [(2, np.array([3])), (3, np.array([2]))]

# A field's number and its values, one a message: integers or float64.
Field = tuple[int, np.ndarray]


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
    parts.append(_fields([(4, np.array([played.resolution]))]))
    parts.append(_messages(5, _timed(played.time_signatures)))
    parts.append(_messages(6, _timed(played.key_signatures)))
    parts.append(_messages(7, _timed(played.tempos)))
    parts.append(_messages(8, of_note))
    parts.append(_fields([(9, notes.end.max(keepdims=True, initial=0.0))]))
    parts.append(_messages(10, of_bend))
    parts.append(_messages(11, of_control))
    parts.append(_messages(13, _SOURCE))
    for number, part in enumerate(played.instruments):
        if part.name:
            parts.append(_bytes(23, _fields([(1, np.array([number]))]) + _text(2, part.name)))
    return b"".join(parts)


def _instrument(number: int, instrument: np.ndarray, programs: np.ndarray, drums: np.ndarray) -> list[Field]:
    """The fields of an instrument, its program and whether it is drums, which follow each other in every message."""
    return [(number, instrument), (number + 1, programs[instrument]), (number + 2, drums[instrument])]


def _timed(rows: list) -> list[Field]:
    """Fields 1, 2, ... of messages given as tuples that begin with a time."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return list(enumerate(columns, 1))


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode()) if text else b""


def _bytes(number: int, content: bytes) -> bytes:
    return _plain_varint(number << 3 | _BYTES) + _plain_varint(len(content)) + content


def _plain_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _messages(number: int, fields: list[Field]) -> bytes:
    """Messages of one kind (`number` below 16), one for each value of the fields."""
    if not fields or not len(fields[0][1]):
        return b""
    content, used = _table(fields)
    length, length_used = _varints(np.count_nonzero(used, axis=1))
    tag = np.full((len(content), 1), number << 3 | _BYTES, np.uint8)
    table = np.concatenate([tag, length, content], axis=1)
    return table[np.concatenate([np.ones(tag.shape, bool), length_used, used], axis=1)].tobytes()


def _fields(fields: list[Field]) -> bytes:
    """Fields that stand alone, each with a single value."""
    content, used = _table(fields)
    return content[used].tobytes()


def _table(fields: list[Field]) -> tuple[np.ndarray, np.ndarray]:
    """The fields of each message, padded to one length: uint8 `[messages, bytes]`, and which of the bytes count."""
    count = len(fields[0][1])
    table, used = [np.zeros((count, 0), np.uint8)], [np.zeros((count, 0), bool)]
    for number, values in fields:
        present = (values != 0)[:, None]
        if not present.any():
            continue
        if values.dtype == np.float64:
            kind, value = _DOUBLE, values.astype("<f8").view(np.uint8).reshape(count, 8)
            value_used = np.broadcast_to(present, value.shape)
        else:
            kind = _VARINT
            value, value_used = _varints(values)
            value_used = value_used & present
        table += [np.full((count, 1), number << 3 | kind, np.uint8), value]
        used += [present, value_used]
    return np.concatenate(table, axis=1), np.concatenate(used, axis=1)


def _varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers as varints: uint8 `[values, bytes]`, and which of the bytes count. Negative ones have 64 bits."""
    rest = values.astype(np.int64).view(np.uint64)
    width = max(1, -(-int(rest.max()).bit_length() // 7))
    if width == 1:
        return rest.astype(np.uint8)[:, None], np.ones((len(rest), 1), bool)
    rest = rest[:, None] >> np.arange(0, 7 * width, 7, dtype=np.uint64)
    used = rest != 0
    used[:, 0] = True
    value = (rest & np.uint64(0x7F)).astype(np.uint8)
    value[:, :-1] |= used[:, 1:].astype(np.uint8) << 7
    return value, used
