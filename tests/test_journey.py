"""Journeys: long pieces from one to another, calmer and calmer."""

from __future__ import annotations

import itertools
import json
import tracemalloc
import wave

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.common.errors import EmptyMusicError, OptionError
from calmvae.generate import journey, journey_notes, journey_plan
from calmvae.generate.journey_notes import Phrase
from calmvae.midi import read_music
from calmvae.midi.piece import Piece
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calm_features, calmness, key_finding, melody_tokens
from tests import builders
from tests.conftest import PIECES, run_calmvae

# Neighbours in a ring, so that every embedded piece is once the start and once the end.
PAIRS = list(zip(PIECES, [*PIECES[3:], *PIECES[:3]], strict=True))


@pytest.fixture(scope="module")
def model() -> MelodyModel:
    return open_model.load_melody_model()


def odd_pieces() -> dict[str, Piece]:
    """Music that is no lullaby."""
    rng = np.random.default_rng(0)
    wild = [(int(p), 115, k / 4, k / 4 + 0.2) for k, p in enumerate(rng.integers(36, 96, 400))]
    return {
        "toccata": builders.piece(wild, [(0, 170)], name="toccata"),
        "one note": builders.piece([(60, 90, 0, 1)], [(0, 100)], name="one note"),
        "low drone": builders.piece([(28, 100, 0, 64)], [(0, 40)], name="low drone"),
        "piccolo": builders.piece(
            builders.scale(200, 0.5, pitches=[96, 98, 100, 101, 103, 105]), [(0, 140)], program=72
        ),
        "waltz with rests": builders.piece(
            [(60 + k % 12, 80, 3 * k, 3 * k + 1) for k in range(40)], [(0, 200)], [(0, 3, 4)], name="waltz"
        ),
        "chromatic": builders.piece(
            builders.scale(120, 0.5, pitches=list(range(60, 84))), [(0, 110)], name="chromatic"
        ),
    }


def check(made, minutes: float) -> None:
    """All that a journey promises."""
    info = made.info
    curve = info["calmness_by_minute"]
    falls = [before - after for before, after in itertools.pairwise(curve)]
    assert max(falls, default=0) <= 3, curve
    assert curve[0] >= 60 or curve[-1] >= curve[0] + 15, curve
    tempos = np.array([qpm for _, qpm in made.piece.tempos])
    assert (np.diff(tempos) <= 0).all() and 1 - tempos[-1] / tempos[0] + 1e-3 >= 0.3 and tempos[-1] / tempos[0] >= 0.549
    assert info["foreign"]["most"] <= journey.FOREIGN
    assert info["longest_rest"] <= info["plan"]["longest_rest"] + 0.01
    assert made.piece.duration == pytest.approx(60 * minutes, abs=1)
    assert info["phrases"]["returning"] >= 0.5


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda p: p.stem)
@pytest.mark.parametrize("accompanied", [False, True], ids=["alone", "accompanied"])
def test_twelve_minutes_between_any_two(a, b, accompanied, model):
    ends = [journey.of_piece(path, model) for path in (a, b)]
    made = journey.journey(*ends, model, minutes=12, accompanied=accompanied)
    check(made, 12)
    assert ("accompaniment" in made.piece.track_names.values()) == accompanied


@pytest.mark.parametrize("name", odd_pieces())
def test_from_music_that_is_no_lullaby(name, model):
    given = odd_pieces()[name]
    a, b = journey.of_piece(given, model), journey.of_piece(PIECES[0], model)
    check(journey.journey(a, b, model, minutes=12), 12)
    check(journey.journey(b, a, model, minutes=12), 12)


def test_loud_and_fast_ends_far_calmer(model):
    a, b = journey.of_piece(odd_pieces()["toccata"], model), journey.of_piece(PIECES[3], model)
    made = journey.journey(a, b, model, minutes=12)
    curve = made.info["calmness_by_minute"]
    assert curve[0] < 40 and curve[-1] > curve[0] + 30


def test_other_lengths_and_the_long_model():
    model = open_model.load_model("calm-mel_16bar")
    a, b = (journey.of_piece(path, model) for path in PIECES[4:6])
    for minutes in (1, 5, 20):
        made = journey.journey(a, b, model, minutes=minutes, accompanied=minutes == 5)
        assert made.piece.duration == pytest.approx(60 * minutes, abs=1)
        check(made, minutes)


