"""calmvae: calming music from the latent space of MusicVAE.

from calmvae import load_model, interpolate, sample
made = interpolate("a.mid", "b.mid", load_model(), steps=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calmvae.checkpoints.open_model import load_model
    from calmvae.generate.interpolation import interpolate
    from calmvae.generate.reconstruction import reconstruct
    from calmvae.generate.sampling import sample
    from calmvae.midi.read_music import read_piece
    from calmvae.midi.write_midi import write_midi

__version__ = "0.1.0"
__all__ = ["interpolate", "load_model", "read_piece", "reconstruct", "sample", "write_midi"]

_HOMES = {
    "interpolate": "generate.interpolation",
    "load_model": "checkpoints.open_model",
    "read_piece": "midi.read_music",
    "reconstruct": "generate.reconstruction",
    "sample": "generate.sampling",
    "write_midi": "midi.write_midi",
}


def __getattr__(name: str) -> Any:
    """Imports a public function on first use, so that the command line starts at once."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"calmvae.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'calmvae' has no attribute '{name}'")
