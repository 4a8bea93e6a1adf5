"""Latent vectors drawn from a prior for a model, and the keys of what is decoded from them.

Of several voices, each vector is the one of a few draws whose window has the fewest semitone clashes. Their calm prior
is fitted in C major and A minor, so a draw does not mix keys. The decoded windows are then transposed.
"""

from __future__ import annotations

import numpy as np

from calmvae.latent import mixture_prior, slerp, voice_statistics
from calmvae.model.interface import Model
from calmvae.model.voice_model import VoiceModel
from calmvae.music import melody_tokens
from calmvae.music.melody_tokens import DEPTH, FIRST_PITCH

# The entry of a prior's record that names the keys of its music.
KEYS = "keys"
# Draws of which the one with the fewest clashes is taken.
_TRIES = 4
_SHIFTS = (-5, 6)


def draw(model: Model, prior: mixture_prior.Mixture | None, rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` latents `[n, z_size]` from a prior, by default the standard normal one."""

    def some() -> np.ndarray:
        return prior.draw(rng, n) if prior else rng.standard_normal((n, model.z_size))

    if not isinstance(model, VoiceModel) or not n:
        return some()
    return _purest(model, np.stack([some() for _ in range(_TRIES)]))


def walk(
    model: Model, prior: mixture_prior.Mixture | None, rng: np.random.Generator, points: int, every: int
) -> np.ndarray:
    """A path of so many latents `[points, z_size]` through fresh draws, one every `every` points; see `slerp.walk`."""
    size = prior.size if prior else model.z_size
    anchors = slerp.anchors(rng, points, every, size)
    if isinstance(model, VoiceModel):
        tried = np.stack([anchors, *(rng.standard_normal(anchors.shape) for _ in range(_TRIES - 1))])
        if prior:
            # The first point says which Gaussian all come from.
            tried[:, 0, -1] = anchors[0, -1]
            latents = np.stack([prior.latents(row) for row in tried])
        else:
            latents = tried
        chosen = _purest_rows(model, latents)
        anchors = tried[chosen, np.arange(len(anchors))]
    z = slerp.through(anchors, points, every)
    return prior.latents(z) if prior else z


def _purest(model: VoiceModel, latents: np.ndarray) -> np.ndarray:
    """Of latents `[tries, n, z_size]` the purest of each n."""
    return latents[_purest_rows(model, latents), np.arange(latents.shape[1])]


def _purest_rows(model: VoiceModel, latents: np.ndarray) -> np.ndarray:
    """For each of n which of the tries `[tries, n, z_size]` has the fewest clashes; one with notes, if there is one."""
    windows = model.decode(latents.reshape(-1, latents.shape[2]))
    found = [voice_statistics.clashes(w[None]) if melody_tokens.is_onset(w).any() else 2.0 for w in windows]
    return np.argmin(np.reshape(found, latents.shape[:2]), axis=0)


def in_some_key(prior: mixture_prior.Mixture | None, windows: np.ndarray, seed: list[int]) -> np.ndarray:
    """The windows of a piece in a key drawn by the seed, if the prior was fitted to music in one pair of keys.

    They are moved only as far as all notes stay in range.
    """
    if prior is None or KEYS not in prior.record:
        return windows
    notes = windows[melody_tokens.is_onset(windows)].astype(int)
    if not len(notes):
        return windows
    shift = int(np.random.default_rng(seed).integers(_SHIFTS[0], _SHIFTS[1] + 1))
    shift = int(np.clip(shift, FIRST_PITCH - notes.min(), DEPTH - 1 - notes.max()))
    return melody_tokens.shifted(windows, shift)
