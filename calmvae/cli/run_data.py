"""The commands `calmvae convert` and `calmvae corpus build`, and finding the data of other commands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from calmvae.cli.console import Console, say_records
from calmvae.common import output_folder
from calmvae.common.errors import InputError
from calmvae.common.text import count
from calmvae.data import convert_folder
from calmvae.model import config_catalog
from calmvae.music.melody_tokens import STEPS_PER_BAR


def convert(
    paths: list[Path], out: Path, config: str, eval_share: float, seed: int, workers: int | None, console: Console
) -> None:
    """Writes train-*.tfrecord, eval-*.tfrecord and manifest.jsonl."""
    summary = _convert(paths, out, config_catalog.known(config), eval_share, seed, workers, console)
    if config_catalog.is_other(config):
        from calmvae.training import train_magenta

        train_magenta.say_converted(out, config, console.remark)
    say_records(convert_folder.read_manifest(out), console)
    skipped = sum(summary.skipped.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.skipped.items())
    more = summary.entries - summary.files
    books = f" ({more} more in tune books)" if more else ""
    console.result(
        {"out": str(out), **dataclasses.asdict(summary)},
        f"{out}: {summary.entries} pieces read from {summary.files} files{books}"
        f" = {summary.kept} kept ({summary.train} to train, {summary.eval} held out) + {skipped} skipped"
        f"{f' ({reasons})' if reasons else ''}.",
        f"{summary.notes} notes, {count(summary.windows, 'window')} for {config}; "
        f"{count(summary.other_files, 'other file')} ignored.",
    )


def build_corpus(given: list[str], out: Path, console: Console, **options: Any) -> None:
    """Writes train-*.tfrecord, eval-*.tfrecord, manifest.jsonl and DATA.md."""
    from calmvae.data import build_corpus

    with console.progress("reading") as progress:
        built = build_corpus.build(given, out, progress=progress, say=console.remark, **options)
    say_records(convert_folder.read_manifest(out), console)
    summary = built.summary
    counted = {bars: sum(c["windows"][bars]["train"]["kept"] for c in built.collections.values()) for bars in (2, 16)}
    console.result(
        {"out": str(out), **dataclasses.asdict(built)},
        f"{out}: {summary.entries} pieces in {built.families} tune families = {summary.kept} kept ({summary.train} to "
        f"train, {summary.eval} held out) + {sum(summary.skipped.values())} skipped.",
        f"To train on: {counted[2]} windows of 2 bars, {counted[16]} of 16 bars. "
        f"{out / build_corpus.CARD_FILE} has all counts.",
    )


def _convert(
    paths: list[Path],
    out: Path,
    config: str,
    eval_share: float,
    seed: int,
    workers: int | None,
    console: Console,
) -> Any:
    split: dict[str, Any] = {"eval_share": eval_share, "seed": seed}
    if config_catalog.is_other(config):
        split |= {"steps": config_catalog.bars(config) * STEPS_PER_BAR, "config": config}
    else:
        split["steps"] = config_catalog.get_spec(config).steps
    with console.progress("converting") as progress:
        return convert_folder.convert(paths, out, **split, workers=workers, progress=progress)


def data_set_of(data: list[Path], folder: Path, config: str, seed: int, console: Console) -> Path:
    """One converted folder or TFRecord as it is; music files and folders of them are converted first."""
    if is_data_set(data):
        return data[0]
    if len(data) == 1 and not data[0].exists():
        raise InputError(f"{data[0]} does not exist; give a converted folder, a .tfrecord or music files.")
    if _converted_before(folder, data, config if config_catalog.is_other(config) else None):
        console.remark(f"Using {folder}, converted before; delete it to convert again.")
        return folder
    console.remark(f"Converting {', '.join(map(str, data))} to {folder}.")
    _convert(data, folder, config, 0.1, seed, None, console)
    say_records(convert_folder.read_manifest(folder), console)
    return folder


def is_data_set(data: list[Path]) -> bool:
    """True for one TFRecord or one converted folder, false for music."""
    return len(data) == 1 and (data[0].suffix == ".tfrecord" or any(data[0].glob("*.tfrecord")))


def _converted_before(folder: Path, data: list[Path], config: str | None) -> bool:
    try:
        record = json.loads((folder / output_folder.RUN_FILE).read_text(encoding="utf-8"))
        given = record["arguments"]["paths"], record["arguments"].get("config")
        return bool(given == ([str(path) for path in data], config) and "outputs" in record)
    except (OSError, ValueError, KeyError, TypeError):
        return False
