"""What do the learning rate, free bits and beta do? The same training with one of them changed at a time.

    .venv/bin/python -m benchmarks.settings out/corpus -o out/settings [--steps 1000] [--share 1/8]

The first row is calm-mel_2bar's own training, on a share of the corpus; held-out windows, seed and steps are the same
in all. Run again, it goes on where it was. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

from benchmarks.data_size import subset
from calmvae.model import config_catalog, model_spec
from calmvae.training import train_melody

OWN = {"learning_rate": "0.004", "free_bits": "48", "max_beta": "0.25", "beta_rate": "0.9999"}
# Warming up this fast, beta is at its top at once.
AT_ONCE = "0"
ROWS: dict[str, dict[str, str]] = {
    "as it is": {},
    "learning rate .001": {"learning_rate": "0.001"},
    "learning rate .008": {"learning_rate": "0.008"},
    "no free bits": {"free_bits": "0"},
    "no free bits, beta .25 from the start": {"free_bits": "0", "beta_rate": AT_ONCE},
}


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of calmvae corpus build")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--share", type=Fraction, default=Fraction(1, 8))
    given = parser.parse_args()
    data = subset(given.data, given.share, given.out / "data")
    options = train_melody.Options(
        steps=given.steps, eval_every=500, sample_every=0, patience=0, melody="all", keep="last"
    )
    print("| what | steps right | onsets right | KL bits | active units |\n|---|---|---|---|---|", flush=True)
    for name, changed in ROWS.items():
        pairs = [f"{key}={value}" for key, value in (OWN | changed).items()]
        spec = model_spec.with_hparams(config_catalog.get_spec("calm-mel_2bar"), pairs)
        run = given.out / "-".join(["run", *(pair.replace("=", "") for pair in pairs)])
        found = train_melody.train(spec, data, run, options, say=lambda said: None).kept
        measured = f"{found['accuracy']:.3f} | {found['onset_accuracy']:.3f} | {found['kl_bits']:.1f}"
        print(f"| {name} | {measured} | {found['active_units']} |", flush=True)


if __name__ == "__main__":
    main()
