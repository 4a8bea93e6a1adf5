"""Damaged music files in thousands: every one is read, or refused in one sentence, soon and in little memory.

    python -m tools.mutations -n 5000 --seed 0

Files are the cases of the tests and the embedded pieces, with bytes changed, cut out, doubled, put in or taken from
another file; of scores also numbers and tags. Each is read as `calmvae score` and `calmvae convert` read it.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import resource
import signal
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

from calmvae.common.errors import CalmvaeError, EmptyMusicError, InputError
from calmvae.midi import music_files, note_sequence_bytes, read_music
from calmvae.music import calmness, melody_extraction

ROOT = Path(__file__).parent.parent
SECONDS, MEGABYTES = 10.0, 1000
_NUMBERS = [b"0", b"-1", b"1", b"99", b"255", b"65536", b"4294967295", b"99999999999999999999", b"1e308", b"nan", b"x"]


def sources() -> list[Path]:
    """The files that are damaged."""
    found = [*(ROOT / "tests" / "cases").iterdir(), *(ROOT / "resources" / "pieces").glob("*.mid")]
    return sorted(path for path in found if path.suffix in music_files.SUFFIXES)


def mutated(given: list[tuple[str, bytes]], seed: int) -> tuple[str, bytes]:
    """A damaged file and its suffix."""
    draw = random.Random(seed)
    suffix, data = draw.choice(given)
    out = bytearray(data)
    text = suffix in (".musicxml", ".abc")
    for _ in range(draw.choice([1, 1, 2, 3, 8])):
        at = draw.randrange(len(out) + 1) if out else 0
        length = draw.choice([1, 1, 2, 4, 16, 64])
        kind = draw.randrange(8 if text else 6)
        if kind == 0 and at < len(out):
            out[at] = draw.randrange(256)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length] * draw.choice([1, 2, 20])
        elif kind == 3:
            out[at:at] = draw.randbytes(length)
        elif kind == 4:
            other = draw.choice(given)[1]
            begin = draw.randrange(len(other) + 1)
            out[at:at] = other[begin : begin + 4 * length]
        elif kind == 5 and draw.random() < 0.3:
            del out[at:]
        elif kind == 6:
            numbers = list(re.finditer(rb"\d+", bytes(out)))
            if numbers:
                place = draw.choice(numbers)
                out[place.start() : place.end()] = draw.choice(_NUMBERS)
        elif kind == 7:
            tags = list(re.finditer(rb"<[^>]*>|\||:", bytes(out)))
            if tags:
                place = draw.choice(tags)
                out[place.start() : place.end()] = draw.choice([b"", place[0] * 2, draw.choice(tags)[0]])
    if suffix == ".musicxml" and draw.random() < 0.3:
        return ".mxl", _packed(bytes(out), draw)
    return suffix, bytes(out)


def _packed(data: bytes, draw: random.Random) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", data)
    packed = bytearray(held.getvalue())
    if draw.random() < 0.5:
        packed[draw.randrange(len(packed))] = draw.randrange(256)
    return bytes(packed)


def read(suffix: str, data: bytes) -> str:
    """Reads a file to all that is made of it; says what became of it."""
    try:
        entries = read_music.read_performances(Path(f"a{suffix}"), data) if data else []
    except CalmvaeError as error:
        return _refused(error)
    for name, played in entries:
        if isinstance(played, InputError):
            return _refused(played)
        piece = played.piece(name)
        note_sequence_bytes.note_sequences([note_sequence_bytes.Named(played, name, name, name)])
        if len(played.notes):
            calmness.score(piece)
        try:
            melody_extraction.extract_melody(piece)
        except (EmptyMusicError, InputError) as error:
            return _refused(error)
        if any("\n" in sentence or len(sentence) > 400 for sentence in piece.warnings):
            raise AssertionError(f"said at length: {piece.warnings}")
    return "read"


def _refused(error: CalmvaeError) -> str:
    if "\n" in str(error) or len(str(error)) > 500:
        raise AssertionError(f"more than a sentence: {error}")
    return "refused"


def run(n: int, seed: int) -> tuple[Counter[str], float]:
    """Reads so many damaged files; what became of them, and the longest time in seconds that one took.

    Raises:
      TimeoutError: one took too long. Whatever else a reader lets through.
    """
    given = [(path.suffix, path.read_bytes()) for path in sources()]
    ends: Counter[str] = Counter()
    slowest = 0.0

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS:g} s")

    signal.signal(signal.SIGALRM, late)
    for k in range(seed, seed + n):
        suffix, data = mutated(given, k)
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            ends[read(suffix, data)] += 1
        except BaseException:
            print(f"seed {k}, a {suffix} of {len(data)} bytes", file=sys.stderr)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.monotonic() - began)
    return ends, slowest


def main() -> None:
    """Prints what became of the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ends, slowest = run(options.n, options.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.n} damaged files: {ends['read']} read, {ends['refused']} refused in one sentence;")
    print(f"the slowest took {slowest:.2f} s, the memory's peak was {peak:.0f} MB.")
    if peak > MEGABYTES:
        sys.exit(f"more than {MEGABYTES} MB")


if __name__ == "__main__":
    main()
