"""Features and calmness against values worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import model_folder
from calmvae.midi import read_music, write_midi
from calmvae.midi.piece import Note, Piece
from calmvae.music import calm_features, calmness, calmness_plot, key_finding
from tests.conftest import PIECES, run_calmvae


def piece(*notes: tuple, qpm: float = 60.0, **fields) -> Piece:
    """Notes as (pitch, start, end) or (pitch, start, end, velocity)."""
    made = [Note(pitch, rest[0] if rest else 64, start, end, **fields) for pitch, start, end, *rest in notes]
    return Piece(made, [(0.0, qpm)])


def measured(name: str, *notes: tuple, begin=None, end=None, **fields) -> float:
    stretch = calm_features.stretch(piece(*notes, **fields), begin, end)
    return getattr(calm_features, name)(stretch)


SCALE = [(60, 0.0, 1.0), (62, 1.0, 2.0), (64, 2.0, 4.0)]


@pytest.mark.parametrize(
    ("name", "notes", "expected"),
    [
        ("tempo", SCALE, 60.0),
        # 3 onsets, 4 notes in 4 seconds.
        ("onset_rate", [*SCALE, (48, 0.01, 4.0)], math.log2(3 / 4)),
        ("note_rate", [*SCALE, (48, 0.01, 4.0)], 0.0),
        # Lengths 1, 1, 2 s: logarithms 0, 0, 1.
        ("note_length", SCALE, 1 / 3),
        # The first fills half of the second until the next, the second all of it.
        ("legato", [(60, 0.0, 0.5), (62, 1.0, 2.0), (64, 2.0, 3.0)], 0.75),
        ("velocity", [(60, 0, 1, 40), (60, 1, 2, 60)], 50.0),
        ("velocity_change", [(60, 0, 1, 40), (60, 1, 2, 60)], 10.0),
        # Of a chord the loudest note counts.
        ("velocity_change", [(60, 0, 1, 40), (64, 0, 1, 60), (60, 1, 2, 60)], 0.0),
        ("interval", [(60, 0, 1), (67, 1, 2), (66, 2, 3)], 4.0),
        # Notes below a held one are no melody.
        ("interval", [(72, 0, 4), (48, 1, 2), (50, 2, 3), (74, 4, 5)], 2.0),
        # A major third and a fifth and a minor third: the chord of C.
        ("dissonance", [(60, 0, 1), (64, 0, 1), (67, 0, 1)], -(0.386 + 1.240 + 0.594) / 3),
        # A semitone for one second, an octave for three.
        ("dissonance", [(60, 0, 4), (61, 0, 1), (72, 1, 4)], (1.428 * 1 - 1.240 * 3) / 4),
        ("extremes", [(30, 0, 1), (60, 1, 4)], 0.25),
        # Times between onsets 1, 2, 2: one octave, then none.
        ("irregularity", [(60, 0, 1), (60, 1, 2), (60, 3, 4), (60, 5, 6)], 0.5),
        # A second of four is empty.
        ("silence", [(60, 0, 1), (60, 2, 4)], 0.25),
        ("percussion", SCALE, 0.0),
    ],
)
def test_formulas(name, notes, expected):
    assert measured(name, *notes) == pytest.approx(expected)


def test_percussion_counts_and_has_no_pitch():
    drums = [Note(36, 90, k, k + 0.1, is_drum=True) for k in range(3)]
    made = Piece([Note(60, 64, 0, 4), *drums], [(0.0, 60.0)])
    s = calm_features.stretch(made)
    assert calm_features.percussion(s) == 0.75 and len(s.onsets) == 1
    timpani = calm_features.stretch(piece((40, 0, 1), program=47))
    assert calm_features.percussion(timpani) == 1.0


def test_keys():
    """Krumhansl and Kessler's profile of a key itself fits it perfectly, in whatever key; a minor one is minor."""
    for profile, sign in ((key_finding.MAJOR_PROFILE, 1), (key_finding.MINOR_PROFILE, -1)):
        at, notes = 0.0, []
        for pitch_class, length in enumerate(profile):
            notes.append((60 + (pitch_class + 5) % 12, at, at + length / 10))
            at += length / 10
        assert measured("tonal_clarity", *notes) == pytest.approx(1.0)
        assert sign * measured("mode", *notes) > 0.2
    # All pitch classes alike: no key at all.
    chromatic = [(60 + k, k / 4, k / 4 + 0.25) for k in range(12)]
    assert measured("tonal_clarity", *chromatic) == pytest.approx(0.0, abs=1e-9)


