"""What `calmvae score` does: calmness of files as a table, JSON, CSV and pictures."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

from calmvae import calmness, corpus, midi, outputs
from calmvae.calmness import FEATURES, Score
from calmvae.console import Console, count
from calmvae.errors import InputError
from calmvae.piece import Piece

SECONDS, HOP = 20.0, 5.0
CSV_FILE = "scores.csv"


@dataclasses.dataclass(frozen=True)
class Scored:
    """A file and its score."""

    file: Path
    piece: Piece
    score: Score


def score(paths: list[Path], out: Path | None, explain: bool, windows: bool, console: Console) -> None:
    """Scores files and folders, the calmest first; writes scores.csv and a picture of each with `out`.

    Args:
      paths: music files and folders.
      out: a folder to write to.
      explain: also say what raises and what lowers each.
      windows: also give the curve over each piece.
      console: to speak with.

    Raises:
      InputError: no music, or none that can be read.
    """
    files, others = corpus.find_files(paths)
    scored, skipped = [], {}
    with console.progress("scoring") as progress:
        for k, file in enumerate(files, 1):
            try:
                piece = midi.read_piece(file)
                if not len(piece.columns()):
                    raise InputError(f"{file} has no notes; there is nothing to score.")
                scored.append(Scored(file, piece, calmness.score(piece)))
            except InputError as error:
                skipped[str(file)] = str(error)
            progress(k, len(files))
    if not scored:
        raise InputError(next(iter(skipped.values())))
    scored.sort(key=lambda one: -one.score.calmness)
    if out:
        _write(scored, files, out, {"paths": [str(path) for path in paths]})
    for said in skipped.values():
        console.remark(f"Skipped: {said}")
    rows = [_row(one, windows) for one in scored]
    sums = (
        f"{count(len(files), 'file')} = {len(scored)} scored + {len(skipped)} skipped; {others} of other kinds ignored."
    )
    wrote = [f"{out}: {CSV_FILE} and {count(len(scored), 'picture')}."] if out else []
    table = [f"{one.score.calmness:5.1f}  {one.file}{_explained(one, explain)}" for one in scored]
    console.result({"files": rows, "skipped": skipped, "ignored": others}, *table, sums, *wrote)


def _explained(one: Scored, wanted: bool) -> str:
    return f"\n       {one.score.explained()}" if wanted else ""


def _row(one: Scored, windows: bool) -> dict[str, Any]:
    """A file's score, JSON-ready."""
    values = {name: None if math.isnan(value) else round(value, 4) for name, value in one.score.values.items()}
    points = {name: round(value, 3) for name, value in one.score.points.items()}
    row = {"file": str(one.file), "calmness": round(one.score.calmness, 2), "features": values, "points": points}
    row["explained"] = one.score.explained()
    if windows:
        curve = calmness.over_time(one.piece, SECONDS, HOP)
        row["windows"] = [{"seconds": round(at, 2), "calmness": round(s.calmness, 2)} for at, s in curve]
    return row


def _write(scored: list[Scored], files: list[Path], out: Path, arguments: dict[str, Any]) -> None:
    from calmvae import calmplot

    with outputs.OutputFolder(out, "score", arguments) as folder:
        folder.add_inputs(files)
        with open(folder.path(CSV_FILE), "w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table)
            writer.writerow(["file", "calmness", *FEATURES, *(f"{name}_points" for name in FEATURES)])
            for one in scored:
                values = [one.score.values[name] for name in FEATURES] + [one.score.points[name] for name in FEATURES]
                shown = ["" if math.isnan(value) else f"{value:.4f}" for value in values]
                writer.writerow([str(one.file), f"{one.score.calmness:.2f}", *shown])
        taken: set[str] = set()
        for one in scored:
            name = one.file.stem
            while name in taken:
                name += "_"
            taken.add(name)
            curve = [(at, s.calmness) for at, s in calmness.over_time(one.piece, SECONDS, HOP)]
            calmplot.write_score(folder.path(f"{name}.png"), one.file.stem, one.score, curve, one.piece.duration)
