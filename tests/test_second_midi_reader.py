"""Two readers of MIDI agree: calmvae's and a second one, which was written from the rules alone."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

import pytest
from mido.midifiles.meta import KeySignatureError

from calmvae.common.errors import InputError
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from tests import odd_midi, second_midi_reader
from tests.conftest import PIECES, ROOT

POP909 = Path(os.environ.get("CALMVAE_POP909", ROOT.parent / "shared/data/POP909-Dataset"))

# What calmvae says of files that the two readers read differently by design, and why.
APART = {
    "Its header announces": "mido reads as many tracks as the header says, calmvae all that there are",
    "counted in film frames": "mido takes frames for ticks a quarter note",
    "is wrong; the end was found": "calmvae looks for the end of a track behind which there is no chunk, mido does not",
    "stray system message": "mido lets a running status lead from there",
}
# A quarter note of so few microseconds leaves a position, worked out from seconds, less than six digits.
SHORTEST_QUARTER = 10


def random_song(seed: int) -> bytes:
    """A valid file of type 0 or 1 with all that decides when a note ends."""
    draw = random.Random(seed)
    tracks = draw.choice([1, 1, 2, 3, 5, 16, 40])
    resolution = draw.choice([1, 2, 3, 5, 24, 96, 480, 480, 960, 32767, draw.randrange(1, 32768)])
    # A few channels, pitches and ticks for all tracks make events meet.
    channels = draw.choice([[0], [9], [0, 1], [8, 9, 10], range(16)])
    ports = draw.choice([[], [], [0], [1], [0, 1], [0, 1, 127], range(256)])
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
    kinds = draw.choice(
        [
            "strike end",
            "strike strike end end program",
            "strike strike strike end end end pedal",
            "strike strike strike end end end pedal control",
            "strike end pedal control program tempo metre other",
            "strike strike end program",
            "strike end end pedal other",
            "strike",
            "tempo metre strike",
        ]
    ).split()
    running = draw.random() < 0.6
    honest = draw.random() < 0.4  # note-offs are for notes that sound
    sounding: list[tuple[int, int]] = []
    out = bytearray()
    status = 0
    if ports and draw.random() < 0.7:
        out += bytes([0, 0xFF, 0x21, 1, draw.choice(ports)])
    for _ in range(length):
        if ports and draw.random() < 0.02:
            out += bytes([0, 0xFF, 0x21, 1, draw.choice(ports)])
            status = 0
        out += odd_midi.number(draw.choice(waits))
        kind = draw.choice(kinds)
        channel, pitch = draw.choice(channels), draw.choice(pitches)
        if kind == "strike":
            sounding.append((channel, pitch))
            event = bytes([0x90 | channel, pitch, draw.choice([1, 64, 127])])
        elif kind == "end":
            if honest and sounding:
                channel, pitch = sounding.pop(draw.randrange(len(sounding)))
            event = draw.choice([bytes([0x90 | channel, pitch, 0]), bytes([0x80 | channel, pitch, 64])])
        elif kind == "pedal":
            event = bytes([0xB0 | channel, 64, draw.choice([0, 63, 64, 127, 127])])
        elif kind == "control":
            event = bytes([0xB0 | channel, draw.choice([120, 121, 123]), draw.choice([0, 0, 127])])
        elif kind == "program":
            event = bytes([0xC0 | channel, draw.choice([0, 5, 127])])
        elif kind == "tempo":
            tempo = draw.choice([0, 200_000, 500_000, 500_000, 1_000_001, 37, draw.randrange(100, 3_000_000)])
            event = b"\xff\x51\x03" + tempo.to_bytes(3, "big")
        elif kind == "metre":
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
    for (start, qpm), (end, _) in zip(piece.tempos, [*piece.tempos[1:], (math.inf, 1.0)], strict=True):
        if quarters <= (end - start) * qpm / 60:
            break
        quarters -= (end - start) * qpm / 60
    return start + quarters * 60 / qpm


def differences(piece: Piece, song: second_midi_reader.Song) -> list[str]:
    """What the two readers do not agree on."""
    found = _unequal(
        "note", [(n.pitch, n.program, n.is_drum, n.velocity, n.start, n.end) for n in piece.notes], song.notes()
    )
    # Of two at one time the later holds.
    metres = {at: (above, below) for at, above, below in piece.time_signatures}
    expected = {song.seconds(tick): metre for tick, metre in song.metres.items()}
    found += _unequal("metre", [(*m, at) for at, m in metres.items()], [(*m, at) for at, m in expected.items()])
    if min(song.tempos.values(), default=500_000) >= SHORTEST_QUARTER:
        grid = {song.last * i // 50 for i in range(51)} | set(song.tempos) | {song.last + 9 * song.resolution}
        times = [(seconds(piece, tick / song.resolution),) for tick in sorted(grid)]
        found += _unequal("tick", times, [(song.seconds(tick),) for tick in sorted(grid)])
    return found


def _unequal(kind: str, ours: list[tuple], theirs: list[tuple]) -> list[str]:
    """The rows that have no like one."""
    ours, rest = sorted(ours), sorted(theirs)
    if len(ours) == len(rest) and all(map(_alike, ours, rest)):
        return []
    found = []
    # Rows less than a millionth apart may have been sorted either way.
    for one in ours:
        at = next((i for i, other in enumerate(rest) if _alike(one, other)), None)
        if at is None:
            found.append(f"{kind} {one} is calmvae's alone")
        else:
            del rest[at]
    return found + [f"{kind} {other} is missing" for other in rest]


def _alike(one: tuple, other: tuple) -> bool:
    pairs = zip(one, other, strict=True)
    return all(abs(a - b) <= 1e-6 if isinstance(a, float) else a == b for a, b in pairs)


def of_bytes(data: bytes) -> list[str]:
    return differences(read_music.parse_midi(data), second_midi_reader.read(data))


def of_files(paths: list[Path]) -> dict[str, list[str]]:
    """What the readers do not agree on, by file."""
    read = {
        path.name: differences(read_music.read_piece(path), second_midi_reader.read(path.read_bytes()))
        for path in paths
    }
    return {name: found[:5] for name, found in read.items() if found}


@pytest.mark.parametrize("block", range(8))
def test_they_agree_on_random_files(block):
    found = {seed: of_bytes(random_song(seed))[:5] for seed in range(100 * block, 100 * block + 100)}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}


def test_they_agree_on_odd_files_that_mido_reads():
    compared, found = 0, {}
    for seed in range(600):
        data = odd_midi.random_midi(seed)
        try:
            song, piece = second_midi_reader.read(data), read_music.parse_midi(data)
        except (EOFError, OSError, ValueError, LookupError, KeySignatureError, InputError):
            continue
        if not any(said in warning for said in APART for warning in piece.warnings):
            compared += 1
            found[seed] = differences(piece, song)[:5]
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}
    assert compared > 400


@pytest.mark.parametrize("first", [b"", b"\x00\xff\x21\x01\x00"])
def test_a_track_that_names_no_port_is_on_port_0(first):
    one, other = first + b"\x00\xc0\x05", b"\x00\xff\x21\x01\x01\x00\x90\x3c\x40\x60\x80\x3c\x40"
    tracks = [odd_midi.chunk(b"MTrk", track + b"\x00\xff\x2f\x00") for track in (one, other)]
    assert of_bytes(odd_midi.header(1, 2, 96) + b"".join(tracks)) == []


def test_they_agree_on_the_pieces():
    assert len(PIECES) > 5 and of_files(PIECES) == {}


@pytest.mark.slow
def test_they_agree_on_pop909():
    songs = sorted(POP909.glob("POP909/[0-9][0-9][0-9]/*.mid"))
    if not songs:
        pytest.skip("POP909 is not here")
    assert of_files(songs[::9]) == {}
