"""The command line of what makes data sets: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console

corpus_app = typer.Typer(help="Make corpora of public collections.", no_args_is_help=True, rich_markup_mode=None)


def convert(
    paths: options.Music,
    out: options.Out = Path("out/data"),
    config: Annotated[str, typer.Option(help="Count the windows of this config.")] = "calm-mel_2bar",
    eval_share: options.HeldOut = 0.1,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Convert music files to NoteSequence TFRecords, split by piece, every file accounted for."""
    from calmvae.cli import data_commands

    data_commands.convert(paths, out, config, eval_share, seed, workers, Console(quiet, as_json))


@corpus_app.command("build")
def corpus_build(
    sources: Annotated[
        list[str],
        typer.Argument(help="Checkouts of POP909-Dataset and Lieder, folders of music, music21:bach, music21:essen."),
    ],
    out: options.Out = Path("out/corpus"),
    eval_share: options.HeldOut = 0.1,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    calmest: options.Calmest = 1.0,
    non_commercial: Annotated[
        bool, typer.Option("--non-commercial", help="Accept sources from which no model may be published freely.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make one data set of collections, split by tune family, with a data card of terms and counts."""
    from calmvae.cli import data_commands

    data_commands.build_corpus(
        sources,
        out,
        Console(quiet, as_json),
        eval_share=eval_share,
        seed=seed,
        workers=workers,
        calmest=calmest,
        non_commercial=non_commercial,
    )
