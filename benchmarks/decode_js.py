"""Decoding: calmvae's numpy engine against magenta-js in Node, the same weights and latent vectors.

    npm ci --prefix benchmarks/decode_js --ignore-scripts
    .venv/bin/python -m benchmarks.decode_js [--pairs 5] [--model cat-mel_2bar_small ...]

Exports the weights as `calmvae.magenta_js` does, checks that argmax gives the same tokens on both sides, then times 64
and 512 vectors. In Node magenta-js runs on tfjs's backend in plain JavaScript (`--backend cpu`); the default here is
the WebAssembly one of the same release, several times as fast and all that argmax needs. tfjs-node downloads its native
library at install time from a place that not every machine can reach, and stays out. A model that magenta-js by itself
does not run, such as calm-mel_16bar, runs there with the `levels.js` that its export brings along.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import decode, pairs, small_model
from calmvae.checkpoints import magenta_js, open_model

HERE = pairs.HERE / "decode_js"


def node() -> str:
    """The path of Node, once magenta-js is installed beside it."""
    found = shutil.which("node")
    if found is None:
        sys.exit("found no node; install Node.js 18 or later.")
    if not (HERE / "node_modules" / "@magenta" / "music").is_dir():
        sys.exit("magenta-js is not installed; run: npm ci --prefix benchmarks/decode_js --ignore-scripts")
    return found


def measure(name: str, counts: list[int], backend: str, n: int) -> tuple[list[pairs.Pairs], dict[str, str]]:
    """Pairs for both numbers of vectors, and what the peer says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        spec = decode.write_model(Path(folder), name, max(counts))
        magenta_js.export(Path(folder), spec, open_model.load_model(folder).engine.weights)
        (Path(folder) / "z.bin").write_bytes(np.load(Path(folder) / "z.npy").astype("<f4").tobytes())
        ours, _ = decode.decoders(Path(folder), None, peers=False)
        peer = decode.Decoder("magenta-js", [node(), str(HERE / "decode.js"), folder, backend], ours=False)
        rows = []
        for k, count in enumerate(sorted(counts)):

            def calm(count: int = count) -> float:
                return ours(count, 0.0, n=count)

            def other(count: int = count) -> float:
                return peer(count, 0.0, n=count)

            # JavaScript's compiler is warm after the first count.
            found = pairs.alternate(calm, other, n, warm=0 if k else 1)
            title = f"{name}, {count} x {spec.bars} bars, argmax"
            rows.append(pairs.Pairs(title, [a for a, _ in found], [b for _, b in found]))
        few = min(counts)
        equal = float((ours.tokens(few, n=few) == peer.tokens(few, n=few)).mean())
        print(f"- {name}: {equal:.2%} of the argmax tokens of {few} vectors equal", flush=True)
        for decoder in (ours, peer):
            decoder.close()
        return rows, peer.about


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="how many pairs, default 5")
    parser.add_argument("--model", nargs="+", default=(small_model.NAME,), metavar="NAME")
    parser.add_argument("--vectors", type=int, nargs="+", default=[64, 512], help="how many to decode, default 64 512")
    parser.add_argument("--backend", choices=("cpu", "wasm"), default="wasm", help="of tfjs, default wasm")
    options = pairs.parse(parser)
    node()
    music = json.loads((HERE / "node_modules" / "@magenta" / "music" / "package.json").read_text())["version"]
    rows: list[pairs.Pairs] = []
    about: dict[str, str] = {}
    for name in options.model:
        found, about = measure(name, options.vectors, options.backend, options.pairs)
        rows += found
    print()
    said = f"{music} on tfjs {about['tfjs']}, backend {about['backend']}, Node {about['node']}"
    pairs.report("Decoding in magenta-js", rows, {"magenta-js": said})


if __name__ == "__main__":
    pairs.start(main)
