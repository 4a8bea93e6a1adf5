"""Writes the generated documentation: the page of all commands, and the pages of the Python API.

    .venv/bin/python -m tools.docs               docs/commands.md, by typer; committed
    .venv/bin/python -m tools.docs -o out/api    the API as HTML, by pdoc; not committed

tests/test_docs.py holds docs/commands.md to the code, builds the API's pages and follows their links.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pdoc
import pdoc.doc
import pdoc.render
import typer
from typer.cli import get_docs_for_click

import calmvae
from calmvae.cli import app

COMMANDS = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEAD = "<!-- Made by `python -m tools.docs`; do not edit. -->\n\n"


def main() -> None:
    """Writes one or the other, and says what."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, help="Build the API's pages in this folder instead of the commands.")
    out = parser.parse_args().out
    if out:
        build_api(out)
        print(f"{out / 'index.html'} leads to the pages of {len(module_names())} modules.")
    else:
        COMMANDS.write_text(commands_page(), encoding="utf-8")
        print(f"docs/{COMMANDS.name} is written.")


def every_command(name: str = "calmvae", command: Any = None) -> Iterator[tuple[str, Any]]:
    """What to type and the (Typer's own) Click command, of the app and of all below it."""
    command = command or typer.main.get_command(app.app)
    yield name, command
    for below, subcommand in getattr(command, "commands", {}).items():
        yield from every_command(f"{name} {below}", subcommand)


def commands_page() -> str:
    """Every command with its arguments and options, as `typer calmvae.cli.app utils docs` prints it.

    Typer's lists of commands cut each sentence at 45 characters and link nowhere; here it is whole, and a link.
    """
    (_, top), *others = every_command()
    for _, command in others:
        command.short_help = _sentence(command)
    page = get_docs_for_click(obj=top, ctx=typer.Context(top), name="calmvae", title="Commands")
    for name, command in others:
        item = f": {_sentence(command)}\n"
        anchor = re.sub(r"[^\w-]", "", name.replace(" ", "-"))
        page = page.replace(f"* `{command.name}`{item}", f"* [`{command.name}`](#{anchor}){item}")
    return HEAD + page.strip() + "\n"


def _sentence(command: Any) -> str:
    """The first paragraph of a command's help, on one line."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def module_names() -> list[str]:
    """The package and all its public modules."""
    modules = pkgutil.walk_packages(calmvae.__path__, "calmvae.")
    return ["calmvae", *sorted(module.name for module in modules if "._" not in module.name)]


def build_api(folder: Path) -> None:
    """Pages of all modules with a search, the same bytes for the same code; no module of theirs imports TensorFlow."""
    for name in calmvae.__all__:
        # They are imported on first use, and pdoc sees only what is imported.
        setattr(calmvae, name, getattr(calmvae, name))
    names = module_names()
    # Who builds the pages has the sources beside them; left out, the pages are a third of the size.
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"calmvae {calmvae.__version__}")
    with warnings.catch_warnings():
        # requests.Session, a base class of one of ours, has types that requests imports for type checkers only.
        warnings.filterwarnings("ignore", r"Error parsing type annotation .* for requests\.", UserWarning)
        # To pdoc an __all__ without modules means that none is public, and the top page would lead to none.
        rooms = [name for name in names[1:] if name.count(".") == 1]
        pdoc.doc.Module.from_name("calmvae").submodules = [pdoc.doc.Module.from_name(name) for name in rooms]
        # Where there is Node, pdoc compiles the search's index; the browser does it as well, and pages stay the same.
        with mock.patch.object(pdoc.render, "precompile_index", lambda documents, _: json.dumps(documents)):
            pdoc.pdoc("calmvae", *rooms, output_directory=folder)
    for page in [*folder.rglob("*.html"), folder / "search.js"]:
        # The types of options are objects, which pdoc shows with their addresses.
        page.write_text(re.sub(r" at 0x[0-9a-f]+", "", page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
