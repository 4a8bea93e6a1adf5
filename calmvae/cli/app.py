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
app.command()(app_data.convert)
app.command()(app_models.personalize)
app.command()(app_calm.score)
app.command()(app_calm.prior)
app.command()(app_calm.directions)
app.command()(app_calm.calm)
app.command()(app_calm.journey)


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
def notebooks(
    out: options.Out = Path("out/notebooks"), quiet: options.Quiet = False, as_json: options.Json = False
) -> None:
    """Copy the notebooks to a folder, to run them there."""
    from calmvae.cli import notebook_display

    notebook_display.copy(out, Console(quiet, as_json))


@app.command()
def interpolate(
    a: Annotated[Path, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")],
    b: Annotated[Path, typer.Argument(help="The piece to arrive at.")],
    out: options.Out = Path("out/interpolate"),
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    steps: Annotated[int, typer.Option("--steps", help="The number of sections, both ends included.")] = 8,
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="Bars of each section; default 4, or the model's window if that is longer."),
    ] = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = 0,
    melody: options.Melody = "skyline",
    track_a: options.TrackA = None,
    track_b: options.TrackB = None,
    start_a: options.StartA = None,
    start_b: options.StartB = None,
    endpoints: Annotated[
        str | None, typer.Option(help="original (for melodies the default): A and B; decoded: their reconstructions.")
    ] = None,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make one piece that travels from A to B, and its steps."""
    from calmvae.cli import generate_commands

    generate_commands.interpolate(
        a,
        b,
        out,
        generate_commands.Making(model, config, temperature, seed, not no_picture, not no_sound),
        Console(quiet, as_json),
        steps=steps,
        bars=bars,
        melody=melody,
        tracks=(track_a, track_b),
        start_bars=(start_a, start_b),
        endpoints=endpoints,
    )


@app.command()
def sample(
    n: Annotated[int, typer.Option("-n", help="The number of pieces.")] = 5,
    out: options.Out = Path("out/sample"),
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="Bars of each piece; default 16, or the config's window if it is not of melodies."),
    ] = None,
    temperature: options.Temperature = 0.5,
    seed: options.Seed = 0,
    qpm: Annotated[float, typer.Option(help="The tempo in quarters a minute.")] = 72.0,
    velocity: Annotated[int, typer.Option(help="The MIDI velocity, 1 to 127.")] = 60,
    program: Annotated[int, typer.Option(help="The General MIDI program, 0 to 127.")] = 0,
    chords: Annotated[
        str | None, typer.Option(help='The chords, for a config that plays over chords, such as "C G Am F".')
    ] = None,
    prior: options.Prior = "standard",
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Sample fresh pieces from a prior; with --config and a checkpoint, of any config of Magenta's."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, config, temperature, seed, not no_picture, not no_sound)
    style = {"qpm": qpm, "velocity": velocity, "program": program}
    generate_commands.sample(n, out, making, Console(quiet, as_json), bars=bars, chords=chords, prior=prior, **style)


@app.command()
def reconstruct(
    piece: options.Piece,
    out: options.Out = Path("out/reconstruct"),
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = 0,
    melody: options.Melody = "skyline",
    track: options.Track = None,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Reconstruct a piece: the model encodes its melody and decodes it."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, config, temperature, seed, not no_picture, not no_sound)
    generate_commands.reconstruct(piece, out, making, Console(quiet, as_json), melody=melody, track=track)


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(help="A folder of `calmvae convert`, a .tfrecord, or music files.")],
    out: options.Out = Path("out/run"),
    config: Annotated[
        str | None,
        typer.Option(help="The config to train, see `calmvae configs`; default that of --from, or calm-mel_2bar."),
    ] = None,
    settings: options.Hparams = None,
    init: Annotated[
        str | None,
        typer.Option("--from", help="Fine-tune this model or checkpoint; beta is then max_beta from the start."),
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Stop at this step (0: no limit).")] = 20000,
    minutes: Annotated[float, typer.Option(min=0.0, help="Stop after so many minutes (0: no limit).")] = 0.0,
    eval_every: Annotated[int, typer.Option(min=1, help="Evaluate every so many steps.")] = 500,
    save_every: Annotated[int, typer.Option(min=1, help="Write a checkpoint every so many steps.")] = 500,
    sample_every: Annotated[int, typer.Option(min=0, help="Write samples every so many steps (0: none).")] = 2000,
    patience: Annotated[
        int, typer.Option(min=0, help="Early stopping after so many evaluations without a better one (0: never).")
    ] = 20,
    melody: options.Windows = "skyline",
    max_onsets: options.MaxOnsets = 0,
    calmest: options.Calmest = 1.0,
    engine: Annotated[
        str, typer.Option(help="numpy, cudnn or magenta (TensorFlow), or auto: numpy unless there is a GPU.")
    ] = "auto",
    threads: options.Threads = None,
    keep: Annotated[
        str,
        typer.Option(
            help="Keep the best model (mean of accuracy and onset accuracy) or the last; early stopping goes with best."
        ),
    ] = "best",
    note: Annotated[str | None, typer.Option(help="A text for notes.txt.")] = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a model; the same command again goes on from the last checkpoint."""
    from calmvae.cli import train_command
    from calmvae.training import train_melody

    how = train_melody.Options(
        steps=steps,
        minutes=minutes,
        eval_every=eval_every,
        save_every=save_every,
        sample_every=sample_every,
        patience=patience,
        melody=melody,
        max_onsets=max_onsets,
        calmest=calmest,
        keep=keep,
        init=init,
        note=note,
        seed=seed,
        threads=threads,
        engine=engine,
    )
    train_command.train(data, out, config, settings or [], how, Console(quiet, as_json))


