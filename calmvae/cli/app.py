"""The command line: parses, calls one function, prints. Imports nothing heavy before a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from click.exceptions import ClickException, UsageError

import calmvae
from calmvae.cli import app_calm, app_data, app_models, app_notebooks
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
app.command()(app_notebooks.notebooks)

Out = Annotated[Path, typer.Option("-o", "--out", help="Output folder.")]
Model = Annotated[str, typer.Option("--model", help="Embedded model, model folder, run folder or checkpoint.")]
Config = Annotated[str | None, typer.Option("--config", help="Config of a TensorFlow checkpoint.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0: the likeliest notes; 1: as the model believes.")]
Melody = Annotated[str, typer.Option("--melody", help="How to find the melody: skyline, onsets or lowest.")]
Prior = Annotated[
    str, typer.Option("--prior", help="standard; calm; personal: of `calmvae personalize`; or the folder of one.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
NoPicture = Annotated[bool, typer.Option("--no-picture", help="Write no .png.")]
NoSound = Annotated[bool, typer.Option("--no-sound", help="Write no .wav.")]


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
def interpolate(
    a: Annotated[Path, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")],
    b: Annotated[Path, typer.Argument(help="The piece to arrive at.")],
    out: Out = Path("out/interpolate"),
    model: Model = "calm-mel_2bar",
    config: Config = None,
    steps: Annotated[int, typer.Option("--steps", help="Sections, both ends included.")] = 8,
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="Bars a section; default 4, or the model's window if that is longer."),
    ] = None,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    melody: Melody = "skyline",
    track_a: Annotated[str | None, typer.Option(help="Take A's melody from this track (number or name).")] = None,
    track_b: Annotated[str | None, typer.Option(help="Take B's melody from this track.")] = None,
    start_a: Annotated[int | None, typer.Option(min=1, help="First bar to take of A.")] = None,
    start_b: Annotated[int | None, typer.Option(min=1, help="First bar to take of B.")] = None,
    endpoints: Annotated[
        str | None, typer.Option(help="original (for melodies the default): A and B; decoded: what the model hears.")
    ] = None,
    no_picture: NoPicture = False,
    no_sound: NoSound = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """One piece that travels from A to B, and its steps."""
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
    n: Annotated[int, typer.Option("-n", help="How many pieces.")] = 5,
    out: Out = Path("out/sample"),
    model: Model = "calm-mel_2bar",
    config: Config = None,
    bars: Annotated[
        int | None,
        typer.Option("--bars", help="Bars of each piece; default 16, of other than melody configs their window."),
    ] = None,
    temperature: Temperature = 0.5,
    seed: Seed = 0,
    qpm: Annotated[float, typer.Option(help="Tempo in quarters per minute.")] = 72.0,
    velocity: Annotated[int, typer.Option(help="MIDI velocity, 1 to 127.")] = 60,
    program: Annotated[int, typer.Option(help="General MIDI program, 0 to 127.")] = 0,
    chords: Annotated[
        str | None,
        typer.Option(help='For a config that plays over chords, such as "C G Am F".'),
    ] = None,
    prior: Prior = "standard",
    no_picture: NoPicture = False,
    no_sound: NoSound = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fresh pieces from the model's prior; with --config and a checkpoint, of any config of Magenta's."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, config, temperature, seed, not no_picture, not no_sound)
    style = {"qpm": qpm, "velocity": velocity, "program": program}
    generate_commands.sample(n, out, making, Console(quiet, as_json), bars=bars, chords=chords, prior=prior, **style)


@app.command()
def reconstruct(
    piece: Annotated[Path, typer.Argument(help="The piece (MIDI, MusicXML or ABC).")],
    out: Out = Path("out/reconstruct"),
    model: Model = "calm-mel_2bar",
    config: Config = None,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    melody: Melody = "skyline",
    track: Annotated[str | None, typer.Option(help="Take the melody from this track (number or name).")] = None,
    no_picture: NoPicture = False,
    no_sound: NoSound = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """What the model makes of a piece: its melody encoded and decoded."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, config, temperature, seed, not no_picture, not no_sound)
    generate_commands.reconstruct(piece, out, making, Console(quiet, as_json), melody=melody, track=track)


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(help="A folder of `calmvae convert`, a .tfrecord, or music files.")],
    out: Out = Path("out/run"),
    config: Annotated[
        str | None,
        typer.Option(help="Config to train, see `calmvae configs`; default that of --from, or calm-mel_2bar."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="An hparam, such as free_bits=48; may be repeated."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--from", help="Model or checkpoint to start from; beta is then max_beta from the start."),
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Stop at this step (0: no limit).")] = 20000,
    minutes: Annotated[float, typer.Option(min=0.0, help="Stop after this time (0: no limit).")] = 0.0,
    eval_every: Annotated[int, typer.Option(min=1, help="Steps between evaluations.")] = 500,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    sample_every: Annotated[int, typer.Option(min=0, help="Steps between samples (0: none).")] = 2000,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many evaluations without a better one (0: never).")
    ] = 20,
    melody: Annotated[
        str, typer.Option(help="Windows from: skyline, onsets, lowest, tracks (each track) or all (both).")
    ] = "skyline",
    max_onsets: Annotated[int, typer.Option(min=0, help="Leave out windows with more notes (0: take all).")] = 0,
    calmest: app_data.Calmest = 1.0,
    engine: Annotated[
        str, typer.Option(help="numpy, cudnn or magenta (TensorFlow), or auto: numpy unless there is a GPU.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default one a core.")] = None,
    keep: Annotated[
        str, typer.Option(help="Model to keep: best (mean of accuracy and onset accuracy) or last; best has patience.")
    ] = "best",
    note: Annotated[str | None, typer.Option(help="Text for notes.txt.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model; the same command again goes on from the last checkpoint."""
    from calmvae.cli import train_command
    from calmvae.training import train_melody

    options = train_melody.Options(
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
    train_command.train(data, out, config, settings or [], options, Console(quiet, as_json))


@app.command()
def grow(
    model: Annotated[str, typer.Argument(help="The model of short windows.")],
    data: Annotated[Path, typer.Argument(help="A folder of `calmvae convert` or `calmvae corpus build`.")],
    out: Out = Path("out/grown"),
    config: Annotated[str, typer.Option(help="Config of the model of long windows.")] = "calm-mel_16bar",
    windows: Annotated[int, typer.Option(min=0, help="Long windows to learn from (0: all).")] = 100000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 6000,
    melody: Annotated[str, typer.Option(help="Windows from: skyline, onsets, lowest, tracks or all.")] = "skyline",
    max_onsets: Annotated[int, typer.Option(min=0, help="Leave out windows with more notes (0: take all).")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="An hparam; may be repeated.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default one a core.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A model of long windows from one of short windows, for `calmvae train --from`."""
    from calmvae.cli import grow_command

    wanted = grow_command.Wanted(windows, steps, melody, max_onsets, tuple(settings or ()), seed, threads)
    grow_command.grow(model, data, out, config, wanted, Console(quiet, as_json))


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Embedded model, model folder, run folder or checkpoint.")],
    data: Annotated[
        list[Path], typer.Option("--data", help="TFRecords, a converted folder, music files, or music21:bach.")
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a page, evaluation.png, here.")] = None,
    config: Config = None,
    melody: Annotated[str, typer.Option(help="Windows from: skyline, onsets, lowest, tracks or all.")] = "skyline",
    max_onsets: Annotated[int, typer.Option(min=0, help="Leave out windows with more notes (0: take all).")] = 0,
    most: Annotated[int, typer.Option("--windows", min=0, help="At most so many windows (0: all).")] = 4096,
    samples: Annotated[int, typer.Option(min=0, help="Samples to compare with the windows (0: none).")] = 400,
    temperature: Temperature = 0.5,
    paths: Annotated[int, typer.Option(min=0, help="Interpolations to measure the steps of (0: none).")] = 100,
    copying: Annotated[bool, typer.Option("--copying", help="Also how near samples are to training windows.")] = False,
    prior: Prior = "standard",
    calmest: app_data.Calmest = 1.0,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How well a model reconstructs and interpolates, and how its samples are distributed beside real music."""
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
def configs(quiet: Quiet = False, as_json: Json = False, magenta: bool = False) -> None:
    """The configs, with --magenta Magenta's own too."""
    from calmvae.cli import configs_command

    configs_command.list_configs(magenta, Console(quiet, as_json))


@app.command()
def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """What is installed, whether Magenta imports and a GPU is seen, and how to mend what is missing."""
    from calmvae.cli import doctor as checks

    raise typer.Exit(checks.run(Console(quiet, as_json)))


@app.command()
def demo(out: Out = Path("out/demo"), seed: Seed = 0, quiet: Quiet = False, as_json: Json = False) -> None:
    """Travel between two of the embedded pieces with the embedded model."""
    from calmvae.cli import generate_commands

    generate_commands.demo(out, seed, Console(quiet, as_json))
