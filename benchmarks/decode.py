"""Decoding: calmvae's numpy engine against Magenta's TrainedModel on TensorFlow, each in one process of its own.

    .venv/bin/python -m benchmarks.decode [--pairs 7] [--samples 512] [--model calm-mel_2bar ...]
    .venv/bin/python -m benchmarks.decode --stock .stock/venv     # also against stock's own TensorFlow, Python 3.8

The same weights and latent vectors, drawn at temperature 0.5 and by argmax. TensorFlow runs with the batch size at
which it was fastest in a first round. Starting, loading and building the graph are over before the clock starts.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import checkpoint_exchange, pairs, small_model
from calmvae.checkpoints import model_folder, open_model, tf_checkpoint
from calmvae.model import config_catalog, magenta_config, model_spec, numpy_engine

BATCHES = (32, 64, 128, 256, 512)
TEMPERATURES = (0.5, 0.0)
# Magenta divides the logits by it: argmax, but for ties.
COLD = 2.0**-40
MODELS = (small_model.NAME, "calm-mel_2bar", "calm-mel_16bar")


def random_weights(spec: model_spec.ModelSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights under which what is decoded depends on z and on the tokens before; the time does not depend on them."""
    rng = np.random.default_rng(seed)
    shapes = numpy_engine.weight_shapes(spec)
    return {n: (rng.standard_normal(s) * (2.0 / s[0] ** 0.5)).astype(np.float32) for n, s in shapes.items()}


def weights_of(name: str) -> tuple[model_spec.ModelSpec, dict[str, np.ndarray]]:
    """The embedded model's weights where there is one, otherwise random ones."""
    if name in model_folder.embedded():
        model = open_model.load_model(name)
        return model.spec, model.engine.weights
    spec = config_catalog.get_spec(name)
    return spec, random_weights(spec)


def write_model(folder: Path, name: str, samples: int) -> model_spec.ModelSpec:
    """All that the decoders read: a model folder, a checkpoint with stock's spec, latent vectors."""
    spec, weights = weights_of(name)
    model_folder.write(folder, spec, weights, {})
    tf_checkpoint.write_weights(folder / "model.ckpt", spec, weights)
    (folder / "spec.json").write_text(json.dumps(checkpoint_exchange.worker_spec(spec)))
    np.save(folder / "z.npy", np.random.default_rng(0).standard_normal((samples, spec.z_size)).astype(np.float32))
    return spec


def serve(kind: str, folder: Path) -> None:
    """Decodes as asked on stdin, in the manner of `stock_worker.py decode`."""
    z = np.load(folder / "z.npy")
    decode = _tensorflow(folder) if kind == "tensorflow" else _engine(folder)
    print("{}", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        rows = z[: question.get("n")]
        began = time.perf_counter()
        decoded = decode(rows, question["temperature"], question["batch_size"])
        answer: dict[str, Any] = {"seconds": time.perf_counter() - began}
        if question.get("tokens"):
            tokens = np.asarray(decoded)
            answer["tokens"] = (tokens.argmax(axis=-1) if tokens.ndim == 3 else tokens).tolist()
        print(json.dumps(answer), flush=True)


def _engine(folder: Path) -> Callable[[np.ndarray, float, int], Any]:
    engine = open_model.load_model(folder).engine
    return lambda z, temperature, _: engine.decode(z, temperature)


def _tensorflow(folder: Path) -> Callable[[np.ndarray, float, int], Any]:
    from calmvae.common import magenta_import

    door, spec = magenta_import.load(), open_model.load_model(folder).spec

    @functools.cache
    def opened(batch: int) -> Any:
        config = magenta_config.magenta_config(spec)
        return door.TrainedModel(config, batch_size=batch, checkpoint_dir_or_path=str(folder / "model.ckpt"))

    return lambda z, temperature, batch: opened(batch).decode_to_tensors(
        z, length=spec.steps, temperature=temperature or COLD
    )


class Decoder:
    """A process that decodes when it is asked to, in between which it sleeps."""

    def __init__(self, name: str, command: list[str], ours: bool) -> None:
        self.name = name
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=pairs.environment(ours), text=True, stdin=pipe, stdout=pipe, stderr=pipe
        )
        self.about: dict[str, str] = json.loads(self._line())

    def __call__(self, batch: int, temperature: float, n: int | None = None) -> float:
        """Seconds that decoding took."""
        return self._ask(batch_size=batch, temperature=temperature, n=n)["seconds"]

    def tokens(self, batch: int, n: int | None = None) -> np.ndarray:
        """Argmax tokens."""
        return np.array(self._ask(batch_size=batch, temperature=0.0, n=n, tokens=True)["tokens"])

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()

    def _ask(self, **question: Any) -> dict[str, Any]:
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self._line())

    def _line(self) -> str:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            sys.exit(f"the decoder of {self.name} ended before its time: {self.process.communicate()[1][-1500:]}")
        return line


