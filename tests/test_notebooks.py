"""Notebooks: what is committed is what they put out, copies run anywhere, and nothing in them is of one machine."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from calmvae.checkpoints import magenta_js
from calmvae.cli import notebook_display
from calmvae.generate.made_piece import Made
from calmvae.midi.piece import Note, Piece
from tests.conftest import ROOT, random_weights, run_calmvae, tiny_spec
from tools import notebooks

FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> Path:
    """A folder of copies, as `calmvae notebooks` makes it."""
    folder = tmp_path_factory.mktemp("copies") / "mine"
    done = run_calmvae("notebooks", "-o", folder)
    assert done.returncode == 0, done.stderr
    assert "pip install jupyterlab" in done.stdout and f"jupyter lab {folder}" in done.stdout
    assert sorted(p.name for p in folder.glob("*.ipynb")) == [file.name for file in FILES]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_a_copy_runs_elsewhere_and_puts_out_what_is_committed(name, copies, tmp_path):
    ran = notebooks.reduced(notebooks.run(copies / name, tmp_path))
    committed = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    again = f"run: python -m tools.notebooks {Path(name).stem}"
    assert notebooks.said(ran) == notebooks.said(committed), again
    assert ran.metadata == committed.metadata
    assert [cell.get("execution_count") for cell in ran.cells] == [c.get("execution_count") for c in committed.cells]
    assert not list(tmp_path.iterdir()), "it left something in the folder that it was run in"


@pytest.mark.slow
def test_a_fetched_checkpoint_joins_in(copies, tmp_path):
    place = tmp_path / "cache" / "models" / "js-mel_2bar_small"
    spec = tiny_spec("cat-mel_2bar_small")
    magenta_js.export(place, spec, random_weights(spec))
    (tmp_path / "cwd").mkdir()
    environment = {"CALMVAE_CACHE": str(tmp_path / "cache")}
    ran = notebooks.reduced(notebooks.run(copies / "2_pretrained.ipynb", tmp_path / "cwd", **environment))
    texts = "".join(text for cell in notebooks.said(ran) for text in cell)
    assert "js-mel_2bar_small is there." in texts and "js-mel_2bar_small, standard" in texts


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_committed_is_small_and_of_no_machine(file):
    text = file.read_text(encoding="utf-8")
    assert len(text) < 400_000
    assert "audio/" not in text and "<audio" not in text
    found = nbformat.read(file, as_version=4)
    nbformat.validate(found)
    assert found.metadata == notebooks.METADATA
    pictures, words = [], ""
    for cell in found.cells:
        words += cell.source
        assert set(cell.metadata) <= {"tags"}
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr"
            data = dict(output.get("data", {}))
            pictures += [data.pop("image/png")] if "image/png" in data else []
            words += "".join(data.values()) + output.get("text", "")
    assert pictures and all(len(picture) * 3 / 4 <= notebooks.MOST_BYTES + 3 for picture in pictures)
    for place in (str(ROOT), tempfile.gettempdir(), str(Path.home())):
        assert place == "/" or place not in words
    assert not re.search(r"(?<![\w.])/(home|root|Users|tmp|var|mnt)/|[A-Z]:\\", words)


def test_figures_of_the_documents_are_those_of_the_notebooks():
    drawn = {}
    for file in FILES:
        drawn |= notebooks.figures(nbformat.read(file, as_version=4))
    there = {path.stem: path.read_bytes() for path in notebooks.FIGURES.glob("*.png")}
    assert drawn and there == drawn


def test_an_edited_copy_is_not_overwritten(copies, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(copies, folder)
    assert run_calmvae("notebooks", "-o", folder).returncode == 0
    edited = folder / FILES[0].name
    edited.write_text("mine")
    done = run_calmvae("notebooks", "-o", folder)
    assert done.returncode == 2 and f"{edited} was changed since calmvae wrote it" in done.stderr
    assert edited.read_text() == "mine"


def test_none_installed_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(notebook_display.model_folder, "of_package", lambda name: tmp_path / name)
    with pytest.raises(
        notebook_display.InputError, match="no notebooks are installed; install calmvae from a whole checkout"
    ):
        notebook_display.copy(tmp_path / "out", notebook_display.Console())
    assert not (tmp_path / "out").exists()


def test_notebooks_and_pieces_are_installed_with_the_package(tmp_path):
    source = tmp_path / "source"
    for name in ("calmvae", "notebooks", "resources"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True, timeout=300)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert {f"calmvae/notebooks/{file.name}" for file in FILES} <= names
    assert {f"calmvae/resources/pieces/{file.name}" for file in notebook_display.pieces()} <= names


def test_tables_as_text_and_as_html():
    rows = [{"piece": "a<b", "calmness": 61.25, "notes": 7}, {"piece": "c", "calmness": 5, "notes": 12}]
    table = notebook_display.table(rows)
    assert repr(table) == "piece  calmness  notes\na<b        61.2      7\nc             5     12"
    made = table._repr_html_()
    assert '<td style="text-align: left">a&lt;b</td>' in made and '<td style="text-align: right">61.2</td>' in made


def test_without_a_synthesizer_the_picture_is_shown_and_the_reason_said(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    notebook_display.show(Piece([Note(60, 64, 0.0, 1.0)], [(0.0, 60.0)], name="one"))
    assert [type(one).__name__ for one in shown] == ["Image"]
    assert "Audio needs tinysoundfont" in capsys.readouterr().out


@pytest.fixture
def pictures(monkeypatch) -> list[Image.Image]:
    """What is shown from here on."""
    shown: list[Image.Image] = []
    monkeypatch.setattr("IPython.display.display", lambda one: shown.append(Image.open(io.BytesIO(one.data))))
    return shown


def test_rolls_tell_by_colour_what_a_note_is_like(pictures):
    a, b, other = (np.zeros(32, np.uint8) for _ in range(3))
    a[[0, 8]] = b[[0, 16]] = 40, 42
    other[24] = 40

    def colors(melody, like):
        notebook_display.rolls({"one": melody}, "title", like)
        found = np.array(pictures.pop().convert("RGB"))
        # The title and the patches of the legend, which show all colours, stand above.
        found = found[len(found) // 3 :].reshape(-1, 3)
        named = dict(zip(("first", "second", "both"), notebook_display.TRACK_COLORS, strict=False))
        return {name for name, color in named.items() if (found == list(bytes.fromhex(color[1:]))).all(axis=1).any()}

    two = {"as in A": a, "as in B": b}
    assert colors(a, two) == {"first", "both"} and colors(b, two) == {"second", "both"} and colors(other, two) == set()
    assert colors(b, {"as given": a}) == {"first", "second"} and colors(np.zeros(32, np.uint8), two) == set()


def test_a_journey_is_shown_with_its_plan(pictures):
    piece = Piece([Note(60, 64, 0.0, 1.0)], [(0.0, 60.0)], name="one")
    plan = {name: [60.0, 50.0] for name in ("qpm", "velocity", "onsets_per_second", "calmness")}
    plan |= {"seconds": [0.0, 16.0], "end": 32.0}
    info = {"plan": plan, "stages": [0.0], "onsets_per_second": [1.0, 0.5], "calmness_by_minute": [70.0]}
    for one in ({}, info):
        notebook_display.show(Made(piece, [], one, []), sound=False)
    without, with_plan = pictures
    assert with_plan.width == without.width and with_plan.height > without.height + 100


def test_numbers_of_an_approximate_cell_do_not_count():
    cell = nbformat.v4.new_code_cell("", metadata={"tags": [notebooks.APPROXIMATE]})
    texts = ("free bits   48.0  -0.25\n", "free bits  4.0  12.5\n")
    cells = [dict(cell, outputs=[nbformat.v4.new_output("stream", text=text)]) for text in texts]
    first, second = (notebooks.said(nbformat.v4.new_notebook(cells=[nbformat.from_dict(one)])) for one in cells)
    assert first == second == [["free bits # #\n"]]
