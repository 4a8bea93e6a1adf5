"""A calmer version of a piece: its latents move along the calm direction, and it is played slower and softer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from calmvae.common.errors import ModelError, OptionError
from calmvae.generate.arguments import opened_piece
from calmvae.generate.made_piece import Made
from calmvae.latent import attribute_vectors
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model.numpy_model import NumpyModel
from calmvae.music import calmness, key_finding, melody_tokens

# At the amount 1. A fall of tempo by less than a third did not lower heart rate (van Dyck 2017).
SLOWER, SOFTER = 0.3, 14


def load(model: NumpyModel) -> attribute_vectors.Directions:
    """The attribute vectors in a model's folder.

    Raises:
      ModelError: there are none, they are damaged, or they belong to another model.
    """
    path = model.source / attribute_vectors.FILE
    if not path.is_file():
        raise ModelError(
            f"no directions at {path}; make them: calmvae directions DATA --model {model.source} -o out/directions, "
            "and copy the file there."
        )
    return attribute_vectors.read(path).check(model.spec, path)


def calm(
    piece: Piece | str | Path,
    model: NumpyModel,
    *,
    amount: float = 0.7,
    melody: str = "skyline",
    track: int | str | None = None,
) -> Made:
    """Makes a piece's melody, or all its voices, calmer, window by window: along the calm direction, slower and softer.

    Args:
      piece: a piece or music file.
      model: with directions in its folder.
      amount: 0 reconstructs the piece; 1 moves it by the difference between the calmest and the least calm quarter of
        music, and plays it 30 % slower and 14 velocities softer.
      melody, track: see `reconstruction.reconstruct`.

    Raises:
      OptionError: the amount is out of range.
      InputError, EmptyMusicError, ModelError: the file or the model cannot be used.
    """
    if not 0 <= amount <= 2:
        raise OptionError(f"--amount is {amount:g}; it must be from 0 to 2.")
    vector = load(model).vectors["calmness"]
    remarks: list[str] = []
    line = model.excerpt(opened_piece(piece), None, remarks, melody=melody, track=track)
    [(mu, _)] = model.encode([line])
    moved = model.decode(mu + np.float32(amount) * vector)
    what = "melody" if model.spec.voices == 1 else "music"
    given = model.replay(line, line.windows, line.name, f"given {what}")
    made = played(model.replay(line, moved, f"{line.name} calmer", "calmer"), amount)
    before, after = calmness.score(given), calmness.score(made)
    info = {
        "amount": amount,
        "calmness": [round(before.calmness, 1), round(after.calmness, 1)],
        "similarity": {name: round(value, 3) for name, value in similarity(line.windows, moved).items()},
        what: line.report,
    }
    remarks.append(f"Calmness: {before.calmness:.0f} in the given {what}, {after.calmness:.0f} now.")
    sections = [Section(0.0, line.quarters, made.name, emphasis=True)]
    return Made(made, sections, info, remarks, beside=played(given, amount, softer=False)).begun()


def played(piece: Piece, amount: float, softer: bool = True, backwards: bool = False) -> Piece:
    """A piece played slower and softer by an amount; with `backwards`, the piece before that."""
    slower, less = 1 / (1 - SLOWER * amount), round(SOFTER * amount) if softer else 0
    if backwards:
        slower, less = 1 / slower, -less
    notes = [
        dataclasses.replace(
            n, start=n.start * slower, end=n.end * slower, velocity=int(np.clip(n.velocity - less, 1, 127))
        )
        for n in piece.notes
    ]
    tempos = [(at * slower, qpm / slower) for at, qpm in piece.tempos]
    metres = [(at * slower, n, d) for at, n, d in piece.time_signatures]
    return dataclasses.replace(piece, notes=notes, tempos=tempos, time_signatures=metres)


def similarity(given: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """How alike two pieces are, windows uint8 `[n, steps]` or `[n, steps, voices]` each.

    Returns:
      chroma: cosine of their pitch-class durations; contour: correlation of their highest pitches over the steps where
        both sound.
    """
    lines = [_lines(windows) for windows in (given, made)]
    ours, theirs = (melody_tokens.sounding_voices(tokens).max(axis=1).astype(np.int64) for tokens in lines)
    shares = [np.sum([key_finding.shares(voice) for voice in tokens.T], axis=0) for tokens in lines]
    norm = np.linalg.norm(shares[0]) * np.linalg.norm(shares[1])
    both = (ours >= melody_tokens.FIRST_PITCH) & (theirs >= melody_tokens.FIRST_PITCH)
    a, b = ours[both], theirs[both]
    steady = len(a) < 2 or not a.std() or not b.std()
    contour = float(np.corrcoef(a, b)[0, 1]) if not steady else float(len(a) > 0 and np.array_equal(a, b))
    return {"chroma": float(shares[0] @ shares[1] / norm) if norm else 0.0, "contour": contour}


def _lines(windows: np.ndarray) -> np.ndarray:
    """The tokens of windows one after the other, `[steps, voices]`; the ends of bars hold what sounds."""
    lines = windows.reshape(windows.shape[0] * windows.shape[1], -1)
    return np.where(lines == melody_tokens.BAR_END, melody_tokens.HOLD, lines)
