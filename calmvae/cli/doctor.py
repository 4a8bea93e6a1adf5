"""The command `calmvae doctor`: checks the installation and says how to mend it."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from calmvae.checkpoints import model_folder
from calmvae.cli.console import Console
from calmvae.common import magenta_import
from calmvae.common.errors import CalmvaeError
from calmvae.midi import audio
from calmvae.training import jax_device

# The packages that each part of calmvae needs.
_GENERATION = (
    "numpy", "threadpoolctl", "safetensors", "symusic", "pretty_midi", "matplotlib", "tinysoundfont", "typer", "rich",
)  # fmt: skip
_TRAINING = ("tensorflow", "tf-keras", "tensorflow-probability", "tf-slim", "note-seq", "magenta")
_MEND = "run `make test` in the checkout, or pip install --require-hashes --no-deps -r requirements.lock"


def run(console: Console) -> int:
    """Prints a line a check; returns 0 when all is well and 1 otherwise."""
    checks: list[tuple[str, bool, str]] = []
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    checks.append(("Python", supported, platform.python_version() + ("" if supported else "; install 3.10 to 3.13")))
    # A light install, which cannot train, is well too.
    light = not any(_version(name) for name in _TRAINING)
    for name in _GENERATION if light else (*_GENERATION, *_TRAINING):
        part = "training" if name in _TRAINING else "everything"
        version = _version(name)
        checks.append((name, bool(version), version or f"missing, needed for {part}; {_MEND}"))
    checks.append(_soundfont())
    found = model_folder.embedded()
    checks.append(("embedded models", bool(found), ", ".join(found) or "none; install from a whole checkout"))
    if not light:
        checks.append(_magenta())
    gpu = _gpu()
    for name, good, text in checks:
        console.say(f"{'ok ' if good else 'BAD'}  {name:<24} {text}")
    if light:
        console.say(f"     {'training':<24} not installed; to train, {_MEND}")
    console.say(f"     {'GPU':<24} {gpu}")
    healthy = all(good for _, good, _ in checks)
    data = {name: {"ok": good, "detail": text} for name, good, text in checks}
    verdict = "All is well." if healthy else "Something is missing; see the lines marked BAD."
    console.result(data | {"gpu": gpu, "ok": healthy}, verdict)
    return 0 if healthy else 1


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _soundfont() -> tuple[str, bool, str]:
    try:
        return "SoundFont", True, audio.find_soundfont().name
    except CalmvaeError as error:
        return "SoundFont", False, str(error)


def _magenta() -> tuple[str, bool, str]:
    try:
        names = magenta_import.load().configs.CONFIG_MAP
    except CalmvaeError as error:
        return "Magenta imports", False, f"{error} {_MEND}"
    return "Magenta imports", True, f"{len(names)} configs"


def _gpu() -> str:
    if jax_device.has_gpu():
        return jax_device.describe()
    return "none seen; training uses the CPU (on a GPU machine: pip install 'jax[cuda13]')"
