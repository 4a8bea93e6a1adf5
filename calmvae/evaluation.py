"""How well a model gives music back: reconstruction accuracy, KL, active units."""

from __future__ import annotations

import dataclasses

import numpy as np

from calmvae.phrases import FIRST_PITCH
from calmvae.runtime import Engine


@dataclasses.dataclass
class Metrics:
    """Of a set of windows, all from the posterior mean `mu`.

    Attributes:
      windows: how many.
      accuracy: share of steps at which free-running argmax decoding gives the window's token.
      onset_accuracy: the same over steps at which a note starts in the window or in the decoding.
      teacher_forced: share of steps right when the decoder is fed the true tokens.
      exact: share of windows that come back whole.
      nats: mean negative log-likelihood of a window, teacher-forced, in nats.
      kl_bits: mean KL of the posterior from the prior, summed over dimensions, in bits.
      active_units: dimensions whose `mu` varies by more than .01 (variance) over the windows (Burda et al. 2016).
    """

    windows: int
    accuracy: float
    onset_accuracy: float
    teacher_forced: float
    exact: float
    nats: float
    kl_bits: float
    active_units: int


def evaluate(engine: Engine, tokens: np.ndarray) -> Metrics:
    """Measures reconstruction on windows uint8 `[n, steps]`, n >= 1."""
    mu, sigma = engine.encode(tokens)
    decoded = engine.decode(mu)
    logs, likeliest = engine.log_likelihood(mu, tokens)
    kl = _kl_nats(mu, sigma) / np.log(2)
    right = decoded == tokens
    return Metrics(
        windows=len(tokens),
        accuracy=float(right.mean()),
        onset_accuracy=float(onset_accuracy(tokens, decoded)),
        teacher_forced=float((likeliest == tokens).mean()),
        exact=float(right.all(axis=1).mean()),
        nats=float(-logs.sum(axis=1).mean()),
        kl_bits=float(kl.mean()),
        active_units=int((mu.var(axis=0) > 0.01).sum()),
    )


def onset_accuracy(tokens: np.ndarray, decoded: np.ndarray) -> float:
    """Share of agreement over the steps at which either of the two starts a note; 1 where neither does."""
    onsets = (tokens >= FIRST_PITCH) | (decoded >= FIRST_PITCH)
    return float((tokens == decoded)[onsets].mean()) if onsets.any() else 1.0


def elbo(engine: Engine, tokens: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Evidence lower bound of windows uint8 `[n, steps]`, with one draw from each posterior.

    Returns:
      its mean in nats a window, and what it says a step takes at most, in bits.
    """
    mu, sigma = engine.encode(tokens)
    z = mu + sigma * np.random.default_rng(seed).standard_normal(mu.shape, np.float32)
    logs, _ = engine.log_likelihood(z, tokens)
    bound = float(logs.sum(axis=1).mean() - _kl_nats(mu, sigma).mean())
    return bound, -bound / tokens.shape[1] / float(np.log(2))


def _kl_nats(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    variance = np.maximum(sigma.astype(np.float64) ** 2, 1e-12)
    return 0.5 * (variance + mu.astype(np.float64) ** 2 - 1 - np.log(variance)).sum(axis=1)
