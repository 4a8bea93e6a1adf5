"""The introductions: figures as the script draws them, numbers as the models give them, links that lead somewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

ROOT = Path(__file__).resolve().parents[1]
RESOURCES = ROOT / "resources"
PAGES = sorted(RESOURCES.glob("*.md"))
INTRODUCTIONS = ["vae", "free_bits", "musicvae", "latent_arithmetic", "midi_and_notesequence"]
MOST_BYTES = 120_000


def _load_script():
    spec = importlib.util.spec_from_file_location("figures", RESOURCES / "figures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


figures = _load_script()


def _text(name: str) -> str:
    """A page, its line breaks as spaces."""
    return " ".join((RESOURCES / f"{name}.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder in which the script has drawn, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("figures") / "new", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert figures.main(["-o", str(folder)]) == 0
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def numbers():
    return figures.numbers()


def test_the_script_draws_all_figures_that_there_are(drawn):
    names = {f"{name}.png" for name in INTRODUCTIONS}
    assert {path.name for path in drawn[0].iterdir()} == names
    assert {path.name for path in (RESOURCES / "figures").iterdir()} == names


@pytest.mark.parametrize("name", INTRODUCTIONS)
def test_committed_figures_are_what_the_script_draws(drawn, name):
    committed, made = RESOURCES / "figures" / f"{name}.png", drawn[0] / f"{name}.png"
    assert len(committed.read_bytes()) < MOST_BYTES
    if committed.read_bytes() == made.read_bytes():
        return
    locked = re.search(r"^matplotlib==(\S+)", (ROOT / "requirements-light.lock").read_text(), re.MULTILINE)
    if matplotlib.__version__ != locked.group(1):
        pytest.skip("another matplotlib than the locked one draws letters and lines in its own way")
    # Another processor rounds otherwise, by which a line may move by a part of a pixel.
    before, after = imread(committed), imread(made)
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 0.002


@pytest.mark.parametrize("name", INTRODUCTIONS)
def test_an_introduction_shows_its_figure_and_quotes_all_its_numbers(drawn, numbers, name):
    text = _text(name)
    assert f"](figures/{name}.png)" in text
    quoted = {key: words for key, words in numbers.items() if key.startswith(f"{name}.")}
    assert len(quoted) >= 5
    for key, words in quoted.items():
        assert re.search(rf"(?<![\w.]){re.escape(words)}(?!\w)", text), (
            f"{key} is {words}, which {name}.md does not say"
        )
        assert f"{key:44} {words}" in drawn[1]


def test_every_number_belongs_to_an_introduction(numbers):
    assert {key.split(".")[0] for key in numbers} == set(INTRODUCTIONS)


def test_readme_lists_every_page_and_the_pieces():
    text = _text("README")
    for target in [*(path.name for path in PAGES if path.name != "README.md"), "pieces/README.md", "figures"]:
        assert f"]({target})" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        # Headings are looked for in test_docs.py.
        assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_cited_works_are_in_the_reading_list(page):
    entries = _text("reading").split(" - ")
    cited = re.findall(
        r"\b([A-Z][a-z]+)(?: et al\.|(?:, [A-Z][a-z]+)* (?:and|&) [A-Z][a-z]+)? \(?((?:19|20)\d\d)\b", _text(page.stem)
    )
    for author, year in cited if page.stem != "reading" else []:
        assert any(re.match(rf"(?:[a-z]+ )*{author}, .*\({year}", entry) for entry in entries), f"{author} {year}"


def test_bar_of_midi_is_the_same_music_in_all_its_forms():
    notes = figures.bar_notes()
    starts = [message.note for _, message in figures.midi_events()[1] if message.type == "note_on"]
    assert [note.pitch for note in notes] == starts
    assert [pitch for pitch, _, _ in figures.melody_tokens.token_notes(figures.bar_tokens())] == starts
    assert sum(int(row[0]) for row in figures.event_rows()) < 4 * figures.midi_events()[0]


def test_dimensions_add_up_to_what_evaluate_measures():
    metrics = figures.evaluation.evaluate(figures.load(figures.SHORT).engine, figures.windows())
    assert figures.kl_bits().sum(axis=1).mean() == pytest.approx(metrics.kl_bits)
    assert int(figures.active().sum()) == metrics.active_units
