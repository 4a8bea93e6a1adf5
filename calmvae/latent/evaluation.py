"""How well a model reconstructs music, and how even its interpolations are: accuracy, KL, active units, steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from calmvae.latent import slerp
from calmvae.model.numpy_engine import Engine
from calmvae.music import melody_tokens, voice_windows
from calmvae.music.melody_tokens import FIRST_PITCH, STEPS_PER_BAR

# Largest step over mean step up to which a path counts as smooth.
MOST_JUMP = 2.5
# Onsets a bar on average, semitones on average, semitones at most.
_SPARSE_ONSETS, _SPARSE_INTERVAL, _SPARSE_LEAP = 5, 4, 12


@dataclasses.dataclass
class Metrics:
    """How well a model reconstructs a set of windows from the posterior mean `mu`.

    Attributes:
      windows: how many.
      accuracy: share of steps at which argmax decoding gives the window's token.
      onset_accuracy: the same over steps at which a note starts in the window or in the decoding.
      teacher_forced: share of steps right when the decoder is fed the true tokens.
      exact: share of windows reconstructed whole.
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

    def words(self) -> str:
        """The measurements for a line of progress."""
        return f"accuracy {self.accuracy:.3f}, onsets {self.onset_accuracy:.3f}"


@dataclasses.dataclass
class VoiceMetrics(Metrics):
    """Of windows of several voices, where a step has a token for each voice.

    Attributes:
      note_f1: F1 of the decoded notes: same bar, sixteenth and pitch, whichever voice has them.
      timed_note_f1: the same of notes that also end at the same sixteenth.
    """

    note_f1: float
    timed_note_f1: float

    def words(self) -> str:
        return f"note F1 {self.note_f1:.3f}, with lengths {self.timed_note_f1:.3f}"


@dataclasses.dataclass
class Reconstruction:
    """Windows and their reconstruction from the posterior mean `mu`.

    Attributes:
      tokens, decoded, likeliest: uint8 `[n, steps]`: the windows, their argmax decoding from `mu`, and the likeliest
        token of each step when the decoder is fed the true tokens.
      logs: log-probability of each true token in nats, `[n, steps]`.
      mu: `[n, z_size]`.
      kl: in nats, `[n]`.
    """

    tokens: np.ndarray
    decoded: np.ndarray
    likeliest: np.ndarray
    logs: np.ndarray
    mu: np.ndarray
    kl: np.ndarray

    @classmethod
    def of(cls, engine: Engine, tokens: np.ndarray) -> Reconstruction:
        """Encodes and decodes windows uint8 `[n, steps]`, n >= 1."""
        mu, sigma = engine.encode(tokens)
        logs, likeliest = engine.log_likelihood(mu, tokens)
        return cls(tokens, engine.decode(mu), likeliest, logs, mu, kl_nats(mu, sigma))

    def metrics(self, rows: np.ndarray | slice = slice(None)) -> Metrics:
        """Of all windows, or of those that `rows` picks."""
        tokens, decoded, mu = self.tokens[rows], self.decoded[rows], self.mu[rows]
        right = decoded == tokens
        found: dict[str, Any] = {
            "windows": len(tokens),
            "accuracy": float(right.mean()),
            "onset_accuracy": float(melody_tokens.onset_accuracy(tokens, decoded)),
            "teacher_forced": float((self.likeliest[rows] == tokens).mean()),
            "exact": float(right.reshape(len(right), -1).all(axis=1).mean()),
            "nats": float(-self.logs[rows].reshape(len(right), -1).sum(axis=1).mean()),
            "kl_bits": float(self.kl[rows].mean() / np.log(2)),
            "active_units": int((mu.var(axis=0) > 0.01).sum()),
        }
        if tokens.ndim == 2:
            return Metrics(**found)
        f1, timed = (voice_windows.note_f1(tokens, decoded, lengths) for lengths in (False, True))
        return VoiceMetrics(**found, note_f1=f1, timed_note_f1=timed)


