"""Configs that are not of melodies: what Magenta's converters read, training, resuming, and travelling between pieces.

They are shrunk; TensorFlow is imported once.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import find_model, open_model, tf_checkpoint
from calmvae.common import magenta_import
from calmvae.common.errors import DataError, EmptyMusicError, ModelError, OptionError, OutputError
from calmvae.data import convert_folder, magenta_examples
from calmvae.generate import interpolation
from calmvae.midi import note_sequence, read_music, tfrecord, write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.model import config_catalog, magenta_windows
from calmvae.model.magenta_model import MagentaModel
from calmvae.training import run_folder, tf_graph, train_magenta
from calmvae.training.training_options import Options
from tests.conftest import tiny_spec
from tests.random_checkpoints import hparams_of, save_random, small_config

DRUMS, NADE, TRIO, CHORDS = "cat-drums_2bar_small", "nade-drums_2bar_full", "flat-trio_16bar", "cat-mel_2bar_med_chords"
GROOVE, HITS, BAND = "groovae_2bar_humanize", "groovae_2bar_hits_control_tfds", "hier-multiperf_vel_1bar_med_chords"
PLAIN_BAND, DROPPING = "hier-multiperf_vel_1bar_med", "groovae_2bar_tap_fixed_velocity_note_dropout"
QUICK = ["batch_size=8", "learning_rate=0.02"]


def write_band(path: Path, seed: int, bars: int = 18, parts: str = "drums bass melody", metre=(4, 4)) -> Path:
    """Drums, bass and melody at 100 to 140 quarters a minute."""
    rng = np.random.default_rng(seed)
    qpm = 100.0 + 10 * (seed % 5)
    notes = []

    def add(part: str, pitch: int, beat: float, length: float, program: int, track: int) -> None:
        if part in parts.split():
            start, end = beat * 60 / qpm, (beat + length) * 60 / qpm
            notes.append(Note(int(pitch), int(rng.integers(50, 110)), start, end, program, part == "drums", track))

    for beat in np.arange(bars * metre[0] * 2) / 2:
        add("drums", rng.choice([36, 38, 42, 35]), beat + rng.choice([0.0, 0.03]), 0.25, 0, 9)
        add("melody", rng.choice([60, 64, 67, 72]), beat, 0.5, 0, 0)
        if beat % 1 == 0:
            add("bass", rng.choice([36, 43]), beat, 1.0, 33, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi.write_midi(Piece(notes, [(0.0, qpm)], [(0.0, *metre)]), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def shrunk():
    """Magenta's own configs of the sizes of the checkpoints."""
    known = magenta_import.load().configs.CONFIG_MAP
    with pytest.MonkeyPatch.context() as patch:
        for name in (DRUMS, NADE, TRIO, CHORDS, GROOVE, HITS, BAND, PLAIN_BAND, DROPPING):
            patch.setitem(known, name, small_config(name))
        magenta_examples.reader_of.cache_clear()
        yield
    magenta_examples.reader_of.cache_clear()


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    """Four bands and two pieces of drums alone."""
    folder = tmp_path_factory.mktemp("music")
    for k in range(4):
        write_band(folder / f"band{k}.mid", k)
    for k in range(2):
        write_band(folder / f"drums{k}.mid", 10 + k, 6, "drums")
    return folder


@pytest.fixture(scope="module")
def data(music, tmp_path_factory):
    """Config name to the music converted for it."""
    out = tmp_path_factory.mktemp("data")

    @functools.cache
    def convert(name: str) -> Path:
        steps = config_catalog.bars(name) * 16
        convert_folder.convert([music], out / name, steps=steps, eval_share=0.2, workers=1, config=name)
        return out / name

    return convert


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Config name to a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return functools.cache(lambda name: save_random(name, folder / name / "model.ckpt-7"))


def options(**changes) -> Options:
    few = {"steps": 12, "eval_every": 6, "save_every": 6, "sample_every": 0, "log_every": 1, "threads": 1}
    return Options(**{**few, **changes})


def go(name, data, run, settings=QUICK, start=None, **changes):
    """Trains; returns the result, the loss of each step and what was said."""
    losses, said = {}, []
    opened = find_model.open_model(start, name) if start else None
    wanted = options(init=str(start) if start else None, **changes)
    result = train_magenta.train(
        name, data, run, wanted, settings, opened, lambda p: losses.update({p.step: p.scalars["loss"]}), said.append
    )
    return result, losses, said


