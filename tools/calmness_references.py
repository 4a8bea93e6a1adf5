"""Prints mean and deviation of each feature of `calmvae score` over collections; its references are rounded from them.

    .venv/bin/python tools/calmness_references.py POP909-Dataset/POP909 Lieder music21:bach [--most 150]

Velocities and tempos of scores are conventions of their editors; those of the reference are of performances.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE))

from calmvae.cli import run_evaluate  # noqa: E402
from calmvae.common.errors import InputError  # noqa: E402
from calmvae.midi import read_music  # noqa: E402
from calmvae.music import calmness  # noqa: E402


def measured(path: str, most: int) -> np.ndarray:
    """Features of pieces drawn from a collection, `[pieces, features]`."""
    files = run_evaluate.files_of(Path(path))
    rows = []
    for k in np.random.default_rng(0).permutation(len(files))[:most]:
        try:
            rows.append(list(calmness.score(read_music.read_piece(files[k])).values.values()))
        except InputError:
            continue
    return np.array(rows)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--most", type=int, default=150, help="pieces of each, default 150")
    options = parser.parse_args()
    found = {name: measured(name, options.most) for name in options.collections}
    titles = [f"{Path(name).name} ({len(rows)})" for name, rows in found.items()]
    print("| feature | " + " | ".join(titles) + " | reference |")
    print("|---|" + "---|" * (len(found) + 1))
    for k, (name, feature) in enumerate(calmness.FEATURES.items()):
        cells = [f"{np.nanmean(rows[:, k]):.2f} ± {np.nanstd(rows[:, k]):.2f}" for rows in found.values()]
        print(f"| {name} | " + " | ".join(cells) + f" | {feature.mean:g} ± {feature.deviation:g} |")


if __name__ == "__main__":
    main()
