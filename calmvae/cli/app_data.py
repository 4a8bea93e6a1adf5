"""The command line of what makes data sets: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli.console import Console
from calmvae.common.text import share

corpus_app = typer.Typer(help="Training corpora from public collections.", no_args_is_help=True, rich_markup_mode=None)


Calmest = Annotated[
    float, typer.Option("--calmest", parser=share, metavar="SHARE", help="Only the calmest: 0.3 or 30%, by score.")
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Output folder.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def convert(
    paths: Annotated[list[Path], typer.Argument(help="Music files and folders.")],
    out: Out = Path("out/data"),
    config: Annotated[str, typer.Option(help="Count windows for this config.")] = "calm-mel_2bar",
    eval_share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the pieces held out.")] = 0.1,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default one a core.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Music files to NoteSequence TFRecords, split by piece, every file accounted for."""
    from calmvae.cli import data_commands

    data_commands.convert(paths, out, config, eval_share, seed, workers, Console(quiet, as_json))


@corpus_app.command("build")
def corpus_build(
    sources: Annotated[
        list[str],
        typer.Argument(help="Checkouts of POP909-Dataset and Lieder, folders of music, music21:bach, music21:essen."),
    ],
    out: Out = Path("out/corpus"),
    eval_share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the tune families held out.")] = 0.1,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default one a core.")] = None,
    calmest: Calmest = 1.0,
    non_commercial: Annotated[
        bool, typer.Option("--non-commercial", help="Accept sources from which no model may be published freely.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Collections to one data set, split by tune family, with a data card of terms and counts."""
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