@pytest.mark.parametrize(
    "name",
    [
        DRUMS,
        NADE,
        CHORDS,
        GROOVE,
        HITS,
        pytest.param(TRIO, marks=pytest.mark.slow),
        pytest.param(BAND, marks=pytest.mark.slow),
    ],
)
def test_every_kind_learns(name, data, tmp_path):
    samples = 12 if name in (CHORDS, HITS) else 0
    result, losses, _ = go(name, data(name), tmp_path / "run", sample_every=samples)
    assert result.reason == "steps reached" and losses[12] < 0.8 * losses[1]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [6, 12] and result.best["loss"] == min(line["loss"] for line in lines)
    opened = find_model.open_model(tmp_path / "run")
    assert (opened.config, opened.spec, opened.meta["step"]) == (name, None, result.best["step"])
    assert list((tmp_path / "run" / "events").glob("events.*"))
    if samples:
        assert read_music.read_piece(tmp_path / "run" / "samples" / "step-00000012.mid").notes
        assert (tmp_path / "run" / "samples" / "step-00000012.png").exists()


def test_fine_tuning_starts_from_the_weights_and_goes_on(checkpoint, data, tmp_path):
    """Slots are fresh at the start and there again after a break; the steps of the start's training do not count."""
    slow, run, start = ["learning_rate=1e-7", "min_learning_rate=1e-8"], tmp_path / "run", checkpoint(DRUMS)
    result, _, said = go(DRUMS, data(DRUMS), run, slow, start, steps=2, eval_every=2)
    assert result.step == 2
    assert f"Starting from the weights of {start}." in said
    given, tuned = find_model.open_model(start, DRUMS).weights, find_model.open_model(run).weights
    assert set(tuned) == set(given)
    for name, weight in tuned.items():
        np.testing.assert_allclose(weight, given[name], atol=1e-5)
    saved = tf_checkpoint.read(tf_checkpoint.latest(run / "train"), slots=True)
    assert saved["global_step"] == 2 and saved["beta1_power"] == pytest.approx(0.9**3)
    assert all(f"{name}/Adam" in saved and f"{name}/Adam_1" in saved for name in tuned)
    _, losses, said = go(DRUMS, data(DRUMS), run, slow, start, steps=4, eval_every=2)
    assert sorted(losses) == [3, 4] and any(s.startswith("Going on from step 2") for s in said)
    saved = tf_checkpoint.read(tf_checkpoint.latest(run / "train"), slots=True)
    assert saved["beta1_power"] == pytest.approx(0.9**5)
    record = json.loads((run / "run.json").read_text())
    assert record["config"] == DRUMS and [s["step"] for s in record["sessions"]] == [2, 4]
    with pytest.raises(OutputError, match=f"holds a training of {DRUMS}, not {GROOVE}"):
        go(GROOVE, data(GROOVE), run)
    with pytest.raises(OutputError, match="with z_size 8, not 9"):
        go(DRUMS, data(DRUMS), run, ["z_size=9"])
    with pytest.raises(OutputError, match=f"holds a training of {DRUMS}, not calm-mel_2bar"):
        run_folder.open_run(run, options(), "data", {"spec": tiny_spec().to_json()}, {})
    with pytest.raises(ModelError, match="do not fit"):
        find_model.open_model(start, TRIO)


@pytest.mark.parametrize(
    ("name", "settings"), [(GROOVE, []), (DRUMS, ["sampling_schedule=constant", "sampling_rate=0.5"])]
)
def test_same_seed_same_weights(name, settings, data, tmp_path):
    """With what is dropped and what the decoder hears of itself; and Ctrl-C ends a training in order."""

    def stop(progress):
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    weights, bests = [], []
    for run in (tmp_path / "a", tmp_path / "b"):
        result = train_magenta.train(name, data(name), run, options(seed=3), QUICK + settings, None, stop)
        assert (result.reason, result.step) == ("interrupted", 3)
        weights.append(find_model.open_model(run).weights)
        bests.append(result.best)
    assert all((weights[0][name] == value).all() for name, value in weights[1].items())
    assert bests[0] == bests[1]