def test_chords_are_heard_as_one():
    s = calm_features.stretch(piece((60, 0.0, 1), (64, 0.03, 1), (67, 0.05, 1)))
    # The third comes later than 35 ms after the first.
    assert s.chord.tolist() == [0, 0, 1] and s.onsets.tolist() == [0.0, 0.05]


def test_a_stretch_is_what_begins_in_it():
    s = calm_features.stretch(piece(*SCALE), 1.0, 3.0)
    assert s.notes.pitch.tolist() == [62, 64] and s.notes.end.tolist() == [2.0, 3.0] and s.seconds == 2.0


@pytest.mark.parametrize("notes", [[], [(60, 0, 1)], [(60, 1, 1)]])
def test_what_music_does_not_have_counts_as_the_mean(notes):
    scored = calmness.score(piece(*notes))
    assert math.isfinite(scored.calmness)
    assert all(scored.points[name] == 0 for name, value in scored.values.items() if math.isnan(value))


def test_the_sum():
    """At all means 50; a deviation of one feature moves it by its weight's share of 30 points, at most 3 of them."""
    means = {name: feature.mean for name, feature in calmness.FEATURES.items()}
    assert sum(feature.weight for feature in calmness.FEATURES.values()) == pytest.approx(1.0)
    assert calmness.of_values(means).calmness == 50
    for name, feature in calmness.FEATURES.items():
        for steps, counted in ((1, 1), (-2, -2), (9, 3)):
            value = feature.mean + feature.towards * steps * feature.deviation
            expected = 50 + counted * feature.weight * calmness.POINTS
            assert calmness.of_values(means | {name: value}).calmness == pytest.approx(expected), name


def test_it_stays_between_0_and_100():
    for sign, expected in ((1, 100), (-1, 0)):
        values = {n: f.mean + sign * f.towards * 9 * f.deviation for n, f in calmness.FEATURES.items()}
        assert calmness.of_values(values).calmness == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda n: dataclasses.replace(n, start=n.start * 0.6, end=n.end * 0.6),
        lambda n: dataclasses.replace(n, velocity=min(127, n.velocity + 30)),
        lambda n: dataclasses.replace(n, end=n.start + 0.3 * (n.end - n.start)),
    ],
    ids=["faster", "louder", "detached"],
)
@pytest.mark.parametrize("path", PIECES, ids=lambda p: p.stem)
def test_less_calm_music_scores_less(path, change):
    before = read_music.read_piece(path)
    after = dataclasses.replace(before, notes=[change(note) for note in before.notes])
    assert calmness.score(after).calmness < calmness.score(before).calmness - 1


def test_lullabies_are_calmer_than_ragtime():
    """A rag: steady sixteenths with leaps, loud."""
    rag = piece(
        *((60 + (7 * k) % 24, k * 0.15, k * 0.15 + 0.12, 96) for k in range(200)),
        *((36 + 12 * (k % 2), k * 0.3, k * 0.3 + 0.2, 100) for k in range(100)),
        qpm=100,
    )
    assert (
        calmness.score(rag).calmness < 35 < 60 < min(calmness.score(read_music.read_piece(p)).calmness for p in PIECES)
    )


def test_the_curve_follows_the_music():
    calm = [(60 + 2 * (k % 3), 2.0 * k, 2.0 * k + 2, 50) for k in range(30)]
    wild = [(60 + (7 * k) % 24, 60 + 0.1 * k, 60.08 + 0.1 * k, 110) for k in range(600)]
    curve = list(calmness.over_time(piece(*calm, *wild)))
    assert [at for at, _ in curve[:3]] == [10.0, 15.0, 20.0] and curve[-1][0] == pytest.approx(110.0, abs=5)
    values = np.array([score.calmness for _, score in curve])
    assert values[:8].min() > values[-8:].max() + 30


