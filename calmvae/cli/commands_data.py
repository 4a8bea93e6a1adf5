"""The command line of `convert` and `corpus build`: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import expanded

corpus_app = typer.Typer(help="Make corpora from public collections.", no_args_is_help=True, rich_markup_mode=None)


@expanded
def convert(
    paths: options.Music,
    console: Console,
    out: options.Out = Path("out/data"),
    config: Annotated[str, typer.Option(help="Count the windows of this config.")] = "calm-mel_2bar",
    eval_share: options.HeldOut = 0.1,
    seed: options.Seed = 0,
    workers: options.Workers = None,
) -> None:
    """Convert music files to a data set. Report every file, and hold whole pieces out for evaluation."""
    from calmvae.cli import run_data

    run_data.convert(paths, out, config, eval_share, seed, workers, console)


@corpus_app.command("build")
@expanded
def corpus_build(
    sources: Annotated[
        list[str],
        typer.Argument(help="Checkouts of POP909-Dataset and Lieder, folders of music, music21:bach, music21:essen."),
    ],
    console: Console,
    out: options.Out = Path("out/corpus"),
    eval_share: options.HeldOut = 0.1,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    calmest: options.Calmest = 1.0,
    non_commercial: Annotated[
        bool, typer.Option("--non-commercial", help="Accept sources whose models may not be published freely.")
    ] = False,
) -> None:
    """Make one data set from collections, split by tune family, with a data card of terms and counts."""
    from calmvae.cli import run_data

    run_data.build_corpus(
        sources,
        out,
        console,
        eval_share=eval_share,
        seed=seed,
        workers=workers,
        calmest=calmest,
        non_commercial=non_commercial,
    )
