"""The loudness of a journey as it sounds: what is measured, and that it does not grow."""

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.common.errors import MissingDependencyError
from calmvae.generate import journey, journey_loudness
from calmvae.midi import audio
from calmvae.midi.piece import Note, Piece
from tests.conftest import PIECES


def steady(programs, velocity=60, seconds=60.0):
    """A C an octave above middle C every second, a minute of each program."""
    notes = [
        Note(72, velocity, k * seconds + t, k * seconds + t + 0.9, program)
        for k, program in enumerate(programs)
        for t in np.arange(0, seconds, 1.0)
    ]
    return Piece(notes, [(0.0, 60.0)])


def test_loudness_follows_the_velocity():
    """Half of the velocity is half of the amplitude, 6 dB."""
    loud, soft = (audio.loudness(steady([0], velocity, 20.0), 10.0) for velocity in (100, 50))
    assert loud.shape == (2,) and loud - soft == pytest.approx([6.02, 6.02], abs=0.1)
    # Two seconds at the end count to the last stretch.
    assert audio.loudness(steady([0], seconds=22.0), 10.0).shape == (2,)
    assert audio.loudness(Piece([], [(0.0, 120.0)]))[0] == pytest.approx(-120)


def test_a_louder_instrument_plays_softer():
    """Strings after a piano, at the same velocity, are several dB louder; then the harp stays as it is."""
    given = steady([0, 48, 46])
    before = audio.loudness(given)
    assert before[1] > before[0] + 4
    made, softer = journey_loudness.settled(given)
    after = audio.loudness(made)
    assert np.diff(after).max() < 1 and after[0] == before[0] and after[1] < before[1] - 3
    assert softer == sum(x.velocity < y.velocity for x, y in zip(made.notes, given.notes, strict=True)) >= 60
    assert [(n.pitch, n.start, n.end, n.program) for n in made.notes] == [
        (n.pitch, n.start, n.end, n.program) for n in given.notes
    ]
    assert min(n.velocity for n in made.notes) >= 1


def test_music_that_grows_softer_stays_as_it_is():
    notes = [Note(60, 100 - t // 3, float(t), t + 0.9, 0) for t in range(180)]
    made, softer = journey_loudness.settled(Piece(notes, [(0.0, 60.0)]))
    assert softer == 0 and made.notes == notes


def test_silence_and_what_follows_it():
    """After a minute of nothing there is nothing to compare with, and nothing is played at velocity 0."""
    notes = [Note(60, 80, 150.0 + t, 150.5 + t, 0) for t in range(60)]
    made, _ = journey_loudness.settled(Piece(notes, [(0.0, 60.0)]))
    assert min(n.velocity for n in made.notes) >= 1


@pytest.mark.parametrize("accompanied", [False, True])
def test_a_journey_grows_no_louder(accompanied):
    """From a harpsichord's neighbour to a flute, which sounded 10 dB louder halfway."""
    model = open_model.load_melody_model()
    a, b = (
        journey.of_piece(next(p for p in PIECES if p.stem == n), model) for n in ("brahms_wiegenlied", "amazing_grace")
    )
    a.program, b.program = 8, 73
    made = journey.journey(a, b, model, minutes=5, accompanied=accompanied, seed=2)
    assert np.diff(audio.loudness(made.piece)).max() < 1
    assert np.diff(made.info["loudness_by_minute"]).max() < 1
    assert len({note.program for note in made.piece.notes}) == 2 + accompanied


def test_instruments_that_are_louder_than_the_first_are_played_softer():
    """Measured: strings are several dB louder than a piano, and a music box is softer than a flute."""
    found = journey_loudness.balance(0, [48, 73])
    assert found.keys() == {48, 73} and all(0.05 < factor < 0.9 for factor in found.values())
    assert 0 not in found and journey_loudness.balance(48, [0]) == {}


def test_without_a_synthesizer_it_says_so(monkeypatch):
    def missing(*_):
        raise MissingDependencyError("Audio needs tinysoundfont; run: pip install --no-deps tinysoundfont")

    monkeypatch.setattr(audio, "_synth", missing)
    model = open_model.load_melody_model()
    a = journey.of_piece(PIECES[0], model)
    made = journey.journey(a, a, model, minutes=1, seed=2)
    assert made.remarks[0].startswith("The loudness of the instruments is not balanced: Audio needs")
    assert "loudness_by_minute" not in made.info and made.piece.notes
