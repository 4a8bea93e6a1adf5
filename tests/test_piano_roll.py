"""Pictures and sound: their content is proved by pixels and samples."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tracemalloc
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest

from calmvae.common.errors import MissingDependencyError, OptionError, OutputError
from calmvae.midi import audio, piano_roll, roll_geometry
from calmvae.midi.audio import write_wav
from calmvae.midi.piano_roll import Section, write_piano_roll
from calmvae.midi.piece import Note, Piece

RATE = 44100
BLUE, SAND, COOL, PALE = (
    piano_roll.TRACK_COLORS[0],
    piano_roll.EMPHASIS[0],
    piano_roll.BETWEEN[0][0],
    piano_roll.BETWEEN[1][0],
)


def notes(*rows: tuple, **fields) -> Piece:
    """A piece at 120 qpm (a bar lasts 2 s) from (pitch, velocity, start, end), times in seconds."""
    return Piece([Note(*row, **fields) for row in rows])


def bars(count: int, **fields) -> Piece:
    """A quarter note of velocity 127 on each beat."""
    return notes(*[(60 + i % 12, 127, i * 0.5, i * 0.5 + 0.45) for i in range(4 * count)], **fields)


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.round(imread(path)[..., :3] * 255).astype(int)


def where(image: np.ndarray, color: str, slack: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of this colour; `slack` for letters, which have soft edges."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.nonzero((np.abs(image - rgb) <= slack).all(axis=-1))


def systems(image: np.ndarray) -> int:
    """How many rows of music there are: runs of ink just right of the left margin."""
    ink = (image[100:, round(roll_geometry.LEFT * 110) + 4] != 255).any(axis=-1)
    runs = np.flatnonzero(np.diff(np.r_[0, ink, 0]) == 1), np.flatnonzero(np.diff(np.r_[0, ink, 0]) == -1)
    return int(((runs[1] - runs[0]) > 60).sum())


def samples_of(path: Path) -> np.ndarray:
    """Samples as (frames, 2), full scale 1."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2").reshape(-1, 2) / 32768


def played(tmp_path: Path, piece: Piece) -> np.ndarray:
    return samples_of(write_wav(piece, tmp_path / "played.wav"))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt((samples**2).mean()))


# Piano rolls


def test_a_note_lies_at_its_bar_and_its_pitch(tmp_path):
    # Bars 2 and 4 of four, the second note five semitones higher; the soft note at the end fixes the length.
    piece = notes((60, 127, 2.0, 4.0), (65, 127, 6.0, 8.0), (62, 1, 7.9, 8.0))
    image = pixels(write_piano_roll(piece, tmp_path / "roll.png"))
    y, x = where(image, BLUE)
    roll = (roll_geometry.LEFT * 110, image.shape[1] - roll_geometry.RIGHT * 110)
    at = (x - roll[0]) / (roll[1] - roll[0])
    # The velocity scale above has the same blue.
    low, high = (at > 0.2) & (at < 0.6) & (y > 60), (at > 0.7) & (y > 60)
    assert at[low].min() == pytest.approx(0.25, abs=0.004) and at[low].max() == pytest.approx(0.5, abs=0.004)
    assert at[high].min() == pytest.approx(0.75, abs=0.004) and at[high].max() == pytest.approx(1.0, abs=0.004)
    semitone = np.ptp(y[low]) + 2
    assert y[low].mean() - y[high].mean() == pytest.approx(5 * semitone, abs=semitone / 2)


def test_louder_is_darker():
    shades = [piano_roll._shade(BLUE, velocity).sum() for velocity in (1, 40, 80, 110)]
    assert shades == sorted(shades, reverse=True) and len(set(shades)) == 4
    assert piano_roll._shade(BLUE, 127) == pytest.approx([0, 0x72 / 255, 0xB2 / 255])


