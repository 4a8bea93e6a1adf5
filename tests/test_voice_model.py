"""Models of several voices: excerpts in the piece's own bars, ends as written, metres of their music."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import model_folder, open_model
from calmvae.common.errors import ModelError, OptionError
from calmvae.data import convert_folder
from calmvae.generate import calm_piece, interpolation, reconstruction, sampling
from calmvae.generate.decoded_path import decoded_path
from calmvae.latent import slerp
from calmvae.midi import read_music
from calmvae.midi.piece import Note, Piece
from calmvae.model import numpy_engine
from calmvae.model.interface import Segment
from calmvae.model.voice_model import VoiceModel
from calmvae.music import melody_tokens, voice_windows
from tests.conftest import PIECES, random_weights, run_calmvae, tiny_spec

SPEC = tiny_spec("calm-piano_2bar")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("voices")
    model_folder.write(path, SPEC, random_weights(SPEC), {})
    return path


@pytest.fixture(scope="module")
def model(folder):
    return open_model.load_model(folder)


def embedded(name):
    return read_music.read_piece(next(path for path in PIECES if path.stem == name))


def test_a_model_of_voices_is_no_melody_model(folder, model):
    assert isinstance(model, VoiceModel) and model.spec.voices == 5
    with pytest.raises(ModelError, match="not a melody model"):
        open_model.load_melody_model(folder)
    with pytest.raises(OptionError, match="takes all voices"):
        model.excerpt(embedded("silent_night"), 4, [], melody="lowest")


def written(piece, voices, qpm):
    """The notes of four bars of a piece from the first with a note on, from the first note on, at a tempo."""
    begin, end = (voices.bar_lines[voices.first_bar() + k] + voices.lead for k in (0, 4))
    rows = [(n, *(float(q) * 4 for q in piece.quarters([n.start, n.end]))) for n in piece.notes]
    rows = [row for row in rows if begin - 0.5 <= row[1] < end - 0.5]
    first, step = min(row[1] for row in rows), 15 / qpm
    return sorted(
        (n.pitch, (s - first) * step, (min(e, end) - first) * step, n.velocity, n.program) for n, s, e in rows
    )


def test_the_ends_are_the_pieces_as_written(model):
    a, b = embedded("silent_night"), embedded("brahms_wiegenlied")
    made = interpolation.interpolate(a, b, model, steps=3, bars=4)
    kept = [len(part.notes) for part in (made.parts[0], made.parts[-1])]
    assert made.info["notes"] == [[kept[0], len(a.notes)], [kept[1], len(b.notes)]]
    assert made.remarks[-1] == (
        f"{kept[0]} of A's {len(a.notes)} notes and {kept[1]} of B's {len(b.notes)} notes are in the result."
    )
    for piece, part in ((a, made.parts[0]), (b, made.parts[-1])):
        wanted = written(piece, model.excerpt(piece, 4, []).cut_from.whole, part.tempos[0][1])
        found = sorted((n.pitch, n.start, n.end, n.velocity, n.program) for n in part.notes)
        assert len(found) == len(wanted) > 10
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine == pytest.approx(theirs, abs=2e-3)


def test_sections_stand_on_bar_lines_in_the_metre_of_their_music(model):
    a, b = embedded("silent_night"), embedded("schumann_traeumerei")
    made = interpolation.interpolate(a, b, model, steps=4, bars=4)
    metres = [(upper, lower) for _, upper, lower in made.piece.time_signatures]
    assert metres[0] == (6, 8) and metres[-1] == (4, 4)
    assert made.sections[0].end == 12 and made.sections[-1].end - made.sections[-1].start == 16
    times = made.piece.seconds([section.start for section in made.sections])
    assert all(abs(times - time).min() < 1e-6 for time in (made.piece.time_signatures[0][0],))


def test_every_voice_has_its_own_velocity_and_instrument_and_glides():
    notes = [Note(76, 90, k, k + 1.0, 40, False, 0) for k in range(16)]
    notes += [Note(48, 30, k, k + 1.0, 10, False, 1) for k in range(16)]
    spec_model = VoiceModel.__new__(VoiceModel)
    spec_model.spec = SPEC
    given = Piece(notes, [(0.0, 60.0)], track_names={0: "flute", 1: "harp"})
    excerpt = spec_model.excerpt(given, 2, [])
    used = {player.of: (player.program, round(player.velocity)) for player in excerpt.players}
    heard = sorted(set(np.nonzero(melody_tokens.is_onset(excerpt.windows))[2].tolist()))
    assert [used[voice] for voice in heard] == [(40, 90), (10, 30)]
    other = Piece([Note(60, 70, k, k + 1.0, 0, False, 0) for k in range(16)], [(0.0, 60.0)])
    between = interpolation._voices(excerpt, spec_model.excerpt(other, 2, []), 0.5)
    mine = [voice for voice in between if voice.of == heard[0]]
    assert [(voice.name, voice.program) for voice in mine] == [("music of A", 40), ("music of B", 0)]
    assert [round(voice.velocity) for voice in mine] == [round(80 * 0.5**0.5)] * 2


def test_what_is_too_short_is_repeated_and_said(model):
    short = Piece([Note(60, 80, 0.0, 1.0), Note(64, 80, 2.0, 3.0)], [(0.0, 120.0)], [(0.0, 3, 4)], name="short")
    remarks = []
    excerpt = model.excerpt(short, 4, remarks)
    assert any("repeated to fill 4" in remark for remark in remarks), remarks
    assert excerpt.count == 2 and excerpt.bars == 4
    piece, _ = model.play(
        [Segment(excerpt.windows, excerpt.tied, 120.0, excerpt.players, "A", True, excerpt, True)], "x"
    )
    # Two bars of three quarters, and again.
    assert [(n.pitch, n.start) for n in piece.notes] == [(60, 0.0), (64, 2.0), (60, 3.0), (64, 5.0)]
    assert piece.time_signatures == [(0.0, 3, 4)]
    with pytest.raises(OptionError, match="it has bars 1 to 2"):
        model.excerpt(short, 4, [], start_bar=7)


def test_reconstruction_keeps_the_pieces_bars_and_tempos(model):
    piece = embedded("greensleeves")
    made = reconstruction.reconstruct(piece, model)
    assert made.piece.time_signatures == piece.time_signatures and made.piece.tempos == piece.tempos
    assert {"note_f1", "reconstruction_accuracy"} <= made.info.keys()
    # Decoded with the given windows themselves, the piece comes back.
    excerpt = model.excerpt(piece, None, [])
    back = model.replay(excerpt, excerpt.windows, "back", "music")
    starts = lambda notes: sorted({(n.pitch, round(n.start, 3)) for n in notes})  # noqa: E731
    assert starts(back.notes) == starts(piece.notes)
    assert model.measure(excerpt, excerpt.windows)["note_f1"] == 1


def test_samples_repeat_themselves_and_have_no_pitch_twice_at_once(model):
    one, two = (sampling.sample(model, 2, bars=4, seed=3, temperature=1.0) for _ in range(2))
    assert [made.piece for made in one] == [made.piece for made in two]
    for made in one:
        ends = {}
        for note in made.piece.notes:
            assert note.start >= ends.get(note.pitch, 0.0) - 1e-9
            ends[note.pitch] = note.end
    with pytest.raises(OptionError, match="--chords goes with"):
        sampling.sample(model, 1, chords="C")


def test_export_writes_magentas_checkpoint_and_refuses_what_magenta_js_has_not(folder, tmp_path):
    done = run_calmvae("models", "export", folder, "--format", "magenta", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    opened = open_model.load_model(
        tmp_path / "out" / "model.ckpt",
        hparams={"enc_rnn_size": [24], "dec_rnn_size": [28], "z_size": 12},
        config="calm-piano_2bar",
    )
    assert isinstance(opened, VoiceModel)
    js = run_calmvae("models", "export", folder, "--format", "magenta-js", "-o", tmp_path / "js")
    assert js.returncode == 2 and "magenta-js has no music of several voices" in js.stderr
    assert not (tmp_path / "js").exists()


def test_a_journey_is_for_melodies(folder, tmp_path):
    done = run_calmvae("journey", PIECES[0], "--model", folder, "-o", tmp_path / "out")
    assert done.returncode == 2 and "is not a melody model" in done.stderr, done.stderr


def test_calm_takes_all_voices(tmp_path):
    """At 0 it gives the piece back; at .7 it is calmer, by score, and has other notes."""
    scores, f1 = {}, {}
    model = open_model.load_model("calm-piano_2bar")
    for piece in PIECES[:4]:
        given = read_music.read_piece(piece)
        for amount in (0.0, 0.7):
            made = calm_piece.calm(given, model, amount=amount)
            scores[piece.stem, amount] = made.info["calmness"]
            f1[piece.stem, amount] = made.info["similarity"]["chroma"]
            assert given.time_signatures[0][1:] in [(upper, lower) for _, upper, lower in made.piece.time_signatures]
            assert sum(n.start < made.piece.duration for n in made.piece.notes) > 0.4 * len(given.notes)
    assert all(f1[stem, 0.0] > 0.97 and f1[stem, 0.7] > 0.7 for stem, _ in f1)
    assert all(abs(scores[stem, 0.0][1] - scores[stem, 0.0][0]) < 3 for stem, _ in scores)
    assert all(scores[stem, 0.7][1] > scores[stem, 0.7][0] + 4 for stem, _ in scores)


def test_personal_prior_of_voices(folder, tmp_path):
    done = run_calmvae("personalize", PIECES[0].parent, "--model", folder, "-o", tmp_path / "own")
    assert done.returncode == 0 and "10 pieces read = 10 kept" in done.stdout, done.stderr
    done = run_calmvae("sample", "--model", folder, "--prior", tmp_path / "own", "-n", "1", "-o", tmp_path / "made")
    assert done.returncode == 0 and (tmp_path / "made" / "sample-01.mid").is_file(), done.stderr
    refused = run_calmvae("personalize", PIECES[0], "--model", folder, "--melody", "lowest", "-o", tmp_path / "no")
    assert refused.returncode == 2 and "--melody is 'lowest', but" in refused.stderr


def test_prior_and_directions_of_voices(folder, tmp_path):
    convert_folder.convert([PIECES[0].parent], tmp_path / "data", steps=32, workers=1, eval_share=0.3)
    done = run_calmvae("prior", tmp_path / "data", "--model", folder, "--calmest", "0.9", "-o", tmp_path / "prior")
    assert done.returncode == 0 and "fitted to" in done.stdout, done.stderr
    assert json.loads((tmp_path / "prior" / "run.json").read_text())["result"]["keys"] == "C major, A minor"
    done = run_calmvae("directions", tmp_path / "data", "--model", folder, "-o", tmp_path / "ways")
    assert done.returncode == 0 and "directions.safetensors: made from" in done.stdout, done.stderr
    assert (tmp_path / "ways" / "effects.png").stat().st_size


def test_evaluate_measures_notes(folder):
    done = run_calmvae("evaluate", folder, "--data", PIECES[0].parent, "--samples", "20", "--paths", "2", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert 0 <= record["note_f1"] <= 1 and record["timed_note_f1"] <= record["note_f1"]
    assert len(record["samples"]["clashes"]) == 2 and "polyphony" in record["samples"]["overlap"]


def test_the_embedded_model_reconstructs_the_embedded_pieces():
    """They were not trained on."""
    model = open_model.load_model("calm-piano_2bar")
    given = [model.excerpt(read_music.read_piece(path), None, []) for path in PIECES]
    means = model.encode(given)
    scores = [model.measure(one, model.decode(mu))["note_f1"] for one, (mu, _) in zip(given, means, strict=True)]
    assert np.mean(scores) > 0.93 and min(scores) > 0.85, scores


def test_paths_between_pieces_of_one_metre_stay_in_it():
    """And of two metres every bar has the length of one of them, but for a few."""
    model = open_model.load_model("calm-piano_2bar")
    given = [model.excerpt(read_music.read_piece(path), 4, []) for path in PIECES]
    lengths = [set(voice_windows.bar_lengths(one.windows).ravel().tolist()) for one in given]
    bars, odd = 0, 0
    for (a, ours), (b, theirs) in itertools.combinations(zip(given, lengths, strict=True), 2):
        if len(ours) == len(theirs) == 1:
            decoded, _ = decoded_path(model, [a, b], [mu for mu, _ in model.encode([a, b])], 5)
            found = voice_windows.bar_lengths(decoded).ravel()
            if ours == theirs:
                assert set(found.tolist()) == ours
            bars, odd = bars + len(found), odd + int((~np.isin(found, list(ours | theirs))).sum())
    assert bars > 300 and odd <= 0.02 * bars


def test_bars_of_a_length_that_neither_end_has_are_faults():
    model = open_model.load_model("calm-piano_2bar")
    waltz, march = (model.excerpt(embedded(name), 4, []) for name in ("amazing_grace", "satie_gymnopedie_1"))
    lengths = {int(n) for one in (waltz, march) for n in voice_windows.bar_lengths(one.windows).ravel()}
    assert lengths == {12}
    windows = waltz.windows.copy()
    assert model.faults(windows, [waltz, march]) == 0
    windows[0, 12:16] = 0
    assert model.faults(windows, [waltz, march]) == 1


def test_sections_change_evenly():
    """The largest step of a path is smaller than with points at even distances."""
    model = open_model.load_model("calm-piano_2bar")
    ends = [model.excerpt(embedded(name), 4, []) for name in ("brahms_wiegenlied", "schumann_traeumerei")]
    means = [mu for mu, _ in model.encode(ends)]
    plain = model.decode(slerp.path(*means, 8).reshape(-1, model.z_size))
    even, _ = decoded_path(model, ends, means, 8)
    steps = [[(a != b).mean() for a, b in itertools.pairwise(np.split(some, 8))] for some in (plain, even)]
    assert max(steps[1]) < max(steps[0])
    for end, first in ((0, 0), (1, -1)):
        assert np.array_equal(np.split(even, 8)[first], model.decode(means[end]))


def test_a_section_that_is_stuck_is_decoded_again():
    """Where a decoder strikes one pitch all the time at temperature 0, and anything else above."""
    stuck = {name: np.zeros(shape, np.float32) for name, shape in numpy_engine.weight_shapes(SPEC).items()}
    bias = stuck["core_decoder/decoder/output_projection/bias"].reshape(SPEC.voices, SPEC.depth)
    bias[:], bias[0, 40], bias[0, 42:50] = -9, 1.5, 1.0
    bias[1:, 0] = 9
    model = VoiceModel(Path("stuck"), SPEC, numpy_engine.Engine(SPEC, stuck))
    ends = [model.excerpt(embedded(name), 4, []) for name in ("silent_night", "amazing_grace")]
    means = [mu for mu, _ in model.encode(ends)]
    raw = model.decode(means[0])
    assert voice_windows.longest_run(raw) > 30 > max(voice_windows.longest_run(end.windows) for end in ends)
    assert model.faults(raw, ends) > 20 and not model.faults(ends[0].windows, ends)
    decoded, again = decoded_path(model, ends, means, 4)
    assert again == 2 and all(voice_windows.longest_run(part) < 12 for part in np.split(decoded, 4)[1:-1])
    same, _ = decoded_path(model, ends, means, 4)
    assert np.array_equal(decoded, same)
    made = interpolation.interpolate(embedded("silent_night"), embedded("amazing_grace"), model, steps=4)
    assert made.info["decoded_again"] == 2 and any("2 sections were decoded again" in line for line in made.remarks)