def test_an_hour_needs_little_memory(model):
    a, b = (journey.of_piece(path, model) for path in PIECES[:2])
    tracemalloc.start()
    made = journey.journey(a, b, model, minutes=60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    check(made, 60)
    assert len(made.info["stages"]) == 8 and peak < 30e6


def test_it_starts_as_a_is(model):
    a, b = (journey.of_piece(path, model) for path in PIECES[4:6])
    made = journey.journey(a, b, model, minutes=12)
    first = [n for n in made.piece.notes if n.start < 10]
    given = melody_tokens.token_notes(a.tokens)[: len(first)]
    assert [n.pitch for n in first] == [pitch for pitch, _, _ in given]
    assert made.piece.tempos[0] == (0.0, pytest.approx(a.qpm)) and made.info["phrases"]["given"] == 4
    assert made.sections[0].label == "A" and made.sections[0].emphasis
    assert np.mean([n.velocity for n in first]) == pytest.approx(a.velocity, abs=2)


def test_same_seed_same_music(model):
    a, b = (journey.of_piece(path, model) for path in PIECES[2:4])
    one, same, other = (journey.journey(a, b, model, minutes=4, seed=seed).piece.notes for seed in (3, 3, 4))
    assert one == same and one != other


def test_b_comes_to_the_key_of_a(model):
    """Its transposition is said, and all that is not A's own lies in A's signature."""
    a, b = (journey.of_piece(path, model) for path in (PIECES[4], PIECES[7]))
    made = journey.journey(a, b, model, minutes=6)
    shift = made.info["transposed"]
    assert shift and any(f"transposed by {shift:+d} semitones" in remark for remark in made.remarks)
    key = key_finding.key_of(key_finding.shares(a.tokens))
    own = [n for n in made.piece.notes if n.start >= made.info["plan"]["seconds"][4]]
    assert all(key.natural[n.pitch % 12] for n in own)
    counts = made.info["notes"]
    assert counts["moved"] and f"{counts['moved']} moved by a semitone" in " ".join(made.remarks)


def test_instruments_hand_over(model):
    a = journey.of_piece(builders.piece(builders.scale(64), program=0, name="piano"), model)
    b = journey.of_piece(builders.piece(builders.scale(64), program=73, name="flute"), model)
    made = journey.journey(a, b, model, minutes=6, accompanied=True)
    half = made.piece.duration / 2
    melody = [n for n in made.piece.notes if n.track < 2]
    assert {n.program for n in melody if n.start < 60} == {0} and {
        n.program for n in melody if n.start > 1.7 * half
    } == {73}
    assert {n.program for n in made.piece.notes if n.track == 2} == {0, journey_notes.STRINGS}


def test_tempos_may_be_chosen(model):
    a, b = (journey.of_piece(path, model) for path in PIECES[:2])
    made = journey.journey(a, b, model, minutes=3, start_qpm=100, end_qpm=90)
    assert made.piece.tempos[0][1] == pytest.approx(100) and made.piece.tempos[-1][1] == pytest.approx(90)
    with pytest.raises(OptionError, match="a journey slows down"):
        journey.journey(a, b, model, start_qpm=60, end_qpm=80)


def test_windows_must_fill_sixteen_bars(model):
    import dataclasses

    odd = MelodyModel(model.source, dataclasses.replace(model.spec, bars=3), model.engine)
    with pytest.raises(OptionError, match="windows of 3 bars, which do not fill a journey's 16"):
        journey.of_piece(PIECES[0], odd)


def test_no_directions_is_said(tiny_model):
    tiny = open_model.load_model(tiny_model)
    a, b = (journey.of_piece(path, tiny) for path in PIECES[:2])
    made = journey.journey(a, b, tiny, minutes=2)
    assert "no calm direction" in made.remarks[0] and made.piece.notes


def test_drums_only(model):
    with pytest.raises(EmptyMusicError):
        journey.of_piece(builders.piece([(38, 90, 0, 1)], is_drum=True), model)


def test_play_by_hand():
    plan = journey_plan.Itinerary(np.array([60.0] * 4), *(np.array([v]) for v in (80.0, 9, 2, 0.0)), stages=(0,))
    tokens = np.zeros(64, np.uint8)
    tokens[[0, 32, 62]] = 41, 43, 1
    piece = journey_notes.play([Phrase(tokens, 0, 5)], plan, [0])
    # Steps of a quarter of a second; the phrase swells by two from one below the plan's velocity.
    assert [(n.pitch, n.velocity, n.start, n.end) for n in piece.notes] == [(60, 79, 0, 8), (62, 81, 8, 15.5)]
    assert journey_notes.longest_rest(piece) == 0
    gap = builders.piece([(60, 80, 1, 2), (62, 80, 5, 6)], [(0, 60)])
    assert journey_notes.longest_rest(gap) == 3 and journey_notes.longest_rest(builders.piece([])) == 0


def test_by_minute_is_what_score_gives(model):
    a, b = (journey.of_piece(path, model) for path in PIECES[:2])
    made = journey.journey(a, b, model, minutes=3)
    wanted = [calmness.score(made.piece, 60 * k, 60 * (k + 1)).calmness for k in range(3)]
    assert made.info["calmness_by_minute"] == pytest.approx(wanted, abs=0.3)
    assert calm_features.stretch(made.piece, 0, 60).seconds == 60


def test_returns_by_hand():
    plain, other = np.zeros(64, np.uint8), np.full(64, 41, np.uint8)
    half = np.concatenate([plain[:32], other[:32]])
    walked = [Phrase(plain, 0, 0, given=True), *(Phrase(tokens, 0, 0) for tokens in (plain, other, half, other))]
    # Of four phrases of its own the third shares half with those before, the last all with the second.
    assert journey.returns(walked) == 0.5 and journey.returns(walked[:1]) == 0


def test_command(tmp_path):
    done = run_calmvae("journey", PIECES[4], PIECES[7], "--minutes", "2", "--accompany", "-o", tmp_path / "one")
    assert done.returncode == 0, done.stderr
    assert "2 min 0 s" in done.stdout and "calmness" in done.stdout
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert set(record["outputs"]) == {"journey.mid", "journey.wav", "journey.png"} and len(record["inputs"]) == 2
    read = read_music.read_piece(tmp_path / "one" / "journey.mid")
    assert journey.by_minute(read) == pytest.approx(record["result"]["calmness_by_minute"], abs=0.5)
    with wave.open(str(tmp_path / "one" / "journey.wav")) as sound:
        rate = sound.getframerate()
        heard = np.frombuffer(sound.readframes(int(read.duration * rate)), "<i2").reshape(-1, 2).astype(np.float64)
    assert 1000 < np.abs(heard).max() < 32767 * 0.9
    # In tenths of a second: nothing is quieter than -66 dB for longer than the plan's rests.
    loud = np.sqrt((heard[: len(heard) // 4410 * 4410].reshape(-1, 8820) ** 2).mean(axis=1)) > 32767 * 10 ** (-66 / 20)
    silent = np.diff(np.flatnonzero(np.concatenate([[True], loud, [True]]))).max() - 1
    assert silent / 10 <= record["result"]["plan"]["longest_rest"] + 0.1
    again = run_calmvae(
        "journey", PIECES[4], PIECES[7], "--minutes", "2", "--accompany", "-o", tmp_path / "two", "--no-sound"
    )
    assert again.returncode == 0
    for name in ("journey.mid", "journey.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_command_without_pieces_and_with_one(tmp_path):
    done = run_calmvae("journey", "--from-model", "--minutes", "2", "--no-sound", "-o", tmp_path / "model")
    assert done.returncode == 0 and "tempo 96 to 60" in done.stdout, done.stderr
    done = run_calmvae("journey", PIECES[0], "--minutes", "1", "--no-sound", "--no-picture", "-o", tmp_path / "alone")
    assert done.returncode == 0, done.stderr
    assert read_music.read_piece(tmp_path / "alone" / "journey.mid").notes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "calmvae journey A.mid [B.mid]), or --from-model and no piece"),
        ((PIECES[0], "--from-model"), "or --from-model and no piece"),
        ((PIECES[0], "--minutes", "0"), "--minutes is 0"),
        ((PIECES[0], "--start-bar", "3"), "No such option"),
        ((PIECES[0], "--start-a", "900"), "bar 900 of"),
        (("missing.mid",), "missing.mid does not exist"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, tmp_path):
    refused = run_calmvae("journey", *arguments, "-o", tmp_path / "x")
    assert refused.returncode == 2 and sentence in refused.stderr and refused.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()
