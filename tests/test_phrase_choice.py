"""The choice of one phrase, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.generate import phrase_choice
from calmvae.generate.phrase_choice import Wanted
from calmvae.music import key_finding, melody_tokens, phrase_editing
from calmvae.music.key_finding import Key

C_MAJOR = Key(0, False)


def wanted(**changes) -> Wanted:
    plain = {"calmness": 50.0, "onsets": 16, "rest": 4, "register": 64.0, "key": C_MAJOR, "full": True}
    return Wanted(**{**plain, **changes})


def phrase(*pitches: int) -> np.ndarray:
    """Four bars of even notes."""
    tokens = np.zeros(64, np.uint8)
    tokens[:: 64 // len(pitches)] = np.array(pitches) - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    return tokens


SCALE = phrase(60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65, 64, 62, 60, 60)
SLOW = phrase(60, 64, 67, 60)


def test_the_nearest_in_calmness_is_taken_and_nothing_is_changed():
    """Scored by its notes, 10 points each."""
    variations = np.stack([SCALE, SLOW, np.zeros(64, np.uint8)])
    before, seen = variations.copy(), []

    def score(tokens):
        seen.append(tokens.tobytes())
        return 10.0 * len(phrase_editing.onsets(tokens))

    calm = phrase_choice.choose(variations, wanted(calmness=40.0, onsets=4), score)
    assert calm.calmness == score(calm.tokens) == 40
    seen.clear()
    dense, again = (phrase_choice.choose(variations, wanted(calmness=100.0, onsets=10), score) for _ in range(2))
    assert dense.calmness == 100 and dense.counts["left_out"] == 6
    assert (dense.tokens == again.tokens).all() and dense.counts == again.counts
    assert len(seen) == 2 * len(set(seen)) and (variations == before).all()


def test_of_equals_the_first():
    first, second = (phrase_choice.choose(v, wanted(), lambda _: 50.0) for v in ([SCALE, SLOW], [SCALE]))
    assert (first.tokens == second.tokens).all()


def test_shape_by_hand():
    tokens, counts = phrase_choice.shape(phrase(61, 64, 67, 66), wanted(onsets=4, rest=4))
    assert counts["moved"] == 2 and all(
        C_MAJOR.natural[(t - 2 + melody_tokens.MIN_PITCH) % 12] for t in tokens[tokens > 1]
    )
    # A full cadence on the tonic, and a rest of a beat.
    assert phrase_editing.last_token(tokens) in SCALE[[0, 28]]
    assert tokens[60] == melody_tokens.NOTE_OFF and not tokens[61:].any()
    high, _ = phrase_choice.shape(phrase(60, 64, 67, 60), wanted(onsets=4, register=76.0))
    assert phrase_editing.mean_pitch(high) > 70
    thinned, counts = phrase_choice.shape(SCALE, wanted(onsets=10), 0.8)
    assert counts["left_out"] == 8 and len(phrase_editing.onsets(thinned)) <= 9


def test_silence_becomes_the_phrase_before():
    silence = np.zeros(64, np.uint8)
    tokens, _ = phrase_choice.shape(silence, wanted(last=SLOW))
    assert (tokens == phrase_choice.shape(SLOW, wanted(last=SLOW))[0]).all() and (tokens >= 2).any()
    assert not (phrase_choice.shape(silence, wanted())[0] >= 2).any()


def test_faults_by_hand():
    assert phrase_choice.faults(SCALE, wanted()) == 0
    # A return that is the same, one that shares 60 of 64 steps, one that shares none.
    assert phrase_choice.faults(SCALE, wanted(stated=SCALE)) == pytest.approx(40 * 0.05)
    assert phrase_choice.faults(SCALE, wanted(stated=np.where(np.arange(64) < 4, 9, SCALE))) == 0
    assert phrase_choice.faults(SCALE, wanted(stated=SCALE + 1)) == pytest.approx(40 * 0.55)
    # 4 notes where 12.8 should be.
    assert phrase_choice.faults(SLOW, wanted()) == pytest.approx(2 * 8.8)
    far = phrase(61, 63, 66, 68)
    apart = key_finding.foreign(key_finding.shares(SCALE), key_finding.shares(far))
    assert apart > 0.3 and phrase_choice.faults(SCALE, wanted(last=far)) == pytest.approx(40 * apart)
