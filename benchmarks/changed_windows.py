"""How many windows of a corpus changed between two builds of it, such as before and after a change of the readers.

.venv/bin/python -m benchmarks.changed_windows out/corpus-before out/corpus
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calmvae.common.text import markdown
from calmvae.data import convert_folder, training_windows
from calmvae.music import melody_tokens

BARS = (2, 16)
PARTS = {"train": "to train", "eval": "held out"}


def windows(folder: Path, part: str, bars: int) -> set[bytes]:
    """All different windows of a part of a corpus: the skyline of each whole piece and of each track."""
    files = sorted(folder.glob(f"{part}-*.tfrecord"))
    return set(map(bytes, training_windows.load_windows(files, bars * melody_tokens.STEPS_PER_BAR, "all").tokens))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    rows = []
    for bars in BARS:
        for part, said in PARTS.items():
            before, after = (windows(folder, part, bars) for folder in (options.before, options.after))
            numbers = (len(before), len(after), len(after - before), len(before - after))
            rows.append([f"{bars} bars, {said}", *(f"{number:,}" for number in numbers)])
    print(markdown(("windows", "before", "now", "new", "gone"), rows))
    held_out = [
        {record["file"] for record in convert_folder.read_manifest(folder) if record.get("split") == "eval"}
        for folder in (options.before, options.after)
    ]
    print(f"\n{len(held_out[0] & held_out[1])} of {len(held_out[1])} held-out pieces were held out before.")


if __name__ == "__main__":
    main()