def test_held_out_loss_is_of_the_true_steps_and_the_same_each_time(data, checkpoint):
    """Whatever the decoder hears in training; the hparams of the training are left alone."""
    _, held_out = train_magenta.load(data(DRUMS), DRUMS, lambda _: None)
    batch = held_out.reader.batch([window for piece in held_out.windows for window in piece][:2])
    measured, losses = [], []
    for rate in (0.0, 1.0):
        config = small_config(DRUMS)
        values = config.hparams.values() | {"sampling_schedule": "constant", "sampling_rate": rate}
        config = config._replace(hparams=magenta_import.load().HParams(**values))
        engine = tf_graph.ExampleGraph(DRUMS, config, 0, 1)
        engine.load_weights(find_model.open_model(checkpoint(DRUMS), DRUMS).weights)
        measured += [engine.measure(batch, np.zeros((2, 8)))[0] for _ in range(2)]
        losses.append(engine.train(batch)["loss"])
        assert config.hparams.sampling_rate == rate
    for nats in measured[1:]:
        np.testing.assert_allclose(nats, measured[0], rtol=1e-6)
    assert losses[0] != pytest.approx(losses[1])


@pytest.mark.parametrize("name", [PLAIN_BAND, DROPPING])
def test_batches_depend_on_the_step_alone_and_change_with_the_epoch(name, data):
    train_set, _ = train_magenta.load(data(name), name, lambda _: None)
    n = len(train_set)
    first, second, third = itertools.islice(train_set.batches(n, 1), 3)
    again = next(train_set.batches(n, 1, start_step=2))
    assert all((x == y).all() for x, y in zip(third, again, strict=True))

    def rows(batch):
        return sorted(row.tobytes() for row in batch[0])

    assert rows(first) != rows(second) != rows(third)
    assert rows(next(train_set.batches(n, 2))) != rows(first)


def test_batches_smaller_and_larger_than_the_set(data, tmp_path):
    train_set, _ = train_magenta.load(data(DRUMS), DRUMS, lambda _: None)
    reader, n = train_set.reader, len(train_set)
    inputs, outputs, controls, lengths = next(train_set.batches(2 * n + 3, 0))
    assert inputs.shape == (2 * n + 3, 32, 10) and outputs.shape[2] == 512 and controls.shape[2] == 0
    assert (lengths == 32).all() and (outputs.sum(axis=2) == 1).all()
    wanted = {window.key() for piece in train_set.windows for window in piece}
    drawn = {row.tobytes() for row in reader.batch([w for piece in train_set.windows for w in piece])[0]}
    assert {row.tobytes() for row in inputs} == drawn and len(wanted) <= n
    said = []
    assert train_magenta._batch_size(512, n, said.append) == n and f"Batches have {n} windows" in said[0]


def test_all_windows_count_stocks_converter_keeps_few(data, music):
    config = magenta_import.load().configs.CONFIG_MAP[DRUMS]
    (_, sequence, _) = note_sequence.read_note_sequences(music / "band0.mid")[0]
    config.data_converter.set_mode("train")
    assert len(config.data_converter.to_tensors(sequence).inputs) == 5
    windows = magenta_windows.Reader(config).windows(sequence)
    assert len(windows) == 17 and [w.key() for w in windows] == sorted(w.key() for w in windows)


def test_drums_only_pieces_are_kept(music, data, tmp_path):
    for name, kept in ((DRUMS, 6), (GROOVE, 6), (TRIO, 4), (CHORDS, 4)):
        records = convert_folder.read_manifest(data(name))
        assert sum(r["status"] == "kept" for r in records) == kept
        assert all(r["windows"] > 0 for r in records if r["status"] == "kept")
    details = {r["detail"] for r in convert_folder.read_manifest(data(CHORDS)) if r["status"] == "skipped"}
    assert details == {"a piece without a melody"}
    convert_folder.convert([music], tmp_path / "melodies", steps=32, workers=1)
    said = []
    train_magenta.load(tmp_path / "melodies", DRUMS, said.append)
    assert f"2 of them are only drums; to keep them: calmvae convert --config {DRUMS}." in said


@pytest.mark.parametrize(
    ("name", "parts", "bars", "metre", "why"),
    [
        (DRUMS, "melody bass", 18, (4, 4), "without drums"),
        (GROOVE, "melody", 18, (4, 4), "without drums"),
        (TRIO, "melody drums", 18, (4, 4), r"without melody \(programs 0 to 31\), bass"),
        (TRIO, "melody bass drums", 4, (4, 4), "shorter than 16 bars"),
        (CHORDS, "drums", 18, (4, 4), "without a melody"),
        (BAND, "melody", 18, (4, 4), "of fewer than 2 or more than 8 instruments"),
        (DRUMS, "drums", 18, (3, 4), "not in 4/4"),
    ],
)
def test_music_without_a_window_is_one_sentence(name, parts, bars, metre, why, tmp_path):
    write_band(tmp_path / "music" / "a.mid", 0, bars, parts, metre)
    with pytest.raises(DataError, match=f"none of 1 files can be used: 1 no-windows .*{why}") as caught:
        convert_folder.convert([tmp_path / "music"], tmp_path / "out", steps=32, workers=1, config=name)
    assert "\n" not in str(caught.value) and f"give files with a window for {name}" in str(caught.value)


