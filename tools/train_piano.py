"""Trains calm-piano_2bar, and calm-piano_16bar grown from it, on a GPU within a time that is given.

Needs python3 with jax, numba, numpy, safetensors and threadpoolctl, and this checkout; no TensorFlow.

    python -m tools.train_piano windows out/corpus WINDOWS          # where TFRecords can be read
    python -m tools.train_piano train WINDOWS START OUT MINUTES     # on the GPU; START is a model folder of 2 bars
    python -m tools.train_piano mix A B SHARE OUT                   # the weights of A, with a share of B's

Both models learn with bits almost free, then with bits at a price. The learning rate falls with the time that is left,
so a faster card learns more and ends as calmly. Two ends of one training, of different prices, can be mixed: the mean
of their weights is a model in between (Wortsman et al. 2022, "Model soups").
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import model_folder
from calmvae.data import training_windows
from calmvae.latent import evaluation
from calmvae.model import model_spec, numpy_engine
from calmvae.music import voice_windows

VOICES, BATCH = 5, {32: 1024, 256: 256}
_LOWEST_RATE = 2e-5


@dataclasses.dataclass
class Stage:
    """A part of a training.

    Attributes:
      name: of the model it ends with.
      seconds: how long.
      rates: learning rate at its start and end.
      betas: price of the bits at its start and end; it moves in the first third.
    """

    name: str
    seconds: float
    rates: tuple[float, float]
    betas: tuple[float, float]

    def at(self, share: float) -> dict[str, float]:
        """The hparams at a share of the time: a short warm-up, then half a cosine."""
        high, low = self.rates
        rate = low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))
        beta = self.betas[0] + (self.betas[1] - self.betas[0]) * min(1, 3 * share)
        return {"learning_rate": rate * min(1, share / 0.03 + 0.05), "max_beta": beta, "min_learning_rate": 0.0}


def stages_of(total: float) -> dict[str, Stage]:
    """How the time is divided."""
    return {
        "trunk": Stage("trunk", 0.27 * total, (2e-3, 6e-4), (0.02, 0.02)),
        "cheap": Stage("calm-piano_2bar-a", 0.13 * total, (8e-4, _LOWEST_RATE), (0.02, 0.2)),
        "dear": Stage("calm-piano_2bar-b", 0.13 * total, (8e-4, _LOWEST_RATE), (0.02, 0.6)),
        "top": Stage("top", 0.06 * total, (3e-3, 1e-4), (0.02, 0.02)),
        "long": Stage("calm-piano_16bar", 0.41 * total, (1.2e-3, _LOWEST_RATE), (0.02, 0.2)),
    }


def write_windows(corpus: Path, out: Path) -> None:
    """Windows of 2 and of 16 bars of a corpus, of both splits, as .npz."""
    out.mkdir(parents=True)
    for steps in BATCH:
        held_out, train = (
            training_windows.load_windows(sorted(corpus.glob(f"{split}-*.tfrecord")), steps, voices=VOICES)
            for split in ("eval", "train")
        )
        for split, windows in (("eval", held_out), ("train", training_windows.without(train, held_out))):
            np.savez_compressed(out / f"{steps}-{split}.npz", tokens=windows.tokens, origins=windows.origins)


def mix(a: Path, b: Path, share: float, out: Path) -> None:
    """Writes a model whose weights are those of A, with a share of B's."""
    spec, record = model_folder.read_spec(a)
    ours, theirs = (model_folder.read_weights(place) for place in (a, b))
    weights = {name: (1 - share) * ours[name] + share * theirs[name] for name in ours}
    model_folder.write(out, spec, weights, {"step": record["step"]}, half=True)


def ahead(batches: Iterator[np.ndarray], most: int = 8) -> Iterator[np.ndarray]:
    """The same batches, made in another thread."""
    ready: queue.Queue[np.ndarray] = queue.Queue(most)

    def fill() -> None:
        for batch in batches:
            ready.put(batch)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield ready.get()


