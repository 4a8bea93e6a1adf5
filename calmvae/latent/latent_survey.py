"""A survey of a model's latent space: the music decoded at different places, and on the way between two windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calmvae.common.text import markdown
from calmvae.data import training_windows
from calmvae.latent import mixture_prior, sample_statistics, slerp
from calmvae.model.numpy_engine import Engine
from calmvae.music import calmness
from calmvae.music.melody_tokens import FIRST_PITCH, STEPS_PER_BAR

SCALES = (0.5, 0.75, 1.0, 1.25)


def of_music(tokens: np.ndarray) -> dict[str, float]:
    """Means over those of windows uint8 `[n, steps]` that have notes.

    Returns:
      the share of notes in the best-fitting key, the number of different pitches, the number of notes that begin in a
      bar, and the calmness from 0 to 100.
    """
    heard = training_windows.sounding(tokens)
    onsets = heard >= FIRST_PITCH
    return {
        "in key": float(sample_statistics.in_key(heard).mean()),
        "pitches": float(np.mean([len(np.unique(row[row >= FIRST_PITCH])) for row in heard])),
        "notes a bar": float(onsets.sum(axis=1).mean() * STEPS_PER_BAR / tokens.shape[1]),
        "calmness": float(calmness.of_windows(heard).mean()),
    }


def places(engine: Engine, tokens: np.ndarray, n: int = 400) -> list[dict[str, float | str]]:
    """Music decoded by argmax from different places of the latent space.

    The places are: the music itself, the means of its codes, draws from its codes, a Gaussian fitted to such draws in
    each dimension, a Gaussian with covariance fitted to them, and the standard prior scaled by each of `SCALES`.

    Args:
      engine: the model.
      tokens: music, uint8 `[m, steps]`.
      n: how many windows of each place.

    Returns:
      for each place its name, the mean length of its vectors, and `of_music`.
    """
    rng = np.random.default_rng([0, 4])
    mu, sigma = engine.encode(tokens)
    codes = mu + sigma * rng.standard_normal(mu.shape)
    some = rng.permutation(len(tokens))[:n]
    drawn = rng.standard_normal((n, mu.shape[1]))
    rows: list[dict[str, float | str]] = [{"place": "music", "length": "", **of_music(tokens[some])}]
    spots = {"codes of music, means": mu[some], "codes of music, draws": codes[some]}
    spots["a Gaussian, dimension by dimension"] = codes.mean(axis=0) + codes.std(axis=0) * drawn
    spots["a Gaussian with covariance"] = codes.mean(axis=0) + drawn @ _root(np.cov(codes.T))
    spots |= {f"standard prior x {scale:g}": scale * drawn for scale in SCALES}
    for name, z in spots.items():
        length = float(np.linalg.norm(z, axis=1).mean())
        rows.append({"place": name, "length": length, **of_music(engine.decode(z))})
    return rows


def _root(covariance: np.ndarray) -> np.ndarray:
    """Its symmetric square root."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def together(mu: np.ndarray) -> dict[str, float]:
    """How far the dimensions of codes `[n, z_size]` are from independent, which the prior assumes.

    Returns:
      the number of active dimensions, the root mean square of their deviations (1 in the prior, for means and noise
      together), the mean absolute correlation of two dimensions, its value by chance, and the number of principal axes
      that hold half of the variance.
    """
    active = mu[:, mu.var(axis=0) > 0.01].astype(np.float64)
    share = np.cumsum(np.sort(np.linalg.eigvalsh(np.cov(active.T)))[::-1])
    pairs = np.abs(np.atleast_2d(np.corrcoef(active.T))[np.triu_indices(active.shape[1], 1)])
    return {
        "active": float(active.shape[1]),
        "deviation": float(np.sqrt(active.var(axis=0).mean())),
        "correlation": float(pairs.mean()),
        "by chance": float(np.sqrt(2 / np.pi / len(active))),
        "half": float(np.searchsorted(share, share[-1] / 2) + 1),
    }


def ways(engine: Engine, tokens: np.ndarray, pairs: int = 100, points: int = 5) -> list[dict[str, float | str]]:
    """The music between two windows: through the latent space, and by fading from one into the other.

    The fade takes each step from B with the probability of the place on the way, like the baseline of the MusicVAE
    paper (Roberts et al. 2018, section 5.3).

    Args:
      engine: the model.
      tokens: music, uint8 `[m, steps]`, m >= 2.
      pairs: of windows drawn from it.
      points: on each way, ends included.

    Returns:
      for slerp, the straight line and the fade, at each point: its place from 0 to 1, the shares of steps that equal A
      and B, and `of_music`.
    """
    rng = np.random.default_rng([0, 5])
    chosen = np.stack([rng.choice(len(tokens), 2, replace=False) for _ in range(pairs)])
    a, b = tokens[chosen[:, 0]], tokens[chosen[:, 1]]
    mu, _ = engine.encode(np.concatenate([a, b]))
    start, end = mu[:pairs], mu[pairs:]
    rows: list[dict[str, float | str]] = []
    for way in ("slerp", "straight", "fade"):
        for t in np.linspace(0.0, 1.0, points):
            if way == "fade":
                found = np.where(rng.random(a.shape) < t, b, a)
            else:
                found = engine.decode(slerp.slerp(start, end, t) if way == "slerp" else (1 - t) * start + t * end)
            alike = {name: float((found == end_).mean()) for name, end_ in (("like A", a), ("like B", b))}
            rows.append({"way": way, "at": float(t), **alike, **of_music(found)})
    return rows


def of_prior(engine: Engine, prior: mixture_prior.Mixture, n: int = 400) -> dict[str, float | str]:
    """A row like those of `places`, of samples from a mixture."""
    z = prior.draw(np.random.default_rng([0, 6]), n)
    return {"place": "calm prior", "length": float(np.linalg.norm(z, axis=1).mean()), **of_music(engine.decode(z))}


def shown(rows: Sequence[dict[str, float | str]]) -> str:
    """Rows as a Markdown table."""
    digits = {"length": 1, "at": 2, "pitches": 1, "notes a bar": 1, "calmness": 1, "active": 0, "half": 0}
    cells = [[v if isinstance(v, str) else f"{v:.{digits.get(name, 3)}f}" for name, v in row.items()] for row in rows]
    return markdown(list(rows[0]), cells)
