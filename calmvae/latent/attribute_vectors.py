"""Attribute vectors: directions of a model's latent space along which an attribute of the music grows.

A vector is made as in the MusicVAE paper (Roberts et al. 2018, section 5.4): the mean latent code of the quarter of
windows with most of an attribute, minus that of the quarter with least. Adding it to a code increases the attribute.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import tensor_file
from calmvae.common.errors import ModelError
from calmvae.latent import sample_statistics
from calmvae.model import numpy_engine
from calmvae.music import calmness, melody_tokens
from calmvae.music.melody_tokens import HOLD, STEPS_PER_BAR, STEPS_PER_QUARTER

FILE = "directions.safetensors"
ATTRIBUTES = {
    "calmness": "calmness, 0 to 100",
    "density": "notes a bar",
    "interval": "mean semitones between neighbouring notes",
    "syncopation": "share of notes off the beat that sound over the next",
    "in_key": "share of notes in the best-fitting key",
}


@dataclasses.dataclass
class Directions:
    """A vector for each of `ATTRIBUTES`.

    Attributes:
      vectors: attribute to `[z_size]`, from the quarter that has least of it to the quarter that has most.
      record: how they were made, JSON-ready.
    """

    vectors: dict[str, np.ndarray]
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    def check(self, spec: Any, where: Path) -> Directions:
        """Itself, or a `ModelError` if it is of another latent space."""
        size = len(next(iter(self.vectors.values())))
        if size != spec.z_size:
            raise ModelError(
                f"{where} has {size} dimensions, but {spec.name} has {spec.z_size}; run `calmvae directions`."
            )
        return self


def attributes(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `ATTRIBUTES` of windows with notes, uint8 `[n, steps]` or `[n, steps, voices]`: `[n]`.

    Of several voices, the interval is that of the highest notes.
    """
    found = sample_statistics.features(tokens)
    return {
        "calmness": calmness.of_windows(tokens),
        "density": found["note_count"] / (tokens.shape[1] / STEPS_PER_BAR),
        "interval": found["mean_interval" if tokens.ndim == 2 else "top_interval"],
        "syncopation": syncopation(tokens),
        "in_key": sample_statistics.in_key(tokens),
    }


def syncopation(tokens: np.ndarray) -> np.ndarray:
    """Share of notes that begin off the beat and still sound at the next beat, `[n]`; 0 without notes."""
    lines = tokens.reshape(*tokens.shape[:2], -1)
    onsets = melody_tokens.is_onset(lines)
    # How far each note is held: to the step before its voice says the next thing.
    places = np.where(lines != HOLD, np.arange(lines.shape[1])[:, None], lines.shape[1])
    following = np.full_like(places, lines.shape[1])
    following[:, :-1] = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1][:, 1:]
    at = np.arange(lines.shape[1])[:, None]
    beat = (at // STEPS_PER_QUARTER + 1) * STEPS_PER_QUARTER
    over = onsets & (at % STEPS_PER_QUARTER != 0) & (beat < following) & (beat < lines.shape[1])
    return over.sum(axis=(1, 2)) / np.maximum(onsets.sum(axis=(1, 2)), 1)


def find(engine: numpy_engine.Engine, tokens: np.ndarray) -> Directions:
    """Vectors from windows with notes, uint8 `[n, steps]` or `[n, steps, voices]`."""
    mu, _ = engine.encode(tokens)
    vectors = {}
    for name, values in attributes(tokens).items():
        low, high = _ends(values)
        # An attribute that is the same in all windows has no direction.
        apart = low.any() and high.any()
        vectors[name] = mu[high].mean(axis=0) - mu[low].mean(axis=0) if apart else np.zeros_like(mu[0])
    return Directions(vectors, {"windows": len(tokens)})


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which values are in the lowest and the highest quarter. If most are the same: those that differ, and the rest."""
    least, most = np.quantile(values, [0.25, 0.75])
    if least < most:
        return values <= least, values >= most
    if (values < least).sum() > (values > least).sum():
        return values < least, values >= least
    return values <= least, values > least


def effects(engine: numpy_engine.Engine, directions: Directions, tokens: np.ndarray) -> dict[str, dict[str, float]]:
    """The effect of each vector on each attribute of windows `[n, steps]`.

    It is half of the difference between adding and subtracting the vector, in standard deviations of the attribute over
    the windows. If the attribute is the same in all windows, it is in the attribute's own unit.
    """
    mu, _ = engine.encode(tokens)
    deviations = {name: float(values.std()) for name, values in attributes(tokens).items()}
    spread = {name: value if value > 1e-9 else 1.0 for name, value in deviations.items()}
    table = {}
    for name, vector in directions.vectors.items():
        moved = [engine.decode(mu + sign * vector) for sign in (1, -1)]
        # A window that falls silent has no attributes.
        sounds = [melody_tokens.is_onset(some).reshape(len(some), -1).any(axis=1) for some in moved]
        heard = sounds[0] & sounds[1]
        up, down = (attributes(some[heard]) for some in moved)
        table[name] = {other: float((up[other] - down[other]).mean() / 2 / spread[other]) for other in ATTRIBUTES}
    return table


def write(directions: Directions, path: Path) -> None:
    """Writes the vectors as a safetensors file."""
    tensor_file.write(
        path, {n: vector.astype(np.float32) for n, vector in directions.vectors.items()}, directions.record
    )


def read(path: Path) -> Directions:
    """Reads what `write` wrote.

    Raises:
      ModelError: it is missing or damaged.
    """
    with tensor_file.read(path, "directions", "run `calmvae directions`") as (tensors, record):
        return Directions({name: np.array(tensors[name]) for name in ATTRIBUTES}, record)
