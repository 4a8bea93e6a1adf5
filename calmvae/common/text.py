"""Numbers, tables and commands as printed text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from calmvae.common.errors import OptionError

_MOST_LINES = 8


def percent(share: float, digits: int = 1) -> str:
    """96.0 % for 0.96."""
    return f"{100 * share:.{digits}f} %"


def count(n: int, noun: str) -> str:
    """A number with its noun, such as `1 bar` or `2 bars`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def are(n: int) -> str:
    """The verb for a number of things: is or are."""
    return "is" if n == 1 else "are"


def share(value: str | float) -> float:
    """The share given as `--calmest`, such as 0.3 or 30%.

    Raises:
      OptionError: it is not above 0 and at most 1.
    """
    try:
        number = float(str(value).rstrip("%")) / (100 if str(value).endswith("%") else 1)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise OptionError(f"--calmest is {value}; it must be above 0 and at most 1, or 100%.")
    return number


def by_kind(said: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The remarks on pieces, `(name, sentences)`, one line each; if they are many, one line for each kind, the most
    common first."""
    lines = [(name, sentence) for name, sentences in said for sentence in sentences]
    if len(lines) <= _MOST_LINES:
        return [_of(name, sentence) for name, sentence in lines]
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, sentence in lines:
        kinds.setdefault(_kind(sentence), []).append((name, sentence))
    found = []
    for examples in sorted(kinds.values(), key=len, reverse=True):
        names, example = len({name for name, _ in examples}), _of(*examples[0])
        found.append(f"{count(names, 'piece')}, such as {example}" if names > 1 else example)
    return found


def _of(name: str, sentence: str) -> str:
    return sentence if sentence.startswith(name) else f"{name}: {sentence}"


def _kind(sentence: str) -> str:
    """A sentence without its numbers, paths, examples and plurals."""
    bare = re.sub(r"\S*/\S*|\([^)]*\)|'[^']*'|:.*", "", sentence)
    bare = re.sub(r"\bare\b", "is", re.sub(r"\bhave\b", "has", bare))
    return re.sub(r"s\b", "", re.sub(r"\d+", "N", bare))


def no_end(n: int) -> str:
    """The remark on notes without an end."""
    they = "has no end; it sounds" if n == 1 else "have no end; each sounds"
    return f"{count(n, 'note')} {they} until its pitch is struck again or its track ends."


def no_length(n: int) -> str:
    """The remark on notes without a length."""
    return f"{count(n, 'note')} {'has no length; it' if n == 1 else 'have no length; each'} is played as a sixteenth."


def bars(first: int, last: int) -> str:
    """The bars from the first to the last, both included."""
    return f"bar {first}" if first == last else f"bars {first} to {last}"


def command(*words: Any) -> str:
    """A calmvae command that can be typed, with special characters quoted."""
    return shlex.join(["calmvae", *map(str, words)])


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]] = ()) -> str:
    """A Markdown table; without rows, only its head."""
    lines = (f"| {' | '.join(cells)} |" for cells in (columns, *rows))
    return "\n".join([next(lines), "|" + "---|" * len(columns), *lines])