class Training:
    """Windows of one length and what is trained on them."""

    def __init__(self, spec: model_spec.ModelSpec, windows: Path, seed: int = 0) -> None:
        hparams = {**spec.hparams, "batch_size": BATCH[spec.steps], "decay_rate": 1.0, "beta_rate": 0.0}
        self.spec, self.seed = dataclasses.replace(spec, hparams=hparams), seed
        with np.load(windows / f"{spec.steps}-eval.npz") as data:
            rows = np.random.default_rng(0).permutation(len(data["tokens"]))[: 16384 // spec.steps]
            self.held_out, self.origins = data["tokens"][rows], data["origins"][rows]
        with np.load(windows / f"{spec.steps}-train.npz") as data:
            tokens = data["tokens"]
        self.batches = ahead(training_windows.batches(tokens, BATCH[spec.steps], seed))

    def run(self, learner: Any, stage: Stage) -> None:
        """Trains for a stage; prints a line every tenth of it."""
        began, said, first = time.monotonic(), 0, learner.global_step()
        scalars: dict[str, Any] = {}
        # The first step is compiled outside the stage's time.
        while not scalars or (share := (time.monotonic() - began) / stage.seconds) < 1:
            learner.spec.hparams.update(stage.at(share if scalars else 0))
            new = learner.train(next(self.batches))
            if not scalars:
                float(new["loss"])
                began = time.monotonic()
            elif learner.global_step() % 8 == 0:
                # Lets the device work ahead, but not by more than a few steps.
                float(scalars["loss"])
            scalars = new
            if int(10 * (time.monotonic() - began) / stage.seconds) > said:
                said += 1
                steps = learner.global_step() - first
                values = {k.rsplit("/")[-1]: round(float(v), 4) for k, v in scalars.items()}
                print(f"{stage.name} {time.monotonic() - began:.0f} s, {steps} steps {values}", flush=True)

    def report(self, weights: dict[str, np.ndarray], name: str, out: Path, step: int) -> None:
        """Measures a model, prints it and writes it in half precision."""
        engine = numpy_engine.Engine(self.spec, weights)
        mu, sigma = engine.encode(self.held_out)
        decoded = engine.decode(mu)
        bits = evaluation.kl_nats(mu, sigma) / np.log(2)
        found = {"kl_bits": float(bits.mean()), "active": int((mu.var(axis=0) > 0.01).sum())}
        for origin in np.unique(self.origins):
            mine = self.origins == origin
            found[f"f1_{origin}"] = voice_windows.note_f1(self.held_out[mine], decoded[mine])
            found[f"f1_lengths_{origin}"] = voice_windows.note_f1(self.held_out[mine], decoded[mine], True)
        print(name, json.dumps(found), flush=True)
        spec = model_spec.CALM_SPECS[self.spec.name]
        model_folder.write(out / name, spec, weights, {"step": step, "held_out": found}, half=True)


def train(windows: Path, start: Path, out: Path, minutes: float, half: bool) -> None:
    """All stages; see the top of this file."""
    import jax

    from calmvae.training import grow_top
    from calmvae.training.jax_gradient import Loss, TopLoss
    from calmvae.training.jax_trainer import Learner

    print(jax.__version__, jax.devices(), flush=True)
    stages, dtype = stages_of(60 * minutes), jax.numpy.bfloat16 if half else jax.numpy.float32
    short = Training(model_spec.CALM_SPECS["calm-piano_2bar"], windows)
    learner = Learner(short.spec, 0, Loss(short.spec, dtype))
    learner.load_weights(model_folder.read_weights(start))
    short.run(learner, stages["trunk"])
    short.report(learner.weights(), "trunk", out, learner.global_step())
    state = learner.state()
    for name in ("dear", "cheap"):
        learner.set_state(state)
        short.run(learner, stages[name])
        short.report(learner.weights(), stages[name].name, out, learner.global_step())
    kept = learner.weights()
    long = Training(model_spec.CALM_SPECS["calm-piano_16bar"], windows)
    loss = TopLoss(long.spec, short.spec, {name: jax.numpy.asarray(values) for name, values in kept.items()}, dtype)
    top = Learner(long.spec, 0, loss, grow_top.shapes(long.spec, short.spec.z_size))
    long.run(top, stages["top"])
    weights = grow_top.whole(numpy_engine.Engine(short.spec, kept), long.spec, top.weights())
    long.report(weights, "grown", out, 0)
    learner = Learner(long.spec, 0, Loss(long.spec, dtype))
    learner.load_weights(weights)
    long.run(learner, stages["long"])
    long.report(learner.weights(), stages["long"].name, out, learner.global_step())


def main(arguments: list[str]) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    commands: dict[str, Callable[..., None]] = {"windows": write_windows, "train": train, "mix": mix}
    folders = {"windows": ("corpus", "out"), "train": ("windows", "start", "out"), "mix": ("a", "b", "out")}
    for name, places in folders.items():
        command = parts.add_parser(name)
        for place in places:
            if place == "out" and name == "mix":
                command.add_argument("share", type=float)
            command.add_argument(place, type=Path)
    parts.choices["train"].add_argument("minutes", type=float)
    parts.choices["train"].add_argument("--half", action="store_true", help="multiply in bfloat16")
    given = vars(parser.parse_args(arguments))
    commands[given.pop("part")](**given)


if __name__ == "__main__":
    main(sys.argv[1:])
