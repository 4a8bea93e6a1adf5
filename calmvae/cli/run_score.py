"""The command `calmvae score`: calmness of files as a table, JSON, CSV and pictures."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import InputError
from calmvae.common.text import by_kind, count
from calmvae.data import convert_folder
from calmvae.data.convert_file import why
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.music import calmness
from calmvae.music.calmness import FEATURES, Score

SECONDS, HOP = 20.0, 5.0
CSV_FILE = "scores.csv"


@dataclasses.dataclass(frozen=True)
class Scored:
    """A piece of a file and its score. `label` is the file, in a tune book with the number of the tune."""

    file: Path
    label: str
    piece: Piece
    score: Score

    @property
    def warnings(self) -> list[str]:
        """What the reader mended, and remarks on the score."""
        return [*self.piece.warnings, *self.score.remarks]


def score(paths: list[Path], out: Path | None, explain: bool, windows: bool, console: Console) -> None:
    """Scores every piece of files and folders, the calmest first; writes scores.csv and a picture of each with `out`.

    Args:
      paths: music files and folders.
      out: a folder to write to.
      explain: also say what raises and what lowers each score.
      windows: also give the curve over each piece.
      console: prints.

    Raises:
      InputError: no music, or none that can be read.
    """
    files, others = convert_folder.find_files(paths)
    scored: list[Scored] = []
    skipped: dict[str, str] = {}
    reasons: Counter[str] = Counter()
    with console.progress("scoring") as progress:
        for k, file in enumerate(files, 1):
            for label, found in _read(file):
                if isinstance(found, Scored):
                    scored.append(found)
                else:
                    skipped[label] = str(found)
                    reasons[why(found)] += 1
            progress(k, len(files))
    if not scored:
        raise InputError(next(iter(skipped.values())))
    scored.sort(key=lambda one: -one.score.calmness)
    if out:
        _write(scored, files, out, {"paths": [str(path) for path in paths]})
    console.remark(*(f"Skipped: {said}" for said in skipped.values()))
    console.remark(*by_kind([(one.label, one.warnings) for one in scored]))
    rows = [_row(one, windows) for one in scored]
    pieces, why_skipped = len(scored) + len(skipped), ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    read = count(len(files), "file") if pieces == len(files) else f"{pieces} pieces of {count(len(files), 'file')}"
    sums = f"{read} = {len(scored)} scored + {len(skipped)} skipped{f' ({why_skipped})' if reasons else ''}; "
    sums += f"{count(others, 'other file')} ignored."
    wrote = [f"{out}: {CSV_FILE} and {count(len(scored), 'picture')}."] if out else []
    table = [
        f"{one.score.calmness:5.1f}  {one.label}" + (f"\n       {one.score.explained()}" if explain else "")
        for one in scored
    ]
    console.result({"files": rows, "skipped": skipped, "ignored": others}, *table, sums, *wrote)


def _read(file: Path) -> list[tuple[str, Scored | Exception]]:
    """Every piece of a file with its label, scored, or why it cannot be."""
    found: list[tuple[str, Scored | Exception]] = []
    pieces = read_music.try_pieces(file)
    for k, (_, piece) in enumerate(pieces, 1):
        label = str(file) if len(pieces) == 1 else f"{file}#{k}"
        if isinstance(piece, Exception):
            found.append((label, piece))
        elif len(piece.columns()):
            found.append((label, Scored(file, label, piece, calmness.score(piece))))
        else:
            said = " ".join([f"{label} has no notes; there is nothing to score.", *piece.warnings])
            found.append((label, InputError(said)))
    return found


def _row(one: Scored, windows: bool) -> dict[str, Any]:
    """A file's score, JSON-ready."""
    values = {name: None if math.isnan(value) else round(value, 4) for name, value in one.score.values.items()}
    points = {name: round(value, 3) for name, value in one.score.points.items()}
    row = {"file": one.label, "calmness": round(one.score.calmness, 2), "features": values, "points": points}
    row["explained"] = one.score.explained()
    row["warnings"] = one.warnings
    if windows:
        curve = calmness.over_time(one.piece, SECONDS, HOP)
        row["windows"] = [{"seconds": round(at, 2), "calmness": round(s.calmness, 2)} for at, s in curve]
    return row


def _write(scored: list[Scored], files: list[Path], out: Path, arguments: dict[str, Any]) -> None:
    from calmvae.music import calmness_plot

    with output_folder.OutputFolder(out, "score", arguments) as folder:
        folder.add_inputs(files)
        with open(folder.path(CSV_FILE), "w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table)
            writer.writerow(["file", "calmness", *FEATURES, *(f"{name}_points" for name in FEATURES)])
            for one in scored:
                values = [one.score.values[name] for name in FEATURES] + [one.score.points[name] for name in FEATURES]
                shown = ["" if math.isnan(value) else f"{value:.4f}" for value in values]
                writer.writerow([one.label, f"{one.score.calmness:.2f}", *shown])
        taken: set[str] = set()
        for one in scored:
            name = one.piece.name
            while name in taken:
                name += "_"
            taken.add(name)
            curve = [(at, s.calmness) for at, s in calmness.over_time(one.piece, SECONDS, HOP)]
            calmness_plot.write_score(folder.path(f"{name}.png"), one.piece.name, one.score, curve, one.piece.duration)
