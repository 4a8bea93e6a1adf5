"""Arguments and options that several commands have, each with its names and help in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.common.defaults import DEFAULT_MELODY_MODEL, DEFAULT_MODEL
from calmvae.common.text import share

# What a command reads.
Piece = Annotated[Path, typer.Argument(help="The piece (MIDI, MusicXML or ABC).")]
Music = Annotated[list[Path], typer.Argument(help="Music files and folders.")]
DataSet = Annotated[Path, typer.Argument(help="A folder of `calmvae convert` or `calmvae corpus build`.")]

# The model, and where it draws from.
MODEL_HELP = "The model: a name of `calmvae models list`, a model folder, a run folder or a checkpoint."
Model = Annotated[str, typer.Option("--model", help=MODEL_HELP)]
ModelOfVoices = Annotated[
    str,
    typer.Option(
        "--model", help=f"{MODEL_HELP} The default is {DEFAULT_MODEL}, for the melody alone {DEFAULT_MELODY_MODEL}."
    ),
]
Voices = Annotated[
    str, typer.Option("--voices", help="The voices to take: all, or melody for the bare melody in bars of 4/4.")
]
ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP)]
Config = Annotated[str | None, typer.Option("--config", help="The config of a model that does not name its own.")]
Prior = Annotated[
    str,
    typer.Option("--prior", help="The prior to draw from: standard, calm, personal, or a folder of `calmvae prior`."),
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temperature", help="The temperature: 0 takes the likeliest notes, 1 draws from the model's distribution."
    ),
]
SampleTemperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        help="The temperature: 0 takes the likeliest notes, 1 draws from the model's distribution. The default is 0.5, "
        "for models of several voices 0.2.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The random seed. The same seed gives the same bytes.")]

# Which melody and which bars of a piece.
Melody = Annotated[str, typer.Option("--melody", help="The melody to take: skyline, onsets or lowest.")]
Track = Annotated[str | None, typer.Option("--track", help="Take the melody from this track (number or name).")]
TrackA = Annotated[str | None, typer.Option("--track-a", help="Take A's melody from this track (number or name).")]
TrackB = Annotated[str | None, typer.Option("--track-b", help="Take B's melody from this track (number or name).")]
StartA = Annotated[int | None, typer.Option("--start-a", min=1, help="The first bar to take of A.")]
StartB = Annotated[int | None, typer.Option("--start-b", min=1, help="The first bar to take of B.")]

# Which windows to train and measure on.
Windows = Annotated[
    str,
    typer.Option(
        "--melody",
        help="The melodies to take windows from: skyline, onsets, lowest, tracks, or all (skyline and tracks).",
    ),
]
MaxOnsets = Annotated[
    int, typer.Option("--max-onsets", min=0, help="Leave out windows with more notes than this (0: take all).")
]
Calmest = Annotated[
    float,
    typer.Option(
        "--calmest", parser=share, metavar="SHARE", help="Take only this share, the calmest by score: 0.3 or 30%."
    ),
]
HeldOut = Annotated[
    float, typer.Option("--eval-share", min=0.0, max=0.9, help="The share of pieces or tune families to hold out.")
]

# How to compute.
Hparams = Annotated[
    list[str] | None, typer.Option("--set", help="Change an hparam, such as free_bits=48. It may be repeated.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="The number of threads. The default is one per core.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="The number of processes. The default is one per core.")
]

# What a command writes and says.
Out = Annotated[Path, typer.Option("-o", "--out", help="The output folder.")]
NoPicture = Annotated[bool, typer.Option("--no-picture", help="Write no .png.")]
NoSound = Annotated[bool, typer.Option("--no-sound", help="Write no .wav.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
