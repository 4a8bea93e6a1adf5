"""A prior of one's own: a small VAE fitted to the latents of a few pieces, and kept beside the model.

After MidiMe (Dinculescu, Engel and Roberts 2019, "MidiMe: Personalizing a MusicVAE model with user data"): MusicVAE
stays as it is, and a VAE of four dimensions learns where in its latent space somebody's music lies. With a latent x
drawn from the posterior of a window, and z from the small VAE's posterior N(m, s^2) of x, what is minimised is

    |x - d(z)|^2 / 2 + BETA * KL(N(m, s^2) || N(0, I)).

Beyond MidiMe, the prior has the spread of the music that it was fitted to. z is drawn from the Gaussian that fits the
posteriors of all windows together, not from N(0, I) (Ghosh et al. 2020, "From variational to deterministic
autoencoders"), and every dimension of d(z) gets the noise that d leaves unexplained in it: four dimensions are few, and
without it the samples come out as the same few windows over and over.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import folders, models, outputs, parallel, shelf
from calmvae.errors import ModelError

WEIGHTS_FILE, RECORD_FILE = "personal.safetensors", "personal.json"
Z_SIZE = 4
HIDDEN = (1024, 256, 64)
# The price of a bit. At 1 the four dimensions say next to nothing of 2-bar windows; at .1 and below their posteriors
# fit no Gaussian.
BETA = 0.3
# After so many steps samples of a hundred pieces are no more alike to them; few pieces stop earlier.
STEPS = 1500
_BATCH = 128
_LEARNING_RATE, _DECAYS, _EPSILON = 1e-3, (0.9, 0.999), 1e-7
# Held-out windows are looked at every so many steps, each with so many draws; the fit ends when as many looks in a
# row have brought nothing.
_EVERY, _LOOKS, _PATIENCE = 25, 8, 12
# The spread is measured on at least so many draws.
_MEASURED = 4096

Weights = Mapping[str, np.ndarray]


def shapes(x_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the small VAE's weights."""
    found: dict[str, tuple[int, ...]] = {}
    for part, sizes in (("encoder", (x_size, *HIDDEN, 2 * Z_SIZE)), ("decoder", (Z_SIZE, *HIDDEN[::-1], x_size))):
        for k in range(len(sizes) - 1):
            found[f"{part}/{k}/kernel"], found[f"{part}/{k}/bias"] = (sizes[k], sizes[k + 1]), (sizes[k + 1],)
    return found


def views(flat: np.ndarray, x_size: int) -> dict[str, np.ndarray]:
    """All weights, as views of one vector that the optimiser moves at once."""
    found, at = {}, 0
    for name, shape in shapes(x_size).items():
        found[name] = flat[at : at + math.prod(shape)].reshape(shape)
        at += math.prod(shape)
    return found


def initial(x_size: int, rng: np.random.Generator) -> np.ndarray:
    """Fresh weights in one vector: kernels uniform after Glorot and Bengio 2010, biases 0."""
    flat = np.zeros(sum(map(math.prod, shapes(x_size).values())), np.float32)
    for array in views(flat, x_size).values():
        if array.ndim == 2:
            limit = math.sqrt(6 / sum(array.shape))
            array[...] = rng.uniform(-limit, limit, array.shape)
    return flat


def forward(weights: Weights, part: str, given: np.ndarray) -> list[np.ndarray]:
    """The input and what each layer of a part makes of it: `[n, in]` to `[n, units]` each; ReLU, the last one linear."""
    outputs_, last = [given], len(HIDDEN)
    for k in range(last + 1):
        out = outputs_[-1] @ weights[f"{part}/{k}/kernel"] + weights[f"{part}/{k}/bias"]
        outputs_.append(out if k == last else np.maximum(out, 0, out=out))
    return outputs_


def backward(
    weights: Weights, part: str, layers: list[np.ndarray], slope: np.ndarray, gradient: Weights
) -> np.ndarray:
    """Gradient of a part's weights, written into `gradient`, from that of its output `[n, out]`; returns its input's."""
    for k in range(len(HIDDEN), -1, -1):
        np.matmul(layers[k].T, slope, out=gradient[f"{part}/{k}/kernel"])
        slope.sum(axis=0, out=gradient[f"{part}/{k}/bias"])
        if k or part == "decoder":
            slope = slope @ weights[f"{part}/{k}/kernel"].T
        if k:
            slope *= layers[k] > 0
    return slope


def loss(
    weights: Weights, x: np.ndarray, noise: np.ndarray, beta: float = BETA, gradient: Weights | None = None
) -> tuple[float, float]:
    """What is minimised, see the module.

    Args:
      weights: of `shapes`.
      x: latents `[n, x_size]`.
      noise: standard normal, `[n, Z_SIZE]`.
      beta: the price of a nat.
      gradient: arrays like `weights` to write the gradient into.

    Returns:
      half the squared error and the KL, each a mean over the latents.
    """
    n = len(x)
    encoded = forward(weights, "encoder", x)
    mean, raw = np.split(encoded[-1], 2, axis=1)
    scale = _softplus(raw)
    decoded = forward(weights, "decoder", mean + scale * noise)
    error = decoded[-1] - x
    half_square = 0.5 * float(np.square(error, dtype=np.float64).sum()) / n
    kl = float((0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(dtype=np.float64)) / n
    if gradient is not None:
        slope = backward(weights, "decoder", decoded, error / n, gradient)
        of_scale = slope * noise + beta * (scale - 1 / scale) / n
        # The derivative of softplus is the logistic function.
        of_raw = of_scale / (1 + np.exp(-raw))
        backward(weights, "encoder", encoded, np.concatenate([slope + beta * mean / n, of_raw], axis=1), gradient)
    return half_square, kl


def _softplus(raw: np.ndarray) -> np.ndarray:
    # Never 0, of which there is no logarithm.
    return np.logaddexp(raw, np.float32(0)) + np.float32(1e-4)
