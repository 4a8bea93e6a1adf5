"""The command line of `score`, `prior`, `directions`, `calm` and `journey`: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Excerpts, Making, expanded
from calmvae.common.defaults import DEFAULT_MELODY_MODEL, DEFAULT_MODEL


@expanded
def score(
    paths: options.Music,
    console: Console,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write scores.csv and a picture of each piece to this folder.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what raises and what lowers each score.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="With --json, print the curve over each piece.")] = False,
) -> None:
    """Score from 0 to 100 how calm music is, by features that research associates with calm."""
    from calmvae.cli import run_score

    run_score.score(paths, out, explain, windows, console)


@expanded
def prior(
    data: options.DataSet,
    console: Console,
    model: options.Model = DEFAULT_MODEL,
    config: options.Config = None,
    out: options.Out = Path("out/prior"),
    calmest: options.Calmest = 0.3,
    most: Annotated[
        int, typer.Option("--windows", min=1, help="The most windows to score. A thousand take a second.")
    ] = 60000,
    seed: options.Seed = 0,
) -> None:
    """Fit a prior to the calm music of a data set, for `calmvae sample --prior FOLDER`."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import run_prior

    run_prior.prior(data, open_model.load_numpy_model(model, config), out, calmest, most, seed, console)


@expanded
def directions(
    data: options.DataSet,
    console: Console,
    model: options.Model = DEFAULT_MODEL,
    config: options.Config = None,
    out: options.Out = Path("out/directions"),
    most: Annotated[int, typer.Option("--windows", min=8, help="The most windows to take.")] = 20000,
    seed: options.Seed = 0,
) -> None:
    """Find the directions of a model's latent space in which music gets calmer, denser, more syncopated and so on."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import run_directions

    run_directions.find(data, open_model.load_numpy_model(model, config), out, most, seed, console)


@expanded
def calm(
    piece: options.Piece,
    console: Console,
    amount: Annotated[float, typer.Option(help="How much calmer: 0 only reconstructs, 1 is much calmer.")] = 0.7,
    out: options.Out = Path("out/calm"),
    model: options.ModelOfVoices = "",
    voices: options.Voices = "all",
    melody: options.Melody = "skyline",
    track: options.Track = None,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
) -> None:
    """Move a piece along the model's calm direction, and play it slower and softer."""
    from calmvae.cli import run_generate

    making = Making(model, no_picture=no_picture, no_sound=no_sound, voices=voices)
    run_generate.calm(piece, out, making, console, amount=amount, melody=melody, track=track)


@expanded
def journey(
    excerpts: Excerpts,
    console: Console,
    a: Annotated[Path | None, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")] = None,
    b: Annotated[Path | None, typer.Argument(help="The piece to arrive at. Without it, A is made calmer.")] = None,
    minutes: Annotated[float, typer.Option("--minutes", help="The length in minutes, 1 to 180.")] = 12.0,
    from_model: Annotated[bool, typer.Option("--from-model", help="Travel from a sample to a calm one.")] = False,
    accompany: Annotated[bool, typer.Option("--accompany", help="Add soft, sustained chords.")] = False,
    out: options.Out = Path("out/journey"),
    model: options.Model = DEFAULT_MELODY_MODEL,
    config: options.Config = None,
    start_qpm: Annotated[
        float | None, typer.Option(help="The tempo at the beginning. The default is that of A, or 96.")
    ] = None,
    end_qpm: Annotated[
        float | None, typer.Option(help="The tempo at the end. The default is 60, or a tempo 30 to 45 % slower.")
    ] = None,
    seed: options.Seed = 0,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
) -> None:
    """Make a long piece that starts like A and grows calmer on its way to B."""
    from calmvae.cli import run_generate

    making = Making(model, config, seed=seed, no_picture=no_picture, no_sound=no_sound)
    given = {"minutes": minutes, "start_qpm": start_qpm, "end_qpm": end_qpm, "accompanied": accompany}
    run_generate.journey((a, b), from_model, out, making, console, excerpts, **given)
