"""The phrases of a journey, one after the other: `journey_plan` says how fast, loud and dense each of them is.

Four phrases make a period, in which a theme returns varied. Each phrase is chosen (`phrase_choice`) for a calmness that
rises evenly from A's. A minute that is less calm than the one before is made again, calmer.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from calmvae.common.errors import ModelError
from calmvae.generate import calm_piece, journey_loudness, journey_notes, journey_plan, phrase_choice
from calmvae.generate.journey_notes import Phrase
from calmvae.generate.journey_plan import PHRASE_STEPS, Itinerary
from calmvae.generate.phrase_choice import Wanted
from calmvae.latent import slerp
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness, harmonize, key_finding, melody_tokens, melody_windows, phrase_editing
from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import STEPS_PER_BAR

# Which quarter of its material each phrase of a period takes; a quarter that returns is varied.
FORMS = ((0, 0, 2, 0), (0, 1, 0, 1), (0, 1, 0, 3))
# How far variations lie from the material, in posterior deviations; the first is the material itself.
_SPREADS = np.array([0.0, 1.2, 2.0, 2.8, 3.6])
# At the end of the journey, in calm directions.
AMOUNT = 0.8
# Planned for the end: this many points of calmness above the beginning, but no more than the second number.
_RISE, _HIGHEST = 26.0, 94.0
# A minute may be this many points less calm than the one before. Else it is made again, up to so many times in all, and
# each time aims this many points higher.
_SLIP, _TRIES, _LIFT = 1.5, 9, 3.0
# For each of these points its notes are this much softer.
_SOFTER = 0.8
# Where the last minute was calmer than planned, a phrase may be this many points less calm than that minute.
_BACK = 0.5
# The longest rest of A that is not shortened.
GIVEN_REST = STEPS_PER_BAR
# B's instrument plays contrasting phrases from the first of these places on, and all phrases from the second.
_SHARED, _TAKEN = 0.3, 0.65


@dataclasses.dataclass
class Source:
    """The music with which a journey begins, or to which it leads.

    Attributes:
      name: of the piece.
      tokens: `[256]`, 16 bars.
      qpm, velocity, program: how it is played.
    """

    name: str
    tokens: np.ndarray
    qpm: float
    velocity: float
    program: int


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that a phrase takes from the phrases before it.

    Attributes:
      at: the number of the next phrase.
      last: the phrase before it, if any.
      form: the quarter that each phrase of the period takes.
      material: of the period: 16 bars and their variations, uint8 `[variations, 4, 64]`.
      stated: each quarter's first statement in the period.
      lately: for each phrase of the last minute, when it ended and its calmness.
      level: calmness of A.
      counts: notes changed, see `phrase_choice.Chosen`.
    """

    at: int = 0
    last: Phrase | None = None
    form: tuple[int, ...] = FORMS[0]
    material: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4, PHRASE_STEPS), np.uint8))
    stated: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)
    lately: Sequence[tuple[float, float]] = ()
    level: float = 0.0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)


