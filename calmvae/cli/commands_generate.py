"""The command line of `interpolate`, `sample`, `reconstruct`, `demo` and `notebooks`: parses, calls one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Excerpts, Making, Sampling, expanded


@expanded
def notebooks(console: Console, out: options.Out = Path("out/notebooks")) -> None:
    """Copy the notebooks to a folder, where you can run and change them."""
    from calmvae.cli import notebook_display

    notebook_display.copy(out, console)


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
        typer.Option(
            help="The ends: original (A and B, the default for melodies and voices) or decoded (their reconstructions)."
        ),
    ] = None,
) -> None:
    """Make one piece that travels from A to B, and write its steps."""
    from calmvae.cli import run_generate

    given = {"steps": steps, "bars": bars, **excerpts.arguments(), "endpoints": endpoints}
    run_generate.interpolate(a, b, out, making, console, **given)


@expanded
def sample(
    making: Sampling,
    console: Console,
    n: Annotated[int, typer.Option("-n", help="The number of pieces.")] = 5,
    out: options.Out = Path("out/sample"),
    bars: Annotated[
        int | None,
        typer.Option(
            "--bars", help="The bars of each piece. The default is 16 for melodies and voices, else the window."
        ),
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
    from calmvae.cli import run_generate

    style = {"qpm": qpm, "velocity": velocity, "program": program}
    run_generate.sample(n, out, making, console, bars=bars, chords=chords, prior=prior, **style)


@expanded
def reconstruct(
    piece: options.Piece,
    making: Making,
    console: Console,
    out: options.Out = Path("out/reconstruct"),
    melody: options.Melody = "skyline",
    track: options.Track = None,
) -> None:
    """Encode a piece and decode it again."""
    from calmvae.cli import run_generate

    run_generate.reconstruct(piece, out, making, console, melody=melody, track=track)


@expanded
def demo(console: Console, out: options.Out = Path("out/demo"), seed: options.Seed = 0) -> None:
    """Interpolate between two embedded pieces with the embedded model."""
    from calmvae.cli import run_generate

    run_generate.demo(out, seed, console)
