"""Two readers of MIDI agree: calmvae's and a second one, which was written from the rules alone."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

from calmvae.piece import Piece
from tests import odd_midi, second_midi_reader
from tests.conftest import ROOT

MID = 0.0
POP909 = Path(os.environ.get("POP909", ROOT.parent / "shared/data/POP909-Dataset"))


def random_song(seed: int) -> bytes:
    """A valid file that mido reads rightly, of type 0 or 1, with all that decides when a note ends."""
    draw = random.Random(seed)
    tracks = draw.choice([1, 1, 2, 3, 5, 16, 40])
    resolution = draw.choice([1, 2, 3, 5, 24, 96, 480, 480, 960, 32767, draw.randrange(1, 32768)])
    # A few channels, pitches and ticks for all tracks make events meet.
    channels = draw.choice([[0], [9], [0, 1], [8, 9, 10], range(16)])
    ports = draw.choice([[], [], [0], [0, 1], [0, 1, 127]])
    length = draw.choice([3, 10, 40, 150]) if tracks < 16 else draw.choice([0, 3, 10, 20])
    content = [_track(draw, resolution, channels, ports, length) for _ in range(tracks)]
    form = draw.choice([0, 1]) if tracks == 1 else 1
    return odd_midi.header(form, tracks, resolution) + b"".join(odd_midi.chunk(b"MTrk", one) for one in content)


def _track(draw: random.Random, resolution: int, channels, ports, length: int) -> bytes:
    channels = draw.choice([channels, [draw.choice(channels)]])
    pitches = draw.choice([[60], [60, 61], [60, 62, 64, 67], range(128)])
    waits = draw.choice(
        [[0, 0, 0, 1], [0, 1, 2], [0, 0, resolution], [resolution // 2], [1, 127, 128, resolution * 3], [0] * 9 + [500]]
    )
    # Relative weights: strike, note-off, pedal, another controller, program, tempo, metre, anything else.
    weights = draw.choice(
        [
            [9, 9, 0, 0, 1, 0, 0, 0],
            [9, 9, 4, 0, 0, 0, 0, 0],
            [9, 9, 4, 2, 1, 1, 1, 1],
            [9, 5, 2, 1, 1, 0, 0, 0],
            [5, 9, 2, 1, 0, 0, 0, 1],
            [9, 9, 3, 3, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 5, 5, 1],
            [1, 0, 0, 0, 0, 0, 0, 0],
            [9, 9, 1, 1, 1, 1, 1, 9],
        ]
    )
    running = draw.random() < 0.6
    honest = draw.random() < 0.4  # note-offs are for notes that sound
    sounding: list[tuple[int, int]] = []
    out = bytearray()
    status = 0
    if ports:
        out += bytes([0, 0xFF, 0x21, 1, draw.choice(ports)])
    for _ in range(length):
        out += odd_midi.number(draw.choice(waits))
        kind = draw.choices(range(8), weights)[0]
        channel, pitch = draw.choice(channels), draw.choice(pitches)
        if ports and draw.random() < MID:
            event = bytes([0xFF, 0x21, 1, draw.choice(ports)])
        elif kind == 0:
            sounding.append((channel, pitch))
            event = bytes([0x90 | channel, pitch, draw.choice([1, 64, 127])])
        elif kind == 1:
            if honest and sounding:
                channel, pitch = sounding.pop(draw.randrange(len(sounding)))
            event = draw.choice([bytes([0x90 | channel, pitch, 0]), bytes([0x80 | channel, pitch, 64])])
        elif kind == 2:
            event = bytes([0xB0 | channel, 64, draw.choice([0, 63, 64, 127, 127])])
        elif kind == 3:
            event = bytes([0xB0 | channel, draw.choice([120, 121, 123]), draw.choice([0, 0, 127])])
        elif kind == 4:
            event = bytes([0xC0 | channel, draw.choice([0, 5, 127])])
        elif kind == 5:
            tempo = draw.choice([0, 200_000, 500_000, 500_000, 1_000_001, 37, draw.randrange(1, 3_000_000)])
            event = b"\xff\x51\x03" + tempo.to_bytes(3, "big")
        elif kind == 6:
            event = bytes([0xFF, 0x58, 4, draw.choice([0, 2, 3, 4, 6, 255]), draw.randrange(7), 24, 8])
        else:
            event = draw.choice(
                [
                    bytes([0xE0 | channel, 1, 99]),
                    bytes([0xA0 | channel, pitch, 0]),
                    bytes([0xD0 | channel, 0]),
                    bytes([0xB0 | channel, draw.choice([1, 7, 66, 122]), 127]),
                    b"\xf0\x05\x7e\x7f\x09\x01\xf7",
                    b"\xff\x01\x03one",
                    b"\xff\x08\x01x",  # of a type that mido does not know
                    b"\xff\x59\x02\xfd\x01",
                ]
            )
        out += event[1:] if running and event[0] == status else event
        status = event[0] if event[0] < 0xF0 else 0
    return bytes(out) + odd_midi.number(draw.choice([0, 0, 1, resolution * 4])) + b"\xff\x2f\x00"


def seconds(piece: Piece, quarters: float) -> float:
    """The time of a position, by the piece's tempos alone."""
    spans = zip(piece.tempos, [*piece.tempos[1:], (float("inf"), 1.0)], strict=True)
    for (start, qpm), (end, _) in spans:
        if quarters <= (end - start) * qpm / 60:
            return start + quarters * 60 / qpm
        quarters -= (end - start) * qpm / 60
    raise AssertionError("the last tempo ends")


def differences(piece: Piece, song: second_midi_reader.Song) -> list[str]:
    """What the two readers do not agree on."""
    found = []
    ours = [(n.pitch, n.program, n.is_drum, n.velocity, n.start, n.end) for n in piece.notes]
    found += _unequal("note", ours, song.notes())
    metres = {at: (above, below) for at, above, below in piece.time_signatures}
    expected = {song.seconds(tick): metre for tick, metre in song.metres.items()}
    found += _unequal(
        "metre", [(*metre, at) for at, metre in metres.items()], [(*metre, at) for at, metre in expected.items()]
    )
    grid = {song.last * i // 50 for i in range(51)} | set(song.tempos) | {song.last + 9 * song.resolution}
    found += _unequal(
        "tick",
        [(seconds(piece, tick / song.resolution),) for tick in sorted(grid)],
        [(song.seconds(tick),) for tick in sorted(grid)],
    )
    return found


def _unequal(kind: str, ours: list[tuple], theirs: list[tuple]) -> list[str]:
    """The tuples that have no like one; their floats may differ by a millionth."""
    # Rows that are one moment apart may be sorted either way: each takes the first like one nearby.
    ours, rest = sorted(ours), sorted(theirs)
    found = []
    for one in ours:
        like = [other for other in rest if _alike(one, other)][:1]
        if like:
            rest.remove(like[0])
        else:
            found.append(f"{kind} {one} is calmvae's alone")
    return found + [f"{kind} {other} is missing" for other in rest]


def _alike(one: tuple, other: tuple) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6) if isinstance(a, float) else a == b
        for a, b in zip(one, other, strict=True)
    )
