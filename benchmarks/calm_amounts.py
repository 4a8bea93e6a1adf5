"""How `calmvae calm` does on held-out pieces: is more of it calmer, and how much of a piece is left?

    .venv/bin/python -m benchmarks.calm_amounts out/corpus [--model calm-mel_2bar] [--pieces 50] [-o amounts.png]

Of held-out pieces drawn by a seed, the skyline at each amount: its calmness (slower and softer, as `calm` plays it, and
of the notes alone), and its likeness to the given melody, chroma and contour. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common.errors import EmptyMusicError
from calmvae.data import load_dataset
from calmvae.generate import calm_piece
from calmvae.generate.made_piece import Made
from calmvae.midi import note_sequence, tfrecord
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness

AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def notes_alone(made: Made, amount: float) -> float:
    """Calmness of what was made, played as fast and as loud as the piece that was given."""
    back = calm_piece.played(made.piece, amount, backwards=True)
    return calmness.score(back).calmness


def measure(data: Path, model: MelodyModel, most: int) -> np.ndarray:
    """Of each piece and amount: calmness, calmness of the notes alone, chroma, contour, `[pieces, amounts, 4]`."""
    sequences = list(tfrecord.note_sequences(load_dataset.data_files(data)[1]))
    rows: list[list[tuple[float, ...]]] = []
    for k in np.random.default_rng(0).permutation(len(sequences)):
        piece = note_sequence.piece_of(sequences[k])
        try:
            made = [calm_piece.calm(piece, model, amount=amount) for amount in AMOUNTS]
        except EmptyMusicError:
            continue
        values = []
        for amount, one in zip(AMOUNTS, made, strict=True):
            alike = one.info["similarity"]
            values.append((one.info["calmness"][1], notes_alone(one, amount), alike["chroma"], alike["contour"]))
        rows.append(values)
        if len(rows) == most:
            break
    return np.array(rows)


def draw(path: Path, found: np.ndarray, title: str) -> None:
    """Each piece's calmness over the amounts, and the mean likeness."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from calmvae.midi.piano_roll import FAINT, INK, MUTED, TRACK_COLORS

    page = Figure(figsize=(10, 4.2), dpi=110, facecolor="white")
    canvas = FigureCanvasAgg(page)
    left, right = page.subplots(1, 2, gridspec_kw={"top": 0.8, "bottom": 0.13, "left": 0.07, "right": 0.97})
    page.text(0.07, 0.92, title, fontsize=14, color=INK, weight="bold")
    left.plot(AMOUNTS, found[:, :, 0].T, color=TRACK_COLORS[0], alpha=0.25, lw=0.9)
    left.plot(AMOUNTS, found[:, :, 0].mean(axis=0), color=TRACK_COLORS[0], lw=2.5)
    for k, name in ((2, "chroma"), (3, "contour")):
        right.plot(AMOUNTS, found[:, :, k].mean(axis=0), color=TRACK_COLORS[k - 1], lw=2.5, label=name)
    right.set_ylim(0, 1.02)
    right.legend(frameon=False, fontsize=9, labelcolor=MUTED)
    for plot, said in ((left, "Calmness of each piece, and their mean"), (right, "Likeness to the given melody")):
        plot.set_title(said, fontsize=10, color=INK, loc="left")
        plot.set_xlabel("amount", fontsize=9, color=MUTED)
        plot.tick_params(labelsize=8, colors=MUTED)
        plot.spines[["top", "right"]].set_visible(False)
        plot.spines[["left", "bottom"]].set_color(FAINT)
    canvas.print_png(path, metadata={"Software": None})


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of calmvae corpus build")
    parser.add_argument("--model", default=open_model.DEFAULT_MELODY_MODEL)
    parser.add_argument("--pieces", type=int, default=50)
    parser.add_argument("-o", "--out", type=Path, help="a .png to write")
    options = parser.parse_args()
    found = measure(options.data, open_model.load_model(options.model), options.pieces)
    print("| amount | calmness | of the notes alone | chroma | contour |\n|---|---|---|---|---|")
    for amount, row in zip(AMOUNTS, found.mean(axis=0), strict=True):
        print(f"| {amount:g} | {row[0]:.1f} | {row[1]:.1f} | {row[2]:.3f} | {row[3]:.3f} |")
    for k, said in ((0, "as played"), (1, "of the notes alone")):
        rising = (np.diff(found[:, :, k], axis=1) >= 0).all(axis=1)
        print(f"Calmness {said} rises with every amount for {rising.sum()} of {len(rising)} pieces.")
    if options.out:
        draw(options.out, found, f"calmvae calm, {options.model}, {len(found)} held-out pieces")


if __name__ == "__main__":
    main()
