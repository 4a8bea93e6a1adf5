"""calmvae: calming music from the latent space of MusicVAE.

from calmvae import load_model, interpolate, sample
made = interpolate("a.mid", "b.mid", load_model(), steps=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calmvae.compose import interpolate, reconstruct, sample
    from calmvae.midi import read_piece, write_midi
    from calmvae.models import load_model

__version__ = "0.1.0"
__all__ = ["interpolate", "load_model", "read_piece", "reconstruct", "sample", "write_midi"]

_HOMES = {
    "interpolate": "compose",
    "reconstruct": "compose",
    "sample": "compose",
    "load_model": "models",
    "read_piece": "midi",
    "write_midi": "midi",
}


def __getattr__(name: str) -> Any:
    """Imports a public function on first use, so that the command line starts at once."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"calmvae.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'calmvae' has no attribute '{name}'")
