"""The command `calmvae train`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from calmvae.checkpoints import find_model
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Training
from calmvae.cli.run_data import data_set_of
from calmvae.common.text import command
from calmvae.model import config_catalog


def train(
    data: list[Path], out: Path, config: str | None, settings: list[str], given: Training, console: Console
) -> None:
    """Fills a run folder."""
    from calmvae.training import train_magenta, train_melody

    options = train_melody.Options(**vars(given))
    config = config and config_catalog.known(config)
    start = find_model.open_to_train(options.init, config) if options.init else None
    name = config or (start.config if start else "")
    if config_catalog.is_other(name):
        train_magenta.check_options(name, options)
        go = functools.partial(train_magenta.train, name, settings=settings, start=start)
    else:
        spec = train_melody.spec_to_train(config, settings, start, out)
        name, go = spec.name, functools.partial(train_melody.train, spec, start=start)
    source = data_set_of(data, out.with_name(f"{out.name}-data"), name, options.seed, console)

    def report(progress: train_melody.Progress) -> None:
        bits = progress.scalars.get("losses/kl_bits", 0.0)
        line = f"step {progress.step}  loss {progress.scalars['loss']:.2f}  KL {bits:.1f} bits"
        line += f"  {progress.examples_per_second:.0f} examples/s"
        if progress.metrics:
            line += f"  {'held-out' if progress.held_out else 'training windows:'} {progress.metrics.words()}"
            line += " (best)" if progress.best else ""
        console.remark(line)

    result = go(data=source, run=out, options=options, report=report, say=console.remark)
    console.result(
        {"run": str(out), **dataclasses.asdict(result)},
        f"{out}: {result.reason} at step {result.step}; {result.words()}. Try it: {command('sample', '--model', out)}",
    )
    if result.reason == "interrupted":
        raise SystemExit(130)
