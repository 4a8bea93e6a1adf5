"""Magenta's configs that calmvae's own engine does not speak are sampled through Magenta, under their own names.

TensorFlow is imported once, by the first test that saves a checkpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import open_model
from calmvae.cli import run_generate
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Making
from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.generate import sampling
from calmvae.midi.piece import Piece
from calmvae.model import config_catalog
from calmvae.music import calmness
from tests.random_checkpoints import hparams_of, save_random, small_config

DRUMS, TRIO, CHORDS = "cat-drums_2bar_small", "flat-trio_16bar", "cat-mel_2bar_med_chords"
BAND = "hier-multiperf_vel_1bar_med_chords"
GROOVE, HITS = "groovae_2bar_humanize", "groovae_2bar_hits_control_tfds"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Config name to the prefix of a checkpoint with random weights, made once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return functools.cache(lambda name: save_random(name, folder / name / "model.ckpt-7"))


def sampled(name, prefix, n=1, temperature=0.5, seed=0, hparams=None, **options) -> list[Piece]:
    """Samples of a config from a checkpoint."""
    model = open_model.load_model(prefix, name, hparams)
    return [made.piece for made in sampling.sample(model, n, temperature=temperature, seed=seed, **options)]


@pytest.fixture
def draw(checkpoint: Callable[[str], str]) -> Callable[..., list[Piece]]:
    """Samples a shrunk config by name."""

    def sample(name: str, n: int = 2, temperature: float = 1.0, seed: int = 1, **options) -> list[Piece]:
        return sampled(name, checkpoint(name), n, temperature, seed, hparams=hparams_of(name), **options)

    return sample


@pytest.fixture
def shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Magenta's own configs of the sizes of the checkpoints, for what takes no hparams."""
    from calmvae.common import magenta_import

    known = magenta_import.load().configs.CONFIG_MAP
    for name in (DRUMS, CHORDS):
        monkeypatch.setitem(known, name, small_config(name))


def tracks(piece: Piece) -> set[tuple[int, bool]]:
    return {(note.program, note.is_drum) for note in piece.notes}


@pytest.mark.parametrize(
    ("name", "bars", "options"),
    [(DRUMS, 2, {}), (TRIO, 16, {}), (CHORDS, 2, {"chords": "C Am"}), (GROOVE, 2, {}), (BAND, 1, {"chords": "C"})],
)
def test_seeds(draw, name, bars, options):
    """Same seed same notes, however many are asked for; another seed, other notes."""
    pieces = draw(name, 9, **options)
    assert [p.name for p in pieces[:2]] == [f"{name} sample 1, seed 1", f"{name} sample 2, seed 1"]
    assert draw(name, 1, **options)[0] == pieces[0]
    assert draw(name, 1, seed=2, **options)[0].notes != pieces[0].notes
    assert pieces[0].notes != pieces[1].notes
    assert all(0 <= n.start < n.end <= bars * 240 / calmness.DEFAULT_QPM + 1 for p in pieces for n in p.notes)
    assert all(p.tempos == [(0.0, calmness.DEFAULT_QPM)] for p in pieces)


def test_instruments(draw):
    assert tracks(draw(DRUMS)[0]) == {(0, True)}
    assert tracks(draw(TRIO)[0]) == {(0, False), (33, False), (0, True)}
    assert tracks(draw(CHORDS, chords="C", program=11)[0]) == {(11, False)}


def test_tempo_and_dynamics(draw):
    slow, fast = draw(DRUMS, qpm=60)[0], draw(DRUMS, qpm=120)[0]
    assert slow.duration == pytest.approx(2 * fast.duration) and slow.duration <= 8
    assert {n.velocity for n in draw(DRUMS, velocity=40)[0].notes} == {40}
    assert len({n.velocity for n in draw(GROOVE)[0].notes}) > 2