def test_a_set_of_other_music_is_one_sentence(data, tmp_path):
    records = tfrecord.note_sequences(sorted(data(DRUMS).glob("*.tfrecord")))
    drums = [record.SerializeToString() for record in records if all(note.is_drum for note in record.notes)]
    tfrecord.write(tmp_path / "drums.tfrecord", drums)
    with pytest.raises(DataError, match=f"has no window of {TRIO} .*left out: 2 without melody") as caught:
        train_magenta.load(tmp_path / "drums.tfrecord", TRIO, print)
    assert "\n" not in str(caught.value)


def test_drums_that_a_groove_does_not_know(tmp_path):
    """General MIDI's other bass drum is taken for the bass drum, a whistle is left out and counted."""
    notes = [Note(pitch, 90, k * 0.25, k * 0.25 + 0.1, 0, True, 9) for k, pitch in enumerate([35, 42, 71, 3] * 8)]
    write_midi.write_midi(Piece(notes, [(0.0, 120.0)], [(0.0, 4, 4)]), tmp_path / "a.mid")
    (_, sequence, _) = note_sequence.read_note_sequences(tmp_path / "a.mid")[0]
    reader = magenta_examples.reader_of(GROOVE)
    windows = reader.windows(sequence)
    hits = windows[0].outputs.unpack()[:, :9]
    assert len(windows) == 2 and hits[::8, 0].all() and hits[2::8, 2].all() and hits[4::8, 2].all()
    assert reader.unknown_drums(sequence) == 8 and len(sequence.notes) == 32


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"melody": "lowest"}, "--melody goes with melody configs"),
        ({"max_onsets": 9}, "--max-onsets goes with melody configs"),
        ({"calmest": 0.3}, "--calmest goes with melody configs"),
        ({"engine": "numpy"}, "--engine is numpy, but cat-drums_2bar_small is trained by Magenta's graph"),
        ({"keep": "all"}, "--keep is 'all'"),
    ],
)
def test_options_of_melodies_are_refused(changes, sentence, data, tmp_path):
    with pytest.raises(OptionError, match=sentence):
        go(DRUMS, data(DRUMS), tmp_path / "run", **changes)


def test_hparams_are_checked(data, tmp_path):
    with pytest.raises(OptionError, match="unknown hparam 'z_sise'; did you mean z_size"):
        go(DRUMS, data(DRUMS), tmp_path / "run", ["z_sise=3"])
    with pytest.raises(OptionError, match="max_seq_len follows from"):
        go(DRUMS, data(DRUMS), tmp_path / "run", ["max_seq_len=3"])


def model_of(name, checkpoint) -> MagentaModel:
    return open_model.load_model(checkpoint(name), name, hparams_of(name))


def simple(piece) -> list[tuple]:
    return sorted((round(n.start, 6), n.pitch, round(n.end, 6), n.is_drum) for n in piece.notes)


@pytest.mark.filterwarnings("ignore:.*is deprecated:UserWarning")
def test_interpolation_begins_and_ends_at_what_magenta_makes_of_the_pieces(checkpoint, tmp_path):
    """Stock TrainedModel reads the same two bars, encodes and decodes them."""
    files = [write_band(tmp_path / f"{k}.mid", k, 2, "drums") for k in (0, 5)]
    stock = magenta_import.load().TrainedModel(small_config(DRUMS), 2, checkpoint(DRUMS))
    _, mu, _ = stock.encode([note_sequence.read_note_sequences(file)[0][1] for file in files])
    expected = [simple(note_sequence.piece_of(s)) for s in stock.decode(mu, length=32, temperature=1e-6)]
    made = interpolation.interpolate(*files, model_of(DRUMS, checkpoint), steps=3)
    slower = 120 / 100
    for part, notes in zip((made.parts[0], made.parts[-1]), expected, strict=True):
        wanted = sorted((round(a * slower, 6), p, round(b * slower, 6), d) for a, p, b, d in notes)
        assert simple(part) == wanted
    assert made.info["qpm"] == [100.0, 100.0, 100.0] and [s.label for s in made.sections] == ["A", "1/2", "B"]
    assert made.remarks == ["0: bars 1 to 2 of 2 are used.", "5: bars 1 to 2 of 2 are used."]


