"""Shared fixtures. A tiny model with random weights stands in wherever the music does not matter."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import model_folder
from calmvae.cli import app
from calmvae.model import config_catalog, model_spec, numpy_engine

# Tiny networks take JAX longer to compile than to run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

ROOT = Path(__file__).resolve().parent.parent
PIECES = sorted((ROOT / "resources" / "pieces").glob("*.mid"))


def tiny_spec(name: str = "calm-mel_2bar", layers: int = 1) -> model_spec.ModelSpec:
    """A config of the same structure, small enough to build and run in a moment."""
    sizes = {"enc_rnn_size": [24, 20][:layers], "dec_rnn_size": [28, 22][:layers]}
    return model_spec.with_hparams(config_catalog.get_spec(name), sizes | {"z_size": 12, "batch_size": 4})


def random_weights(spec: model_spec.ModelSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights large enough for outputs to depend on inputs."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in numpy_engine.weight_shapes(spec).items()
    }


def run_calmvae(
    *arguments: str | Path, cwd: Path | None = None, alone: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in this process, where everything is imported already; `alone` in one of its own.

    With environment variables it is always alone: some are read when a module is imported.
    """
    if alone or environment:
        return run_python("from calmvae.cli.app import main; main()", *arguments, cwd=cwd, **environment)
    out, err, before, code = io.StringIO(), io.StringIO(), os.getcwd(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["calmvae", *map(str, arguments)])
        os.chdir(cwd or before)
        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
        finally:
            os.chdir(before)
    return subprocess.CompletedProcess(["calmvae", *map(str, arguments)], code, out.getvalue(), err.getvalue())


def run_python(
    code: str, *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs some Python in a process of its own, which can import calmvae."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=600, check=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-bar model folder with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    spec = tiny_spec()
    model_folder.write(folder, spec, random_weights(spec), {})
    return folder


@pytest.fixture(scope="session")
def tiny_model_16bar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 16-bar hierarchical model folder with random weights."""
    folder = tmp_path_factory.mktemp("tiny16")
    spec = tiny_spec("calm-mel_16bar")
    model_folder.write(folder, spec, random_weights(spec), {})
    return folder
