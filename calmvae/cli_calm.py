"""The command line of what is about calmness: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.console import Console

Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def score(
    paths: Annotated[list[Path], typer.Argument(help="Music files and folders.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write scores.csv and a picture of each here.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what raises and what lowers each.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="With --json: the curve over each piece too.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How calm music is, 0 to 100, by features that research associates with calm; the calmest first."""
    from calmvae import scoring

    scoring.score(paths, out, explain, windows, Console(quiet, as_json))
