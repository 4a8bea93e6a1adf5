"""Whether JAX is installed, and what it computes on."""

from __future__ import annotations

import importlib.util
from typing import Any

from calmvae.common.errors import MissingDependencyError

# The packages that bring JAX's kernels for a card.
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin")


def load() -> Any:
    """The module jax.

    Raises:
      MissingDependencyError: it is not installed.
    """
    try:
        import jax
    except ImportError as error:
        raise MissingDependencyError(
            "--engine jax needs JAX, which is not installed; run `make .venv/ready`, or pip install jax."
        ) from error
    return jax


def has_gpu() -> bool:
    """Whether JAX has a GPU. Without a plugin for one, JAX is not imported."""
    if not any(map(importlib.util.find_spec, _PLUGINS)):
        return False
    return bool(load().default_backend() == "gpu")


def describe() -> str:
    """The kind of device that JAX computes on."""
    jax = load()
    return "the CPU" if jax.default_backend() == "cpu" else str(jax.devices()[0].device_kind)
