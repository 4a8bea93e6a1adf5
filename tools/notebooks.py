"""Runs the notebooks and writes them back with outputs that a code host shows and a repository can hold.

    .venv/bin/python -m tools.notebooks [1_explore 2_pretrained ...]

What the cells tagged `figure-NAME` draw is written to `own_model/figures/NAME.png` too, for the documents.

Players are left out, pictures are reduced to few colours, and whatever depends on the machine goes: what was written on
stderr, the time a cell took, the version of Python.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
FIGURES = ROOT / "own_model" / "figures"
# A cell of this tag prints what a training on another processor would not print to the digit.
APPROXIMATE = "approximate"
# What a cell of a tag that begins so draws is a figure of the documents.
FIGURE = "figure-"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MOST_BYTES, COLORS = 60_000, 192


class _ThisPython(KernelSpecManager):
    """Whatever kernel is asked for: this interpreter, and not the one that the system calls python3."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class _Manager(AsyncKernelManager):
    """Starts it; made by the client, which then ends it too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(kernel_spec_manager=_ThisPython(), **options)


def run(path: Path, cwd: Path, timeout: int = 300, **environment: str) -> NotebookNode:
    """Runs a notebook from top to bottom, in a folder, with nobody's settings and nothing fetched.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as empty:
        fresh = {"IPYTHONDIR": f"{empty}/ipython", "CALMVAE_CACHE": f"{empty}/cache", **environment}
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        options = {"kernel_name": "python3", "kernel_manager_class": _Manager, "record_timing": False}
        # What is printed in one cell may come in pieces, by the clock.
        options["coalesce_streams"] = True
        client = NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(cwd)}}, **options)
        client.execute(env={**os.environ, "PYTHONPATH": paths, **fresh})
    return notebook


def reduced(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its outputs as they are committed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(cells, 1):
        cell.outputs = [_small(output) for output in cell.outputs if _is_kept(output)]
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def _is_kept(output: NotebookNode) -> bool:
    player = any("audio" in kind or "<audio" in str(text) for kind, text in output.get("data", {}).items())
    return not player and output.get("name") != "stderr"


def _small(output: NotebookNode) -> NotebookNode:
    data = output.get("data", {})
    if "image/png" in data:
        data["image/png"] = base64.b64encode(small_png(base64.b64decode(data["image/png"]))).decode()
        output.metadata = {}
    return output


def small_png(picture: bytes) -> bytes:
    """A PNG of few colours, and scaled down until it is small enough."""
    from PIL import Image

    full = Image.open(io.BytesIO(picture)).convert("RGB")
    size = full.size
    while True:
        out = io.BytesIO()
        shown = full.resize(size, Image.Resampling.LANCZOS) if size != full.size else full
        # The usual method goes by how often a colour occurs, and loses those of the legend.
        few = shown.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(out, "PNG", optimize=True)
        if len(out.getvalue()) <= MOST_BYTES:
            return out.getvalue()
        size = (size[0] * 4 // 5, size[1] * 4 // 5)


def said(notebook: NotebookNode) -> list[list[str]]:
    """What each code cell put out, as text; of a picture that there is one; the numbers of an approximate cell as #."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            rough = APPROXIMATE in cell.metadata.get("tags", [])
            shown = [output.get("text") or output.data["text/plain"] for output in cell.outputs]
            found.append([_without_numbers(text) if rough else text for text in shown])
    return found


def _without_numbers(text: str) -> str:
    # The width of a table's columns depends on them too.
    return re.sub(r"[ -]*\d+(\.\d+)?|\bnan\b", " #", re.sub(r" +", " ", text))


def figures(notebook: NotebookNode) -> dict[str, bytes]:
    """What the cells draw that are tagged as figures, by name, as PNG."""
    found = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(FIGURE):
                (picture,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
                found[tag.removeprefix(FIGURE)] = base64.b64decode(picture)
    return found


def main() -> None:
    """Runs those that are named, or all, and writes them back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 1_explore; default all")
    names = parser.parse_args().names
    paths = [FOLDER / f"{Path(name).stem}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        with tempfile.TemporaryDirectory() as cwd:
            notebook = reduced(run(path, Path(cwd)))
        nbformat.write(notebook, path)
        for name, picture in figures(notebook).items():
            FIGURES.mkdir(exist_ok=True)
            (FIGURES / f"{name}.png").write_bytes(picture)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
