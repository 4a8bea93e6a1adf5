"""Start-up as whole processes: `calmvae --help` and a cold interpolation against `python -c "import numpy"`.

    .venv/bin/python -m benchmarks.startup [--pairs 21]

The interpolation is of two embedded MIDI files to MIDI, 8 steps. Bytecode is cached by a run before the first pair. The
goals are 1.3 times the peer for `--help` (a ratio of 0.77) and 3.5 times for the interpolation (0.29).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import pairs

_PIECES = pairs.ROOT / "resources" / "pieces"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, pairs=21, stock=False)
    options = pairs.parse(parser)
    numpy = [sys.executable, "-c", "import numpy"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        files = [_PIECES / "brahms_wiegenlied.mid", _PIECES / "schumann_traeumerei.mid"]
        commands = {
            "`--help`": ["--help"],
            "a cold `interpolate`, MIDI to MIDI, 8 steps": [
                *("interpolate", *files, "--steps", "8", "--no-picture", "--no-sound", "--quiet", "-o", out)
            ],
        }
        for name, arguments in commands.items():

            def calmvae(arguments: list[object] = arguments) -> pairs.Run:
                shutil.rmtree(out, ignore_errors=True)
                return pairs.run([*pairs.CALMVAE, *arguments], ours=True)

            calmvae()
            found = pairs.alternate(calmvae, lambda: pairs.run(numpy, ours=True), options.pairs)
            rows += pairs.command_rows(name, found)[:2]
    pairs.report("Start-up, against importing numpy", rows, {})


if __name__ == "__main__":
    pairs.start(main)
