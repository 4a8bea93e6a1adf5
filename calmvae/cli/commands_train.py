"""The command line of `train`, `grow`, `evaluate`, `configs` and `doctor`: parses, calls one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calmvae.cli import options
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Evaluating, Growing, Training, expanded


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
    from calmvae.cli import run_train

    run_train.train(data, out, config, settings or [], training, console)


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
    from calmvae.cli import run_grow

    run_grow.grow(model, data, out, config, growing, console)


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
    from calmvae.cli import run_evaluate

    run_evaluate.evaluate(model, config, evaluating, console, out)


@expanded
def configs(
    console: Console,
    magenta: Annotated[bool, typer.Option("--magenta", help="List Magenta's configs, too.")] = False,
) -> None:
    """List the configs that models can have."""
    from calmvae.cli import run_configs

    run_configs.list_configs(magenta, console)


@expanded
def doctor(console: Console) -> None:
    """Check the installation, Magenta and the GPU, and say how to mend what is missing."""
    from calmvae.cli import doctor as checks

    raise typer.Exit(checks.run(console))
