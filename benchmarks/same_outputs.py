"""Does this checkout make the same files as another one, byte for byte, such as an earlier commit's?

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.same_outputs /tmp/before [--other-model CHECKPOINT CONFIG]

Every command below runs in both checkouts. All files are compared; `run.json` holds times and is compared without them.
The last line says how many files are equal; exit code 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PIECES = ROOT / "resources" / "pieces"
A, B, C = (PIECES / f"{name}.mid" for name in ("brahms_wiegenlied", "schumann_traeumerei", "greensleeves"))
COMMANDS: dict[str, list[Any]] = {
    "demo": ["demo"],
    "sample": ["sample", "-n", 9, "--seed", 7],
    "sample of 16 bars": ["sample", "-n", 2, "--seed", 7, "--model", "calm-mel_16bar", "--bars", 32],
    "sample, calm prior": ["sample", "-n", 2, "--seed", 7, "--prior", "calm", "--temperature", 0.8],
    "interpolate of 16 bars": ["interpolate", A, C, "--model", "calm-mel_16bar", "--steps", 3, "--temperature", 0.3],
    "interpolate, decoded ends": ["interpolate", C, B, "--endpoints", "decoded", "--bars", 2, "--steps", 5],
    "reconstruct": ["reconstruct", A],
    "calm": ["calm", C, "--amount", 1],
    "journey": ["journey", A, B, "--minutes", 3],
    "journey from the model": ["journey", "--from-model", "--minutes", 3],
    "convert": ["convert", PIECES, ROOT / "tests" / "cases", "--workers", 2],
}
# Of a run.json: what differs from run to run.
_PASSING = ("started", "seconds", "command", "versions", "calmvae_version", "timings", "finished", "ended")

# Arguments that there were before: see the changelog.
_GONE = ("engine",)


def made(checkout: Path, arguments: list[Any], out: Path) -> dict[str, bytes]:
    """The files that a command makes, by name."""
    # Where the command line was before the package had rooms.
    code = "try:\n from calmvae.cli.app import main\nexcept ImportError:\n from calmvae.cli import main\nmain()"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", code, *map(str, arguments), "-o", str(out), "--quiet"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} ended with {done.returncode} in {checkout}:\n{done.stderr}")
    return {
        str(path.relative_to(out)): _plain(path, out, checkout) for path in sorted(out.rglob("*")) if path.is_file()
    }


def _plain(path: Path, out: Path, checkout: Path) -> bytes:
    if path.name != "run.json":
        return path.read_bytes()
    record = json.loads(path.read_text(encoding="utf-8"))
    for gone in _GONE:
        record.get("arguments", {}).pop(gone, None)
    kept = json.dumps({key: value for key, value in record.items() if key not in _PASSING}, sort_keys=True)
    for place, name in ((out, "OUT"), (checkout, "CHECKOUT"), (ROOT, "CHECKOUT")):
        kept = kept.replace(str(place), name)
    return kept.encode()


def main() -> None:
    """Prints a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--other-model", nargs=2, metavar=("CHECKPOINT", "CONFIG"), help="sample this one too")
    options = parser.parse_args()
    commands = dict(COMMANDS)
    if options.other_model:
        checkpoint, config = options.other_model
        commands[f"sample of {config}"] = ["sample", "-n", 3, "--model", checkpoint, "--config", config, "--seed", 7]
    files = differing = 0
    for name, arguments in commands.items():
        found = []
        for checkout in (ROOT, options.before.resolve()):
            with tempfile.TemporaryDirectory() as scratch:
                found.append(made(checkout, arguments, Path(scratch) / "out"))
        ours, theirs = found
        unequal = sorted(file for file in ours.keys() | theirs.keys() if ours.get(file) != theirs.get(file))
        files, differing = files + len(ours.keys() | theirs.keys()), differing + len(unequal)
        print(f"{name}: {len(ours)} files, {', '.join(unequal) + ' differ' if unequal else 'all equal'}", flush=True)
    print(f"{files - differing} of {files} files are equal.")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
