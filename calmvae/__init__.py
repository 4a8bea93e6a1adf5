"""calmvae: calming music from the latent space of MusicVAE.

from calmvae import load_model, interpolate, sample
made = interpolate("a.mid", "b.mid", load_model(), steps=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calmvae.checkpoints.open_model import load_model
    from calmvae.data.convert_folder import convert
    from calmvae.generate.calm_piece import calm
    from calmvae.generate.interpolation import interpolate
    from calmvae.generate.reconstruction import reconstruct
    from calmvae.generate.sampling import sample
    from calmvae.midi.audio import write_wav
    from calmvae.midi.piano_roll import write_piano_roll
    from calmvae.midi.piece import Piece
    from calmvae.midi.read_music import read_piece
    from calmvae.midi.write_midi import write_midi
    from calmvae.music.calmness import score

__version__ = "0.1.0"
_HOMES = {
    "Piece": "midi.piece",
    "calm": "generate.calm_piece",
    "convert": "data.convert_folder",
    "interpolate": "generate.interpolation",
    "load_model": "checkpoints.open_model",
    "read_piece": "midi.read_music",
    "reconstruct": "generate.reconstruction",
    "sample": "generate.sampling",
    "score": "music.calmness",
    "write_midi": "midi.write_midi",
    "write_piano_roll": "midi.piano_roll",
    "write_wav": "midi.audio",
}
__all__ = [
    "Piece",
    "calm",
    "convert",
    "interpolate",
    "load_model",
    "read_piece",
    "reconstruct",
    "sample",
    "score",
    "write_midi",
    "write_piano_roll",
    "write_wav",
]


def __getattr__(name: str) -> Any:
    """Imports a public function on first use, so that the command line starts at once."""
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"calmvae.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'calmvae' has no attribute '{name}'")
