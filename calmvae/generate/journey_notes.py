"""The notes of a journey: its phrases, played as the plan says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from calmvae.generate.journey_plan import PHRASE_BARS, PHRASE_STEPS, Itinerary
from calmvae.midi.piece import Note, Piece
from calmvae.music import harmonize, melody_tokens
from calmvae.music.melody_tokens import STEPS_PER_BAR

# The accompaniment's velocity as a share of the melody's, and its lowest velocity.
_SOFT, _FAINTEST = 0.62, 18
# A keyboard accompanies itself, any other instrument is accompanied by sustained strings.
_KEYBOARDS, STRINGS = 24, 48
_TRACKS = {0: "melody", 1: "melody, later", 2: "accompaniment"}


@dataclasses.dataclass
class Phrase:
    """Four bars as they are played.

    Attributes:
      tokens: `[64]`.
      letter: which quarter of its material it is.
      program: of the melody.
      given: whether it is A itself.
      softer: by how many velocities it is softer than planned.
      chords: one per bar, or none.
    """

    tokens: np.ndarray
    letter: int
    program: int
    given: bool = False
    softer: float = 0.0
    chords: list[harmonize.Chord] = dataclasses.field(default_factory=list)


def play(
    walked: Sequence[Phrase],
    plan: Itinerary,
    numbers: Sequence[int],
    name: str = "",
    balance: Mapping[int, float] | None = None,
) -> Piece:
    """Makes a piece of phrases.

    Args:
      walked: the phrases.
      plan: says when and how loud.
      numbers: the place of each phrase in the plan.
      name: of the piece.
      balance: program to what its velocities are multiplied with, see `journey_loudness.balance`.
    """
    notes: list[Note] = []
    factors = balance or {}
    first = walked[0].program if walked else 0
    for k, phrase in zip(numbers, walked, strict=True):
        at, velocity = k * PHRASE_STEPS, float(plan.velocity[k]) - phrase.softer
        track = int(phrase.program != first)
        for pitch, start, end in melody_tokens.token_notes(phrase.tokens):
            # A phrase swells a little towards its middle.
            swell = velocity + 2 * np.sin(np.pi * start / PHRASE_STEPS) - 1
            loud = int(np.clip(round(swell * factors.get(phrase.program, 1.0)), 1, 127))
            notes.append(
                Note(pitch, loud, plan.seconds(at + start), plan.seconds(at + end), phrase.program, False, track)
            )
        notes += _accompaniment(phrase, plan, at, velocity, factors)
    bars = [bar for k in numbers for bar in range(k * PHRASE_BARS, (k + 1) * PHRASE_BARS)]
    tempos = [(float(plan.begins[bar]) if n else 0.0, float(plan.qpm[bar])) for n, bar in enumerate(bars)]
    used = {note.track for note in notes}
    names = {track: called for track, called in _TRACKS.items() if track in used}
    return Piece(notes, tempos or [(0.0, 120.0)], [(0.0, 4, 4)], names, name)


def _accompaniment(
    phrase: Phrase, plan: Itinerary, at: int, velocity: float, factors: Mapping[int, float]
) -> list[Note]:
    """The notes of the chords, which end with the melody."""
    sounding = melody_tokens.sounding_tokens(phrase.tokens)
    end = int(np.flatnonzero(sounding)[-1]) + 1 if sounding.any() else PHRASE_STEPS
    program = phrase.program if phrase.program < _KEYBOARDS else STRINGS
    factor = factors.get(program, 1.0)
    soft = int(np.clip(round(velocity * _SOFT * factor), max(1, _FAINTEST * factor), 127))
    notes = []
    for pitch, first, last in harmonize.held(phrase.chords):
        begin, stop = first * STEPS_PER_BAR, min(last * STEPS_PER_BAR, end)
        if stop > begin:
            notes.append(Note(pitch, soft, plan.seconds(at + begin), plan.seconds(at + stop), program, False, 2))
    return notes


def longest_rest(piece: Piece) -> float:
    """The longest time in seconds, before the last note ends, in which nothing sounds."""
    notes = piece.columns()
    if not len(notes):
        return 0.0
    reach = np.concatenate([[0.0], np.maximum.accumulate(notes.end)[:-1]])
    return float(np.maximum(notes.start - reach, 0.0).max())
