"""A training corpus from named collections, split by tune family, with a data card of terms and counts."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from calmvae.common import output_folder
from calmvae.common.errors import InputError, OptionError
from calmvae.common.text import markdown
from calmvae.data import convert_folder, corpus_sources, training_windows
from calmvae.music import melody_tokens

CARD_FILE = "DATA.md"
# Which windows the card counts.
_BARS = (2, 16)
_MELODY = "all"
_REASONS = {
    "silent": "silent",
    "repeated": "repeated",
    "held-out": "a transposition is held out",
}


@dataclasses.dataclass
class Built:
    """The result of a build: the counts of `convert_folder.Summary`, and the same by collection.

    Attributes:
      summary: pieces and files.
      families: number of tune families.
      collections: name to title, terms, address and counts.
    """

    summary: convert_folder.Summary
    families: int
    collections: dict[str, dict[str, Any]]


def build(
    given: Iterable[str],
    out: str | Path,
    *,
    eval_share: float = 0.1,
    seed: int = 0,
    workers: int | None = None,
    calmest: float = 1.0,
    non_commercial: bool = False,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Built:
    """Gathers collections into a folder like `convert_folder.convert`'s, with a data card DATA.md.

    Args:
      given: folders, and names of parts of music21's corpus.
      out: the output folder.
      eval_share: share of the tune families held out.
      seed: of the split.
      workers: processes, default one a core.
      calmest: keep only this share of the pieces, those that score the calmest.
      non_commercial: accept collections whose terms do not allow a model to be published freely.
      progress: called with the number of files done and of all.
      say: called with what is being done.

    Raises:
      InputError, OptionError, MissingDependencyError: a source cannot be used. DataError: no piece is left.
      OutputError: nowhere to write.
    """
    given = list(given)
    convert_folder.check_options(eval_share, melody_tokens.STEPS_PER_BAR)
    found = _found(given, non_commercial)
    origins: dict[str, tuple[str, str | None]] = {}
    for source, files in found:
        for file in files:
            origins.setdefault(str(file), (source.name, corpus_sources.family_of(source, file)))
    arguments = {"sources": given, "eval_share": eval_share, "seed": seed, "non_commercial": non_commercial}
    arguments |= {"calmest": calmest}
    with output_folder.OutputFolder(out, "corpus build", arguments) as folder:
        summary = convert_folder.fill(
            folder,
            [Path(file) for file in origins],
            steps=_BARS[0] * melody_tokens.STEPS_PER_BAR,
            eval_share=eval_share,
            seed=seed,
            workers=workers,
            progress=progress,
            origins=origins,
            calmest=calmest,
        )
        made = folder.path(convert_folder.MANIFEST).parent
        built = _count(summary, convert_folder.read_manifest(made), [source for source, _ in found])
        for bars in _BARS:
            if say:
                say(f"Counting the windows of {bars} bars.")
            _count_windows(built.collections, made, bars)
        folder.path(CARD_FILE).write_text(_card(built, arguments), encoding="utf-8")
        folder.record["summary"] = dataclasses.asdict(built)
    return built


def _found(given: list[str], non_commercial: bool) -> list[tuple[corpus_sources.Source, list[Path]]]:
    found: list[tuple[corpus_sources.Source, list[Path]]] = []
    for word in given:
        source, folder = corpus_sources.resolve(word)
        if not source.publishable and source.name in corpus_sources.SOURCES and not non_commercial:
            raise OptionError(
                f"{word} has the terms '{source.terms}', so a model trained on it cannot be published freely; leave it "
                "out, or accept that with --non-commercial."
            )
        if source.name in [other.name for other, _ in found]:
            raise InputError(f"two sources are called {source.name}; rename a folder or leave one out.")
        found.append((source, corpus_sources.files_of(source, folder)))
    return found


def _count(summary: convert_folder.Summary, records: list[dict[str, Any]], given: list[corpus_sources.Source]) -> Built:
    kept = [record for record in records if record["status"] == "kept"]
    collections = {}
    for source in given:
        mine = [record for record in records if record.get("collection") == source.name]
        counts = Counter(record["split"] if record["status"] == "kept" else record["reason"] for record in mine)
        collections[source.name] = {
            "title": source.title,
            "terms": source.terms,
            "address": source.address,
            "pieces": len(mine),
            "train": counts.pop("train", 0),
            "eval": counts.pop("eval", 0),
            "skipped": dict(counts),
            "families": len({record["family"] for record in kept if record["collection"] == source.name}),
            "windows": {},
        }
    return Built(summary, len({record["family"] for record in kept}), collections)


def _count_windows(collections: dict[str, dict[str, Any]], made: Path, bars: int) -> None:
    """Adds the windows that training will find: to train on, held out, and left out by reason."""
    steps = bars * melody_tokens.STEPS_PER_BAR
    train, held_out = (
        training_windows.load_windows(sorted(made.glob(f"{part}-*.tfrecord")), steps, _MELODY)
        for part in ("train", "eval")
    )
    train = training_windows.without(train, held_out)
    for name, collection in collections.items():
        counts = {}
        for part, windows in (("train", train), ("eval", held_out)):
            names = list(windows.collections)
            mine = windows.origins == names.index(name) if name in names else windows.origins < 0
            dropped = {k: v for k, v in windows.collections.get(name, {}).items() if k != "pieces"}
            counts[part] = {"kept": int(mine.sum()), **dropped}
        collection["windows"][bars] = counts


def _card(built: Built, arguments: dict[str, Any]) -> str:
    words = " ".join(Path(word).name if Path(word).is_dir() else word for word in arguments["sources"])
    options = f"--eval-share {arguments['eval_share']:g} --seed {arguments['seed']}"
    if arguments["calmest"] < 1:
        options += f" --calmest {arguments['calmest']:g}"
    return f"""# Data card

This command made the data set on {datetime.date.today().isoformat()}:

```
calmvae corpus build {words} {options} -o out/corpus
```

{_pieces_table(built.collections)}

There are {built.families:,} tune families in all. A family is held out as a whole. Pieces are variants of one tune if
they have the same name in their collection, or if their skylines share a fifth of their 2-bar windows in any
transposition.

The windows are those of `--melody {_MELODY}`: the skyline of each whole piece and of each track. Every metre is
re-barred onto 16 steps a bar, and the windows slide by a bar.

{(chr(10) * 2).join(_windows_table(built.collections, bars) for bars in _BARS)}
"""


def _pieces_table(collections: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, c in collections.items():
        link = f"[{name}]({c['address']})" if c["address"] else name
        skipped = ", ".join(f"{n} {reason}" for reason, n in c["skipped"].items()) or "none"
        counts = [f"{c[key]:,}" for key in ("pieces", "train", "eval")]
        rows.append([link, c["title"], c["terms"], *counts, skipped, f"{c['families']:,}"])
    columns = ("source", "title", "terms", "pieces", "to train", "held out", "skipped", "tune families")
    return markdown(columns, rows)


def _windows_table(collections: dict[str, dict[str, Any]], bars: int) -> str:
    counts = {name: c["windows"][bars] for name, c in collections.items()}
    counts["together"] = {
        part: sum((Counter(row[part]) for row in counts.values()), Counter[str]()) for part in ("train", "eval")
    }
    rows = []
    for name, row in counts.items():
        values = [row["train"]["kept"], *(row["train"].get(why, 0) for why in _REASONS), row["eval"]["kept"]]
        rows.append([name, *(f"{value:,}" for value in values)])
    return markdown([f"{bars} bars", "to train", *(f"left out: {why}" for why in _REASONS.values()), "held out"], rows)
