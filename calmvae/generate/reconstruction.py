"""Reconstruction: a piece encoded and decoded by a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calmvae.checkpoints import open_model
from calmvae.common.text import percent
from calmvae.generate.arguments import check_temperature, opened_model, opened_piece
from calmvae.generate.made_piece import Made
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model.interface import Model


def reconstruct(
    piece: Piece | str | Path,
    model: Model | str | Path = open_model.DEFAULT_MODEL,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    track: int | str | None = None,
) -> Made:
    """Encodes and decodes a piece, window by window, and keeps its tempo.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: as `interpolate`.
    """
    model = opened_model(model)
    check_temperature(temperature)
    remarks: list[str] = []
    given = model.excerpt(opened_piece(piece), None, remarks, melody=melody, track=track)
    [(mu, _)] = model.encode([given])
    decoded = model.decode(mu, temperature, seed, [given] * given.count)
    shares = model.measure(given, decoded)
    onsets = shares.get("onset_accuracy")
    of_onsets = "" if onsets is None else f", and {percent(onsets)} of those where a note starts"
    remarks.append(f"The model reconstructs {percent(shares['reconstruction_accuracy'])} of the steps{of_onsets}.")
    made = model.replay(given, decoded, f"{given.name} reconstructed", "reconstruction")
    info: dict[str, Any] = {
        **{name: round(share, 4) for name, share in shares.items()},
        "windows": given.count,
        "exact_windows": int(model.same(given.windows, decoded).all(axis=1).sum()),
    }
    if given.report:
        info["melody"] = given.report
    beside = model.replay(given, given.windows, given.name, f"given {model.voices()[0].name}")
    sections = [Section(0.0, given.quarters, given.name, emphasis=True)]
    return Made(made, sections, info, remarks, beside=beside).begun(model.grid)
