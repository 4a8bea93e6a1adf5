"""Arguments and options that several commands have, each with its names and help in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.common.text import share

# What a command reads.
Piece = Annotated[Path, typer.Argument(help="The piece (MIDI, MusicXML or ABC).")]
Music = Annotated[list[Path], typer.Argument(help="Music files and folders.")]
DataSet = Annotated[Path, typer.Argument(help="A folder of `calmvae convert` or `calmvae corpus build`.")]

# The model and what it draws from.
MODEL_HELP = "The model: embedded, one of `calmvae models list`, a model folder, a run folder or a checkpoint."
Model = Annotated[str, typer.Option("--model", help=MODEL_HELP)]
ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP)]
Config = Annotated[str | None, typer.Option("--config", help="The model's config, where the model does not tell it.")]
Prior = Annotated[
    str,
    typer.Option("--prior", help="Draw from this prior: standard, calm, personal, or the folder of one."),
]
Temperature = Annotated[
    float, typer.Option("--temperature", help="0 takes the likeliest notes, 1 draws as the model believes.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The random seed; the same seed gives the same bytes.")]

# Which melody and which bars of a piece.
Melody = Annotated[str, typer.Option("--melody", help="How to find the melody: skyline, onsets or lowest.")]
Track = Annotated[str | None, typer.Option("--track", help="Take the melody from this track (number or name).")]
TrackA = Annotated[str | None, typer.Option("--track-a", help="Take A's melody from this track (number or name).")]
TrackB = Annotated[str | None, typer.Option("--track-b", help="Take B's melody from this track (number or name).")]
StartA = Annotated[int | None, typer.Option("--start-a", min=1, help="The first bar to take of A.")]
StartB = Annotated[int | None, typer.Option("--start-b", min=1, help="The first bar to take of B.")]

# Which windows to train and measure on.
Windows = Annotated[
    str,
    typer.Option("--melody", help="Take windows from: skyline, onsets, lowest, tracks (each track) or all (both)."),
]
MaxOnsets = Annotated[
    int, typer.Option("--max-onsets", min=0, help="Leave out windows with more notes than this (0: take all).")
]
Calmest = Annotated[
    float,
    typer.Option("--calmest", parser=share, metavar="SHARE", help="Take only the calmest share, by score: 0.3 or 30%."),
]
HeldOut = Annotated[
    float, typer.Option("--eval-share", min=0.0, max=0.9, help="The share of pieces or tune families to hold out.")
]

# How to compute.
Hparams = Annotated[
    list[str] | None, typer.Option("--set", help="Change an hparam, such as free_bits=48; may be repeated.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="The number of threads; default one a core.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="The number of processes; default one a core.")]

# What a command writes and says.
Out = Annotated[Path, typer.Option("-o", "--out", help="The output folder.")]
NoPicture = Annotated[bool, typer.Option("--no-picture", help="Write no .png.")]
NoSound = Annotated[bool, typer.Option("--no-sound", help="Write no .wav.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
