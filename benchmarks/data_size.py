"""How much music does a model need? The same training on 1/16 to all of a corpus' pieces.

    .venv/bin/python -m benchmarks.data_size out/corpus -o out/sizes [--steps 2000] [--shares 1/16 1/8 1/4 1/2 1]

Each training sees every 16th (8th, ...) piece, the same held-out windows, seed and number of steps; run again, it goes
on where it was. Prints a Markdown table: of the held-out windows and of as many of its own, how much comes back.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

from calmvae.checkpoints import open_model
from calmvae.data import load_dataset
from calmvae.latent import evaluation
from calmvae.midi import tfrecord
from calmvae.model import config_catalog, model_spec
from calmvae.training import train_melody

_WINDOWS = 1024


def subset(data: Path, share: Fraction, folder: Path) -> Path:
    """A data set with a share of the pieces to train on and all that are held out."""
    train, held_out = load_dataset.data_files(data)
    folder.mkdir(parents=True, exist_ok=True)
    records = itertools.chain.from_iterable(tfrecord.read(file) for file in train)
    target = folder / "train-00000-of-00001.tfrecord"
    if not target.exists():
        tfrecord.write(target, itertools.islice(records, 0, None, share.denominator))
    for file in held_out:
        link = folder / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return folder


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of calmvae corpus build")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--shares", type=Fraction, nargs="+", default=[Fraction(1, 2**k) for k in (4, 3, 2, 1, 0)])
    given = parser.parse_args()
    spec = model_spec.with_hparams(config_catalog.get_spec("calm-mel_2bar"), ["max_beta=0.25"])
    options = train_melody.Options(
        steps=given.steps, eval_every=500, sample_every=0, patience=0, melody="all", keep="last"
    )
    options = dataclasses.replace(options, threads=1, save_every=500)
    rows = []
    for share in given.shares:
        name = f"{share.numerator}-{share.denominator}"
        data = subset(given.data, share, given.out / f"data-{name}")
        run = given.out / f"run-{name}"
        train_melody.train(spec, data, run, options, say=lambda said: print(said, flush=True))
        windows, held_out = load_dataset.load(data, spec, "all", cache=run / "cache", say=lambda _: None)
        engine = open_model.load_model(run).engine
        of_its_own = evaluation.evaluate(engine, windows.drawn(_WINDOWS, 0).tokens)
        found = evaluation.evaluate(engine, held_out.drawn(_WINDOWS, 0).tokens)
        row = {"share": str(share), "pieces": windows.pieces, "windows": len(windows.tokens), "steps": given.steps}
        row |= {"held_out": dataclasses.asdict(found), "own": dataclasses.asdict(of_its_own)}
        print(json.dumps(row), flush=True)
        rows.append(row)
    (given.out / "sizes.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("| share | pieces | windows | steps right | onsets right | own steps right | own onsets right |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        values = [row[part][kind] for part in ("held_out", "own") for kind in ("accuracy", "onset_accuracy")]
        shown = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {row['share']} | {row['pieces']:,} | {row['windows']:,} | {shown} |")


if __name__ == "__main__":
    main()
