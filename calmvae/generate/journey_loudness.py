"""The loudness of a journey as it sounds: it grows no louder, whatever instruments play.

Instruments of one velocity differ by 10 dB and more, so the sound is measured. In a synthesizer the amplitude of a note
grows with its velocity, so what is too loud is played with a smaller one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np

from calmvae.common.errors import MissingDependencyError
from calmvae.midi import audio
from calmvae.midi.piece import Note, Piece

# Stretches of so many seconds are measured; none may be louder than the minute before it by more than so many dB.
_STRETCH, _RISE = 20.0, 0.5
_BEFORE = round(60 / _STRETCH)
_ROUNDS = 3
# Less than this many dB is not worth another round.
_LEAST = 0.2


def balance(first: int, others: Iterable[int]) -> dict[int, float]:
    """Programs that sound louder than the first one: what to multiply their velocities with.

    Measured on a slow scale of two octaves. Without a synthesizer there are none.
    """
    try:
        levels = {program: _level(program) for program in {first, *others}}
    except MissingDependencyError:
        return {}
    return {p: 10 ** ((levels[first] - level) / 20) for p, level in levels.items() if level > levels[first]}


@functools.cache
def _level(program: int) -> float:
    notes = [Note(pitch, 64, float(k), k + 0.9, program) for k, pitch in enumerate(range(55, 80, 4))]
    return float(audio.loudness(Piece(notes, [(0.0, 60.0)]))[0])


def settled(piece: Piece) -> tuple[Piece, int]:
    """The piece with notes played softer where it would grow louder than in the minute before.

    Returns:
      it, and how many notes are softer than before.

    Raises:
      MissingDependencyError: there is no synthesizer.
    """
    softer = np.zeros(len(piece.notes), bool)
    for _ in range(_ROUNDS):
        cut = _too_loud(audio.loudness(piece, _STRETCH))
        if cut.max() < _LEAST:
            break
        at = np.minimum((piece.columns().start / _STRETCH).astype(int), len(cut) - 1)
        notes = [
            dataclasses.replace(note, velocity=max(1, int(np.floor(note.velocity * 10 ** (-less / 20)))))
            if less >= _LEAST
            else note
            for note, less in zip(piece.notes, cut[at].tolist(), strict=True)
        ]
        softer |= np.array([new.velocity < old.velocity for new, old in zip(notes, piece.notes, strict=True)])
        piece = dataclasses.replace(piece, notes=notes)
    return piece, int(softer.sum())


def _too_loud(levels: np.ndarray) -> np.ndarray:
    """By how many dB each stretch is too loud, `[n]`, if those before it are made as soft as they should be."""
    power = 10 ** (levels / 10)
    for k in range(_BEFORE, len(power)):
        power[k] = min(power[k], power[k - _BEFORE : k].mean() * 10 ** (_RISE / 10))
    return levels - 10 * np.log10(power)
