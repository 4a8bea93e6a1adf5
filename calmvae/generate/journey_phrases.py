"""The way of a journey, phrase by phrase: `journey` says where it leads, `journey_plan` how fast, loud and dense.

Four phrases make a period, of a theme that returns varied. Each is brought onto the key, thinned to the planned
density, and ends with a cadence and a rest. Of several variations the one is taken that keeps the calmness nearest to
its planned rise; a minute that still falls back is made again, calmer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from calmvae.common.errors import ModelError
from calmvae.generate import calm_piece, journey_notes, journey_plan
from calmvae.generate.journey_notes import Phrase
from calmvae.generate.journey_plan import PHRASE_STEPS, Itinerary
from calmvae.latent import slerp
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness, harmonize, key_finding, melody_tokens, melody_windows, phrase_editing
from calmvae.music.key_finding import Key
from calmvae.music.melody_tokens import FIRST_PITCH, STEPS_PER_BAR

# Which quarter of the material each phrase of a period takes; a quarter that returns is varied.
FORMS = ((0, 0, 2, 0), (0, 1, 0, 1), (0, 1, 0, 3))
# How far variations lie from the material, in posterior deviations; the first is the material itself.
_SPREADS = np.array([0.0, 1.2, 2.0, 2.8, 3.6])
# Shares of the planned notes, of which one is taken too.
_DENSITIES = (1.0, 0.8, 0.65)
# At the end of the journey, in calm directions.
AMOUNT = 0.8
# The calmness planned for the end: so many points above the beginning's, but no more than this.
_RISE, _HIGHEST = 26.0, 94.0
# A minute may be less calm than the one before by so much, or is made again up to so often, each time so much calmer.
_SLIP, _TRIES, _LIFT = 1.5, 9, 3.0
# And is played so much softer for each of these points.
_SOFTER = 0.8
# What a phrase may be less calm than the minute before, where that was calmer than planned.
_BACK = 0.5
# Of a returning phrase so many of its steps should be as before.
_ALIKE = (0.55, 0.95)
# Rests of A last a bar at most.
GIVEN_REST = STEPS_PER_BAR
# The places from which contrasting phrases, and then all, are B's instrument's.
_SHARED, _TAKEN = 0.3, 0.65


@dataclasses.dataclass
class Source:
    """What a journey begins with, or leads to.

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


