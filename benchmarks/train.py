"""Training speed: Magenta's train step in stock against calmvae's, the same config and batches, from memory.

    benchmarks/stock_env.sh
    .venv/bin/python -m benchmarks.train [--pairs 3] [--steps 40] [--config cat-mel_2bar_small] [--batch-size 64]
    .venv/bin/python -m benchmarks.train --curve [--seeds 3] [--curve-steps 1000]

Each run is a process of its own; the first steps, in which TensorFlow makes its plans, do not count. The share of the
machine's peak is the model's matrix products, as Magenta writes them down, against numpy's product of two float32
cubes of 2048. `--curve` trains both sides on the same batches with several seeds of the weights and compares losses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import checkpoint_exchange, pairs, small_model
from calmvae.model import config_catalog, model_spec, numpy_engine

WARM = 5
CUBE = 2048


def calmvae_train(spec: model_spec.ModelSpec, tokens: np.ndarray, steps: int, seed: int) -> dict[str, list[float]]:
    """Trains by calmvae; the only place that knows how. Returns loss and seconds of each step."""
    from benchmarks import stock_worker
    from calmvae.training import numpy_trainer

    trainer = numpy_trainer.Learner(spec, seed)
    losses, times = [], [time.time()]
    rows_of_steps = stock_worker.batches(len(tokens), spec.hparams["batch_size"], seed)
    for _, rows in zip(range(steps), rows_of_steps, strict=False):
        losses.append(trainer.train(tokens[rows])["loss"])
        times.append(time.time())
    trainer.close()
    return {"losses": losses, "step_s": np.diff(times).tolist()}


class Training:
    """Both sides on the same files."""

    def __init__(self, spec: model_spec.ModelSpec, folder: Path, stock: Path) -> None:
        self.spec, self.folder, self.stock = spec, folder, stock
        np.save(folder / "tokens.npy", small_model.tokens(spec.steps))
        (folder / "spec.json").write_text(json.dumps(checkpoint_exchange.worker_spec(spec)))
        (folder / "calmvae.json").write_text(json.dumps(spec.to_json()))

    def calmvae(self, steps: int, seed: int = 0) -> dict[str, list[float]]:
        """This file, in a process of its own."""
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.train", "--child", str(self.folder)]
        return self._run([*command, "--steps", str(steps), "--seed", str(seed)], ours=True)

    def magenta(self, steps: int, seed: int = 0) -> dict[str, list[float]]:
        """stock_worker.py in stock's environment."""
        files = ["--spec", "spec.json", "--tokens", "tokens.npy", "--out", "model.ckpt"]
        command = [str(self.stock), str(pairs.HERE / "stock_worker.py"), "train", *files]
        return self._run([*command, "--steps", str(steps), "--seed", str(seed)], ours=False)

    def _run(self, command: list[str], ours: bool) -> dict[str, list[float]]:
        done = subprocess.run(
            command, cwd=self.folder, env=pairs.environment(ours), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{'calmvae' if ours else 'stock'} did not train: {done.stderr[-1500:]}")
        return json.loads(done.stdout.splitlines()[-1])


def gflop_per_example(spec: model_spec.ModelSpec) -> float:
    """Billions of operations in the matrix products of one example's train step: forward once, backward twice."""
    lengths, encoder = spec.level_lengths or (spec.steps,), spec.encoder_lengths or (spec.steps,)
    products = 0
    for name, shape in numpy_engine.weight_shapes(spec).items():
        if not name.endswith("/kernel"):
            continue
        level = int(name.partition("hierarchical_level_")[2].partition("/")[0] or 0)
        if name.startswith("encoder/") and "lstm_cell" in name:
            times = spec.steps // math.prod(encoder[:level])
        elif name.startswith("decoder/hierarchical_level_"):
            times = math.prod(lengths[: level + ("lstm_cell" in name)])
        else:
            times = 1 if name.startswith("encoder/") else spec.steps
            times = math.prod(lengths[:-1]) if "z_to_initial_state" in name else times
        products += times * shape[0] * shape[1]
    return 3 * 2 * products / 1e9


def peak_gflops() -> float:
    """numpy's best speed at the product of two cubes, billions of operations a second."""
    a, b = np.random.default_rng(0).standard_normal((2, CUBE, CUBE)).astype(np.float32)
    return 2 * CUBE**3 / min(pairs.seconds(lambda: a @ b) for _ in range(10)) / 1e9


def speed(training: Training, n: int, steps: int) -> None:
    """Prints examples a second of both, their ratio, and the share of the peak."""
    spec, batch = training.spec, training.spec.hparams["batch_size"]

    def seconds(found: dict[str, list[float]]) -> float:
        return statistics.median(found["step_s"][WARM:])

    # Before and after, the better one: the share must not profit from a busy machine.
    peak = peak_gflops()
    found = pairs.alternate(lambda: training.calmvae(steps), lambda: training.magenta(steps), n, warm=0)
    row = pairs.Pairs(
        f"{spec.name}, batch {batch}, a step (median of {steps - WARM})",
        [seconds(a) for a, _ in found],
        [seconds(b) for _, b in found],
    )
    pairs.report("Training", [row], {"stock": pairs.versions_of(training.stock)})
    work, peak = gflop_per_example(spec), max(peak, peak_gflops())
    print(f"\n{work:.3f} GFLOP an example; peak of a float32 product {peak:.0f} GFLOP/s on {os.cpu_count()} threads.")
    for name, times in (("calmvae", row.ours), ("stock", row.theirs)):
        rate = batch / statistics.median(times)
        print(f"{name}: {rate:.0f} examples/s, {rate * work:.0f} GFLOP/s, {rate * work / peak:.0%} of the peak.")


def curve(training: Training, seeds: int, stock_seeds: int, steps: int) -> None:
    """Prints the losses of both sides at ten places, mean and standard deviation over seeds."""
    ours = [training.calmvae(steps, seed)["losses"] for seed in range(seeds)]
    theirs = [training.magenta(steps, seed)["losses"] for seed in range(stock_seeds)]
    print(pairs.heading("Loss curves", {"stock": pairs.versions_of(training.stock)}))
    tenth = max(steps // 10, 1)
    window = -(-tenth // 2)
    told = f"{training.spec.name}, batch {training.spec.hparams['batch_size']}; seeds: {seeds} and {stock_seeds}"
    print(f"{told}; mean loss of the {window} steps up to each, ± the standard deviation over seeds.\n")
    print("| step | calmvae | stock | difference of the means |\n|---|---|---|---|")
    for step in range(tenth, steps + 1, tenth):
        a, b = (np.mean(np.array(side)[:, step - window : step], axis=1) for side in (ours, theirs))
        spread = [f"{v.mean():.3f}" + (f" ± {v.std(ddof=1):.3f}" if len(v) > 1 else "") for v in (a, b)]
        print(f"| {step} | {spread[0]} | {spread[1]} | {(a.mean() - b.mean()) / b.mean():+.2%} |")


def child(folder: Path, steps: int, seed: int) -> None:
    """calmvae's side: trains, prints a line of JSON."""
    spec = model_spec.ModelSpec.from_json(json.loads((folder / "calmvae.json").read_text()))
    print(json.dumps(calmvae_train(spec, np.load(folder / "tokens.npy"), steps, seed)))


def main() -> Any:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, pairs=3)
    parser.add_argument("--steps", type=int, default=40, help="steps of a run, default 40")
    parser.add_argument("--config", default=small_model.NAME, help=f"default {small_model.NAME}")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64")
    parser.add_argument("--curve", action="store_true", help="compare loss curves instead")
    parser.add_argument("--seeds", type=int, default=3, help="of the curves, default 3")
    parser.add_argument("--stock-seeds", type=int, help="of stock's curves, default as many")
    parser.add_argument("--curve-steps", type=int, default=1000, help="default 1000")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = pairs.parse(parser)
    if options.child:
        return child(options.child, options.steps, options.seed)
    if options.steps <= WARM:
        sys.exit(f"--steps is {options.steps}; the first {WARM} do not count, so take more.")
    stock = pairs.stock_python(options.stock, compiled=False)
    spec = model_spec.with_hparams(config_catalog.get_spec(options.config), {"batch_size": options.batch_size})
    with tempfile.TemporaryDirectory() as folder:
        training = Training(spec, Path(folder), stock)
        if options.curve:
            return curve(training, options.seeds, options.stock_seeds or options.seeds, options.curve_steps)
        return speed(training, options.pairs, options.steps)


if __name__ == "__main__":
    pairs.start(main)
