"""The command line of what is about calmness: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console


def score(
    paths: options.Music,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write scores.csv and a picture of each piece here.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what raises and what lowers each score.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="Print the curve over each piece, with --json.")] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Score how calm music is, 0 to 100, by features that research associates with calm; the calmest first."""
    from calmvae.cli import score_command

    score_command.score(paths, out, explain, windows, Console(quiet, as_json))


def prior(
    data: options.DataSet,
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    out: options.Out = Path("out/prior"),
    calmest: options.Calmest = 0.3,
    most: Annotated[
        int, typer.Option("--windows", min=1, help="The most windows to score, a second for a thousand.")
    ] = 60000,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fit a prior to where calm music lies in a model's latent space, for `calmvae sample --prior FOLDER`."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import prior_command

    opened = open_model.load_melody_model(model, config)
    prior_command.prior(data, opened, out, calmest, most, seed, Console(quiet, as_json))


def directions(
    data: options.DataSet,
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    out: options.Out = Path("out/directions"),
    most: Annotated[int, typer.Option("--windows", min=8, help="The most windows to take.")] = 20000,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Find along which directions of a model's latent space music gets calmer, denser, more syncopated and so on."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import directions_command

    directions_command.find(data, open_model.load_melody_model(model, config), out, most, seed, Console(quiet, as_json))


def calm(
    piece: options.Piece,
    amount: Annotated[float, typer.Option(help="How much calmer: 0 only reconstructs, 1 is much calmer.")] = 0.7,
    out: options.Out = Path("out/calm"),
    model: options.Model = "calm-mel_2bar",
    melody: options.Melody = "skyline",
    track: options.Track = None,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a piece's melody calmer: moved along the model's calm direction, slower and softer."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, None, 0.0, 0, not no_picture, not no_sound)
    generate_commands.calm(piece, out, making, Console(quiet, as_json), amount=amount, melody=melody, track=track)


def journey(
    a: Annotated[Path | None, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")] = None,
    b: Annotated[Path | None, typer.Argument(help="The piece to arrive at; without it, A made calmer.")] = None,
    minutes: Annotated[float, typer.Option("--minutes", help="The length in minutes, 1 to 180.")] = 12.0,
    from_model: Annotated[bool, typer.Option("--from-model", help="Travel from a sample to a calm one.")] = False,
    accompany: Annotated[bool, typer.Option("--accompany", help="Add soft, sustained chords.")] = False,
    out: options.Out = Path("out/journey"),
    model: options.Model = "calm-mel_2bar",
    config: options.Config = None,
    start_qpm: Annotated[float | None, typer.Option(help="The tempo at the beginning; default A's, or 96.")] = None,
    end_qpm: Annotated[
        float | None, typer.Option(help="The tempo at the end; default 60, or what is 30 to 45 % slower.")
    ] = None,
    seed: options.Seed = 0,
    melody: options.Melody = "skyline",
    track_a: options.TrackA = None,
    track_b: options.TrackB = None,
    start_a: options.StartA = None,
    start_b: options.StartB = None,
    no_picture: options.NoPicture = False,
    no_sound: options.NoSound = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Make a long piece that starts as A is and grows calmer all the way to B: slower, softer, sparser."""
    from calmvae.cli import generate_commands

    generate_commands.journey(
        (a, b),
        from_model,
        out,
        generate_commands.Making(model, config, 0.0, seed, not no_picture, not no_sound),
        Console(quiet, as_json),
        minutes=minutes,
        start_qpm=start_qpm,
        end_qpm=end_qpm,
        accompanied=accompany,
        melody=melody,
        tracks=(track_a, track_b),
        start_bars=(start_a, start_b),
    )
