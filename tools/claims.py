"""Figures in the documents are the figures that commands printed. This module compares the two.

    .venv/bin/python -m tools.claims                         # do the documents say what was measured?
    .venv/bin/python -m tools.claims --run NAME [NAME ...]   # measure again; list the texts that no longer hold
    .venv/bin/python -m tools.claims --add NAME 'calmvae evaluate calm-mel_2bar --data out/corpus' [--needs out/corpus]

`own_model/measured/NAME.json` is the record of a measurement. It holds the command, the date, the inputs that are not
in the checkout, the tolerance between machines, and the result. The result is the JSON of `calmvae ... --json`, or the
Markdown tables and lines that a script prints. `tools/claims.toml` lists the texts that quote a record, with places for
the figures, and the documents that hold these texts. Only these texts are checked, and no document is edited.
`--where out/corpus=/path` says where an input lies on this machine.

A place is `{path/to/value:spec}`. The spec is a number of decimals (3: .960), or a letter and a number: `p` (1:
96.0 %), `%` (1: 96.0%), `f` (decimals), `+` (decimals, signed), `g` (digits) or `M` (millions, decimals). The spec `,`
writes thousands. Without a spec the value is taken as it is.
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
from calmvae.cli import quoted_results
from calmvae.common.text import markdown

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = Path(__file__).with_name("claims.toml")
# Keys in a command's JSON that belong to one machine or one call.
_NOT_KEPT = {"versions", "source", "inputs", "arguments", "outputs"}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A text that quotes a record.

    Attributes:
      record: name of the record.
      files: the documents that hold the text.
      text: with places to fill in.
      table: instead of a text, the path of rows in the record that a document shows as a whole table.
    """

    record: str
    files: list[str]
    text: str = ""
    table: str | None = None

    def filled(self, gives: Any) -> str:
        """The text with the figures of a result.

        Raises:
          KeyError: the result has no such value.
        """
        if self.table is not None:
            rows = value_at(gives, self.table)
            return markdown(list(rows[0]), [list(row.values()) for row in rows])
        return _fill(self.text, gives)


def claims(path: Path = CLAIMS) -> list[Claim]:
    """All claims of a list."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    return [Claim(one["record"], one["in"], one.get("text", "").strip("\n"), one.get("table")) for one in listed]


def value_at(gives: Any, path: str) -> Any:
    """The value at a path such as `parts/sparse/accuracy` or `tables/0/2/ratio`.

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
    if kind == "p":
        return f"{100 * value:.{digits or 0}f} %"
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
    """Claims that do not hold, a sentence each.

    Args:
      documents: text by name.
      listed: the claims.
      known: results by the name of their record.
    """
    wrong = []
    for claim in listed:
        record = f"own_model/measured/{claim.record}.json"
        if claim.record not in known:
            wrong.append(f"{record} is missing; {', '.join(claim.files)} should quote it.")
            continue
        text = claim.filled(known[claim.record])
        missing = [name for name in claim.files if not _pattern(text).search(documents[name])]
        wrong += [f"{name} does not say what {record} says: {text}" for name in missing]
    return wrong


def _pattern(text: str) -> re.Pattern[str]:
    """A text, wherever its lines are broken; not a part of a longer number."""
    return re.compile(r"(?<![\d.,])" + r"\s+".join(map(re.escape, text.split())) + r"(?![.,]?\d)")


def differences(old: Any, new: Any, tolerance: float, at: str = "") -> list[str]:
    """Where two results differ by more than a share of the larger value (below 1: by more than that number)."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        pairs = [(old[key], new[key], f"{at}/{key}") for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(a, b, f"{at}/{k}") for k, (a, b) in enumerate(zip(old, new, strict=True))]
    elif isinstance(old, bool) or isinstance(new, bool):
        return [] if old is new else [f"{at}: {new}, was {old}"]
    elif isinstance(old, (int, float)) and isinstance(new, (int, float)):
        same = math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
        return [] if same else [f"{at}: {new}, was {old}"]
    elif isinstance(old, str) and isinstance(new, str) and old != new:
        number = re.compile(r"[-+]?\d[\d,]*\.?\d*|[-+]?\.\d+")
        if number.sub("#", old) != number.sub("#", new):
            return [f"{at}: {new}, was {old}"]
        values = [[float(n.replace(",", "")) for n in number.findall(text)] for text in (old, new)]
        return differences(values[0], values[1], tolerance, at)
    else:
        return [] if old == new else [f"{at}: {str(new)[:80]}, was {str(old)[:80]}"]
    return [found for pair in pairs for found in differences(pair[0], pair[1], tolerance, pair[2])]


def measure(command: str, where: dict[str, str]) -> Any:
    """Runs a command and returns what it prints: its JSON, or its tables and lines.

    Raises:
      RuntimeError: the command fails.
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
    """JSON without what belongs to one machine or one call; numbers have six digits."""
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
    (quoted_results.folder() / f"{name}.json").write_text(
        json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def documents(listed: list[Claim]) -> dict[str, str]:
    """The documents that hold a claim, by name."""
    names = sorted({name for claim in listed for name in claim.files})
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


def _run(wanted: list[str], where: dict[str, str]) -> None:
    """Measures again: prints what changed and stores the new results."""
    for name in wanted:
        old = quoted_results.record(name)
        gives = measure(old["command"], where)
        for found in differences(old["gives"], gives, old.get("tolerance", 0.0)):
            print(f"{name}: {found}")
        _write(name, {**old, "date": time.strftime("%Y-%m-%d"), "gives": gives})


def main(arguments: list[str] | None = None) -> int:
    """Checks the documents; before that, measures again or adds a measurement if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", metavar="NAME", help="measure again and store the results")
    parser.add_argument("--add", nargs=2, metavar=("NAME", "COMMAND"), help="measure for the first time")
    parser.add_argument(
        "--needs", default="", help="with --add: inputs that are not in the checkout, such as out/corpus"
    )
    parser.add_argument("--tolerance", type=float, default=0.0, help="with --add: share by which figures may differ")
    parser.add_argument("--where", nargs="+", default=[], metavar="NAME=PLACE", help="where an input lies")
    given = parser.parse_args(arguments)
    where = dict(one.split("=", 1) for one in given.where)
    if given.add:
        name, command = given.add
        head = {"command": command, "date": time.strftime("%Y-%m-%d"), "needs": given.needs}
        _write(name, {**head, "tolerance": given.tolerance, "gives": measure(command, where)})
    elif given.run:
        _run(given.run, where)
    listed = claims()
    wrong = check(documents(listed), listed, {name: quoted_results.result(name) for name in quoted_results.names()})
    print("\n".join(wrong) or "The documents say what was measured.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