def decoders(folder: Path, stock: Path | None, peers: bool = True) -> tuple[Decoder, list[Decoder]]:
    """calmvae's decoder and its peers on TensorFlow."""

    def own(kind: str) -> list[str]:
        return [sys.executable, "-W", "ignore", "-m", "benchmarks.decode", "--serve", kind, "--folder", str(folder)]

    found = [Decoder("TensorFlow", own("tensorflow"), ours=True)] if peers else []
    if stock:
        files = ["--spec", folder / "spec.json", "--checkpoint", folder / "model.ckpt", "--z", folder / "z.npy"]
        command = [stock, pairs.HERE / "stock_worker.py", "decode", *files]
        found.append(Decoder("stock's TensorFlow", [str(part) for part in command], ours=False))
    return Decoder("calmvae", own("engine"), ours=True), found


def compare(what: str, ours: Decoder, peer: Decoder, samples: int, n: int) -> list[pairs.Pairs]:
    """Pairs for both temperatures; says at which batch size the peer was fastest and whether tokens are equal."""
    times = {}
    for batch in [b for b in BATCHES if b <= samples] or [samples]:
        peer(batch, 0.5, n=batch)
        times[batch] = peer(batch, 0.5)
    best = min(times, key=lambda batch: times[batch])
    rows = []
    for temperature in TEMPERATURES:

        def calm(t: float = temperature) -> float:
            return ours(best, t)

        def other(t: float = temperature) -> float:
            return peer(best, t)

        found = pairs.alternate(calm, other, n)
        how = f"temperature {temperature}" if temperature else "argmax"
        title = f"{what}, {how}, {peer.name} in batches of {best}"
        rows.append(pairs.Pairs(title, [a for a, _ in found], [b for _, b in found]))
    equal = float((ours.tokens(best) == peer.tokens(best)).mean())
    tried = ", ".join(f"{batch}: {pairs.number(took)} s" for batch, took in times.items())
    print(f"- {what}, {peer.name}: {equal:.2%} of the argmax tokens equal; by batch size {tried}", flush=True)
    return rows


def main() -> None:
    """Prints remarks and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="how many pairs, default 7")
    parser.add_argument("--samples", type=int, default=512, help="latent vectors, default 512")
    parser.add_argument("--model", nargs="+", default=MODELS, metavar="NAME", help=f"default {' '.join(MODELS)}")
    parser.add_argument("--stock", type=Path, help="stock Magenta's environment, to measure against it too")
    parser.add_argument("--serve", choices=("engine", "tensorflow"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = pairs.parse(parser)
    if options.serve:
        return serve(options.serve, options.folder)
    stock = pairs.stock_python(options.stock, compiled=False) if options.stock else None
    rows = []
    for name in options.model:
        with tempfile.TemporaryDirectory() as folder:
            spec = write_model(Path(folder), name, options.samples)
            ours, peers = decoders(Path(folder), stock)
            what = f"{name}, {options.samples} x {spec.bars} bars"
            for peer in peers:
                rows += compare(what, ours, peer, options.samples, options.pairs)
            for decoder in (ours, *peers):
                decoder.close()
    print()
    pairs.report("Decoding", rows, {"stock": pairs.versions_of(stock)} if stock else None)


if __name__ == "__main__":
    pairs.start(main)