def test_sections_are_bands_in_order(tmp_path):
    sections = [Section(0, 16, "A", True), Section(16, 32, "1/3"), Section(32, 48, "2/3"), Section(48, 64, "B", True)]
    plain = pixels(write_piano_roll(bars(16), tmp_path / "plain.png"))
    image = pixels(write_piano_roll(bars(16), tmp_path / "roll.png", sections=sections))
    for color in (SAND, COOL, PALE):
        assert len(where(plain, color)[0]) < 50 and len(where(image, color)[0]) > 5000
    quarter = (image.shape[1] - (roll_geometry.LEFT + roll_geometry.RIGHT) * 110) / 4
    for color, begin in ((PALE, quarter), (COOL, 2 * quarter)):
        x = where(image, color)[1] - roll_geometry.LEFT * 110
        assert (x.min(), x.max()) == pytest.approx((begin, begin + quarter), abs=4)
    # Labels are written and the lines where sections meet are heavier than bar lines.
    for ink in (piano_roll.EMPHASIS[2], piano_roll.BETWEEN[0][2]):
        assert len(where(image[:100], ink, 20)[0]) > len(where(plain[:100], ink, 20)[0]) + 15
    assert len(where(image, piano_roll.SEAM)[0]) > len(where(plain, piano_roll.SEAM)[0]) + 300
    assert image.shape[0] == plain.shape[0] + round(roll_geometry.STRIP * 110)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (24, 1), (32, 2), (64, 4), (192, 8)])
def test_more_music_gives_more_rows(tmp_path, count, expected):
    assert systems(pixels(write_piano_roll(bars(count), tmp_path / "roll.png"))) == expected


