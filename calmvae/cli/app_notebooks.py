"""The command line of the notebooks: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli.console import Console


def notebooks(
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/notebooks"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """The notebooks, copied to a folder to be run there."""
    from calmvae.cli import notebook_display

    notebook_display.copy(out, Console(quiet, as_json))
