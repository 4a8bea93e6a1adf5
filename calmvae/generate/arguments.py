"""The arguments of generating functions: pieces and models opened, options checked."""

from __future__ import annotations

from pathlib import Path

from calmvae.checkpoints import open_model
from calmvae.common.errors import OptionError
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.music import melody_extraction
from calmvae.music.melody_extraction import Melody


def opened_model(model: open_model.Model | str | Path) -> open_model.Model:
    """A loaded model, of that or of what `load_model` takes."""
    return model if isinstance(model, open_model.Model) else open_model.load_model(model)


def read_melody(piece: Piece | str | Path, method: str, track: int | str | None, remarks: list[str]) -> Melody:
    """A piece's melody; what was changed to get it is added to the remarks."""
    piece = piece if isinstance(piece, Piece) else read_music.read_piece(piece)
    line = melody_extraction.extract_melody(piece, method, track)
    changes = piece.warnings + [f"{s}." for s in line.report.sentences()]
    remarks += [f"{piece.name or 'The piece'}: {change}" for change in changes]
    return line


def check_bars(bars: int, model: open_model.Model) -> int:
    """The number of bars, if a model can make so many; else raises an `OptionError`."""
    if bars < 1 or bars % model.spec.bars:
        made, window = model.spec.name, model.spec.bars
        raise OptionError(
            f"--bars is {bars}, but {made} makes multiples of {window} bars; give such as --bars {2 * window}."
        )
    return bars


def check_temperature(temperature: float) -> None:
    """Raises an `OptionError` for a temperature that is out of range."""
    if not 0 <= temperature <= 5:
        raise OptionError(f"--temperature is {temperature:g}; it must be from 0 (the likeliest notes) to 5.")
