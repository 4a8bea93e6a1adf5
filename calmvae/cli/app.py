"""The command line: parses, calls one function, prints. Imports nothing heavy before a command runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from click.exceptions import ClickException, UsageError

import calmvae
from calmvae.cli import commands_calm, commands_data, commands_generate, commands_models, commands_train
from calmvae.common.errors import CalmvaeError

app = typer.Typer(
    name="calmvae",
    help="Calming music from the latent space of MusicVAE.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(commands_data.corpus_app, name="corpus")
app.add_typer(commands_models.app, name="models")
for command in (
    commands_data.convert,
    commands_models.personalize,
    commands_calm.score,
    commands_calm.prior,
    commands_calm.directions,
    commands_calm.calm,
    commands_calm.journey,
    commands_generate.notebooks,
    commands_generate.interpolate,
    commands_generate.sample,
    commands_generate.reconstruct,
    commands_train.train,
    commands_train.grow,
    commands_train.evaluate,
    commands_train.configs,
    commands_train.doctor,
    commands_generate.demo,
):
    app.command()(command)


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2."""
    for library in ("OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM"):
        # Before numpy is loaded: threads inside products as small as ours cost more than they give.
        os.environ.setdefault(f"{library}_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        # File names need not be valid UTF-8.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="calmvae", standalone_mode=False)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        mistaken = error.ctx.command_path if error.ctx else "calmvae"
        _fail(f"{error.format_message().rstrip('.?')}; see `{mistaken} --help`.")
    except ClickException as error:
        _fail(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        print("calmvae: interrupted.", file=sys.stderr)
        sys.exit(130)
    except CalmvaeError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str) -> None:
    print("calmvae: " + " ".join(sentence.split()), file=sys.stderr)
    sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"calmvae {calmvae.__version__}")
        raise typer.Exit()


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