def evaluate(engine: Engine, tokens: np.ndarray) -> Metrics:
    """Measures reconstruction on windows uint8 `[n, steps]`, n >= 1."""
    return Reconstruction.of(engine, tokens).metrics()


def elbo(engine: Engine, tokens: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Evidence lower bound of windows uint8 `[n, steps]`, with one draw from each posterior.

    Returns:
      its mean in nats a window, and the upper bound in bits a step that follows from it.
    """
    mu, sigma = engine.encode(tokens)
    z = mu + sigma * np.random.default_rng(seed).standard_normal(mu.shape, np.float32)
    logs, _ = engine.log_likelihood(z, tokens)
    bound = float(logs.reshape(len(logs), -1).sum(axis=1).mean() - kl_nats(mu, sigma).mean())
    return bound, -bound / tokens.shape[1] / float(np.log(2))


@dataclasses.dataclass
class Smoothness:
    """How even the steps of interpolations are, by the Hamming distance between decoded neighbours.

    Attributes:
      pairs, steps: number of interpolations, and of points on each.
      jump: largest step of a path over its mean step, mean over the paths.
      worst_jump: the same of the worst path.
      smooth: share of the paths whose largest step is at most 2.5 times their mean step.
    """

    pairs: int
    steps: int
    jump: float
    worst_jump: float
    smooth: float


def smoothness(engine: Engine, tokens: np.ndarray, pairs: int, steps: int = 8, seed: int = 0) -> Smoothness:
    """Interpolates between random pairs of windows uint8 `[n, steps]`, n >= 2, along slerp, by argmax decoding."""
    rng = np.random.default_rng([seed, 3])
    chosen = np.stack([rng.choice(len(tokens), 2, replace=False) for _ in range(pairs)])
    mu, _ = engine.encode(tokens[chosen.ravel()])
    points = slerp.path(mu[::2], mu[1::2], steps)
    decoded = engine.decode(points.reshape(-1, mu.shape[1])).reshape(steps, pairs, -1)
    moved = (decoded[1:] != decoded[:-1]).sum(axis=2)
    mean = moved.mean(axis=0)
    # A path without any change has no jump.
    jumps = np.where(mean > 0, moved.max(axis=0) / np.maximum(mean, 1e-9), 1.0)
    return Smoothness(pairs, steps, float(jumps.mean()), float(jumps.max()), float((jumps <= MOST_JUMP).mean()))


def kl_nats(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """KL of each posterior from the prior in nats: `[n, z_size]` to `[n]`."""
    variance = np.maximum(sigma.astype(np.float64) ** 2, 1e-12)
    return 0.5 * (variance + mu.astype(np.float64) ** 2 - 1 - np.log(variance)).sum(axis=1)


def is_sparse(tokens: np.ndarray) -> np.ndarray:
    """Which windows are sparse: few notes, small steps and no great leap. Bool `[n]`.

    Few notes are at most five onsets a bar on average. Small steps are at most four semitones between neighbouring
    notes on average. No leap exceeds an octave. Low density follows Dickson & Schubert 2020 and Tan & Herremans 2020,
    small steps follow Tan 2012. The limits are ours.

    Args:
      tokens: uint8 `[n, steps]`.
    """
    notes = tokens >= FIRST_PITCH
    onsets = notes.sum(axis=1)
    # Each note's pitch is carried on to the next note, so that the differences between steps are those between notes.
    at = np.maximum.accumulate(np.where(notes, np.arange(tokens.shape[1]), 0), axis=1)
    pitches = np.take_along_axis(tokens, at, axis=1).astype(np.int64)
    known = np.logical_or.accumulate(notes, axis=1)[:, :-1]
    leaps = np.where(known, np.abs(np.diff(pitches, axis=1)), 0)
    mean = leaps.sum(axis=1) / np.maximum(onsets - 1, 1)
    bars = tokens.shape[1] / STEPS_PER_BAR
    return (onsets <= _SPARSE_ONSETS * bars) & (mean <= _SPARSE_INTERVAL) & (leaps.max(axis=1) <= _SPARSE_LEAP)
