"""The arguments of the functions that generate: opens models and pieces, checks options."""

from __future__ import annotations

from pathlib import Path

from calmvae.checkpoints import open_model
from calmvae.common.errors import OptionError
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.model.interface import Model


def opened_model(model: Model | str | Path) -> Model:
    """A loaded model as it is, anything else through `load_model`."""
    return model if isinstance(model, Model) else open_model.load_model(model)


def opened_piece(piece: Piece | str | Path) -> Piece:
    """A piece as it is, a music file read."""
    return piece if isinstance(piece, Piece) else read_music.read_piece(piece)


def check_temperature(temperature: float) -> None:
    """Raises an `OptionError` for a temperature that is out of range."""
    if not 0 <= temperature <= 5:
        raise OptionError(f"--temperature is {temperature:g}; it must be from 0 (the likeliest notes) to 5.")
