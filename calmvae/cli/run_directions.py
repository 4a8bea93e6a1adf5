"""The command `calmvae directions`: finds the attribute vectors of a model."""

from __future__ import annotations

from pathlib import Path

from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import DataError
from calmvae.data import load_dataset, training_windows
from calmvae.latent import attribute_vectors
from calmvae.model.numpy_model import NumpyModel


def find(data: Path, model: NumpyModel, out: Path, most: int, seed: int, console: Console) -> None:
    """Writes the attribute vectors of a model, and the effect of each on each attribute of held-out windows.

    Raises:
      DataError: no windows. OutputError: nowhere to write.
    """
    train_set, eval_set = load_dataset.load(data, model.spec, say=console.remark)
    tokens, looked = (
        training_windows.sounding(part.drawn(n, [seed, k]).tokens)
        for k, (part, n) in enumerate(((train_set, most), (eval_set, 1000)))
    )
    if len(tokens) < 8:
        raise DataError(f"{data} has {len(tokens)} windows with notes, but 8 are needed; convert more pieces.")
    arguments = {"data": data, "model": str(model.source), "windows": most, "seed": seed}
    with output_folder.OutputFolder(out, "directions", arguments) as folder:
        found = attribute_vectors.find(model.engine, tokens)
        table = attribute_vectors.effects(model.engine, found, looked)
        found.record |= {"config": model.spec.name, "effects": table, "held_out_windows": len(looked)}
        attribute_vectors.write(found, folder.path(attribute_vectors.FILE))
        from calmvae.music import calmness_plot

        calmness_plot.write_effects(folder.path("effects.png"), model.spec.name, table)
        folder.record |= {"model": model.describe(), "result": found.record}
    names = list(attribute_vectors.ATTRIBUTES)
    lines = [f"{'':>12}" + "".join(f"{name:>13}" for name in names)]
    lines += [f"{name:>12}" + "".join(f"{table[name][other]:>+13.2f}" for other in names) for name in names]
    console.result(folder.record, *lines, f"{out / attribute_vectors.FILE}: made from {len(tokens)} windows.")