@dataclasses.dataclass
class _State:
    """What changes from phrase to phrase, and is put back when a minute is made again.

    Attributes:
      at: the next phrase's number.
      last: the phrase before it, if any.
      form, material: of the period: the quarter each phrase takes, and sixteen bars and their variations,
        uint8 `[variations, 4, 64]`.
      stated: quarter to its first statement in the period.
      lately: when each phrase of the last minute ended, and its calmness.
      level: calmness of A.
      counts: notes changed, by how.
    """

    at: int = 0
    last: Phrase | None = None
    form: tuple[int, ...] = FORMS[0]
    material: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4, PHRASE_STEPS), np.uint8))
    stated: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    lately: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    level: float = 0.0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    def copy(self) -> _State:
        """One that later phrases do not change."""
        return dataclasses.replace(
            self, stated=dict(self.stated), lately=list(self.lately), counts=Counter(self.counts)
        )


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
        self._registers = [phrase_editing.mean_pitch(tokens) for tokens in ends]
        self._direction = _calm_direction(model)
        # A is given for sixteen bars, but for no more than a quarter of a short journey.
        self.opening = min(journey_plan.OPENING_PHRASES, max(1, plan.phrases // 4))
        opening, self._lengthened = phrase_editing.fill(a.tokens, GIVEN_REST)
        self._opening = melody_windows.cut_windows(opening, PHRASE_STEPS)[0]
        self._state, self._lift = _State(), 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Notes moved into the key, by octaves, left out, and made longer or to begin sooner, so far."""
        return {name: self._state.counts[name] for name in ("moved", "octaves", "left_out", "lengthened")}

    def given(self, k: int) -> np.ndarray:
        """Tokens of one of A's own phrases; what rings over from the phrase before is struck again."""
        return self._opening[k]

    @property
    def has_direction(self) -> bool:
        """Whether the model says which way is calm."""
        return bool(self._direction.any())

    def walk(self, progress: Callable[[int, int], None] | None = None) -> list[Phrase]:
        """All phrases.

        Args:
          progress: called with the number of phrases made, and of all.
        """
        walked: list[Phrase] = []
        before: float | None = None
        minute = 0
        while len(walked) < self.plan.phrases:
            states = {}
            tries: dict[float, float] = {}
            settled = False
            while True:
                while len(walked) < self.plan.phrases and self._begins(len(walked)) < 60 * (minute + 1) - 1e-6:
                    states[len(walked)] = self._state.copy()
                    walked.append(self._next())
                tries[self._lift] = self._minute(walked, minute)
                # Only phrases that begin in this minute, and are not given, are made again.
                first = min((k for k in states if k >= self.opening), default=None)
                short = before is not None and tries[self._lift] < before - _SLIP
                if settled or not short or first is None:
                    break
                settled = len(tries) == _TRIES
                # The last time the best of them is repeated.
                self._lift = max(tries, key=lambda lift: tries[lift]) if settled else self._lift + _LIFT
                self._state = states[first].copy()
                del walked[first:]
            before, minute, self._lift = tries[self._lift], minute + 1, 0.0
            if progress:
                progress(len(walked), self.plan.phrases)
        return walked

    def _begins(self, phrase: int) -> float:
        return self.plan.seconds(phrase * PHRASE_STEPS)

    def _minute(self, walked: Sequence[Phrase], minute: int) -> float:
        """Calmness of what begins in a minute."""
        last = len(walked) - 1
        numbers = [last]
        while numbers[0] > 0 and self._begins(numbers[0]) > 60 * minute:
            numbers.insert(0, numbers[0] - 1)
        piece = journey_notes.play([walked[k] for k in numbers], self.plan, numbers)
        return calmness.score(piece, 60.0 * minute, min(60.0 * (minute + 1), self._begins(last + 1))).calmness

    def _next(self) -> Phrase:
        """The next phrase."""
        state = self._state
        k = state.at
        if k < self.opening:
            phrase, full = Phrase(self.given(k), k, self.a.program, given=True), k % 2 == 1
            score = self._score(phrase, k)
            state.level += (score - state.level) / (k + 1)
            state.counts["lengthened"] = self._lengthened
        else:
            number, position = divmod(k - self.opening, len(state.form))
            if position == 0:
                state.form = FORMS[int(np.random.default_rng([self.seed, 1, number]).integers(len(FORMS)))]
                state.material, state.stated = self._material(k, number), {}
            full = position % 2 == 1 or k == self.plan.phrases - 1
            phrase, score = self._chosen(k, state.form[position], full)
            state.stated.setdefault(phrase.letter, phrase.tokens)
        if self.accompanied:
            chord = state.last.chords[-1] if state.last else None
            phrase.chords = harmonize.chords(phrase.tokens, self._key(k), full, chord)
        now = self._begins(k + 1)
        state.lately = [(end, value) for end, value in [*state.lately, (now, score)] if end > now - 60]
        state.last, state.at = phrase, k + 1
        return phrase

    def _material(self, k: int, number: int) -> np.ndarray:
        """Sixteen bars from the path at a phrase's place, and variations of them, uint8 `[variations, 4, 64]`."""
        place, steps = float(self.plan.place[k]), self.model.spec.steps
        (mu_a, sigma_a), (mu_b, sigma_b) = self._latents
        z = slerp.slerp(mu_a, mu_b, place) + AMOUNT * place * self._direction
        noise = np.random.default_rng([self.seed, 2, number]).standard_normal((len(_SPREADS), *z.shape))
        z = z + _SPREADS[:, None, None] * ((1 - place) * sigma_a + place * sigma_b) * noise
        windows = self.model.engine.decode(z.reshape(-1, z.shape[-1]).astype(np.float32))
        joined = [melody_windows.join_windows(row) for row in windows.reshape(len(_SPREADS), -1, steps)]
        return np.stack([melody_windows.cut_windows(row, PHRASE_STEPS)[0] for row in joined])

    def _chosen(self, k: int, letter: int, full: bool) -> tuple[Phrase, float]:
        """The best of the variations, and its calmness."""
        wanted, seen = self._wanted(k), set()
        best: tuple[float, Phrase, float, Counter[str]] | None = None
        for tokens, share in itertools.product(self._state.material[:, letter], _DENSITIES):
            phrase, counts = self._dressed(tokens, k, letter, full, share)
            if phrase.tokens.tobytes() in seen:
                continue
            seen.add(phrase.tokens.tobytes())
            score = self._score(phrase, k)
            cost = abs(score - wanted) + self._unlike(phrase, k)
            if best is None or cost < best[0]:
                best = cost, phrase, score, counts
        assert best is not None
        self._state.counts += best[3]
        return best[1], best[2]

    def _wanted(self, k: int) -> float:
        """The calmness that a phrase should have: as planned, and what the last minute fell short of it.

        Where the last minute was calmer than planned, the music waits there.
        """
        planned = self.planned(k) + self._lift
        lately = [value for _, value in self._state.lately]
        short = planned - float(np.mean(lately))
        return planned + min(short * len(lately) / 2, _RISE / 4) if short > 0 else planned - short - _BACK

    def planned(self, k: int) -> float:
        """The calmness that is planned for the melody of a phrase: A's own, then evenly more."""
        level, first = self._state.level, self.opening - 1
        way = max(k - first, 0) / max(self.plan.phrases - 1 - first, 1)
        return level + way * max(min(_RISE, _HIGHEST - level), 0.0)

    def _dressed(
        self, tokens: np.ndarray, k: int, letter: int, full: bool, share: float
    ) -> tuple[Phrase, Counter[str]]:
        """A phrase in its key, density and register, with its cadence; and the notes changed."""
        place, key, last = float(self.plan.place[k]), self._key(k), self._state.last
        if not (tokens >= FIRST_PITCH).any() and last:
            tokens = last.tokens
        tokens, moved = key_finding.into_scale(tokens, key.natural)
        tokens, fewer = phrase_editing.thin(tokens, round(float(self.plan.onsets[k]) * share))
        tokens, longer = phrase_editing.fill(tokens)
        tokens = phrase_editing.in_register(tokens, (1 - place) * self._registers[0] + place * self._registers[1])
        tokens, folded = phrase_editing.smooth(tokens)
        rest = 0 if k == self.plan.phrases - 1 else int(self.plan.rest[k])
        tokens = phrase_editing.cadence(tokens, key, full, rest)
        tokens = phrase_editing.joined(tokens, phrase_editing.last_token(last.tokens) if last else 0, key.natural)
        program = self.b.program if place > (_SHARED if letter else _TAKEN) else self.a.program
        made = Phrase(tokens, letter, program, softer=_SOFTER * self._lift)
        return made, Counter(moved=moved, octaves=folded, left_out=fewer, lengthened=longer)

    def _key(self, k: int) -> Key:
        return self.keys[int(self.plan.place[k] > 0.5)]

    def _score(self, phrase: Phrase, k: int) -> float:
        """Calmness of a phrase's melody."""
        return calmness.score(
            journey_notes.play([phrase], self.plan, [k]), self._begins(k), self._begins(k + 1)
        ).calmness

    def _unlike(self, phrase: Phrase, k: int) -> float:
        """What is amiss with a phrase, in points: a return that is not like its first statement or is just the same,
        too few notes, notes outside the key of the phrase before."""
        stated = self._state.stated.get(phrase.letter)
        alike = float((phrase.tokens == stated).mean()) if stated is not None else _ALIKE[1]
        few = 0.8 * float(self.plan.onsets[k]) - len(phrase_editing.onsets(phrase.tokens))
        last = self._state.last
        apart = key_finding.foreign(*(key_finding.shares(some.tokens) for some in (phrase, last))) if last else 0.0
        return 40 * max(_ALIKE[0] - alike, alike - _ALIKE[1], 0.0) + 2 * max(few, 0.0) + 40 * apart


def _calm_direction(model: MelodyModel) -> np.ndarray:
    """The model's calm direction, or none."""
    try:
        return calm_piece.load(model).vectors["calmness"]
    except ModelError:
        return np.zeros(model.spec.z_size, np.float32)
