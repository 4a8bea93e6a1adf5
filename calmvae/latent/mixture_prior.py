"""A mixture of Gaussians in a model's latent space: the region of one kind of music, such as calm music.

Fitted by scikit-learn's expectation maximisation; the covariances are then shrunk towards what all components have in
common (Ledoit and Wolf 2004 shrink towards the identity; a common covariance keeps the shape of the space). The number
of components and the shrinkage are chosen by the likelihood of held-out latents. Drawing needs only numpy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import tensor_file
from calmvae.common.errors import MissingDependencyError, ModelError

COMPONENTS = (1, 2, 4, 8)
SHRINKAGES = (0.0, 0.1, 0.3, 0.6, 1.0)
# Of few windows: with more Gaussians held-out windows of 2 bars are likelier and long samples keep their key better;
# see benchmarks/personal.py. With more of the standard prior samples are farther from the pieces.
MOST_GAUSSIANS, STANDARD = 128, 0.1
_ROUNDS = 20


@dataclasses.dataclass
class Mixture:
    """Gaussians, each with a share.

    Attributes:
      shares: `[k]`, adding up to 1.
      means: `[k, z_size]`.
      roots: `[k, z_size, z_size]`, lower triangular, of which the square is the covariance.
      record: how it was fitted, JSON-ready.
      source: the file it was read from.
    """

    shares: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: Path | None = None

    @property
    def size(self) -> int:
        """Standard normal numbers that a latent is made of: one says which Gaussian."""
        return self.means.shape[1] + 1

    def latents(self, points: np.ndarray) -> np.ndarray:
        """Points of a standard normal space `[n, size]` to latents `[n, z_size]`, float32.

        All latents come from one Gaussian, which the first point chooses. A piece that moved between two Gaussians
        would pass through places without music.
        """
        chosen = self._component(float(points[0, -1]))
        return (self.means[chosen] + points[:, :-1] @ self.roots[chosen].T).astype(np.float32)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` latents, float32 `[n, z_size]`."""
        points = rng.standard_normal((n, self.size))
        return np.concatenate([self.latents(row[None]) for row in points]) if n else np.zeros((0, self.size - 1))

    def _component(self, number: float) -> int:
        below = 0.5 * (1 + math.erf(number / math.sqrt(2)))
        return min(int(np.searchsorted(np.cumsum(self.shares), below)), len(self.shares) - 1)

    def log_likelihood(self, latents: np.ndarray) -> np.ndarray:
        """Log density of latents `[n, z_size]` in nats, `[n]`."""
        logs = []
        for share, mean, root in zip(self.shares, self.means, self.roots, strict=True):
            white = np.linalg.solve(root, (latents - mean).T)
            volume = np.log(np.diag(root)).sum() + 0.5 * len(mean) * math.log(2 * math.pi)
            logs.append(math.log(share) - 0.5 * (white**2).sum(axis=0) - volume)
        return np.logaddexp.reduce(logs, axis=0)

    def describe(self) -> dict[str, Any]:
        """What a run.json says of it."""
        return {"name": self.record.get("name", "mixture"), "source": str(self.source or ""), **self.record}

    def check(self, model: Any) -> Mixture:
        """Itself, or a `ModelError` if it is of another latent space than the model's."""
        if self.means.shape[1] != model.spec.z_size:
            raise ModelError(
                f"the prior in {self.source} has {self.means.shape[1]} dimensions, but {model.spec.name} has "
                f"{model.spec.z_size}; give a prior that was made for this model."
            )
        return self


