"""Every figure in the documents comes from a command, and this holds them to each other.

    .venv/bin/python -m tools.claims                         # do the documents say what was measured?
    .venv/bin/python -m tools.claims --run NAME [NAME ...]   # measure again, and renew the documents
    .venv/bin/python -m tools.claims --add NAME 'calmvae evaluate calm-mel_2bar --data out/corpus' [--needs out/corpus]

What a command gave lies in `own_model/measured/NAME.json`: the command, the day, what it needs that is not in the
checkout, by how much another machine's figures may differ, and what it gave: the JSON of `calmvae ... --json`, or the
Markdown tables and lines that a script prints. `tools/claims.toml` says where a document quotes that, as a text with
places to fill in. `--where out/corpus=/path` says where something needed lies on this machine.

A place is `{path/to/value:spec}`. Its spec is a number of decimals (3: .960), or `g` and a number of digits, `,` for
thousands, `%`, `f`, `+` (signed) or `M` (millions) and a number of decimals; without one, the value is taken as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from benchmarks.pairs import CALMVAE
from calmvae.cli import measured
from calmvae.common.text import markdown

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = Path(__file__).with_name("claims.toml")
# Documents in which every figure has to be claimed.
DOCUMENTS = ["README.md", "REFLECTION.md", "own_model/README.md", "own_model/DATA.md"]
DOCUMENTS += ["own_model/calm-mel_2bar/README.md", "own_model/calm-mel_16bar/README.md"]
# Documents that quote what was measured beside much that claims nothing.
QUOTING = ["benchmarks/README.md"]
# Of a command's JSON, what is about the machine or the call.
_NOT_KEPT = {"versions", "source", "inputs", "arguments", "outputs"}
# Figures that are results: with a decimal point or a percent sign, or thousands, and all in the cells of a table.
_FIGURE = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+(?=%))(?![\w.]*\.\d)")
_CELL = re.compile(r"(?<=\|) *[-+]?[\d.,]+%?(?: (?:s|ms|MB))? *(?=\|)")
_QUIET = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A text that documents quote.

    Attributes:
      record: name of what was measured; without one, the text claims nothing (a version, a date, a setting).
      files: of the documents.
      text: with places to fill in.
      table: path of rows that stand as a whole table.
    """

    record: str | None
    files: list[str]
    text: str = ""
    table: str | None = None

    def filled(self, gives: Any) -> str:
        """The text as it has to stand.

        Raises:
          KeyError: what was measured has no such value.
        """
        if self.table is not None:
            rows = value_at(gives, self.table)
            return markdown(list(rows[0]), [list(row.values()) for row in rows])
        return _fill(self.text, gives)


def claims(path: Path = CLAIMS) -> list[Claim]:
    """All that are listed."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    return [Claim(one.get("record"), one["in"], one.get("text", "").strip("\n"), one.get("table")) for one in listed]


def value_at(gives: Any, path: str) -> Any:
    """The value at a path such as `parts/calm/accuracy` or `tables/0/2/ratio`.

    Raises:
      KeyError: there is none.
    """
    found = gives
    for key in filter(None, path.split("/")):
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise KeyError(f"{path}: no {key}") from None
    return found


def _fill(text: str, gives: Any) -> str:
    return re.sub(r"\{([^{}:]+):?([^{}]*)\}", lambda m: formatted(value_at(gives, m[1]), m[2]), text)


def formatted(value: Any, spec: str) -> str:
    """A value as a document writes it."""
    kind, digits = (spec[:1], spec[1:]) if spec and not spec.isdigit() else ("", spec)
    if spec == ",":
        return f"{value:,}"
    if kind == "g":
        return f"{value:#.{digits}g}".rstrip(".")
    if kind == "%":
        return f"{value:.{digits or 0}%}"
    if kind == "M":
        return f"{value / 1e6:.{digits}f}"
    if kind in ("+", "f"):
        return f"{value:{kind.strip('f')}.{digits}f}"
    if digits:
        # No zero before the point, as is usual for shares.
        return re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")
    return str(value)


def check(documents: dict[str, str], listed: list[Claim], known: dict[str, Any]) -> list[str]:
    """What is wrong: a claim that a document does not make so, or a figure in it that nothing measured.

    Args:
      documents: text by name.
      listed: the claims.
      known: what was measured, by name.
    """
    wrong = []
    plain = {name: _QUIET.sub(lambda m: "_" * len(m[0]), text) for name, text in documents.items()}
    covered = {name: bytearray(len(text)) for name, text in documents.items()}
    for claim in listed:
        if claim.record and claim.record not in known:
            wrong.append(f"own_model/measured/{claim.record}.json is missing, which {', '.join(claim.files)} quotes")
            continue
        text = claim.filled(known[claim.record]) if claim.record else claim.text
        for name in claim.files:
            spans = [m.span() for m in _pattern(text).finditer(documents[name])]
            for begin, end in spans:
                covered[name][begin:end] = b"x" * (end - begin)
            if not spans:
                wrong.append(f"{name} does not say, of {claim.record}: {text}")
    for name, text in ((name, text) for name, text in plain.items() if name not in QUOTING):
        figures = [m for kind in (_FIGURE, _CELL) for m in kind.finditer(text)]
        loose = sorted({m.start() for m in figures if not all(covered[name][m.start() : m.end()])})
        lines = {text.count("\n", 0, at): at for at in reversed(loose)}
        wrong += [f"{name}, line {k + 1}: nothing says {_line(text, lines[k])!r}" for k in sorted(lines)]
    return wrong


def _pattern(text: str) -> re.Pattern[str]:
    """A text wherever its lines are broken."""
    return re.compile(r"\s+".join(map(re.escape, text.split())))


def _line(text: str, at: int) -> str:
    return text[max(0, at - 25) : at + 25].replace("\n", " ")


def renew(documents: dict[str, str], listed: list[Claim], name: str, old: Any, new: Any) -> dict[str, str]:
    """The documents with what was measured anew in place of what was."""
    for claim in (claim for claim in listed if claim.record == name):
        before, after = claim.filled(old), claim.filled(new)
        for file in claim.files:
            documents[file] = _pattern(before).sub(lambda m, after=after: _wrapped(m[0], after), documents[file])
    return documents


def _wrapped(before: str, after: str) -> str:
    """The new words with the line breaks of the old, if there are as many."""
    spaces, words = re.findall(r"\s+", before), after.split()
    if len(spaces) != len(words) - 1:
        return after
    return "".join(word + space for word, space in zip(words, [*spaces, ""], strict=True))


def differences(old: Any, new: Any, tolerance: float, at: str = "") -> list[str]:
    """Where two results differ by more than a share of the larger value (or as much in absolute terms below 1)."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        pairs = [(old[key], new[key], f"{at}/{key}") for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(a, b, f"{at}/{k}") for k, (a, b) in enumerate(zip(old, new, strict=True))]
    elif isinstance(old, bool) or isinstance(new, bool):
        return [] if old is new else [f"{at}: {old} was {new}"]
    elif isinstance(old, (int, float)) and isinstance(new, (int, float)):
        same = math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
        return [] if same else [f"{at}: {old} was {new}"]
    elif isinstance(old, str) and isinstance(new, str) and old != new:
        number = re.compile(r"[-+]?\d[\d,]*\.?\d*|[-+]?\.\d+")
        if number.sub("#", old) != number.sub("#", new):
            return [f"{at}: {old} was {new}"]
        values = [[float(n.replace(",", "")) for n in number.findall(text)] for text in (old, new)]
        return differences(values[0], values[1], tolerance, at)
    else:
        return [] if old == new else [f"{at}: {str(old)[:80]} was {str(new)[:80]}"]
    return [found for pair in pairs for found in differences(pair[0], pair[1], tolerance, pair[2])]