def test_rows_begin_with_sections():
    assert roll_geometry.bars_per_row(32, set(range(0, 32, 4))) == 16
    assert roll_geometry.bars_per_row(36, set(range(0, 36, 6))) == 18
    assert all(-(-n // roll_geometry.bars_per_row(n, set())) <= roll_geometry.MAX_ROWS for n in range(1, 3000, 7))


def test_a_release_over_the_bar_line_opens_no_bar(tmp_path):
    sizes = []
    for name, end in (("exact", 48.0), ("hanging", 48.2)):
        piece = Piece([*bars(24).notes, Note(60, 80, 47.0, end)])
        sizes.append(pixels(write_piano_roll(piece, tmp_path / f"{name}.png")).shape)
    assert sizes[0] == sizes[1]


def test_tracks_have_colours_and_a_legend(tmp_path):
    two = Piece([Note(60, 127, 0, 2), Note(64, 127, 2, 4, track=1, program=73)], track_names={0: "Mélodie"})
    assert list(piano_roll._tracks(two).values()) == [("Mélodie", BLUE), ("Flute", piano_roll.TRACK_COLORS[1])]
    image = pixels(write_piano_roll(two, tmp_path / "two.png"))
    # Once as a note, once in the legend above it.
    for color in piano_roll.TRACK_COLORS[:2]:
        rows = where(image, color)[0]
        assert rows.max() - rows.min() > 40


def test_a_track_may_be_drawn_under_a_softer_one(tmp_path):
    both = Piece([Note(60, 120, 0, 2), Note(60, 110, 0, 2, track=1)])
    seen = [
        # The note's middle, below the legend.
        len(where(pixels(write_piano_roll(both, tmp_path / f"{behind}.png", behind=behind))[150:], color, 12)[0])
        for behind in (None, 0)
        for color in (BLUE, piano_roll.TRACK_COLORS[1])
    ]
    assert seen[0] > 500 > seen[1] and seen[3] > 500 > seen[2]


def test_drums_are_grey_and_below(tmp_path):
    piece = Piece([Note(60, 127, 0, 8), *(Note(38, 127, t, t + 0.5, is_drum=True, track=1) for t in range(8))])
    image = pixels(write_piano_roll(piece, tmp_path / "roll.png"))
    grey, blue = where(image[90:], piano_roll.DRUM_COLOR)[0], where(image[90:], BLUE)[0]
    assert len(grey) > 500 and grey.min() > blue.max()
    assert (
        len(where(pixels(write_piano_roll(Piece(piece.notes[1:]), tmp_path / "d.png")), piano_roll.DRUM_COLOR)[0]) > 500
    )


def test_forty_minutes_of_fifty_thousand_notes(tmp_path):
    length = 2400 / 50000
    piece = notes(*[(36 + i * 7 % 60, 20 + i % 100, i * length, (i + 3) * length) for i in range(50000)])
    path = write_piano_roll(piece, tmp_path / "roll.png", title="Long", dpi=300)
    image = pixels(path)
    assert path.stat().st_size < 3e6 and image.shape[0] * image.shape[1] < 1.1 * roll_geometry.MAX_PIXELS


def test_no_notes(tmp_path):
    empty = pixels(write_piano_roll(Piece([]), tmp_path / "roll.png"))
    assert len(where(empty, piano_roll.MUTED, 20)[0]) > 20
    write_piano_roll(Piece([]), tmp_path / "roll.png", sections=[Section(0, 8, "A", True)])


def test_odd_titles_neither_warn_nor_widen(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for title in ("Träumerei – 夢 🎵 é", "long " * 400, "$x^2$ $ \\frac", "two\nlines\t\0\udcff", "שלום नमस्ते"):
            sections = [Section(0, 4, title), Section(4, 5, "much too long for this")]
            piece = Piece(bars(2).notes, track_names={0: title}, name="x")
            path = write_piano_roll(piece, tmp_path / "roll.png", title=title, subtitle=title, sections=sections)
            image = pixels(path)
            assert image.shape[1] == 1430 and (image[:100, -40:] == 255).all()


def test_roll_bytes_depend_on_the_input_alone(tmp_path):
    first = write_piano_roll(bars(20), tmp_path / "a.png", title="T", sections=[Section(0, 80, "A")]).read_bytes()
    again = write_piano_roll(bars(20), tmp_path / "b.png", title="T", sections=[Section(0, 80, "A")]).read_bytes()
    assert first == again and b"matplotlib" not in first.lower() and b"tIME" not in first


def test_impossible_options(tmp_path):
    for options in ({"dpi": -1}, {"dpi": 0}, {"dpi": float("nan")}):
        with pytest.raises(OptionError, match="greater than 0"):
            write_piano_roll(bars(1), tmp_path / "roll.png", **options)


# Sound


def test_length_sound_and_silence(tmp_path):
    samples = played(tmp_path, notes((60, 80, 0.5, 1.0), (64, 80, 9.0, 9.5)))
    assert len(samples) == round(11.5 * RATE)
    assert not samples[: RATE // 2].any() and not samples[5 * RATE : 9 * RATE].any()
    assert rms(samples[RATE // 2 : RATE]) > 0.005 and rms(samples[9 * RATE : round(9.5 * RATE)]) > 0.005
    assert not samples[-2:].any()


def test_starts_are_exact_to_the_sample(tmp_path):
    early = played(tmp_path, notes((60, 80, 0.5, 1.0)))
    late = played(tmp_path, notes((60, 80, 0.5 + 77 / RATE, 1.0 + 77 / RATE)))
    begin, size = RATE // 2, RATE // 4
    assert early[begin : begin + size].any()
    assert np.array_equal(early[begin : begin + size], late[begin + 77 : begin + 77 + size])


def test_wav_bytes_depend_on_the_input_alone(tmp_path):
    first, again = (write_wav(bars(2), tmp_path / name).read_bytes() for name in ("a.wav", "b.wav"))
    assert first == again


def test_programs_and_velocities_are_heard(tmp_path):
    piano, flute = (played(tmp_path, notes((60, 80, 0, 1), program=program)) for program in (0, 73))
    assert rms(piano - flute) > 0.5 * rms(piano)
    soft, loud = (played(tmp_path, notes((60, velocity, 0, 1))) for velocity in (30, 100))
    assert rms(loud) > 2 * rms(soft) > 0


def test_drums_are_no_melody(tmp_path):
    drum, tone = (played(tmp_path, notes((38, 100, 0, 0.5), is_drum=is_drum)) for is_drum in (True, False))
    assert rms(drum) > 0.001 and rms(drum - tone) > 0.001


def test_a_repeated_note_sounds_again(tmp_path):
    samples = played(tmp_path, notes((60, 80, 0, 1), (60, 80, 1, 2), program=16))
    assert rms(samples[round(1.5 * RATE) : round(1.9 * RATE)]) > 0.005


def test_twenty_tracks(tmp_path):
    # One after the other, then together: every program is heard though there are 15 channels.
    track = [Note(60, 90, float(i), i + 0.6, program=i * 5, track=i) for i in range(20)]
    chord = [Note(40 + 2 * i, 60, 22.0, 23.0, program=i * 5, track=i) for i in range(20)]
    samples = played(tmp_path, Piece(track + chord))
    seconds = [samples[i * RATE : i * RATE + RATE // 2] for i in range(20)]
    assert min(rms(s) for s in seconds) > 0.002 and rms(samples[22 * RATE : 23 * RATE]) > 0.01
    alone = played(tmp_path, Piece([track[18]]))[18 * RATE : 18 * RATE + RATE // 2]
    assert rms(alone - seconds[18]) < 0.2 * rms(alone)
    write_piano_roll(Piece(track + chord), tmp_path / "roll.png")


def test_forty_loud_notes_do_not_clip(tmp_path):
    chord = notes(*[(40 + i, 127, 0, 1) for i in range(40)], program=48)
    peak = np.abs(played(tmp_path, chord)).max()
    # Scaled to just under -1 dBFS, and not further down.
    assert 0.8 < peak < 10 ** (-1 / 20)


def test_an_ordinary_piece_is_not_scaled(tmp_path, monkeypatch):
    gains = []
    play = audio._play
    monkeypatch.setattr(audio, "_play", lambda *args: gains.append(args[-1]) or play(*args))
    assert 0.03 < np.abs(played(tmp_path, bars(2))).max() < 0.5
    assert gains == [1.0]


def test_no_notes_give_a_short_silence(tmp_path):
    samples = played(tmp_path, Piece([]))
    assert len(samples) == round(audio.TAIL_SECONDS * RATE) and not samples.any()


def test_memory_does_not_grow_with_length(tmp_path):
    write_wav(bars(1), tmp_path / "warm.wav")
    tracemalloc.start()
    write_wav(notes((60, 80, 0, 1), (60, 80, 179, 180)), tmp_path / "long.wav")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The file has 32 MB; the SoundFont, read as bytes, 6.
    assert peak < 12e6


def test_too_long_for_a_wav(tmp_path):
    with pytest.raises(OutputError, match="4 GiB"):
        write_wav(notes((60, 80, 0, 30000)), tmp_path / "long.wav")
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"TimGM6mb\.sf2 of pretty_midi"):
        write_wav(bars(1), tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps tinysoundfont"):
        write_wav(bars(1), tmp_path / "a.wav")


def test_import_is_light():
    heavy = "matplotlib tinysoundfont pretty_midi tensorflow magenta note_seq librosa".split()
    code = f"import sys, calmvae.midi.piano_roll, calmvae.midi.audio; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bars_are_those_of_the_metre():
    """At 60 quarters a minute, so that seconds are quarters."""
    notes = [Note(60, 80, 0.0, 14.0)]
    waltz = roll_geometry.Grid(Piece(notes, [(0.0, 60.0)], [(0.0, 3, 4), (6.0, 4, 4)]))
    assert waltz.lines.tolist() == [0, 3, 6, 10]
    assert waltz.bars([0.0, 1.5, 3.0, 6.0, 8.0, 14.0, 18.0]).tolist() == [0, 0.5, 1, 2, 2.5, 4, 5]
    assert waltz.quarters(np.arange(7)).tolist() == [0, 3, 6, 10, 14, 18, 22]
    upbeat = roll_geometry.Grid(Piece(notes, [(0.0, 60.0)], [(0.0, 1, 4), (1.0, 3, 4)]))
    assert upbeat.bars([0.0, 1.0, 4.0]).tolist() == pytest.approx([2 / 3, 1, 2])
    # No metre is 4/4; bars of less than a quarter are drawn together.
    assert roll_geometry.Grid(Piece(notes, [(0.0, 60.0)])).bars(8.0) == 2
    assert roll_geometry.Grid(Piece(notes, [(0.0, 60.0)], [(0.0, 1, 16)])).lengths(np.arange(3)).tolist() == [1, 1, 1]
