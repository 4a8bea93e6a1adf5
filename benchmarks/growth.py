"""How calmvae grows: time and peak memory against samples, minutes of music, files, and decode batch size.

    .venv/bin/python -m benchmarks.growth [--quick] [--repeats 3] [--picture growth.png]

Every point is a new process, start-up included; the table has the median of the repeats. Memory is that of the
largest process under the command.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import convert, pairs
from calmvae.midi import write_midi
from calmvae.midi.piece import Note, Piece

POINTS = {
    "samples of 2 bars": (8, 32, 128, 512, 2048, 4096),
    "minutes reconstructed": (1, 4, 15, 30, 60),
    "files converted": (10, 50, 200, 500, 2000),
    "decode batch": (1, 8, 32, 64, 128, 256, 512),
}
_DECODE = """
import sys, numpy as np
import calmvae
model = calmvae.load_model("calm-mel_2bar")
z = np.random.default_rng(0).standard_normal((512, model.spec.z_size)).astype(np.float32)
size = int(sys.argv[1])
for i in range(0, len(z), size):
    model.engine.decode(z[i : i + size])
"""

Measure = Callable[[int], pairs.Run]


def write_piece(path: Path, minutes: int) -> Path:
    """A melody of so many minutes in quarters and eighths at 120 quarters a minute."""
    rng = np.random.default_rng(minutes)
    notes, at, pitch = [], 0.0, 67
    while at < minutes * 60:
        length = float(rng.choice([0.25, 0.5, 1.0]))
        pitch = int(np.clip(pitch + rng.integers(-4, 5), 55, 84))
        notes.append(Note(pitch, 64, at, at + length))
        at += length
    return write_midi.write_midi(Piece(notes), path)


def curves(folder: Path) -> dict[str, Measure]:
    """A function for each curve, from its number to the run."""

    def calm(*arguments: str | Path) -> pairs.Run:
        return pairs.run([*pairs.CALMVAE, *arguments, "--quiet"], ours=True)

    def fresh() -> Path:
        return Path(tempfile.mkdtemp(dir=folder)) / "out"

    def sample(n: int) -> pairs.Run:
        return calm("sample", "-n", str(n), "--bars", "2", "--no-picture", "--no-sound", "-o", fresh())

    def reconstruct(minutes: int) -> pairs.Run:
        piece = write_piece(folder / f"{minutes}.mid", minutes)
        return calm("reconstruct", piece, "--no-picture", "--no-sound", "-o", fresh())

    def convert_files(n: int) -> pairs.Run:
        source = folder / f"midi-{n}"
        if not source.exists():
            convert.write_files(source, n)
        return calm("convert", source, "-o", fresh())

    def decode(batch: int) -> pairs.Run:
        return pairs.run([sys.executable, "-c", _DECODE, str(batch)], ours=True)

    return dict(zip(POINTS, (sample, reconstruct, convert_files, decode), strict=True))


def draw(path: Path, found: dict[str, list[tuple[int, float, float]]]) -> None:
    """Time and memory of each curve, over each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(found), figsize=(3.6 * len(found), 5.4), squeeze=False)
    for column, (name, points) in enumerate(found.items()):
        for row, (what, values) in enumerate((("seconds", 1), ("peak MB", 2))):
            axis = axes[row][column]
            axis.plot([p[0] for p in points], [p[values] for p in points], marker="o", markersize=3)
            axis.set_xscale("log")
            axis.set_yscale("log" if row == 0 else "linear")
            if row:
                axis.set_ylim(0, 1.15 * max(point[values] for point in points))
            axis.set_ylabel(what)
            axis.set_xlabel(name)
            axis.grid(alpha=0.3)
    figure.suptitle("How calmvae grows")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first three points of each curve only")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each point, default 3")
    parser.add_argument("--picture", type=Path, help="also draw the curves into this PNG")
    options = parser.parse_args()
    if options.repeats < 1:
        sys.exit(f"--repeats is {options.repeats}; 1 or more are needed.")
    print(
        pairs.heading("Growth"), "| what | number | wall time | each | peak memory |", "|---|---|---|---|---|", sep="\n"
    )
    found: dict[str, list[tuple[int, float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in curves(Path(folder)).items():
            # A process that does not count: file cache and bytecode.
            measure(POINTS[name][0])
            for n in POINTS[name][: 3 if options.quick else None]:
                runs = [measure(n) for _ in range(options.repeats)]
                wall, peak = (statistics.median(getattr(run, field) for run in runs) for field in ("wall", "peak"))
                each = wall / (512 if name == "decode batch" else n)
                row = f"{name} | {n} | {pairs.number(wall)} s | {pairs.number(each * 1000)} ms"
                print(f"| {row} | {pairs.number(peak)} MB |", flush=True)
                found.setdefault(name, []).append((n, wall, peak))
    print("\nOf the decode batch, 512 windows are decoded in batches of that size; each is a window.")
    if options.picture:
        draw(options.picture, found)
        print(f"Drawn in {options.picture}.")


if __name__ == "__main__":
    pairs.start(main)
