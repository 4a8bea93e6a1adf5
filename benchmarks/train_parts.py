"""What makes training fast, measured one by one at the shapes of a config: the plain way against the one taken.

    .venv/bin/python -m benchmarks.train_parts [--config cat-mel_2bar_small] [--batch-size 64] [--repeats 5]

The parts of a train step first, milliseconds for one batch; then whole steps of calmvae's engines and thread settings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import pairs, small_model
from calmvae.common import thread_pool
from calmvae.model import config_catalog, lstm_step, model_spec
from calmvae.music.melody_tokens import DEPTH
from calmvae.training import jax_trainer, lstm_kernels, numpy_trainer, tf_graph

Case = tuple[str, Callable[[], object], str, Callable[[], object]]


def parts(spec: model_spec.ModelSpec) -> list[Case]:
    """Pairs of ways to compute the same, of the encoder's first layer in one direction."""
    rng = np.random.default_rng(0)
    n, steps, units = spec.hparams["batch_size"], spec.steps, spec.hparams["enc_rnn_size"][0]

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    tokens = rng.integers(0, DEPTH, (steps, n))
    one_hot = np.eye(DEPTH, dtype=np.float32)[tokens.reshape(-1)]
    own, recurrent = normal(DEPTH, 4 * units), normal(units, 4 * units)
    h, gates, out = normal(steps, n, units), normal(steps, n, 4 * units), np.zeros((units, 4 * units), np.float32)
    latent, constant = normal(n, spec.z_size), normal(spec.z_size, 4 * units)
    step, nothing = gates[0].copy(), np.zeros_like(gates[0])
    c, new, squashed, out_h = normal(4, n, units)

    def gradient_by_step() -> None:
        for t in range(steps):
            out[:] += h[t].T @ gates[t]

    def by_numpy() -> None:
        step[:] = gates[0]
        lstm_step.step(step, c)

    def compiled() -> None:
        step[:] = gates[0]
        lstm_kernels.forward(step, nothing, c, new, squashed, out_h)

    def two_directions(threads: thread_pool.Threads) -> Callable[[], object]:
        def one() -> None:
            for t in range(steps):
                h[t] @ recurrent

        return lambda: threads.run([one, one])

    one_thread, two_threads = thread_pool.Threads(1), thread_pool.Threads(2)
    return [
        ("one-hot product", lambda: one_hot @ own, "look-up of rows", lambda: own[tokens]),
        (
            "latent vector at every step",
            lambda: [latent @ constant for _ in range(steps)],
            "once a window",
            lambda: latent @ constant,
        ),
        (
            "kernel's gradient step by step",
            gradient_by_step,
            "one product over all steps",
            lambda: h.reshape(-1, units).T @ gates.reshape(-1, 4 * units),
        ),
        ("gates and state with numpy", by_numpy, "compiled", compiled),
        (
            "two directions one after the other",
            two_directions(one_thread),
            "side by side in two threads",
            two_directions(two_threads),
        ),
    ]


def best(work: Callable[[], object], repeats: int) -> float:
    """Shortest of `repeats` runs, after one that does not count, in milliseconds."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


def whole_steps(spec: model_spec.ModelSpec, repeats: int) -> list[tuple[str, float]]:
    """Milliseconds of a train step of each engine and thread setting."""
    tokens = small_model.tokens(spec.steps)[: spec.hparams["batch_size"]]
    found = []
    for name, threads in (("numpy, 1 thread", 1), ("numpy, a thread a core", None)):
        mine = numpy_trainer.Learner(spec, 0, threads)
        found.append((name, best(lambda engine=mine: engine.train(tokens), repeats)))  # type: ignore[misc]
        mine.close()
    others = (("TensorFlow, Magenta's graph", tf_graph.TrainingGraph), ("JAX", jax_trainer.Learner))
    for name, learner in others:
        theirs: Any = learner(spec, 0)
        found.append((name, best(lambda engine=theirs: float(engine.train(tokens)["loss"]), repeats)))
        theirs.close()
    return found


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=small_model.NAME, help=f"default {small_model.NAME}")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64")
    parser.add_argument("--repeats", type=int, default=5, help="of which the shortest counts, default 5")
    options = parser.parse_args()
    spec = model_spec.with_hparams(config_catalog.get_spec(options.config), {"batch_size": options.batch_size})
    print(pairs.heading("Parts of a train step", {}))
    print(f"{spec.name}, batch {options.batch_size}\n\n| plain way | ms | way taken | ms |\n|---|---|---|---|")
    with threadpool_limits(1):
        for plain, slow, taken, fast in parts(spec):
            print(f"| {plain} | {best(slow, options.repeats):.2f} | {taken} | {best(fast, options.repeats):.2f} |")
    print("\n| whole step | ms | examples/s |\n|---|---|---|")
    for name, milliseconds in whole_steps(spec, options.repeats):
        print(f"| {name} | {milliseconds:.0f} | {1000 * options.batch_size / milliseconds:.0f} |", flush=True)


if __name__ == "__main__":
    pairs.start(main)
