"""What lies where in a model's latent space, and what the ways through it pass.

    .venv/bin/python -m benchmarks.latent_space [--data out/corpus] [--model calm-mel_2bar] [--windows 400]

Of the embedded pieces, or of the held-out pieces of a data set: their windows, what is decoded from their codes, from
the standard prior scaled, from the calm prior; and what lies between two windows, 100 pairs. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.cli import notebook_display
from calmvae.data import load_dataset, training_windows
from calmvae.latent import calm_prior, latent_survey
from calmvae.midi.read_music import read_piece


def windows(data: Path | None, steps: int) -> np.ndarray:
    """Windows of the held-out pieces, or of the embedded ones."""
    if data:
        found = training_windows.load_windows(load_dataset.data_files(data)[1], steps, "all")
        return found.drawn(4096, 0).tokens
    return training_windows.windows_of(map(read_piece, notebook_display.pieces()), steps)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of calmvae corpus build; without it, the embedded pieces")
    parser.add_argument("--model", default=open_model.DEFAULT_MELODY_MODEL)
    parser.add_argument("--windows", type=int, default=400, help="of each place, at most; default 400")
    options = parser.parse_args()
    model = open_model.load_model(options.model)
    tokens = windows(options.data, model.spec.steps)
    places = latent_survey.places(model.engine, tokens, options.windows)
    places.append(latent_survey.of_prior(model.engine, calm_prior.load_prior(model), options.windows))
    print(latent_survey.shown(places), end="\n\n")
    print(latent_survey.shown(latent_survey.ways(model.engine, tokens)), end="\n\n")
    print(latent_survey.shown([latent_survey.together(model.engine.encode(tokens)[0])]))


if __name__ == "__main__":
    main()