@pytest.mark.parametrize("name", [NADE, CHORDS, GROOVE, TRIO, pytest.param(BAND, marks=pytest.mark.slow)])
def test_interpolation(name, checkpoint, music):
    files, model = (music / "band0.mid", music / "band3.mid"), model_of(name, checkpoint)
    made = interpolation.interpolate(*files, model, steps=4, temperature=1.0, seed=2, start_bars=(None, 2))
    again = interpolation.interpolate(*files, model, steps=4, temperature=1.0, seed=2, start_bars=(None, 2))
    assert made.piece == again.piece and len(made.parts) == 4 and made.piece.notes
    bars = config_catalog.bars(name)
    assert made.sections[-1].end == 16 * bars and made.info["qpm"] == pytest.approx(
        [100, 109.14, 119.11, 130], abs=0.01
    )
    original = interpolation.interpolate(*files, model, steps=2, endpoints="original")
    if name == TRIO:
        given = [n for n in read_music.read_piece(files[0]).notes if n.is_drum and n.start < bars * 2.4 - 0.1]
        hits = {(round(round(n.start / 0.15) * 0.15, 6), 36 if n.pitch == 35 else n.pitch) for n in given}
        assert {x[:2] for x in simple(original.parts[0]) if x[3]} == hits
    assert original.info["reconstruction_accuracy"] != [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        (DRUMS, {"steps": 1}, "--steps is 1"),
        (DRUMS, {"melody": "lowest"}, "--melody goes with melody configs"),
        (DRUMS, {"tracks": (None, "1")}, "--track goes with melody configs"),
        (DRUMS, {"bars": 4}, "--bars is 4, but a step of cat-drums_2bar_small has 2"),
        (DRUMS, {"endpoints": "both"}, "--endpoints is 'both'"),
        (DRUMS, {"temperature": 9.0}, "--temperature is 9"),
        (DRUMS, {"start_bars": (99, None)}, "bar 99 of band0 was asked for; it has bars 1 to 18"),
        (GROOVE, {"start_bars": (18, None)}, "bars 18 to 19 of band0 give groovae_2bar_humanize no window"),
        (HITS, {}, "plays hits that are given to it"),
    ],
)
def test_interpolations_that_cannot_be(name, changes, sentence, checkpoint, music):
    with pytest.raises(OptionError, match=sentence) as caught:
        interpolation.interpolate(music / "band0.mid", music / "band1.mid", model_of(name, checkpoint), **changes)
    assert "\n" not in str(caught.value)


def test_a_piece_without_a_window_says_why(checkpoint, music):
    with pytest.raises(
        EmptyMusicError, match=f"drums0 gives {TRIO} no window of 16 bars: it is a piece without melody"
    ):
        interpolation.interpolate(music / "drums0.mid", music / "band0.mid", model_of(TRIO, checkpoint))


def test_command_line(music, tmp_path, capsys, monkeypatch):
    """Drums from MIDI files: train, go on, sample, interpolate, convert."""
    from calmvae.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> str:
        app([str(a) for a in arguments], standalone_mode=False)
        return capsys.readouterr().out

    few = ("--steps", 2, "--eval-every", 2, "--sample-every", 0, "--threads", 1)
    said = run("train", music, "--config", GROOVE, "-o", "run", *few, "--set", "batch_size=4")
    assert "steps reached at step 2; best held-out loss" in said and (tmp_path / "run-data" / "manifest.jsonl").exists()
    said = run("train", "run-data", "--from", "run", "-o", "tuned", *few)
    assert "Try it: calmvae sample --model tuned" in said
    assert "1 sample of 2 bars" in run("sample", "-n", 1, "--model", "tuned", "-o", "sample", "--no-sound")
    a, b = music / "drums0.mid", music / "band1.mid"
    said = run("interpolate", a, b, "--model", "tuned", "--steps", 3, "-o", "way", "--no-sound", "--start-b", 2)
    assert "3 steps of 2 bars in one piece" in said
    assert sorted(p.name for p in (tmp_path / "way").rglob("*.mid")) == ["01.mid", "02.mid", "03.mid", "joined.mid"]
    said = run("convert", music, "--config", DRUMS, "-o", "data", "--workers", 1)
    assert "6 kept" in said and f"windows for {DRUMS}" in said
