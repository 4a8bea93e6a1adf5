"""Runs every command of own_model/COMMANDS.md, writes what they printed into the page and keeps what it links to.

    .venv/bin/python -m tools.stages                 the page and own_model/results; six minutes
    .venv/bin/python -m tools.stages --exact         only what is the same on every processor; a few seconds
    .venv/bin/python -m tools.stages -o out/stages   the results only, elsewhere

The page is the only list. A fenced block without a language holds commands, one of `text` below it what they printed,
and a link to results/sample/sample-01.mid has out/sample/sample-01.mid kept. `text approximate` is of commands that
print and make something else on another processor. tests/test_stages.py runs the page too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.pairs import CALMVAE
from tools import notebooks

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "own_model" / "COMMANDS.md"
RESULTS = PAGE.with_name("results")
# Of a command that prints more lines than this the page has the first and the last.
_MOST_LINES, _FIRST, _LAST = 14, 10, 3
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Commands of one block, and what the page says of them.

    Attributes:
      commands: each as its words, without `calmvae`.
      printed: what the page says they print.
      approximate: whether another processor prints and makes something else.
    """

    commands: list[list[str]]
    printed: str
    approximate: bool

    def makes(self, result: str) -> bool:
        """Whether a result of the page, such as results/sample/sample-01.mid, comes from here."""
        outs = [words[k + 1] for words in self.commands for k, word in enumerate(words) if word == "-o"]
        return any(result.startswith(f"results/{out.removeprefix('out/')}/") for out in outs)


def stages(text: str) -> list[Stage]:
    """The stages of a page.

    Raises:
      ValueError: a block of commands holds something else, or none of `text` follows it.
    """
    found, blocks = [], _BLOCK.findall(text)
    for k, (language, body) in enumerate(blocks):
        if language:
            continue
        lines = [shlex.split(line) for line in body.replace("\\\n", " ").splitlines()]
        below, printed = blocks[k + 1] if k + 1 < len(blocks) else ("", "")
        if not lines or any(words[:1] != ["calmvae"] for words in lines) or not below.startswith("text"):
            raise ValueError(f"not commands of calmvae with a block of text below them:\n{body}")
        found.append(Stage([words[1:] for words in lines], printed, below == "text approximate"))
    return found


def results(text: str) -> list[str]:
    """What a page links to of its results, such as results/sample/sample-01.mid."""
    return sorted(set(re.findall(r"\]\((results/[^)#]+)\)", text)))


def run(
    these: Iterable[Stage],
    folder: Path,
    change: Callable[[list[str]], list[str]] = list,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Runs stages in a folder, from which they see the embedded pieces and a cache of its own; what each printed.

    Args:
      these: the stages.
      folder: an empty one.
      change: a command's words to those to be run.
      say: called with a line on each.

    Raises:
      RuntimeError: a command fails.
    """
    (folder / "resources").symlink_to(ROOT / "resources")
    cache = folder / "cache"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "CALMVAE_CACHE": str(cache)}
    env.pop("CALMVAE_REGISTRY", None)
    printed = []
    for stage in these:
        texts = []
        for words in stage.commands:
            began = time.monotonic()
            command = [*CALMVAE, *change(words)]
            done = subprocess.run(
                command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
            if done.returncode:
                raise RuntimeError(f"calmvae {shlex.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
            say(f"{time.monotonic() - began:6.1f} s  calmvae {shlex.join(words)}")
            said = done.stdout.replace(str(cache), "~/.cache/calmvae").replace(f"{ROOT}{os.sep}", "")
            texts.append(_shortened(said))
        printed.append("".join(texts))
    return printed


def _shortened(text: str) -> str:
    """Without the lines of progress, which come by the clock, and with the first and last of many lines."""
    lines = [line for line in text.splitlines() if not re.fullmatch(r"\w+: \d+ of \d+", line)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_FIRST], "...", *lines[-_LAST:]]
    return "".join(f"{line}\n" for line in lines)


def filled(text: str, printed: Iterable[str]) -> str:
    """The page with what its stages printed."""
    said = iter(printed)
    return _BLOCK.sub(
        lambda block: f"```{block[1]}\n{next(said)}```" if block[1].startswith("text") else block[0], text
    )


def keep(wanted: Iterable[str], made: Path, folder: Path) -> None:
    """Copies results of a page from the folder of outputs that they were made in, pictures made small."""
    for result in wanted:
        place = Path(result).relative_to("results")
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".png":
            (folder / place).write_bytes(notebooks.small_png((made / place).read_bytes()))
        else:
            shutil.copyfile(made / place, folder / place)


def main() -> None:
    """Runs all of them, or those that are the same on every processor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, help="Where to keep the results.")
    parser.add_argument("--exact", action="store_true", help="Leave out what is approximate.")
    given = parser.parse_args()
    out, text = given.out, PAGE.read_text(encoding="utf-8")
    every = stages(text)
    these = [stage for stage in every if not (given.exact and stage.approximate)]
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(run(these, Path(folder), say=lambda line: print(line, flush=True)))
        keep([name for name in results(text) if any(stage.makes(name) for stage in these)], Path(folder) / "out", out)
    if out.resolve() == RESULTS:
        said = [next(printed) if stage in these else stage.printed for stage in every]
        PAGE.write_text(filled(text, said), encoding="utf-8")
    files = [file for file in out.rglob("*") if file.is_file()]
    print(f"{out}: {len(files)} files, {sum(file.stat().st_size for file in files) / 1000:.0f} kB.")
    kept = {out / Path(result).relative_to("results") for result in results(text)}
    for file in sorted(set(files) - kept):
        print(f"The page does not link to {file}; delete it.")


if __name__ == "__main__":
    main()
