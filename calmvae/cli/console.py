"""The output of commands: results on stdout (as JSON if wanted), progress and remarks on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from calmvae.cli import options
from calmvae.common.text import by_kind


@dataclasses.dataclass(frozen=True)
class Console:
    """Speaks for one command.

    Attributes:
      quiet: print errors only.
      as_json: print one JSON object on stdout at the end instead of sentences.
    """

    quiet: options.Quiet = False
    as_json: options.Json = False

    def say(self, sentence: str) -> None:
        """A result, for stdout."""
        if not self.quiet and not self.as_json:
            print(sentence, flush=True)

    def remark(self, *sentences: str) -> None:
        """Remarks on the way to the result, for stderr."""
        for sentence in () if self.quiet else sentences:
            print(sentence, file=sys.stderr, flush=True)

    def result(self, data: dict[str, Any], *sentences: str) -> None:
        """The end of a command: the sentences, or the data as JSON."""
        if self.as_json:
            print(json.dumps(data, indent=2, ensure_ascii=False))
        for sentence in sentences:
            self.say(sentence)

    @contextlib.contextmanager
    def progress(self, what: str, size: bool = False) -> Iterator[Callable[[int, int], None]]:
        """A progress bar on a terminal, a line every ten seconds elsewhere; call it with (done, total).

        With `size` it counts bytes. A total of 0 is unknown.
        """
        if self.quiet:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            from rich.console import Console as Terminal
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            count = DownloadColumn() if size else MofNCompleteColumn()
            columns = (TextColumn(what), BarColumn(), count, TimeRemainingColumn())
            with Progress(*columns, console=Terminal(stderr=True), transient=True) as bar:
                task = bar.add_task(what, total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total or None)
        else:
            last = [time.monotonic()]

            def line(done: int, total: int) -> None:
                if time.monotonic() - last[0] > 10:
                    last[0] = time.monotonic()
                    shown = [f"{n / 1e6:.1f} MB" if size else str(n) for n in (done, total) if n or not size]
                    print(f"{what}: {' of '.join(shown)}", file=sys.stderr, flush=True)

            yield line


def say_records(records: Iterable[dict[str, Any]], console: Console) -> None:
    """Says why the files of a manifest were skipped, and what readers mended or left out."""
    records = list(records)
    skipped = by_kind([(r["file"], [r["detail"]]) for r in records if r["status"] == "skipped"])
    console.remark(*(f"Skipped: {line}" for line in skipped))
    console.remark(*by_kind([(r["name"], r.get("warnings", [])) for r in records]))