@app.command()
def grow(
    model: Annotated[str, typer.Argument(help="The model of short windows.")],
    data: options.DataSet,
    out: options.Out = Path("out/grown"),
    config: Annotated[str, typer.Option(help="The config of the model of long windows.")] = "calm-mel_16bar",
    windows: Annotated[int, typer.Option(min=0, help="The most long windows to learn from (0: all).")] = 100000,
    steps: Annotated[int, typer.Option(min=1, help="The number of training steps.")] = 6000,
    melody: options.Windows = "skyline",
    max_onsets: options.MaxOnsets = 0,
    settings: options.Hparams = None,
    threads: options.Threads = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Grow a model of long windows from one of short windows, for `calmvae train --from`."""
    from calmvae.cli import grow_command

    wanted = grow_command.Wanted(windows, steps, melody, max_onsets, tuple(settings or ()), seed, threads)
    grow_command.grow(model, data, out, config, wanted, Console(quiet, as_json))


@app.command()
def evaluate(
    model: options.ModelArgument,
    data: Annotated[
        list[Path], typer.Option("--data", help="TFRecords, a converted folder, music files, or music21:bach.")
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a page, evaluation.png, here.")] = None,
    config: options.Config = None,
    melody: options.Windows = "skyline",
    max_onsets: options.MaxOnsets = 0,
    most: Annotated[int, typer.Option("--windows", min=0, help="The most windows to take (0: all).")] = 4096,
    samples: Annotated[int, typer.Option(min=0, help="Compare so many samples with the windows (0: none).")] = 400,
    temperature: options.Temperature = 0.5,
    paths: Annotated[int, typer.Option(min=0, help="Measure so many interpolations (0: none).")] = 100,
    copying: Annotated[
        bool, typer.Option("--copying", help="Measure how near samples come to training windows.")
    ] = False,
    prior: options.Prior = "standard",
    calmest: options.Calmest = 1.0,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure how well a model reconstructs and interpolates held-out music, and how its samples compare with it."""
    from calmvae.cli import evaluate_command

    wanted = evaluate_command.Wanted(
        data=data,
        melody=melody,
        max_onsets=max_onsets,
        most=most,
        samples=samples,
        temperature=temperature,
        paths=paths,
        seed=seed,
        copying=copying,
        prior=prior,
        calmest=calmest,
    )
    evaluate_command.evaluate(model, config, wanted, Console(quiet, as_json), out)


@app.command()
def configs(
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    magenta: Annotated[bool, typer.Option("--magenta", help="List Magenta's own too.")] = False,
) -> None:
    """List the configs, with --magenta Magenta's own too."""
    from calmvae.cli import configs_command

    configs_command.list_configs(magenta, Console(quiet, as_json))


@app.command()
def doctor(quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """Check what is installed, whether Magenta imports and a GPU is seen, and say how to mend what is missing."""
    from calmvae.cli import doctor as checks

    raise typer.Exit(checks.run(Console(quiet, as_json)))


@app.command()
def demo(
    out: options.Out = Path("out/demo"),
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Travel between two of the embedded pieces with the embedded model."""
    from calmvae.cli import generate_commands

    generate_commands.demo(out, seed, Console(quiet, as_json))
