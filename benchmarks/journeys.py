"""Do journeys keep what they promise? Between random pairs of held-out pieces, and of the embedded pieces.

    .venv/bin/python -m benchmarks.journeys out/corpus [--model calm-mel_2bar] [--pairs 50] [--minutes 12]

Prints a Markdown table: for the pairs of each kind, without and with chords, the worst that was found.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.cli import notebook_display
from calmvae.common.errors import EmptyMusicError
from calmvae.common.text import markdown, percent
from calmvae.data import load_dataset
from calmvae.generate import journey
from calmvae.generate.journey_phrases import Source
from calmvae.midi import note_sequence, tfrecord
from calmvae.midi.read_music import read_piece
from calmvae.model.melody_model import MelodyModel


def held_out(data: Path, model: MelodyModel, seed: int) -> Iterator[Source]:
    """Held-out pieces with a melody, drawn without end."""
    sequences = list(tfrecord.note_sequences(load_dataset.data_files(data)[1]))
    rng = np.random.default_rng(seed)
    while True:
        for k in rng.permutation(len(sequences)):
            try:
                yield journey.of_piece(note_sequence.piece_of(sequences[k]), model)
            except EmptyMusicError:
                continue


def embedded(model: MelodyModel) -> list[tuple[Source, Source]]:
    """Each embedded piece to the third after it."""
    pieces = [journey.of_piece(read_piece(path), model) for path in notebook_display.pieces()]
    return list(zip(pieces, [*pieces[3:], *pieces[:3]], strict=True))


COLUMNS = (
    "pairs",
    "voices",
    "journeys",
    "largest fall in a minute",
    "began below 60",
    "least gain of these",
    "slower by",
    "most foreign",
    "longest rest, of planned",
    "time each",
)


def measure(pairs: list[tuple[Source, Source]], model: MelodyModel, minutes: float, accompanied: bool) -> list[str]:
    """Cells from the third on of a row of the table, of one journey for each pair."""
    falls, gains, slower, foreign, rests, began = [], [], [], [], [], time.perf_counter()
    for seed, (a, b) in enumerate(pairs):
        made = journey.journey(a, b, model, minutes=minutes, accompanied=accompanied, seed=seed)
        curve, tempos = made.info["calmness_by_minute"], [qpm for _, qpm in made.piece.tempos]
        falls.append(max(before - after for before, after in itertools.pairwise(curve)))
        slower.append(1 - tempos[-1] / tempos[0])
        gains += [curve[-1] - curve[0]] if curve[0] < 60 else []
        foreign.append(made.info["foreign"]["most"])
        rests.append(made.info["longest_rest"] / made.info["plan"]["longest_rest"])
    seconds = (time.perf_counter() - began) / len(pairs)
    return [
        str(len(pairs)),
        f"{max(falls):.1f}",
        str(len(gains)),
        f"{min(gains):.1f}" if gains else "",
        f"{percent(min(slower), 0)} to {percent(max(slower), 0)}",
        f"{max(foreign):.2f}",
        f"{max(rests):.2f}",
        f"{seconds:.1f} s",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", help="a folder of calmvae corpus build; without it, only the embedded pieces"
    )
    parser.add_argument("--model", default=open_model.DEFAULT_MELODY_MODEL)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=12.0)
    options = parser.parse_args()
    model = open_model.load_model(options.model)
    kinds = {"embedded": embedded(model)}
    if options.data:
        drawn = held_out(options.data, model, 0)
        kinds["held out"] = [(next(drawn), next(drawn)) for _ in range(options.pairs)]
    print(markdown(COLUMNS))
    for name, pairs in kinds.items():
        for accompanied in (False, True):
            found = measure(pairs, model, options.minutes, accompanied)
            cells = [name, "with chords" if accompanied else "melody", *found]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
