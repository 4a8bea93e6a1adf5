"""The command line of what is about calmness: parses, calls one function, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli.app_data import Calmest
from calmvae.cli.console import Console

Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def score(
    paths: Annotated[list[Path], typer.Argument(help="Music files and folders.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write scores.csv and a picture of each here.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what raises and what lowers each.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="With --json: the curve over each piece too.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How calm music is, 0 to 100, by features that research associates with calm; the calmest first."""
    from calmvae.cli import score_command

    score_command.score(paths, out, explain, windows, Console(quiet, as_json))


def prior(
    data: Annotated[Path, typer.Argument(help="A folder of `calmvae convert` or `calmvae corpus build`.")],
    model: Annotated[str, typer.Option("--model", help="The model in whose latent space.")] = "calm-mel_2bar",
    config: Annotated[str | None, typer.Option("--config", help="Its config, where it does not say so itself.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/prior"),
    calmest: Calmest = 0.3,
    most: Annotated[int, typer.Option("--windows", min=1, help="Windows looked at, at most.")] = 60000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Where calm music lies in a model's latent space: samples from there (calmvae sample --prior FOLDER)."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import prior_command

    opened = open_model.load_melody_model(model, config)
    prior_command.prior(data, opened, out, calmest, most, seed, Console(quiet, as_json))


def directions(
    data: Annotated[Path, typer.Argument(help="A folder of `calmvae convert` or `calmvae corpus build`.")],
    model: Annotated[str, typer.Option("--model", help="The model in whose latent space.")] = "calm-mel_2bar",
    config: Annotated[str | None, typer.Option("--config", help="Its config, where it does not say so itself.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/directions"),
    most: Annotated[int, typer.Option("--windows", min=8, help="Windows to take, at most.")] = 20000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Along which directions of a model's latent space music gets calmer, denser, more syncopated and so on."""
    from calmvae.checkpoints import open_model
    from calmvae.cli import directions_command

    directions_command.find(data, open_model.load_melody_model(model, config), out, most, seed, Console(quiet, as_json))


def calm(
    piece: Annotated[Path, typer.Argument(help="The piece (MIDI, MusicXML or ABC).")],
    amount: Annotated[float, typer.Option(help="0: as the model gives it back; 1: much calmer.")] = 0.7,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/calm"),
    model: Annotated[str, typer.Option("--model", help="A model with directions beside it.")] = "calm-mel_2bar",
    melody: Annotated[str, typer.Option("--melody", help="How to find the melody.")] = "skyline",
    track: Annotated[str | None, typer.Option(help="Take the melody from this track (number or name).")] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Write no .png.")] = False,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Write no .wav.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A piece's melody made calmer: moved along the model's calm direction, slower and softer."""
    from calmvae.cli import generate_commands

    making = generate_commands.Making(model, None, 0.0, 0, not no_picture, not no_sound)
    generate_commands.calm(piece, out, making, Console(quiet, as_json), amount=amount, melody=melody, track=track)


def journey(
    a: Annotated[Path | None, typer.Argument(help="The piece to start from (MIDI, MusicXML or ABC).")] = None,
    b: Annotated[Path | None, typer.Argument(help="The piece to arrive at; without it A's own calm.")] = None,
    minutes: Annotated[float, typer.Option("--minutes", help="How long, 1 to 180.")] = 12.0,
    from_model: Annotated[bool, typer.Option("--from-model", help="From a sample to a calm one; no pieces.")] = False,
    accompany: Annotated[bool, typer.Option("--accompany", help="A soft second voice of sustained chords.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Output folder.")] = Path("out/journey"),
    model: Annotated[str, typer.Option("--model", help="Of windows of 2 or 16 bars.")] = "calm-mel_2bar",
    config: Annotated[str | None, typer.Option("--config", help="Its config, where it does not say so itself.")] = None,
    start_qpm: Annotated[float | None, typer.Option(help="Tempo at the beginning; default A's, or 96.")] = None,
    end_qpm: Annotated[
        float | None, typer.Option(help="Tempo at the end; default 60, or what is 30 to 45 % slower.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    melody: Annotated[str, typer.Option("--melody", help="How to find the melody.")] = "skyline",
    track_a: Annotated[str | None, typer.Option(help="Take A's melody from this track (number or name).")] = None,
    track_b: Annotated[str | None, typer.Option(help="Take B's melody from this track.")] = None,
    start_a: Annotated[int | None, typer.Option(min=1, help="First bar to take of A.")] = None,
    start_b: Annotated[int | None, typer.Option(min=1, help="First bar to take of B.")] = None,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Write no .png.")] = False,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Write no .wav.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """A long piece that starts as A is and grows calmer all the way to B: slower, softer, sparser."""
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
