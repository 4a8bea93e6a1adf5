"""Of how many pieces can one interpolate? Stock Magenta's converters beside calmvae's phrases.

    .venv/bin/python -m benchmarks.accepts [--data out/corpus]

Magenta's `interpolate` takes a piece if its converter extracts exactly one example from it. The converters are those of
its published melody configs. The pieces are the embedded ones, or the held-out ones of a data set. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from calmvae.cli import notebook_display
from calmvae.common import magenta_import
from calmvae.common.errors import EmptyMusicError
from calmvae.data import load_dataset
from calmvae.midi import note_sequence, tfrecord
from calmvae.music import melody_extraction

CONFIGS = ("cat-mel_2bar_big", "hierdec-mel_16bar")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of calmvae corpus build; without it, the embedded pieces")
    options = parser.parse_args()
    if options.data:
        sequences = list(tfrecord.note_sequences(load_dataset.data_files(options.data)[1]))
    else:
        sequences = [note_sequence.read_note_sequences(path)[0][1] for path in notebook_display.pieces()]
    print("| converter | pieces | accepted | nothing extracted | several examples |\n|---|---|---|---|---|")
    for name in CONFIGS:
        converter = magenta_import.load().configs.CONFIG_MAP[name].data_converter
        converter.set_mode("infer")
        found: Counter[int] = Counter(min(2, len(converter.to_tensors(one).inputs)) for one in sequences)
        print(f"| {name} | {len(sequences)} | {found[1]} | {found[0]} | {found[2]} |")
    taken = 0
    for one in sequences:
        try:
            melody_extraction.extract_melody(note_sequence.piece_of(one))
            taken += 1
        except EmptyMusicError:
            continue
    print(f"| calmvae | {len(sequences)} | {taken} | {len(sequences) - taken} | 0 |")


if __name__ == "__main__":
    main()