def test_explained():
    said = calmness.score(read_music.read_piece(PIECES[0])).explained()
    assert said.startswith("raised by few onsets (+")
    means = {name: feature.mean for name, feature in calmness.FEATURES.items()}
    assert calmness.of_values(means).explained() == "like the mean in everything"
    # A little shorter than the mean is usual, and nothing to be told, though it costs a point.
    means["note_length"] -= 0.29 * calmness.FEATURES["note_length"].deviation
    assert calmness.of_values(means).points["note_length"] < -0.5
    assert calmness.of_values(means).explained() == "like the mean in everything"
    assert calmness.words("mode", math.nan) == "no mode" and calmness.words("mode", 0.08) == "usual mode"


def test_the_curve_is_drawn_from_end_to_end():
    from matplotlib.figure import Figure

    plot = Figure().add_subplot()
    calmness_plot._curve(plot, [(10.0, 60.0), (15.0, 70.0), (20.0, 80.0)], 31.0)
    line = plot.lines[-1]
    assert list(line.get_xdata()) == [0, 10, 15, 20, 31] and list(line.get_ydata()) == [60, 60, 70, 80, 80]
    assert plot.get_xlim() == (0, 31)


def test_command(tmp_path):
    for k, path in enumerate(PIECES[:3]):
        (tmp_path / f"{k}.mid").write_bytes(path.read_bytes())
    (tmp_path / "bad.mid").write_bytes(b"no music")
    (tmp_path / "notes.txt").write_text("x")
    done = run_calmvae("score", tmp_path, "--explain", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "4 files = 3 scored + 1 skipped (1 unreadable); 1 other file ignored." in done.stdout
    assert f"{tmp_path / 'out'}: scores.csv and 3 pictures." in done.stdout
    assert "raised by" in done.stdout and "Skipped: " in done.stderr and "bad.mid" in done.stderr
    numbers = [float(line.split()[0]) for line in done.stdout.splitlines() if line.strip().endswith(".mid")]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == 3
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"0.png", "1.png", "2.png", "scores.csv", "run.json"}
    table = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert table[0].startswith("file,calmness,onset_rate") and len(table) == 4
    told = json.loads(run_calmvae("score", tmp_path / "0.mid", "--json", "--windows").stdout)
    row = told["files"][0]
    assert sum(row["points"].values()) + 50 == pytest.approx(row["calmness"], abs=0.05)
    assert [w["seconds"] for w in row["windows"]][:2] == [10.0, 15.0]
    refused = run_calmvae("score", tmp_path / "bad.mid")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1


def test_a_score_of_drums_says_so(tmp_path):
    """With --json too; a melody over drums is scored as a melody."""
    beat = [Note(36 + k % 3, 90, k * 0.25, k * 0.25 + 0.1, 0, True, 9) for k in range(32)]
    for name, notes in (("drums", beat), ("song", [*beat, Note(60, 60, 0.0, 8.0)])):
        write_midi.write_midi(Piece(notes, [(0.0, 120.0)]), tmp_path / f"{name}.mid")
    said = "There are only drums; calmness is of tempo, notes a second, loudness and rests alone."
    done = run_calmvae("score", tmp_path / "drums.mid", tmp_path / "song.mid")
    assert done.returncode == 0 and done.stderr == f"{tmp_path / 'drums.mid'}: {said}\n"
    rows = json.loads(run_calmvae("score", tmp_path, "--json").stdout)["files"]
    assert {Path(row["file"]).stem: row["warnings"] for row in rows} == {"drums": [said], "song": []}
    heard = {
        name for name, value in calmness.score(Piece(beat, [(0.0, 120.0)])).values.items() if not math.isnan(value)
    }
    assert heard == {"tempo", "note_rate", "velocity", "percussion", "silence"}


def test_the_page_says_what_the_code_does():
    page = (model_folder.of_package("resources") / "calmness.md").read_text(encoding="utf-8")
    for name, feature in calmness.FEATURES.items():
        direction = "more" if feature.towards > 0 else "less"
        reference = f"{feature.mean:g} ± {feature.deviation:g}"
        cells = (name.replace("_", " "), feature.unit, direction, f"{feature.weight:.2f}", reference, feature.source)
        assert f"| {' | '.join(cells)} |" in page, name
        assert f"| {reference} |" in page