@pytest.mark.filterwarnings("ignore:.*is deprecated:UserWarning")
@pytest.mark.parametrize(("name", "options"), [(DRUMS, {}), (CHORDS, {"chords": "C G Am F"})])
def test_cold_notes_are_trained_models(checkpoint, draw, name, options):
    """At temperature 0 the notes are those of Magenta's TrainedModel from the same z (and chords)."""
    from calmvae.common import magenta_import

    stock = magenta_import.load().TrainedModel(small_config(name), 2, checkpoint(name))
    z = np.stack([np.random.default_rng([1, k]).standard_normal(8) for k in range(2)])
    control = np.repeat(np.eye(49)[[1, 8, 22, 6]], 8, axis=0) if options else None
    theirs = stock.decode(z, length=32, temperature=1e-6, c_input=control)
    ours = draw(name, temperature=0, qpm=120, **options)
    for piece, sequence in zip(ours, theirs, strict=True):
        expected = sorted((n.start_time, n.pitch, n.end_time) for n in sequence.notes)
        assert [(n.start, n.pitch, n.end) for n in piece.notes] == expected


def test_chords_are_heard(draw):
    assert draw(CHORDS, chords="C G")[0].notes != draw(CHORDS, chords="C F#dim")[0].notes
    assert draw(CHORDS, chords="C | G", temperature=0) == draw(CHORDS, chords="C,G", temperature=0)
    bar = 240 / calmness.DEFAULT_QPM
    two = draw(BAND, 1, chords="C G")[0]
    assert bar + 1e-6 < two.duration <= 2 * bar + 1e-6
    assert min(n.start for n in two.notes) < bar / 2
    assert all(len({(n.program, n.is_drum) for n in two.notes if n.track == t}) == 1 for t in range(len(tracks(two))))


def test_instruments_draw_apart(checkpoint):
    """Where all tokens are equally likely, the hierarchy's loops are alike and still draw differently."""
    model = open_model.load_model(checkpoint(BAND), BAND, hparams_of(BAND))
    model.weights = {name: np.zeros_like(value) for name, value in model.weights.items()}
    notes = sampling.sample(model, 1, temperature=1.0, chords="C")[0].piece.notes
    by_track = {t: [(n.pitch, n.start) for n in notes if n.track == t] for t in {n.track for n in notes}}
    assert len({tuple(v) for v in by_track.values()}) == len(by_track) > 2


def test_controls(draw):
    hits = np.eye(9)[np.arange(32) % 9]
    assert draw(HITS, controls=hits)[0].notes != draw(HITS, controls=1 - hits)[0].notes
    with pytest.raises(OptionError, match=r"takes \[32, 9\]"):
        draw(HITS, controls=hits[:4])
    with pytest.raises(OptionError, match="takes none"):
        draw(DRUMS, controls=hits)


