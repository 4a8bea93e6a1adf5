"""Training with JAX on a GPU: speed, memory, and whether it learns and resumes as on the CPU; see `gpu.sh`.

    benchmarks/gpu.sh                # prints Markdown tables

Windows are drawn at random: time and memory do not depend on what they hold, and a loss curve can be compared on any.
The peaks are the makers' figures for dense products, float32 standing for the TF32 that JAX takes on a GPU by default.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from calmvae.model import model_spec, numpy_engine
from calmvae.training.jax_gradient import Loss
from calmvae.training.jax_trainer import Learner

KINDS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# In 10^12 operations a second.
PEAKS = {"H100": {"float32": 495, "bfloat16": 989}, "H200": {"float32": 495, "bfloat16": 989}}
PEAKS["A100"] = {"float32": 156, "bfloat16": 312}
TIMED, CURVE_STEPS, RESUMED_STEPS = 20, 200, 20
CURVE = "calm-piano_2bar"


def spec_of(name: str, batch_size: int | None = None) -> model_spec.ModelSpec:
    """A config, with another batch size if one is given."""
    spec = model_spec.CALM_SPECS[name]
    return model_spec.with_hparams(spec, {"batch_size": batch_size or spec.hparams["batch_size"]})


def windows(spec: model_spec.ModelSpec, step: int = 0) -> np.ndarray:
    """A batch of random windows in which most steps hold, uint8."""
    rng = np.random.default_rng([7, step])
    shape = (spec.hparams["batch_size"], spec.steps) + ((spec.voices,) if spec.voices > 1 else ())
    return np.where(rng.random(shape) < 0.3, rng.integers(20, 70, shape), 0).astype(np.uint8)


def operations(spec: model_spec.ModelSpec) -> float:
    """Of the products for one window, forward and backward: each weight is used twice forward and four times back."""
    total, used = 0.0, {}
    left = spec.steps
    for scope, length in spec.encoder_levels():
        used[f"{scope}/cell_"] = left
        left //= length
    rows = 1
    for level, segments in enumerate((spec.level_lengths or ())[:-1]):
        used[f"decoder/hierarchical_level_{level}/initial_state"] = rows
        rows *= segments
        used[f"decoder/hierarchical_level_{level}/cell_"] = rows
    for name, shape in numpy_engine.weight_shapes(spec).items():
        if name.endswith("kernel"):
            times = next((n for scope, n in used.items() if name.startswith(scope)), None)
            if times is None:
                times = spec.steps if "multi_rnn_cell" in name or "projection" in name else rows
            if name.startswith(("encoder/mu", "encoder/sigma")):
                times = 1
            total += 6 * shape[0] * shape[1] * times
    return total


def measure(spec: model_spec.ModelSpec, kind: str) -> float:
    """Seconds a step, after what compiling takes."""
    learner = Learner(spec, 0, Loss(spec, KINDS[kind]))
    batch = jnp.asarray(windows(spec))
    for _ in range(3):
        scalars = learner.train(batch)
    float(scalars["loss"])
    began = time.perf_counter()
    for _ in range(TIMED):
        scalars = learner.train(batch)
    float(scalars["loss"])
    return (time.perf_counter() - began) / TIMED


def speed() -> None:
    """Prints examples a second and the share of the card's peak."""
    kind = jax.devices()[0].device_kind
    peaks = next((p for card, p in PEAKS.items() if card in kind), None)
    print(f"\n| config | batch | products in | ms a step | examples a second | share of {kind}'s peak |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    tried = [("calm-piano_2bar", 128), ("calm-piano_2bar", 1024), ("calm-piano_16bar", 256)]
    for name, size in [*tried, ("calm-mel_2bar", 128), ("calm-mel_16bar-big", 256)]:
        for dtype in KINDS:
            spec = spec_of(name, size)
            seconds = measure(spec, dtype)
            done = operations(spec) * size / seconds
            share = f"{done / 1e12 / peaks[dtype]:.3f}" if peaks else "not known"
            print(f"| {name} | {size} | {dtype} | {1e3 * seconds:.2f} | {size / seconds:,.0f} | {share} |", flush=True)


def memory() -> None:
    """Prints the most memory that steps of ever larger batches take."""
    print(f"\n| batch of {CURVE} | most memory, GB |\n| --- | --- |")
    for size in (4096, 32768):
        try:
            learner = Learner(spec := spec_of(CURVE, size), 0)
            float(learner.train(windows(spec))["loss"])
        except Exception as error:  # XLA has no kind of error of its own for this
            print(f"| {size} | {str(error).splitlines()[0][:80]} |", flush=True)
            return
        used = jax.devices()[0].memory_stats()
        print(f"| {size} | {used['peak_bytes_in_use'] / 1e9:.1f} |" if used else f"| {size} | ? |", flush=True)


def curve(start: Path | None, steps: int, out: Path) -> None:
    """Writes the losses of so many steps, from a state or from nothing, and the state they end in."""
    spec = spec_of(CURVE)
    learner = Learner(spec, 0)
    if start:
        with np.load(start) as arrays:
            learner.set_state(dict(arrays))
    losses = [learner.train(windows(spec, learner.global_step()))["loss"] for _ in range(steps)]
    state: dict[str, Any] = learner.state()
    np.savez(out, losses=np.array([float(loss) for loss in losses]), **state)


def on_cpu(*arguments: str) -> subprocess.Popen[bytes]:
    """This script on the CPU, in the background."""
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.Popen(command, env=os.environ | {"JAX_PLATFORMS": "cpu"})


def losses_of(path: Path) -> np.ndarray:
    """The losses that `curve` wrote."""
    with np.load(path) as arrays:
        return arrays["losses"]


def main(arguments: list[str]) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curve", nargs=3, metavar=("START", "STEPS", "OUT"), help="only the losses; START may be -")
    given = parser.parse_args(arguments).curve
    if given:
        curve(None if given[0] == "-" else Path(given[0]), int(given[1]), Path(given[2]))
        return
    print(f"JAX {jax.__version__} on {jax.devices()[0].device_kind} ({jax.default_backend()})", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch) / "gpu", Path(scratch) / "cpu"
        other = on_cpu("--curve", "-", str(CURVE_STEPS), f"{there}.npz")
        curve(None, CURVE_STEPS, Path(f"{here}.npz"))
        speed()
        memory()
        other.wait()
        resumed = on_cpu("--curve", f"{here}.npz", str(RESUMED_STEPS), f"{there}-on.npz")
        curve(Path(f"{here}.npz"), RESUMED_STEPS, Path(f"{here}-on.npz"))
        resumed.wait()
        print(f"\n| {CURVE}, losses of | first | last | largest difference from the CPU's |\n| --- | --- | --- | --- |")
        for what, suffix in ((f"{CURVE_STEPS} steps", ""), (f"{RESUMED_STEPS} more, from the GPU's state", "-on")):
            ours, theirs = (losses_of(Path(f"{place}{suffix}.npz")) for place in (here, there))
            apart = np.abs(ours / theirs - 1).max()
            print(f"| {what} | {ours[0]:.2f} | {ours[-1]:.2f} | {100 * apart:.2f} % |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
