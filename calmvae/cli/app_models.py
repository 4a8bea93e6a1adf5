"""The command line of `calmvae models`: parses, calls one function of `models_command`, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console

app = typer.Typer(
    help="Fetch and verify published models; import, show and export others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def personalize(
    paths: Annotated[list[Path], typer.Argument(help="Your music: files and folders.")],
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The folder; default beside the model.")] = None,
    melody: options.Melody = "skyline",
    most: Annotated[int, typer.Option("--windows", min=1, help="The most windows to take.")] = 2048,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fit a prior of your own, in seconds, for samples near your music by `calmvae sample --prior personal`."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import personalize_command as fitting

    opened, console = open_model.load_melody_model(model, config), Console(quiet, as_json)
    fitting.personalize(paths, opened, out, console, melody=melody, seed=seed, most=most)


@app.command("list")
def list_models(
    here: Annotated[bool, typer.Option("--here", help="List only those on this machine.")] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List the embedded models, those kept here, and all that are published."""
    from calmvae.cli import models_command

    models_command.list_models(here, Console(quiet, as_json))


@app.command()
def show(
    name: options.ModelArgument,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Show what is known of a model: config and how it was told, sizes, SHA-256, terms."""
    from calmvae.cli import models_command

    models_command.show(name, config, Console(quiet, as_json))


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of `calmvae models list`.")],
    again: Annotated[bool, typer.Option("--again", help="Fetch anew what is here, and forget its SHA-256.")] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fetch published models; files that are here already are not fetched again."""
    from calmvae.cli import models_command

    models_command.fetch(names, again, Console(quiet, as_json))


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models kept here; default all of them.")] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare the files of models with their SHA-256 on record."""
    from calmvae.cli import models_command

    models_command.verify(names or [], Console(quiet, as_json))


@app.command()
def path(name: options.ModelArgument) -> None:
    """Print where a model lies."""
    from calmvae.cli import models_command

    models_command.path(name, Console())


@app.command("import")
def import_model(
    source: Annotated[str, typer.Argument(help="A checkpoint (prefix, folder or .tar), magenta-js or model folder.")],
    name: Annotated[str | None, typer.Option("--name", help="The name; default that of the file.")] = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Keep a model under a name, as a model folder that opens without TensorFlow."""
    from calmvae.cli import models_command

    models_command.import_model(source, name, config, Console(quiet, as_json))


@app.command()
def export(
    model: options.ModelArgument,
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
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Export a model without its training: to share, to open in stock Magenta, to run in a browser."""
    from calmvae.cli import models_command

    models_command.export(model, out, config, models_command.Form(form, half, quantize), Console(quiet, as_json))
