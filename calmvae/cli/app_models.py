"""The command line of `calmvae models`: parses, calls one function of `keeping`, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli.console import Console

app = typer.Typer(
    help="Models: published ones fetched and verified, others imported, shown and exported.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Melody = Annotated[str, typer.Option("--melody", help="How to find the melody: skyline, onsets or lowest.")]
Name = Annotated[str, typer.Argument(help="An embedded model, one of `calmvae models list`, or a path.")]
Config = Annotated[str | None, typer.Option("--config", help="Its config, where it does not say so itself.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def personalize(
    paths: Annotated[list[Path], typer.Argument(help="Your music: files and folders.")],
    model: Annotated[str, typer.Option("--model", help="The model to make it for.")] = "calm-mel_2bar",
    config: Config = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder; default beside the model.")] = None,
    melody: Melody = "skyline",
    most: Annotated[int, typer.Option("--windows", min=1, help="At most so many windows.")] = 2048,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A prior of your own, in seconds: samples near your music (calmvae sample --prior personal)."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import personalize_command as fitting

    opened, console = open_model.load_model(model, config), Console(quiet, as_json)
    fitting.personalize(paths, opened, out, console, melody=melody, seed=seed, most=most)


@app.command("list")
def list_models(
    here: Annotated[bool, typer.Option("--here", help="Only those on this machine.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """The models on board, those kept here, and all that are published."""
    from calmvae.cli import models_command

    models_command.list_models(here, Console(quiet, as_json))


@app.command()
def show(name: Name, config: Config = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """What is known of a model: config and how it was told, sizes, SHA-256, terms."""
    from calmvae.cli import models_command

    models_command.show(name, config, Console(quiet, as_json))


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of `calmvae models list`.")],
    again: Annotated[bool, typer.Option("--again", help="Fetch anew what is here, and forget its SHA-256.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch published models; goes on where an earlier fetch stopped."""
    from calmvae.cli import models_command

    models_command.fetch(names, again, Console(quiet, as_json))


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models kept here; default all of them.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare the files of models with their SHA-256 on record."""
    from calmvae.cli import models_command

    models_command.verify(names or [], Console(quiet, as_json))


@app.command()
def path(name: Name) -> None:
    """Where a model lies."""
    from calmvae.cli import models_command

    models_command.path(name, Console())


@app.command("import")
def import_model(
    source: Annotated[str, typer.Argument(help="A checkpoint (prefix, folder or .tar), magenta-js or model folder.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; default after the file.")] = None,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Keep a model under a name, as a model folder that opens without TensorFlow."""
    from calmvae.cli import models_command

    models_command.import_model(source, name, config, Console(quiet, as_json))


@app.command()
def export(
    model: Name,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/model"),
    config: Config = None,
    form: Annotated[
        str,
        typer.Option("--format", help="calmvae (safetensors), magenta (TensorFlow) or magenta-js (for a browser)."),
    ] = "calmvae",
    half: Annotated[bool, typer.Option("--half", help="calmvae: store float16, half the size.")] = False,
    quantize: Annotated[str | None, typer.Option("--quantize", help="magenta-js: store uint8 or uint16.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A model without its training: to share, to open in stock Magenta, to run in a browser."""
    from calmvae.cli import models_command

    models_command.export(model, out, config, models_command.Form(form, half, quantize), Console(quiet, as_json))
