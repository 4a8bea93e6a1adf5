"""Do checkpoints mean the same here and in stock Magenta on Python 3.8? Prints the largest differences of `mu`.

    benchmarks/stock_env.sh
    .venv/bin/python benchmarks/checkpoint_exchange.py [--stock .stock/venv] [--steps 30]

For the flat and the hierarchical calm-* config (shrunk, so that stock trains in seconds): trained by calmvae and
opened by stock's TrainedModel, trained by stock and opened by calmvae. Exits 1 when a `mu` differs by 1e-4 or more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from calmvae.checkpoints import tf_checkpoint
from calmvae.model import config_catalog, model_spec, numpy_engine
from calmvae.training import tf_graph

HERE = Path(__file__).resolve().parent
LIMIT = 1e-4


def tokens_of(pieces: Path, steps: int) -> np.ndarray:
    """Windows of the embedded pieces, uint8 `[16, steps]`."""
    from calmvae.data import training_windows
    from calmvae.midi import read_music

    windows = [training_windows.piece_windows(read_music.read_piece(p), steps)[0] for p in sorted(pieces.glob("*.mid"))]
    found = np.unique(np.concatenate(windows), axis=0)
    return found[np.random.default_rng(0).permutation(len(found))[:16]]


def worker_spec(spec: model_spec.ModelSpec) -> dict[str, object]:
    """The spec as benchmarks/stock_worker.py reads it."""
    encoder = {"encoder": "hierarchical" if spec.encoder_lengths else "bidirectional"}
    levels = {"encoder_lengths": spec.encoder_lengths, "level_lengths": spec.level_lengths}
    return {**encoder, "decoder": spec.decoder, **levels, "hparams": spec.hparams, "slice_bars": spec.bars}


def stock(python: Path, folder: Path, *arguments: str | Path | int) -> None:
    """Runs the worker in the stock environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "TF_USE"))}
    command = [str(python), str(HERE / "stock_worker.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"stock failed: {done.stderr[-2000:]}")


def exchange(name: str, python: Path, folder: Path, steps: int) -> dict[str, float]:
    """Largest differences of mu in both directions, and of decoded tokens, for one config."""
    small = {"z_size": 32, "enc_rnn_size": [64], "dec_rnn_size": [96], "batch_size": 8}
    spec = model_spec.with_hparams(config_catalog.get_spec(name), small)
    tokens = tokens_of(HERE.parent / "resources" / "pieces", spec.steps)
    np.save(folder / "tokens.npy", tokens)
    (folder / "spec.json").write_text(json.dumps(worker_spec(spec)))

    trainer = tf_graph.TrainingGraph(spec, seed=0)
    for k in range(steps):
        trainer.train(tokens[[(8 * k + i) % len(tokens) for i in range(8)]])
    ours = trainer.save(str(folder / "ours.ckpt"))
    weights = trainer.weights()
    trainer.close()

    theirs = folder / "theirs.ckpt"
    spec_and_tokens = ("--spec", "spec.json", "--tokens", "tokens.npy")
    stock(python, folder, "train", *spec_and_tokens, "--steps", steps, "--out", theirs, "--seed", 0)
    prefix = tf_checkpoint.find(theirs) or tf_checkpoint.latest(folder)
    found = {}
    for label, checkpoint, held in (
        ("calmvae to stock", ours, weights),
        ("stock to calmvae", prefix, tf_checkpoint.read(str(prefix))),
    ):
        stock(python, folder, "encode", *spec_and_tokens, "--checkpoint", checkpoint, "--out", "out.npz")
        with np.load(folder / "out.npz") as out:
            engine = numpy_engine.Engine(spec, held)
            found[label] = float(np.abs(engine.encode(tokens)[0] - out["mu"]).max())
            found[f"{label}, tokens equal"] = float((engine.decode(out["mu"]) == out["tokens"]).mean())
    return found


def main() -> None:
    """Prints a line a direction and config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stock", type=Path, default=HERE.parent / ".stock" / "venv")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    python = options.stock.resolve() / "bin" / "python"
    if not python.exists():
        sys.exit(f"no stock environment at {options.stock}; build it with benchmarks/stock_env.sh.")
    worst = 0.0
    for name in ("calm-mel_2bar", "calm-mel_16bar"):
        with tempfile.TemporaryDirectory() as folder:
            for label, value in exchange(name, python, Path(folder), options.steps).items():
                equal = label.endswith("equal")
                print(
                    f"{name:<16} {label:<32} {value:.1%}" if equal else f"{name:<16} {label:<32} {value:.2e}",
                    flush=True,
                )
                worst = worst if equal else max(worst, value)
    sys.exit(0 if worst < LIMIT else 1)


if __name__ == "__main__":
    main()