def fit(
    train: np.ndarray,
    held_out: np.ndarray,
    seed: int = 0,
    components: Iterable[int] = COMPONENTS,
    shrinkages: Iterable[float] = SHRINKAGES,
) -> Mixture:
    """The mixture under which held-out latents are likeliest.

    Args:
      train, held_out: latents `[n, z_size]`, draws from posteriors.
      seed: of the start.
      components: numbers of Gaussians to try.
      shrinkages: shares of the common covariance to try.

    Raises:
      MissingDependencyError: scikit-learn is missing.
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise MissingDependencyError(
            "fitting a prior needs scikit-learn, which the light set-up leaves out; run `make test`, or pip install "
            "scikit-learn."
        ) from error
    tried: list[tuple[float, Mixture]] = []
    for k in components:
        if len(train) < 4 * k:
            continue
        found = GaussianMixture(k, reg_covar=1e-4, random_state=seed, max_iter=60, tol=1e-2).fit(train)
        common = np.einsum("k,kij->ij", found.weights_, found.covariances_)
        for shrinkage in shrinkages:
            if k == 1 and shrinkage:
                continue
            shrunk = (1 - shrinkage) * found.covariances_ + shrinkage * common
            roots = np.linalg.cholesky(np.stack([common] * k) if shrinkage == 1 else shrunk)
            made = Mixture(found.weights_, found.means_, roots, {"components": k, "shrinkage": shrinkage})
            tried.append((float(made.log_likelihood(held_out).mean()), made))
    best, mixture = max(tried, key=lambda one: one[0])
    mixture.record["held_out_nats"] = round(-best, 3)
    mixture.record["tried"] = [
        {**{key: one.record[key] for key in ("components", "shrinkage")}, "held_out_nats": round(-likelihood, 3)}
        for likelihood, one in tried
    ]
    return mixture


def fit_few(
    mu: np.ndarray, sigma: np.ndarray, seed: int = 0, most: int = MOST_GAUSSIANS, spread: float = 1.0
) -> Mixture:
    """A mixture for few windows, in numpy alone: many Gaussians of one covariance, pooled with the standard prior.

    Expectation maximisation on the posteriors' means, from the start of k-means++ (Arthur and Vassilvitskii 2007); the
    covariance is what the Gaussians leave unexplained plus the posteriors' mean variance, hence never singular. At the
    end every Gaussian has the mean and covariance of a pool of its own draws and a share `STANDARD` of N(0, I).

    Args:
      mu, sigma: posteriors of windows, `[n, z_size]` each; one window is enough.
      seed: of the start.
      most: Gaussians, if there are as many windows.
      spread: of draws, as a part of what was fitted; 1 is the likeliest.
    """
    mu, variance = mu.astype(np.float64), np.square(sigma, dtype=np.float64).mean(axis=0)
    means = _apart(mu, min(most, len(mu)), np.random.default_rng(seed))
    shares, root = np.full(len(means), 1 / len(means)), np.diag(np.sqrt(variance))
    for _ in range(_ROUNDS):
        white, centers = (np.linalg.solve(root, some.T).T for some in (mu, means))
        logs = np.log(shares) + white @ centers.T - 0.5 * (centers**2).sum(axis=1)
        weights = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
        # A Gaussian that no window belongs to any more keeps next to no share.
        counts = weights.sum(axis=0) + 1e-9
        means, shares = weights.T @ mu / counts[:, None], counts / counts.sum()
        left = (mu.T @ mu - (means * counts[:, None]).T @ means) / len(mu)
        root = np.linalg.cholesky(left + np.diag(variance))
    between = (means * shares[:, None]).T @ means
    own = (1 - STANDARD) * root @ root.T + STANDARD * (1 - STANDARD) * between
    root = np.linalg.cholesky(own + STANDARD * np.eye(len(variance)))
    record = {"components": len(means), "standard": STANDARD, "spread": spread}
    return Mixture(shares, (1 - STANDARD) * means, np.stack([spread * root] * len(means)), record)


def _apart(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the points `[n, size]`, each drawn by its squared distance from those before it."""
    chosen = [points[rng.integers(len(points))]]
    distance = np.square(points - chosen[0]).sum(axis=1)
    while len(chosen) < count and distance.any():
        chosen.append(points[rng.choice(len(points), p=distance / distance.sum())])
        distance = np.minimum(distance, np.square(points - chosen[-1]).sum(axis=1))
    return np.array(chosen)


def write(mixture: Mixture, path: Path) -> None:
    """Writes shares, means and roots as float16 in a safetensors file, of the roots only what is not 0."""
    lower = np.tril_indices(mixture.means.shape[1])
    # Shrunk altogether, all are one.
    alike = all(np.array_equal(root, mixture.roots[0]) for root in mixture.roots)
    roots = (mixture.roots[:1] if alike else mixture.roots)[:, lower[0], lower[1]]
    arrays = {"shares": mixture.shares.astype(np.float32)}
    arrays |= {"means": mixture.means.astype(np.float16), "roots": roots.astype(np.float16)}
    tensor_file.write(path, arrays, mixture.record)


def read(path: Path) -> Mixture:
    """Reads what `write` wrote.

    Raises:
      ModelError: it is missing or damaged.
    """
    with tensor_file.read(path, "prior", "make it again") as (tensors, record):
        shares, means, packed = (np.array(tensors[name], np.float64) for name in ("shares", "means", "roots"))
        size = means.shape[1]
        roots = np.zeros((len(packed), size, size))
        lower = np.tril_indices(size)
        roots[:, lower[0], lower[1]] = packed
        shared = roots[[0] * len(means)] if len(roots) == 1 else roots
        return Mixture(shares / shares.sum(), means, shared, record, path)