def measure(command: str, where: dict[str, str]) -> Any:
    """Runs a command and gives what it prints: its JSON, or tables and lines.

    Raises:
      RuntimeError: it fails.
    """
    for name, place in where.items():
        command = command.replace(name, place)
    words = shlex.split(command)
    given = [*CALMVAE, *words[1:], "--json"] if words[0] == "calmvae" else [sys.executable, *words[1:]]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()[-2000:]}")
    return kept(json.loads(done.stdout)) if words[0] == "calmvae" else printed(done.stdout)


def kept(value: Any) -> Any:
    """JSON without what is of one machine, its numbers to six digits."""
    if isinstance(value, dict):
        return {key: kept(one) for key, one in value.items() if key not in _NOT_KEPT}
    if isinstance(value, list):
        return [kept(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def printed(text: str) -> dict[str, Any]:
    """The Markdown tables of an output, as rows by column, and its other lines."""
    tables: list[list[dict[str, str]]] = []
    lines: list[str] = []
    columns: list[str] | None = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            columns = None
            lines += [line.strip()] if line.strip() else []
        elif columns is None:
            columns = cells
            tables.append([])
        elif set("".join(cells)) - set("-: "):
            tables[-1].append(dict(zip(columns, cells, strict=True)))
    return {"tables": tables, "lines": lines}


def _write(name: str, made: dict[str, Any]) -> None:
    (measured.folder() / f"{name}.json").write_text(
        json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def documents() -> dict[str, str]:
    """The documents, by name."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in [*DOCUMENTS, *QUOTING]}


def _run(wanted: list[str], where: dict[str, str]) -> None:
    for name in wanted:
        old = measured.record(name)
        gives = measure(old["command"], where)
        for found in differences(old["gives"], gives, old.get("tolerance", 0.0)):
            print(f"{name}: {found}")
        _write(name, {**old, "date": time.strftime("%Y-%m-%d"), "gives": gives})
        texts = documents()
        for file, text in renew(texts, claims(), name, old["gives"], gives).items():
            (ROOT / file).write_text(text, encoding="utf-8")


def main() -> int:
    """Checks, measures again, or adds a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", metavar="NAME", help="measure again, and renew the documents")
    parser.add_argument("--add", nargs=2, metavar=("NAME", "COMMAND"), help="measure for the first time")
    parser.add_argument("--needs", default="", help="with --add: what is not in the checkout, such as out/corpus")
    parser.add_argument("--tolerance", type=float, default=0.0, help="with --add: by which share figures may differ")
    parser.add_argument("--where", nargs="+", default=[], metavar="NAME=PLACE", help="where something needed lies")
    given = parser.parse_args()
    where = dict(one.split("=", 1) for one in given.where)
    if given.add:
        name, command = given.add
        head = {"command": command, "date": time.strftime("%Y-%m-%d"), "needs": given.needs}
        _write(name, {**head, "tolerance": given.tolerance, "gives": measure(command, where)})
    elif given.run:
        _run(given.run, where)
    wrong = check(documents(), claims(), {name: measured.result(name) for name in measured.names()})
    print("\n".join(wrong) or "The documents say what was measured.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
