"""The command line of `calmvae models` and `calmvae personalize`: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import expanded
from calmvae.common.defaults import DEFAULT_MODEL

app = typer.Typer(
    help="Fetch and verify published models. Import, show and export others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@expanded
def personalize(
    paths: Annotated[list[Path], typer.Argument(help="Your music: files and folders.")],
    console: Console,
    model: options.Model = DEFAULT_MODEL,
    config: options.Config = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The output folder. The default is beside the model.")
    ] = None,
    melody: options.Melody = "skyline",
    most: Annotated[int, typer.Option("--windows", min=1, help="The most windows to take.")] = 2048,
    seed: options.Seed = 0,
) -> None:
    """Fit a prior to your own music in seconds, for `calmvae sample --prior personal`."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import run_personalize

    opened = open_model.load_numpy_model(model, config)
    run_personalize.personalize(paths, opened, out, console, melody=melody, seed=seed, most=most)


@app.command("list")
@expanded
def list_models(
    console: Console,
    here: Annotated[bool, typer.Option("--here", help="List only the models on this machine.")] = False,
) -> None:
    """List the embedded models, the models on this machine, and all published ones."""
    from calmvae.cli import run_models

    run_models.list_models(here, console)


@app.command()
@expanded
def show(name: options.ModelArgument, console: Console, config: options.Config = None) -> None:
    """Show what is known of a model: its config, sizes, SHA-256 and licence."""
    from calmvae.cli import run_models

    run_models.show(name, config, console)


@app.command()
@expanded
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of `calmvae models list`.")],
    console: Console,
    again: Annotated[bool, typer.Option("--again", help="Fetch the files again, and forget their SHA-256.")] = False,
) -> None:
    """Fetch published models. Files that are already here are not fetched again."""
    from calmvae.cli import run_models

    run_models.fetch(names, again, console)


@app.command()
@expanded
def verify(
    console: Console,
    names: Annotated[list[str] | None, typer.Argument(help="Models on this machine. The default is all.")] = None,
) -> None:
    """Compare the files of models with the SHA-256 on record."""
    from calmvae.cli import run_models

    run_models.verify(names or [], console)


@app.command()
def path(name: options.ModelArgument) -> None:
    """Print the path of a model."""
    from calmvae.cli import run_models

    run_models.path(name, Console())


@app.command("import")
@expanded
def import_model(
    source: Annotated[
        str, typer.Argument(help="A checkpoint (prefix, folder or .tar), a magenta-js folder or a model folder.")
    ],
    console: Console,
    name: Annotated[
        str | None, typer.Option("--name", help="The name of the model. The default is that of the file.")
    ] = None,
    config: options.Config = None,
) -> None:
    """Keep a model under a name, as a model folder that opens without TensorFlow."""
    from calmvae.cli import run_models

    run_models.import_model(source, name, config, console)


@app.command()
@expanded
def export(
    model: options.ModelArgument,
    console: Console,
    out: options.Out = Path("out/model"),
    config: options.Config = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="The format: calmvae (safetensors), magenta (TensorFlow) or magenta-js (for a browser)."
        ),
    ] = "calmvae",
    half: Annotated[bool, typer.Option("--half", help="With calmvae: store float16, half the size.")] = False,
    quantize: Annotated[str | None, typer.Option("--quantize", help="With magenta-js: store uint8 or uint16.")] = None,
) -> None:
    """Export a model without the state of its training, to share it or to open it elsewhere."""
    from calmvae.cli import run_models

    run_models.export(model, out, config, run_models.Form(form, half, quantize), console)
