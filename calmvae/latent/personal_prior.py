"""A prior of one's own: a small VAE fitted to the latents of a few pieces, and kept beside the model.

After MidiMe (Dinculescu, Engel and Roberts 2019, "MidiMe: Personalizing a MusicVAE model with user data"): MusicVAE
stays as it is, and a VAE of four dimensions learns where in its latent space somebody's music lies. With a latent x
drawn from the posterior of a window, and z from the small VAE's posterior N(m, s^2) of x, what is minimised is

    |x - d(z)|^2 / 2 + BETA * KL(N(m, s^2) || N(0, I)).

Beyond MidiMe, the prior has the spread of the music that it was fitted to. z is drawn from the Gaussian that fits the
posteriors of all windows together, not from N(0, I) (Ghosh et al. 2020, "From variational to deterministic
autoencoders"), and every dimension of d(z) gets noise by what d leaves unexplained in it: four dimensions are few, and
without the noise samples are poorer than the pieces where these are many, and copies of them where they are few.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import model_cache, model_folder
from calmvae.common import output_folder, thread_pool
from calmvae.common.errors import ModelError
from calmvae.model.melody_model import MelodyModel

WEIGHTS_FILE, RECORD_FILE = "personal.safetensors", "personal.json"
Z_SIZE, HIDDEN = 4, (1024, 256, 64)
# The price of a nat: at 1 the four dimensions say next to nothing of 2-bar windows, and below .3 nothing is gained.
BETA = 0.3
# By then the loss of held-out bars has about ended its fall.
STEPS = 1500
_BATCH = 64
_LEARNING_RATE, _DECAYS, _EPSILON = 1e-3, (0.9, 0.999), 1e-7
# Adam goes through the weights in blocks that stay in the cache.
_BLOCK = 1 << 15
# So many draws of the held-out windows are looked at every so many steps; the fit ends when as many looks in a row
# have brought nothing.
_LOOKED, _EVERY, _PATIENCE = 1024, 25, 12
# The spread is measured on so many draws, or as many as there are windows.
_MEASURED = 4096
# What the small posterior's scale is at least, for there is no logarithm of 0.
_LEAST = np.float32(1e-4)
# The share of that noise which is added. At 0 one sample in 20 after ten pieces is a copy, at 1 long samples leave
# their key; at .7 the samples' features overlap the pieces' about as well as they get.
_NOISE = 0.7

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
    """The input `[n, in]` and what each layer of a part makes of it, `[n, units]`; ReLU, the last one linear."""
    layers, last = [given], len(HIDDEN)
    for k in range(last + 1):
        out = layers[-1] @ weights[f"{part}/{k}/kernel"] + weights[f"{part}/{k}/bias"]
        layers.append(out if k == last else np.maximum(out, 0, out=out))
    return layers


def backward(weights: Weights, part: str, layers: list[np.ndarray], slope: np.ndarray, gradient: Weights) -> np.ndarray:
    """From the gradient of a part's output `[n, out]` writes that of its weights, and returns that of its input."""
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
    scale = _scale(raw)
    decoded = forward(weights, "decoder", mean + scale * noise)
    error = decoded[-1] - x
    half_square = 0.5 * float(np.square(error, dtype=np.float64).sum()) / n
    kl = float((0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(dtype=np.float64)) / n
    if gradient is not None:
        slope = backward(weights, "decoder", decoded, error / n, gradient)
        of_scale = slope * noise + beta * (scale - 1 / scale) / n
        # The derivative of softplus is 1 - exp(-softplus).
        of_raw = of_scale * -np.expm1(_LEAST - scale)
        backward(weights, "encoder", encoded, np.concatenate([slope + beta * mean / n, of_raw], axis=1), gradient)
    return half_square, kl


def _scale(raw: np.ndarray) -> np.ndarray:
    return np.logaddexp(raw, np.float32(0)) + _LEAST


@dataclasses.dataclass
class Latents:
    """Posteriors of windows: `mu` and `sigma`, float32 `[n, x_size]` each."""

    mu: np.ndarray
    sigma: np.ndarray

    def take(self, rows: np.ndarray) -> Latents:
        """Some of them, by bool or number."""
        return Latents(self.mu[rows], self.sigma[rows])

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """`n` latents, every posterior about as often: `[n, x_size]`, and noise for the small VAE `[n, Z_SIZE]`."""
        rows = np.resize(rng.permutation(len(self.mu)), n)
        x = self.mu[rows] + self.sigma[rows] * rng.standard_normal((n, self.mu.shape[1]), np.float32)
        return x, rng.standard_normal((n, Z_SIZE), np.float32)


@dataclasses.dataclass
class Fitted:
    """How a fit went.

    Attributes:
      steps: after which the weights were kept.
      before, after: loss of the held-out windows (of all, where none are held out) with fresh weights and with these.
      nats: mean KL of the small posteriors from N(0, I) on the same windows.
    """

    steps: int
    before: float
    after: float
    nats: float


@dataclasses.dataclass(frozen=True)
class Prior:
    """Where in a model's latent space somebody's music lies.

    Attributes:
      weights: the decoder of the small VAE.
      center: `[Z_SIZE]`, and `root` `[Z_SIZE, Z_SIZE]`, of which the square is the covariance: the Gaussian that z is
        drawn from.
      spread: `[x_size]`, standard deviation of the noise on what the decoder says.
      record: what personal.json says; `{}` of one that was not saved.
      source: the folder it was read from.
    """

    weights: Weights
    center: np.ndarray
    root: np.ndarray
    spread: np.ndarray
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: Path | None = None

    @property
    def size(self) -> int:
        """Standard normal numbers that a latent is made of."""
        return Z_SIZE + len(self.spread)

    def latents(self, points: np.ndarray) -> np.ndarray:
        """Points of a standard normal space `[n, size]` to latents of the model, float32 `[n, x_size]`.

        A long sample walks in that space: what lies there between two draws is as much one's own as they are, which
        points between their latents are not.
        """
        points = np.asarray(points, np.float32)
        z = self.center + points[:, :Z_SIZE] @ self.root.T
        return forward(self.weights, "decoder", z)[-1] + self.spread * points[:, Z_SIZE:]

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` latents, float32 `[n, x_size]`."""
        return self.latents(rng.standard_normal((n, self.size)))

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the prior."""
        return {"name": "personal", "source": str(self.source or ""), "sha256": self.record.get("sha256", "")}

    def check(self, model: MelodyModel) -> Prior:
        """Itself, or a `ModelError` if it was made for another model."""
        ours, theirs = sha256_of(model), self.record.get("model", {}).get("sha256")
        if len(self.spread) != model.spec.z_size or (theirs is not None and theirs != ours):
            where = f" in {self.source}" if self.source else ""
            said = f" (SHA-256 {theirs[:12]}, not {ours[:12]})" if theirs else ""
            raise ModelError(
                f"the personal prior{where} belongs to another model than {name_of(model)}{said}; make one for this: "
                f"{_command(model)}"
            )
        return self


def fit(
    latents: Latents,
    train: np.ndarray,
    held_out: np.ndarray,
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Prior, Fitted]:
    """Fits a prior.

    Args:
      latents: of all windows.
      train, held_out: bool `[n]`; those that the weights are fitted to, and those that tell when to stop. Without
        held-out ones all steps are taken.
      seed: of every draw.
      steps: at most.
      progress: called with the step and the most steps.
    """
    with thread_pool.one_blas_thread():
        learner = _Learner(latents.mu.shape[1], np.random.default_rng([seed, 0]))
        looked = latents.take(held_out if held_out.any() else train).draw(np.random.default_rng([seed, 1]), _LOOKED)
        best, rest = learner.look(looked, 0), _PATIENCE
        before, kept = best.after, learner.flat.copy()
        for step in range(1, steps + 1):
            learner.step(*latents.take(train).draw(learner.rng, _BATCH))
            if progress:
                progress(step, steps)
            if step % _EVERY and step < steps:
                continue
            seen = learner.look(looked, step)
            rest -= 1
            if seen.after < best.after or not held_out.any():
                best, rest, kept = seen, _PATIENCE, learner.flat.copy()
            if not rest:
                break
        learner.flat[...] = kept
        prior = _with_spread(learner.weights, latents, np.random.default_rng([seed, 2]))
    return prior, dataclasses.replace(best, before=before)


class _Learner:
    """The small VAE with Adam (Kingma and Ba 2015)."""

    def __init__(self, x_size: int, rng: np.random.Generator) -> None:
        self.rng, self.count = rng, 0
        self.flat = initial(x_size, rng)
        self.weights = views(self.flat, x_size)
        self._slope = np.zeros_like(self.flat)
        self._gradient = views(self._slope, x_size)
        self._mean, self._square = np.zeros_like(self.flat), np.zeros_like(self.flat)

    def step(self, x: np.ndarray, noise: np.ndarray) -> None:
        loss(self.weights, x, noise, gradient=self._gradient)
        self.count += 1
        first, second = _DECAYS
        rate = _LEARNING_RATE * math.sqrt(1 - second**self.count) / (1 - first**self.count)
        for start in range(0, len(self.flat), _BLOCK):
            block = slice(start, start + _BLOCK)
            slope, mean, square = self._slope[block], self._mean[block], self._square[block]
            mean += (1 - first) * (slope - mean)
            square += (1 - second) * (slope * slope - square)
            self.flat[block] -= rate * mean / (np.sqrt(square) + _EPSILON)

    def look(self, looked: tuple[np.ndarray, np.ndarray], step: int) -> Fitted:
        half_square, nats = loss(self.weights, *looked)
        total = half_square + BETA * nats
        return Fitted(step, total, total, nats)


def _with_spread(weights: Weights, latents: Latents, rng: np.random.Generator) -> Prior:
    """The prior of fitted weights: what z to draw, and what noise to add, from the small posteriors of all windows."""
    x, noise = latents.draw(rng, max(_MEASURED, len(latents.mu)))
    mean, raw = np.split(forward(weights, "encoder", x)[-1], 2, axis=1)
    z = mean + _scale(raw) * noise
    center = z.mean(axis=0)
    # In double precision, and never quite flat, for the root of a covariance.
    apart = (z - center).astype(np.float64)
    root = np.linalg.cholesky(apart.T @ apart / len(z) + 1e-9 * np.eye(Z_SIZE)).astype(np.float32)
    spread = _NOISE * np.sqrt(np.square(x - forward(weights, "decoder", z)[-1]).mean(axis=0))
    decoder = {name: array for name, array in weights.items() if name.startswith("decoder")}
    return Prior(decoder, center, root, spread)


def place(model: MelodyModel) -> Path:
    """The folder of a model's personal prior: in the model's own, or in the user's cache folder if that is not theirs.

    Not theirs are embedded models, and checkpoints, which have no folder of calmvae's.
    """
    name = Path(name_of(model)).name
    if model_folder.of_package("own_model").resolve() in model.source.resolve().parents:
        return model_cache.root() / "personal" / name
    if (model.source / model_folder.SPEC_FILE).is_file():
        return model.source / "personal"
    # There are many checkpoints of one name.
    return model_cache.root() / "personal" / f"{name}-{sha256_of(model)[:8]}"


def name_of(model: MelodyModel) -> str:
    """What to call the model on the command line."""
    source = model.source.resolve()
    for parent in (model_folder.of_package("own_model").resolve(), (model_cache.root() / "models").resolve()):
        if parent in source.parents:
            return source.relative_to(parent).parts[0]
    return str(model.source)


def sha256_of(model: MelodyModel) -> str:
    """SHA-256 of the model's file of weights, or of the weights where they are several files."""
    found = str(model.describe()["sha256"])
    if found:
        return found
    digest = hashlib.sha256()
    for name, array in sorted(model.engine.weights.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write(prior: Prior, folder: output_folder.OutputFolder) -> Prior:
    """Writes personal.safetensors and personal.json; returns the prior with the record of that."""
    from safetensors.numpy import save

    arrays = {**prior.weights, "center": prior.center, "root": prior.root, "spread": prior.spread}
    data = save({name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})
    folder.path(WEIGHTS_FILE).write_bytes(data)
    record = {"calmvae": "personal", "sha256": hashlib.sha256(data).hexdigest(), **prior.record}
    output_folder.write_json(folder.path(RECORD_FILE), record)
    return dataclasses.replace(prior, record=record, source=folder.folder)


def load_prior(model: MelodyModel, where: Path | None = None) -> Prior:
    """The personal prior of a model.

    Args:
      model: the model.
      where: its folder, if it does not lie where `place` says.

    Raises:
      ModelError: there is none, it is damaged, or it belongs to another model.
    """
    folder = where or place(model)
    if not (folder / RECORD_FILE).is_file():
        said = f"in {where}" if where else f"beside {name_of(model)}"
        raise ModelError(f"no personal prior {said}; make one: {_command(model)}")
    try:
        found = _read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the personal prior in {folder} is damaged ({error!r}); run: {_command(model)}") from error
    return found.check(model)


def _read(folder: Path) -> Prior:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    data = (folder / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != record["sha256"] or not isinstance(record["model"]["sha256"], str):
        raise ValueError(f"{WEIGHTS_FILE} is not the file that {RECORD_FILE} tells of")
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    center, root, spread = (arrays.pop(name) for name in ("center", "root", "spread"))
    wanted = {name: shape for name, shape in shapes(len(spread)).items() if name.startswith("decoder")}
    if {name: array.shape for name, array in arrays.items()} != wanted:
        raise ValueError("arrays of other shapes")
    return Prior(arrays, center, root, spread, record, folder)


def _command(model: MelodyModel) -> str:
    return f"calmvae personalize MY_MIDI/ --model {name_of(model)}"