class Traveller:
    """Makes the phrases of a journey.

    Args:
      a, b: where it begins and where it leads; B is transposed to A's signature.
      model: of windows that fill 16 bars.
      plan: tempo, velocity and density.
      accompanied: whether chords are played.
      seed: of every draw.
    """

    def __init__(self, a: Source, b: Source, model: MelodyModel, plan: Itinerary, accompanied: bool, seed: int) -> None:
        self.a, self.b, self.model, self.plan, self.accompanied, self.seed = a, b, model, plan, accompanied, seed
        keys = [key_finding.key_of(key_finding.shares(source.tokens)) for source in (a, b)]
        self.shift = key_finding.shift_to(*keys)
        self.keys = (keys[0], Key((keys[1].tonic + self.shift) % 12, keys[1].minor))
        ends = [a.tokens, melody_tokens.transpose(b.tokens, self.shift)]
        self._latents = [
            model.engine.encode(melody_windows.cut_windows(tokens, model.spec.steps)[0]) for tokens in ends
        ]
        self.balance = journey_loudness.balance(a.program, [b.program, journey_notes.STRINGS])
        self._registers = [phrase_editing.mean_pitch(tokens) for tokens in ends]
        self.direction = _calm_direction(model)
        # A is given for sixteen bars, but for no more than a quarter of a short journey.
        self.opening = min(journey_plan.OPENING_PHRASES, max(1, plan.phrases // 4))
        opening, self._lengthened = phrase_editing.fill(a.tokens, GIVEN_REST)
        # A note that is held over from the phrase before is struck again.
        self.given = melody_windows.cut_windows(opening, PHRASE_STEPS)[0][: self.opening]

    def planned(self, k: int, level: float) -> float:
        """The calmness planned for the melody of a phrase: A's level at first, then evenly more."""
        first = self.opening - 1
        way = max(k - first, 0) / max(self.plan.phrases - 1 - first, 1)
        return level + way * max(min(_RISE, _HIGHEST - level), 0.0)

    def walk(self, progress: Callable[[int, int], None] | None = None) -> tuple[list[Phrase], State]:
        """Makes all phrases, minute by minute; returns them and the state at the end.

        Args:
          progress: called with the number of phrases made, and of all.
        """
        walked: list[Phrase] = []
        state, before, minute = State(), -math.inf, 0
        while len(walked) < self.plan.phrases:
            tries = []
            for n in range(_TRIES):
                made, after = self._until(60 * (minute + 1), walked, state, n * _LIFT)
                tries.append((self._minute(made, minute), made, after))
                if tries[-1][0] >= before - _SLIP:
                    break
            before, walked, state = max(tries, key=lambda one: one[0])
            minute += 1
            if progress:
                progress(len(walked), self.plan.phrases)
        return walked, state

    def _until(self, end: float, walked: Sequence[Phrase], state: State, lift: float) -> tuple[list[Phrase], State]:
        """The phrases so far and all that begin before a time in seconds."""
        made = list(walked)
        while len(made) < self.plan.phrases and self._begins(len(made)) < end - 1e-6:
            phrase, state = self._next(state, lift)
            made.append(phrase)
        return made, state

    def _begins(self, phrase: int) -> float:
        return self.plan.seconds(phrase * PHRASE_STEPS)

    def _minute(self, walked: Sequence[Phrase], minute: int) -> float:
        """The calmness of a minute, the last one so far."""
        first = len(walked) - 1
        while first > 0 and self._begins(first) > 60 * minute:
            first -= 1
        piece = journey_notes.play(walked[first:], self.plan, range(first, len(walked)), balance=self.balance)
        end = min(60.0 * (minute + 1), self._begins(len(walked)))
        return calmness.score(piece, 60.0 * minute, end).calmness

    def _next(self, state: State, lift: float) -> tuple[Phrase, State]:
        """The next phrase, and the state after it.

        Args:
          state: before it.
          lift: how much calmer than planned it should be, in points.
        """
        k = state.at
        if k < self.opening:
            phrase, full = Phrase(self.given[k], k, self.a.program, given=True), k % 2 == 1
            score = self._score(phrase, k)
            level = state.level + (score - state.level) / (k + 1)
            state = dataclasses.replace(state, level=level, counts=Counter(lengthened=self._lengthened))
        else:
            number, position = divmod(k - self.opening, len(state.form))
            if position == 0:
                form = FORMS[int(np.random.default_rng([self.seed, 1, number]).integers(len(FORMS)))]
                state = dataclasses.replace(state, form=form, material=self._material(k, number), stated={})
            letter = state.form[position]
            full = position % 2 == 1 or k == self.plan.phrases - 1
            program = self.b.program if self.plan.place[k] > (_SHARED if letter else _TAKEN) else self.a.program
            phrase = Phrase(np.zeros(0, np.uint8), letter, program, softer=_SOFTER * lift)
            chosen = phrase_choice.choose(
                state.material[:, letter],
                self._wanted(state, letter, full, lift),
                lambda tokens: self._score(dataclasses.replace(phrase, tokens=tokens), k),
            )
            phrase, score = dataclasses.replace(phrase, tokens=chosen.tokens), chosen.calmness
            stated = {letter: phrase.tokens, **state.stated}
            state = dataclasses.replace(state, stated=stated, counts=state.counts + chosen.counts)
        if self.accompanied:
            chord = state.last.chords[-1] if state.last else None
            phrase.chords = harmonize.chords(phrase.tokens, self._key(k), full, chord)
        now = self._begins(k + 1)
        lately = [(end, value) for end, value in [*state.lately, (now, score)] if end > now - 60]
        return phrase, dataclasses.replace(state, at=k + 1, last=phrase, lately=lately)

    def _material(self, k: int, number: int) -> np.ndarray:
        """The material of a period (its number) whose first phrase is k, see `State`."""
        place, steps = float(self.plan.place[k]), self.model.spec.steps
        (mu_a, sigma_a), (mu_b, sigma_b) = self._latents
        z = slerp.slerp(mu_a, mu_b, place) + AMOUNT * place * self.direction
        noise = np.random.default_rng([self.seed, 2, number]).standard_normal((len(_SPREADS), *z.shape))
        z = z + _SPREADS[:, None, None] * ((1 - place) * sigma_a + place * sigma_b) * noise
        windows = self.model.engine.decode(z.reshape(-1, z.shape[-1]).astype(np.float32))
        joined = [melody_windows.join_windows(row) for row in windows.reshape(len(_SPREADS), -1, steps)]
        return np.stack([melody_windows.cut_windows(row, PHRASE_STEPS)[0] for row in joined])

    def _wanted(self, state: State, letter: int, full: bool, lift: float) -> Wanted:
        """How the next phrase should be.

        Where the last minute was less calm than planned, it should be calmer, to make up for that; where the last
        minute was calmer than planned, the music stays there.
        """
        k, place = state.at, float(self.plan.place[state.at])
        planned, count = self.planned(k, state.level) + lift, len(state.lately)
        short = planned - float(np.mean([value for _, value in state.lately]))
        return Wanted(
            calmness=planned + min(short * count / 2, _RISE / 4) if short > 0 else planned - short - _BACK,
            onsets=int(self.plan.onsets[k]),
            rest=0 if k == self.plan.phrases - 1 else int(self.plan.rest[k]),
            register=(1 - place) * self._registers[0] + place * self._registers[1],
            key=self._key(k),
            full=full,
            last=state.last.tokens if state.last else None,
            stated=state.stated.get(letter),
        )

    def _key(self, k: int) -> Key:
        return self.keys[int(self.plan.place[k] > 0.5)]

    def _score(self, phrase: Phrase, k: int) -> float:
        """The calmness of a phrase's melody."""
        piece = journey_notes.play([phrase], self.plan, [k], balance=self.balance)
        return calmness.score(piece, self._begins(k), self._begins(k + 1)).calmness


def _calm_direction(model: MelodyModel) -> np.ndarray:
    """The model's calm direction, or zeros."""
    try:
        return calm_piece.load(model).vectors["calmness"]
    except ModelError:
        return np.zeros(model.spec.z_size, np.float32)
