"""Bytes of random MIDI files, most of them valid and all of them odd, to compare readers with."""

from __future__ import annotations

import random
import struct

_METAS: dict[int, list[bytes]] = {
    0x01: [b"text", b""],
    0x03: [b"Flute", b" \xe9 two ", b"", b"Kit"],
    0x05: [b"la"],
    0x06: [b"marker"],
    0x08: [b"a kind that mido does not know"],
    0x20: [b"\x03"],
    0x21: [b"\x00", b""],
    0x2F: [b""],
    0x51: [b"\x07\xa1\x20", b"\x07\xa1\x20\x00", b"\x09\x27\xc0", b"\x00\x00\x01", b"\xff\xff\xff"],
    0x54: [b"\x60\x00\x00\x00\x00"],
    0x58: [b"\x04\x02\x18\x08", b"\x06\x03\x24\x08", b"\x01\x00\x18\x08"],
    0x59: [bytes([sharps % 256, mode]) for sharps in range(-7, 8) for mode in (0, 1)],
    0x60: [b"\xff\xff"],
    0x7F: [b"\x00\xff\x80"],
}
# What one reader or another stumbles over.
_BAD_METAS = [
    (0x00, b"\x01"),
    (0x20, b""),
    (0x51, b"\x00\x00\x00"),
    (0x51, b"\x07"),
    (0x54, b"\xff\x00\x00\x00\x00"),
    (0x54, b"\x00\x3f\x3f\x00\x00"),
    (0x58, b"\x00\x02\x18\x08"),
    (0x58, b"\x04\x1d\x18\x08"),
    (0x58, b"\x04\x1f\x18\x08"),
    (0x58, b"\x04"),
    (0x59, b"\x08\x00"),
    (0x59, b"\x00\x02"),
]
_SYSTEM = [b"\xf0\x05\x7e\x7f\x09\x01\xf7", b"\xf7\x02\x01\x02", b"\xf0\x00", b"\xf0\x03\xf0\x01\xf7"]
_BAD_SYSTEM = [b"\xf0\x02\x90\x01", b"\xf8", b"\xf2\x01\x02", b"\xfe"]


def number(value: int, padding: int = 0) -> bytes:
    """A variable-length number, with needless bytes before it."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return b"\x80" * padding + bytes(reversed(out))


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">L", len(content)) + content


def header(form: int, tracks: int, resolution: int, more: bytes = b"") -> bytes:
    return chunk(b"MThd", struct.pack(">hhh", form, tracks, resolution) + more)


def random_midi(seed: int) -> bytes:
    """One file. A third of them hold something that not every reader takes."""
    draw = random.Random(seed)
    bad = draw.random() < 0.33
    tracks = [_track(draw, bad and draw.random() < 0.5) for _ in range(draw.choice([1, 1, 2, 3, 5, 40]))]
    tracks += [b""] * draw.choice([0, 0, 1])
    draw.shuffle(tracks)
    data = header(
        draw.choice([0, 1, 1, 1, 2]),
        len(tracks) + (draw.choice([-1, 1]) if bad and draw.random() < 0.2 else 0),
        draw.choice([1, 96, 220, 480, 480, 960, 32767]) if not bad else draw.choice([480] * 8 + [0, -7500]),
        draw.choice([b"", b"", b"more"]),
    )
    data += b"".join(chunk(b"MTrk", track) for track in tracks)
    return data + draw.choice([b"", b"", b"trailing", chunk(b"XFIH", b"1234")])


def _track(draw: random.Random, bad: bool) -> bytes:
    out = bytearray()
    status = 0
    channels = draw.choice([[0], [9], [0, 1], range(16)])
    pitches = draw.choice([[60], [60, 61, 62], range(128)])
    # Several events at a tick bring out who comes before whom.
    waits = draw.choice([[0, 0, 0, 1], [0, 10, 200], [0, 1, 127, 128, 20000]])
    kinds = draw.choice([[9, 8], [9, 9, 9, 8, 8, 8, 0xB, 0xE, 0xC], [9, 8, 0xA, 0xB, 0xC, 0xD, 0xE, 0xF]])
    running = draw.random() < 0.6
    for _ in range(draw.choice([0, 1, 8, 40, 150])):
        out += number(draw.choice(waits), draw.choice([0] * 300 + [1, 2, 3]))
        kind = 0xF if draw.random() < 0.05 else draw.choice(kinds)
        if bad and draw.random() < 0.02:
            meta, content = draw.choice(_BAD_METAS)
            out += draw.choice([draw.choice(_BAD_SYSTEM), bytes([0xFF, meta]) + number(len(content)) + content])
        elif kind < 0xF:
            event = kind << 4 | draw.choice(channels)
            if event != status or not running:
                out.append(event)
            status = event
            if kind in (0xC, 0xD):
                out.append(draw.choice([0, 0, 5, 127]))
            else:
                out.append(draw.choice(pitches))
                out.append(draw.choice([0, 64, 127, draw.randrange(256 if bad and draw.random() < 0.1 else 128)]))
        elif draw.random() < 0.2:
            out += draw.choice(_SYSTEM)
            # mido lets a running status lead from here into another system exclusive event.
            status = 0 if not bad else status
        else:
            meta = draw.choice(list(_METAS))
            content = draw.choice(_METAS[meta])
            out += bytes([0xFF, meta]) + number(len(content), draw.choice([0, 0, 0, 1])) + content
    if draw.random() < 0.8:
        out += b"\x00\xff\x2f\x00"
    return bytes(out)


def corrupted(data: bytes, seed: int) -> bytes:
    """The file with some bytes changed, lost, doubled or cut off."""
    draw = random.Random(seed)
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5])):
        if len(out) < 2:
            break
        at = draw.randrange(len(out))
        how = draw.randrange(8)
        if how < 4:
            out[at] = draw.randrange(256)
        elif how == 4:
            out[at] ^= 1 << draw.randrange(8)
        elif how == 5:
            del out[at : at + draw.choice([1, 1, 2, 10])]
        elif how == 6:
            out[at:at] = draw.randbytes(draw.choice([1, 2, 3]))
        elif draw.random() < 0.2:
            del out[at:]
    return bytes(out)
