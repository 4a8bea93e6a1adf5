"""The choice of one phrase: variations are shaped as the plan wants them, and the nearest to its calmness is taken."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from calmvae.music import key_finding, phrase_editing
from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import FIRST_PITCH

# Every variation is tried with these shares of the planned notes.
_DENSITIES = (1.0, 0.8, 0.65)
# A returning phrase should share at least and at most this much of its steps with its first statement.
_ALIKE = (0.55, 0.95)

# The ways in which notes are changed.
COUNTS = ("moved", "octaves", "left_out", "lengthened")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How a phrase should be.

    Attributes:
      calmness: of its melody, in points.
      onsets: the most notes.
      rest: steps of silence at its end.
      register: mean MIDI pitch.
      key: of its notes and its cadence.
      full: whether it closes on the tonic.
      last: tokens of the phrase before it, `[steps]`, if any.
      stated: tokens of the phrase that it returns to, `[steps]`, if any.
    """

    calmness: float
    onsets: int
    rest: int
    register: float
    key: Key
    full: bool
    last: np.ndarray | None = None
    stated: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A phrase.

    Attributes:
      tokens: uint8 `[steps]`.
      calmness: of its melody, in points.
      counts: notes moved into the key, moved by octaves, left out, and made longer (or sooner), by `COUNTS`.
    """

    tokens: np.ndarray
    calmness: float
    counts: Counter[str]


def choose(variations: Iterable[np.ndarray], wanted: Wanted, score: Callable[[np.ndarray], float]) -> Chosen:
    """The variation that comes nearest to what is wanted; of equals the first.

    Args:
      variations: tokens, uint8 `[steps]` each.
      wanted: how the phrase should be.
      score: the calmness of tokens.
    """
    shaped: dict[bytes, tuple[np.ndarray, Counter[str]]] = {}
    for variation, share in itertools.product(variations, _DENSITIES):
        tokens, counts = shape(variation, wanted, share)
        shaped.setdefault(tokens.tobytes(), (tokens, counts))
    return min(
        (Chosen(tokens, score(tokens), counts) for tokens, counts in shaped.values()),
        key=lambda one: abs(one.calmness - wanted.calmness) + faults(one.tokens, wanted),
    )


def shape(tokens: np.ndarray, wanted: Wanted, share: float = 1.0) -> tuple[np.ndarray, Counter[str]]:
    """Tokens brought into key, density and register, with a cadence; silence becomes the phrase before.

    Args:
      tokens: uint8 `[steps]`.
      wanted: how the phrase should be.
      share: of the wanted notes.

    Returns:
      uint8 `[steps]`, and the number of notes changed in each way, see `Chosen`.
    """
    last, natural = wanted.last, wanted.key.natural
    if last is not None and not (tokens >= FIRST_PITCH).any():
        tokens = last
    tokens, moved = key_finding.into_scale(tokens, natural)
    tokens, left_out = phrase_editing.thin(tokens, round(wanted.onsets * share))
    tokens, lengthened = phrase_editing.fill(tokens)
    tokens, octaves = phrase_editing.smooth(phrase_editing.in_register(tokens, wanted.register))
    tokens = phrase_editing.cadence(tokens, wanted.key, wanted.full, wanted.rest)
    tokens = phrase_editing.joined(tokens, 0 if last is None else phrase_editing.last_token(last), natural)
    return tokens, Counter(moved=moved, octaves=octaves, left_out=left_out, lengthened=lengthened)


def faults(tokens: np.ndarray, wanted: Wanted) -> float:
    """Points against a phrase: a return too unlike or too like its first statement, fewer than 80 % of the notes,
    notes outside the key of the phrase before."""
    alike = _ALIKE[0] if wanted.stated is None else float((tokens == wanted.stated).mean())
    few = 0.8 * wanted.onsets - len(phrase_editing.onsets(tokens))
    foreign = 0.0
    if wanted.last is not None:
        foreign = key_finding.foreign(key_finding.shares(tokens), key_finding.shares(wanted.last))
    return 40 * max(_ALIKE[0] - alike, alike - _ALIKE[1], 0.0) + 2 * max(few, 0.0) + 40 * foreign
