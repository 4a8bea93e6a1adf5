"""The generated documentation is that of today's code, and every link in the repository leads somewhere."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

import calmvae
from tests.conftest import ROOT
from tools import docs

BUILD = (
    "import sys; from pathlib import Path; from tools import docs; docs.build_api(Path(sys.argv[1]))\n"
    "print(*[m for m in ('tensorflow', 'magenta', 'note_seq') if m in sys.modules])"
)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """What a page of HTML, or of Markdown turned into it, links to, and what in it can be linked to.

    Attributes:
      links: of anchors, images, style sheets and scripts.
      anchors: its ids.
      headings: the anchors that GitHub gives its headings.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.headings: list[str] = []
        self._heading: str | None = None
        text = path.read_text(encoding="utf-8")
        self.feed(MarkdownIt("commonmark").enable("table").render(text) if path.suffix == ".md" else text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes links and ids; begins a heading."""
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value or "")
            elif name == "id" or (name, tag) == ("name", "a"):
                self.anchors.add(value or "")
        if tag in HEADINGS:
            self._heading = ""

    def handle_data(self, data: str) -> None:
        """Goes on with a heading."""
        if self._heading is not None:
            self._heading += data

    def handle_endtag(self, tag: str) -> None:
        """Ends a heading: lower case, no punctuation, hyphens for spaces, a number from the second of a kind on."""
        if tag in HEADINGS and self._heading is not None:
            slug = re.sub(r"[^\w\- ]", "", self._heading.strip().lower()).replace(" ", "-")
            seen = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in self.headings)
            self.headings.append(f"{slug}-{seen}" if seen else slug)
            self._heading = None


def broken_links(files: list[Path], top: Path) -> list[str]:
    """Links of some pages below a folder that lead to no file in it, or to no place in one of these pages."""
    pages = {file.resolve(): Page(file) for file in files}
    broken = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            found = target.exists() and target.is_relative_to(top.resolve())
            if found and parts.fragment and target in pages:
                there = pages[target]
                headings = there.headings if target.suffix == ".md" else []
                found = unquote(parts.fragment) in {*there.anchors, *headings}
            if not found:
                broken.append(f"{file.relative_to(top.resolve())}: {link}")
    return broken


def markdown_files() -> list[Path]:
    """What git knows or would take; without git, what is not in a folder that it ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
        files = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.SubprocessError):
        ignored = {".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text().split())}
        files = [file for file in ROOT.rglob("*.md") if not ignored & set(file.relative_to(ROOT).parts)]
    return sorted({file for file in files if file.exists()})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The API's pages, built twice at the same time, in processes whose sets have different orders."""
    folders = [tmp_path_factory.mktemp("api") for _ in range(2)]
    running = []
    for seed, folder in enumerate(folders, 1):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", BUILD, str(folder / "pages")]
        running.append(
            subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    for process in running:
        loaded, said = process.communicate(timeout=300)
        assert process.returncode == 0 and not said, said
        assert not loaded.split()
    return [folder / "pages" for folder in folders]


def test_commands_page_is_of_todays_code():
    current = docs.COMMANDS.read_text(encoding="utf-8") == docs.commands_page()
    assert current, "docs/commands.md is not what the code says; run `.venv/bin/python -m tools.docs` and commit it"


def test_every_command_and_option_is_on_the_page():
    parts = re.split(r"^#+ `(calmvae [^`]+)`\n", docs.COMMANDS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    commands = dict(docs.every_command())
    assert len(commands) > 20 and set(sections) == set(commands) - {"calmvae"}
    for name, section in sections.items():
        options = {option for parameter in commands[name].params for option in parameter.opts if option[0] == "-"}
        assert options <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", section)), name


def test_api_pages_are_of_all_modules_and_of_no_machine(api):
    pages = {str(page.relative_to(api[0])): page.read_bytes() for page in api[0].rglob("*.*")}
    expected = {f"{name.replace('.', '/')}.html" for name in docs.module_names()} | {"index.html", "search.js"}
    assert set(pages) == expected
    assert pages == {str(page.relative_to(api[1])): page.read_bytes() for page in api[1].rglob("*.*")}
    for place in (ROOT, Path(np.__file__).parent.parent, Path.home(), api[0].parent):
        # The home of a user who has none is the root of all paths.
        found = [name for name, text in pages.items() if re.search(rf"{re.escape(str(place))}\b".encode(), text)]
        assert place == Path("/") or not found, place
    top = pages["calmvae.html"].decode()
    assert all(f'<section id="{name}">' in top for name in calmvae.__all__)


def test_api_pages_link_to_each_other(api):
    files = sorted(api[0].rglob("*.html"))
    assert broken_links(files, api[0]) == []
    assert {"calmvae/midi.html", "calmvae/model/interface.html#Model"} <= set(Page(api[0] / "calmvae.html").links)
    assert "midi/read_music.html" in Page(api[0] / "calmvae" / "midi.html").links


def test_public_functions_and_classes_have_docstrings():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    missing = []
    for file in sorted((ROOT / "calmvae").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
        missing += [f"{file.name}: {node.name}" for node in public if not ast.get_docstring(node)]
        missing += [] if ast.get_docstring(tree) else [file.name]
    assert missing == []


def test_links_in_markdown():
    files = markdown_files()
    assert {ROOT / "README.md", ROOT / "docs" / "commands.md", ROOT / "docs" / "README.md"} <= set(files)
    assert broken_links(files, ROOT) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "there.png").touch()
    (tmp_path / "b.md").write_text("# One `two`, three\n\n## Again\n\n## Again\n")
    (tmp_path / "a.md").write_text(
        "[](b.md#one-two-three) [](b.md#again-1) ![](there.png) [x](https://example.org/none)\n"
        '[](b.md#none) [](c.md) [](#none) [](..) [y][z] ![](gone.png) <img src="lost.png">\n\n[z]: d.md\n'
    )
    found = broken_links([tmp_path / "a.md", tmp_path / "b.md"], tmp_path)
    assert found == [f"a.md: {link}" for link in ("b.md#none", "c.md", "#none", "..", "d.md", "gone.png", "lost.png")]


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert citation["version"] == calmvae.__version__ == setup["metadata"]["version"]
    assert citation["license"] == setup["metadata"]["license"]
    assert (citation["cff-version"], citation["title"], citation["type"]) == ("1.2.0", "calmvae", "software")
    assert citation["message"] and citation["authors"] == [{"name": "The calmvae contributors"}]
    (paper,) = citation["references"]
    assert paper["type"] and paper["year"] == 2018 and "1803.05428" in paper["url"]
    assert [author["family-names"] for author in paper["authors"]] == ["Roberts", "Engel", "Raffel", "Hawthorne", "Eck"]
