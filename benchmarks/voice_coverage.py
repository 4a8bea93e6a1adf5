"""How many notes of held-out pieces a number of voices holds: kept, doubled (struck in another voice), left out, cut.

.venv/bin/python -m benchmarks.voice_coverage out/corpus [--voices 1 2 3 4 5 6] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from calmvae.common.errors import EmptyMusicError
from calmvae.data import load_dataset
from calmvae.midi import note_sequence, tfrecord
from calmvae.music.voice_extraction import extract_voices


def measured(data: Path, voices: list[int]) -> dict[str, dict[str, dict[str, float]]]:
    """By collection and number of voices the shares of the pitched notes, and how many notes and pieces there are."""
    counts: dict[tuple[str, int], Counter[str]] = {}
    for sequence in tfrecord.note_sequences(load_dataset.data_files(data)[1]):
        piece = note_sequence.piece_of(sequence)
        for number in voices:
            try:
                report = extract_voices(piece, number).report
            except EmptyMusicError:
                continue
            for name in (sequence.collection_name, "together"):
                found = counts.setdefault((name, number), Counter())
                found.update(notes=report.notes, kept=report.kept, doubled=report.doubled, pieces=1)
                found.update(left_out=report.left_out, shortened=report.shortened)
    shares: dict[str, dict[str, dict[str, float]]] = {}
    for (name, number), found in counts.items():
        row = {part: found[part] / found["notes"] for part in ("kept", "doubled", "left_out", "shortened")}
        row |= {"covered": row["kept"] + row["doubled"], "notes": found["notes"], "pieces": found["pieces"]}
        shares.setdefault(name, {})[str(number)] = row
    return shares


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a data set of `calmvae corpus build` or `convert`")
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6], help="how many")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    shares = measured(options.data, options.voices)
    if options.json:
        print(json.dumps(shares, indent=1))
        return
    print("| collection | voices | covered | kept | doubled | left out | cut short |\n|---|---|---|---|---|---|---|")
    for name, rows in shares.items():
        for number, row in rows.items():
            parts = (row[part] for part in ("covered", "kept", "doubled", "left_out", "shortened"))
            print(f"| {name} | {number} | {' | '.join(f'{part:.3f}' for part in parts)} |")


if __name__ == "__main__":
    main()