def test_without_a_latent(tmp_path):
    from calmvae.common import magenta_import

    known, shape = magenta_import.load().configs.CONFIG_MAP[DRUMS], hparams_of(DRUMS) | {"z_size": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.random_checkpoints.SMALL", shape)
        prefix = save_random(DRUMS, tmp_path / "no_z")
    assert known.hparams.z_size == 256
    first, second = sampled(DRUMS, prefix, 2, 1.0, hparams=shape)
    assert first.notes and first.notes != second.notes


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (CHORDS, {}, '--chords "C G Am F"'),
        (CHORDS, {"chords": " "}, '--chords "C G Am F"'),
        (CHORDS, {"chords": "C Hm"}, "--chords: 'Hm' is not a known chord"),
        (CHORDS, {"chords": "C Gsus4"}, "--chords: 'Gsus4' is not a known chord"),
        (CHORDS, {"chords": "C G F"}, "3 chords; the 8 beats of cat-mel_2bar_med_chords take 1, 2, 4, 8"),
        (DRUMS, {"chords": "C"}, "has no chords"),
        (HITS, {}, "controls=hits"),
        (DRUMS, {"bars": 16}, "--bars is 16, but cat-drums_2bar_small makes 2 bars here"),
        (BAND, {"chords": "C G", "bars": 1}, "makes 2 bars here"),
        (DRUMS, {"program": 5}, "chooses its own instruments"),
        (GROOVE, {"velocity": 5}, "dynamics of its own"),
        (DRUMS, {"temperature": 9}, "--temperature is 9"),
        (DRUMS, {"n": 0}, "-n is 0"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(draw, name, options, sentence):
    with pytest.raises(OptionError, match=sentence) as caught:
        draw(name, **options)
    assert "\n" not in str(caught.value)


def test_checkpoints_that_do_not_fit(checkpoint, tmp_path):
    drums, size = checkpoint(DRUMS), hparams_of(DRUMS)
    with pytest.raises(ModelError, match=r"do not fit config flat-trio_16bar, .*: decoder.*expected\).*and \d+ more"):
        sampled(TRIO, drums, hparams=None)
    with pytest.raises(ModelError, match=r"decoder/nade/\S* is missing"):
        sampled("nade-drums_2bar_full", drums, hparams=hparams_of("nade"))
    with pytest.raises(ModelError, match=r"no model '.*nowhere'"):
        sampled(DRUMS, tmp_path / "nowhere")
    with pytest.raises(OptionError, match="unknown hparam 'z_sise'"):
        sampled(DRUMS, drums, hparams={"z_sise": 8})
    with pytest.raises(OptionError, match="unknown config 'cat-drums'"):
        sampled("cat-drums", drums)
    for part in ("index", "data-00000-of-00001"):
        (tmp_path / f"cut.{part}").write_bytes(Path(f"{drums}.{part}").read_bytes()[:-200])
    with pytest.raises(ModelError, match="not a readable TensorFlow checkpoint"):
        sampled(DRUMS, tmp_path / "cut", hparams=size)


def test_sizes_are_told_by_the_variables(checkpoint):
    """A model trained with other hparams than its config's needs none of them said."""
    told = open_model.load_model(checkpoint(DRUMS), DRUMS)
    said = open_model.load_model(checkpoint(DRUMS), DRUMS, hparams_of(DRUMS))
    assert told.config.hparams.values() == said.config.hparams.values()


def test_routes():
    from calmvae.common import magenta_import

    others = {name for name in magenta_import.load().configs.CONFIG_MAP if config_catalog.is_other(name)}
    assert {DRUMS, TRIO, CHORDS, BAND, GROOVE, HITS} <= others
    melodies = ("cat-mel_2bar_small", "hierdec-mel_16bar", "hier-mel_16bar", "calm-mel_2bar", "nothing")
    assert not any(map(config_catalog.is_other, melodies))
    with pytest.raises(OptionError, match=f"'{DRUMS}' is not a melody model; `calmvae sample"):
        config_catalog.get_spec(DRUMS)


@pytest.mark.usefixtures("shrunk")
def test_command(checkpoint, tmp_path, capsys):
    import json

    making = Making(str(Path(checkpoint(CHORDS)).parent), CHORDS, 0.5, 3)
    style = {"qpm": 72.0, "velocity": 60, "program": 0}
    run_generate.sample(2, tmp_path / "out", making, Console(), chords="C G", **style)
    made = {f"sample-0{k}.{kind}" for k in (1, 2) for kind in ("mid", "wav", "png")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == made | {"run.json"}
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["model"]["config"] == CHORDS and record["arguments"]["chords"] == "C G"
    assert record["model"]["sha256"] == output_folder.sha256(f"{checkpoint(CHORDS)}.data-00000-of-00001")
    assert "2 samples of 2 bars" in capsys.readouterr().out
    with pytest.raises(OptionError, match="unknown config 'cat-drums_2bar'; did you mean cat-drums_2bar_"):
        run_generate.sample(1, tmp_path / "a", Making(checkpoint(DRUMS), "cat-drums_2bar", 0.5, 3), Console())
    with pytest.raises(OptionError, match="--chords goes with"):
        run_generate.sample(1, tmp_path / "b", Making(open_model.DEFAULT_MODEL, None, 0.5, 3), Console(), chords="C")
