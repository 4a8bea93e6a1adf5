"""Reading plain MIDI files: this checkout against another one, such as an earlier commit's.

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.reading /tmp/before [--files 300] [--pairs 9] [--folder /path/to/midi]

Each run is a process that reads all files to pieces with `read_music.parse_midi`, three times or more;
the best counts: of a few files a single round takes a few milliseconds, and anything else that runs disturbs it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import convert, pairs

_CODE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
try:
    from calmvae.midi import read_music as midi
except ImportError:
    # A checkout from before the package had rooms.
    from calmvae import midi
files = [p.read_bytes() for p in sorted(Path(sys.argv[2]).rglob("*.mid"))]
best = float("inf")
for _ in range(max(3, 1000 // len(files))):
    began = time.perf_counter()
    for data in files:
        midi.parse_midi(data)
    best = min(best, time.perf_counter() - began)
print(1000 * best / len(files))
"""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, pairs=9, stock=False)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--files", type=int, default=300, help="how many files to make, default 300")
    parser.add_argument("--folder", type=Path, help="MIDI files to read besides")
    options = pairs.parse(parser)

    def measure(checkout: Path, folder: Path) -> float:
        return float(pairs.run([pairs.CALMVAE[0], "-c", _CODE, checkout, folder], ours=False).out)

    with tempfile.TemporaryDirectory() as scratch:
        made = convert.write_files(Path(scratch) / "midi", options.files)
        folders = {f"{options.files} files made": made, "the embedded pieces": pairs.ROOT / "resources" / "pieces"}
        if options.folder:
            folders[options.folder.name] = options.folder.resolve()
        rows = []
        for name, folder in folders.items():
            sides = (lambda f=folder: measure(pairs.ROOT, f)), (lambda f=folder: measure(options.before.resolve(), f))
            found = pairs.alternate(*sides, options.pairs)
            rows.append(pairs.Pairs(f"{name}, a file", [a for a, _ in found], [b for _, b in found], "ms"))
    pairs.report("Reading, after against before", rows, {})


if __name__ == "__main__":
    pairs.start(main)
