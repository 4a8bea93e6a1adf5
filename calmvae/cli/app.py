"""The command line: parses, calls one function, prints. Imports nothing heavy before a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from click.exceptions import ClickException, UsageError

import calmvae
from calmvae.cli import app_calm, app_data, app_models, options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Evaluating, Excerpts, Growing, Making, Sampling, Training, expanded
from calmvae.common.errors import CalmvaeError

app = typer.Typer(
    name="calmvae",
    help="Calming music from the latent space of MusicVAE.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(app_data.corpus_app, name="corpus")
app.add_typer(app_models.app, name="models")
for command in (
    app_data.convert,
    app_models.personalize,
    app_calm.score,
    app_calm.prior,
    app_calm.directions,
    app_calm.calm,
    app_calm.journey,
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


@app.command()
@expanded
def notebooks(console: Console, out: options.Out = Path("out/notebooks")) -> None:
    """Copy the notebooks to a folder, where you can run and change them."""
    from calmvae.cli import notebook_display

    notebook_display.copy(out, console)


@app.command()
@expanded
def interpolate(
    a: Annotated[Path, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")],
    b: Annotated[Path, typer.Argument(help="The piece to arrive at.")],
    excerpts: Excerpts,
    making: Making,
    console: Console,
    out: options.Out = Path("out/interpolate"),
    steps: Annotated[int, typer.Option("--steps", help="The number of sections, both ends included.")] = 8,
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="The bars of each section. The default is 4, or the model's window if longer."),
    ] = None,
    endpoints: Annotated[
        str | None,
        typer.Option(help="The ends: original (A and B, the default for melodies) or decoded (their reconstructions)."),
    ] = None,
) -> None:
    """Make one piece that travels from A to B, and write its steps."""
    from calmvae.cli import generate_commands

    given = {"steps": steps, "bars": bars, **excerpts.arguments(), "endpoints": endpoints}
    generate_commands.interpolate(a, b, out, making, console, **given)


@app.command()
@expanded
def sample(
    making: Sampling,
    console: Console,
    n: Annotated[int, typer.Option("-n", help="The number of pieces.")] = 5,
    out: options.Out = Path("out/sample"),
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="The bars of each piece. The default is 16 for melodies, else the window."),
    ] = None,
    qpm: Annotated[float, typer.Option(help="The tempo in quarters a minute.")] = 72.0,
    velocity: Annotated[int, typer.Option(help="The MIDI velocity, 1 to 127.")] = 60,
    program: Annotated[int, typer.Option(help="The General MIDI program, 0 to 127.")] = 0,
    chords: Annotated[
        str | None, typer.Option(help='The chords for a config that takes chords, such as "C G Am F".')
    ] = None,
    prior: options.Prior = "standard",
) -> None:
    """Sample new pieces from a prior. With --config and a checkpoint, any config of Magenta's works."""
    from calmvae.cli import generate_commands

    style = {"qpm": qpm, "velocity": velocity, "program": program}
    generate_commands.sample(n, out, making, console, bars=bars, chords=chords, prior=prior, **style)


@app.command()
@expanded
def reconstruct(
    piece: options.Piece,
    making: Making,
    console: Console,
    out: options.Out = Path("out/reconstruct"),
    melody: options.Melody = "skyline",
    track: options.Track = None,
) -> None:
    """Encode a piece's melody and decode it again."""
    from calmvae.cli import generate_commands

    generate_commands.reconstruct(piece, out, making, console, melody=melody, track=track)


@app.command()
@expanded
def train(
    data: Annotated[list[Path], typer.Argument(help="A folder of `calmvae convert`, a .tfrecord, or music files.")],
    training: Training,
    console: Console,
    out: options.Out = Path("out/run"),
    config: Annotated[
        str | None,
        typer.Option(
            help="The config to train (see `calmvae configs`). The default is that of --from, or calm-mel_2bar."
        ),
    ] = None,
    settings: options.Hparams = None,
) -> None:
    """Train a model. The same command again continues from the last checkpoint."""
    from calmvae.cli import train_command

    train_command.train(data, out, config, settings or [], training, console)


@app.command()
@expanded
def grow(
    model: Annotated[str, typer.Argument(help="The model of short windows.")],
    data: options.DataSet,
    growing: Growing,
    console: Console,
    out: options.Out = Path("out/grown"),
    config: Annotated[str, typer.Option(help="The config of the model of long windows.")] = "calm-mel_16bar",
) -> None:
    """Grow a model of long windows from a model of short ones. `calmvae train --from` then trains it."""
    from calmvae.cli import grow_command

    grow_command.grow(model, data, out, config, growing, console)


@app.command()
@expanded
def evaluate(
    model: options.ModelArgument,
    evaluating: Evaluating,
    console: Console,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the page evaluation.png to this folder.")
    ] = None,
    config: options.Config = None,
) -> None:
    """Measure how well a model reconstructs and interpolates held-out music, and compare its samples with it."""
    from calmvae.cli import evaluate_command

    evaluate_command.evaluate(model, config, evaluating, console, out)


@app.command()
@expanded
def configs(
    console: Console,
    magenta: Annotated[bool, typer.Option("--magenta", help="List Magenta's configs, too.")] = False,
) -> None:
    """List the configs that models can have."""
    from calmvae.cli import configs_command

    configs_command.list_configs(magenta, console)


@app.command()
@expanded
def doctor(console: Console) -> None:
    """Check the installation, Magenta and the GPU, and say how to mend what is missing."""
    from calmvae.cli import doctor as checks

    raise typer.Exit(checks.run(console))


@app.command()
@expanded
def demo(console: Console, out: options.Out = Path("out/demo"), seed: options.Seed = 0) -> None:
    """Interpolate between two embedded pieces with the embedded model."""
    from calmvae.cli import generate_commands

    generate_commands.demo(out, seed, console)
