"""A piece encoded and decoded by a model. numpy only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calmvae.checkpoints import open_model
from calmvae.generate.arguments import check_temperature, opened_model, read_melody
from calmvae.generate.arrangement import on_own_time
from calmvae.generate.made_piece import Made
from calmvae.latent import evaluation
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.music import melody_tokens


def reconstruct(
    piece: Piece | str | Path,
    model: open_model.Model | str | Path = open_model.DEFAULT_MODEL,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    track: int | str | None = None,
) -> Made:
    """What the model makes of a piece: its melody encoded and decoded, window by window, at its own tempo.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: as `interpolate`.
    """
    model = opened_model(model)
    check_temperature(temperature)
    remarks: list[str] = []
    line = read_melody(piece, melody, track, remarks)
    windows, tied = melody_tokens.cut_windows(line.tokens, model.spec.steps)
    mu, _ = model.engine.encode(windows)
    decoded = model.engine.decode(mu, temperature, seed)
    tokens = melody_tokens.join_windows(decoded, tied)[: len(line.tokens)]
    accuracy = float((decoded == windows).mean())
    onsets = evaluation.onset_accuracy(windows, decoded)
    remarks.append(f"{accuracy:.1%} of the steps come back ({onsets:.1%} of those where a note starts).")
    made = on_own_time(line, tokens, f"{line.piece.name} reconstructed", "reconstruction")
    info = {
        "reconstruction_accuracy": round(accuracy, 4),
        "onset_accuracy": round(onsets, 4),
        "windows": len(windows),
        "exact_windows": int((decoded == windows).all(axis=1).sum()),
        "melody": dataclasses.asdict(line.report),
    }
    sections = [Section(0.0, line.bars * 4.0, line.piece.name, emphasis=True)]
    given = on_own_time(line, line.tokens, line.piece.name, "given melody")
    return Made(made, sections, info, remarks, beside=given).begun()
