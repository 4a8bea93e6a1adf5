"""The command line as a user meets it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys

import pytest

from calmvae.checkpoints import open_model, tf_checkpoint
from calmvae.cli import run_evaluate, run_generate
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Evaluating, Making
from calmvae.common import output_folder
from calmvae.generate.made_piece import Made
from calmvae.midi import piano_roll, read_music
from calmvae.midi.piece import Note, Piece
from tests.conftest import PIECES, ROOT, run_calmvae

COMMANDS = [
    "interpolate",
    "sample",
    "reconstruct",
    "convert",
    "train",
    "evaluate",
    "models",
    "configs",
    "doctor",
    "demo",
    "score",
    "calm",
    "journey",
    "notebooks",
]


def run_and_list_modules(*arguments) -> tuple[int, str, set[str]]:
    """Exit code, stderr, and the heavy modules that were imported."""
    code = (
        "import sys, atexit\n"
        "heavy = ('tensorflow', 'magenta', 'note_seq', 'matplotlib', 'pandas', 'librosa', 'scipy', 'sklearn')\n"
        "atexit.register(lambda: print('LOADED', *[m for m in heavy if m in sys.modules]))\n"
        "from calmvae.cli.app import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    return done.returncode, done.stderr, set(done.stdout.rpartition("LOADED")[2].split())


def test_help_is_light():
    code, _, heavy = run_and_list_modules("--help")
    assert code == 0 and not heavy
    listed = run_calmvae("--help").stdout
    assert all(command in listed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    assert "Usage" in run_calmvae(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["interpolate", "a.mid"], "Missing argument 'B'; see `calmvae interpolate --help`."),
        (["sample", "--tempratur", "1"], "No such option '--tempratur'. Did you mean '--temperature'"),
        (["models", "fetch"], "see `calmvae models fetch --help`."),
        (["interpolate", "a.mid", "b.mid"], "a.mid does not exist"),
        (["interpolate", "README.md", "README.md"], "suffix '.md'"),
        (["interpolate", "resources", "resources"], "is a folder"),
        (["sample", "--model", "nothing"], "no model 'nothing'"),
        (["sample", "--bars", "3"], "multiples of 2 bars"),
        (["sample", "-n", "0"], "at least 1"),
        (["sample", "-n", "many"], "valid integer"),
        (["sample", "--seed", "-1"], "0"),
        (["train", "resources", "--set", "fre_bits=1"], "did you mean free_bits"),
        (["train", "resources", "--config", "calm-mel-2bar"], "did you mean calm-mel_2bar"),
        (["train", "nowhere"], "nowhere does not exist"),
        (["convert", "nowhere"], "nowhere does not exist"),
        (["convert", "docs"], "no music file in docs"),
        (["models", "export", "nothing"], "no model 'nothing'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, tmp_path):
    out = ["-o", tmp_path / "out"] if arguments[0] in ("interpolate", "sample", "train", "convert") else []
    code, stderr, heavy = run_and_list_modules(*arguments, *out)
    assert code == 2 and not heavy
    assert stderr.startswith("calmvae: ") and sentence in stderr
    assert len(stderr.splitlines()) == 1 and stderr.rstrip().endswith((".", "?")), stderr
    assert not (tmp_path / "out" / "run.json").exists()


def test_interpolate_writes_what_it_says(tiny_model, tmp_path):
    out = tmp_path / "out"
    done = run_calmvae("interpolate", PIECES[0], PIECES[1], "-o", out, "--model", tiny_model, "--steps", 3)
    assert done.returncode == 0, done.stderr
    assert "3 steps of 4 bars in one piece" in done.stdout
    record = json.loads((out / "run.json").read_text())
    assert set(record["outputs"]) == {"joined.mid", "joined.png", "joined.wav", *(f"steps/0{k}.mid" for k in (1, 2, 3))}
    assert [i["sha256"] for i in record["inputs"]] and record["model"]["sha256"]
    assert record["arguments"]["seed"] == 0 and record["seconds"] > 0 and record["versions"]["calmvae"]
    assert not list(out.glob(".*"))


def test_same_seed_same_bytes(tiny_model, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = run_calmvae(
            *("sample", "-n", 2, "--bars", 4, "-o", tmp_path / name, "--model", tiny_model),
            *("--seed", seed, "--temperature", 1),
        )
        assert done.returncode == 0, done.stderr
    hashes = [json.loads((tmp_path / name / "run.json").read_text())["outputs"] for name in "abc"]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 6
    assert hashes[0]["sample-01.mid"] != hashes[2]["sample-01.mid"]


def test_foreign_files_are_left_alone(tiny_model, tmp_path):
    target = tmp_path / "reconstruction.mid"
    target.write_bytes(b"mine")
    done = run_calmvae("reconstruct", PIECES[0], "-o", tmp_path, "--model", tiny_model)
    assert done.returncode == 2 and "was not made by calmvae" in done.stderr
    assert target.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [target]


def test_json_is_json(tiny_model, tmp_path):
    done = run_calmvae(
        *("reconstruct", PIECES[0], "-o", tmp_path, "--model", tiny_model, "--json", "--no-sound", "--no-picture")
    )
    data = json.loads(done.stdout)
    assert set(data["outputs"]) == {"reconstruction.mid"} and 0 <= data["result"]["reconstruction_accuracy"] <= 1


def test_evaluate_music_files(tiny_model):
    done = run_calmvae("evaluate", tiny_model, "--data", ROOT / "resources" / "pieces", "--json")
    data = json.loads(done.stdout)
    assert data["windows"] > 100 and 0 <= data["onset_accuracy"] <= 1 and 0 <= data["teacher_forced"] <= 1


def test_evaluate_compares_samples_and_draws_a_page(tiny_model, tmp_path):
    pieces = ROOT / "resources" / "pieces"
    done = run_calmvae("evaluate", tiny_model, "--data", pieces, "--samples", "50", "-o", tmp_path / "page", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["elbo"] < 0 < data["bits_per_step"] and data["samples"]["nearest"] is None
    assert 0 <= data["samples"]["mean_overlap"] <= 1 and len(data["samples"]["overlap"]) == 9
    assert (tmp_path / "page" / "evaluation.png").stat().st_size > 20_000
    again = run_calmvae("evaluate", tiny_model, "--data", pieces, "--samples", "50", "--json")
    assert json.loads(again.stdout)["samples"] == data["samples"]
    none = run_calmvae("evaluate", tiny_model, "--data", pieces, "--samples", "0", "-o", tmp_path / "none")
    assert none.returncode == 2 and "leave --samples at 2 or more" in none.stderr
    copying = run_calmvae("evaluate", tiny_model, "--data", pieces, "--copying")
    assert copying.returncode == 2 and "give a folder of `calmvae convert`" in copying.stderr


def test_evaluate_prints_a_column_and_a_page_whose_rows_do_not_touch(tiny_model, tmp_path, monkeypatch, capsys):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    pages = []
    draw = FigureCanvasAgg.print_png
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda self, *a, **k: pages.append(self) or draw(self, *a, **k))
    wanted = Evaluating([ROOT / "resources" / "pieces"], samples=20, paths=2)
    run_evaluate.evaluate(str(tiny_model), None, wanted, Console(), tmp_path / "page")
    rows = [re.match(r" *\S.*?  (?=\S)", line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) > 30 and len({row.end() for row in rows}) == 1
    boxes = [text.get_window_extent() for text in pages[0].figure.axes[-1].texts if text.get_position()[0] == 0]
    assert len(boxes) > 15 and all(above.y0 > below.y1 for above, below in itertools.pairwise(boxes))
    assert boxes[-1].y0 > 0


def drawn(folder, monkeypatch, made, *origin):
    """What a picture is drawn with."""
    seen = []
    monkeypatch.setattr(
        piano_roll,
        "write_piano_roll",
        lambda piece, path, **style: seen.append((piece, style)) or path.write_bytes(b""),
    )
    making = Making("out/run", seed=3, no_sound=True)
    with output_folder.OutputFolder(folder, "sample", {}) as opened:
        run_generate._write(opened, "one", made, making, *origin)
    return seen[0]


def test_what_was_made_is_drawn_over_what_was_given(tmp_path, monkeypatch):
    given, made = (
        Piece([Note(60, v, 0, 1)], [(0.0, 60.0)], track_names={0: n}) for v, n in ((90, "given"), (50, "it"))
    )
    piece, style = drawn(tmp_path / "x", monkeypatch, Made(made, [], {}, [], beside=given))
    assert piece.track_names[style["behind"]] == "given" and piece.track_names[1] == "it"


def test_the_picture_of_a_sample_names_model_and_prior(tmp_path, monkeypatch):
    personal, calm = {"name": "personal", "source": "x"}, {"name": "calm", "source": "y"}
    titles = [
        run_generate._origin("out/run", given, used)
        for given, used in (("standard", "standard"), ("personal", personal), ("my/prior", calm))
    ]
    assert titles == ["run, standard prior", "run, personal prior", "run, calm prior of my/prior"]
    made = Made(Piece([], [(0.0, 60.0)], name="calm-mel_2bar sample 1, seed 3"), [], {}, [])
    _, style = drawn(tmp_path / "x", monkeypatch, made, titles[1])
    assert (style["title"], style["subtitle"]) == ("run, personal prior", "seed 3")


def test_export_and_open_again(tiny_model, tmp_path):
    assert run_calmvae("models", "export", tiny_model, "-o", tmp_path / "half", "--half").returncode == 0
    assert open_model.load_model(tmp_path / "half").meta["dtype"] == "float16"
    done = run_calmvae("models", "export", tiny_model, "-o", tmp_path / "tf", "--format", "magenta")
    assert done.returncode == 0, done.stderr
    weights = tf_checkpoint.find(tmp_path / "tf").read()
    opened = open_model.load_model(tiny_model).engine.weights
    assert all((weights[name] == opened[name]).all() for name in opened)


def test_every_pair_of_embedded_pieces(tmp_path):
    """With the embedded model, through the API (90 processes would only measure patience)."""
    from calmvae.generate import interpolation

    model = open_model.load_model()
    pieces = [read_music.read_piece(path) for path in PIECES]
    for a, b in itertools.permutations(pieces, 2):
        made = interpolation.interpolate(a, b, model, steps=4)
        assert made.piece.notes and all(part.notes for part in made.parts), (a.name, b.name)


def test_embedded_model_gives_music_back():
    """Recognisable reconstructions: most steps, and far more onsets than chance."""
    from calmvae.generate import reconstruction

    scores = [reconstruction.reconstruct(path).info for path in PIECES]
    assert sum(s["reconstruction_accuracy"] for s in scores) / len(scores) > 0.7
    assert sum(s["onset_accuracy"] for s in scores) / len(scores) > 0.3


def test_demo(tmp_path):
    done = run_calmvae("demo", "-o", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert {"joined.mid", "joined.png", "joined.wav", "run.json"} <= {p.name for p in (tmp_path / "demo").iterdir()}
    again = run_calmvae("demo", "-o", tmp_path / "demo")
    assert again.returncode == 0, again.stderr


def test_doctor():
    done = run_calmvae("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BAD" not in done.stdout and "23 configs" in done.stdout and "GPU" in done.stdout


def test_installed_entry_point():
    """The console script of the package that is installed, if one is."""
    script = shutil.which("calmvae", path=str(sys.prefix) + "/bin")
    if script is None:
        pytest.skip("calmvae is not installed in this environment")
    assert "calmvae 0." in subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout


def test_generation_is_light(tmp_path):
    """From MIDI to MIDI without TensorFlow and what note_seq brings; matplotlib only for a picture."""
    pieces = PIECES[:2]
    for arguments, expected in (
        (["interpolate", *pieces, "--no-picture", "-o", tmp_path / "a"], set()),
        (["sample", "-n", "2", "--no-picture", "-o", tmp_path / "b"], set()),
        (["reconstruct", pieces[0], "-o", tmp_path / "c"], {"matplotlib"}),
    ):
        code, said, heavy = run_and_list_modules(*arguments)
        assert code == 0, said
        assert heavy == expected


def test_doctor_of_a_light_install(monkeypatch, capsys):
    """Without the training packages generation is well, and how to have the rest is said; half of them is not well."""
    from importlib import metadata

    from calmvae.cli import doctor
    from calmvae.cli.console import Console

    have, gone = metadata.version, set(doctor._TRAINING)

    def version(name):
        if name in gone:
            raise metadata.PackageNotFoundError(name)
        return have(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    assert doctor.run(Console(False, False)) == 0
    assert "training                 not installed" in capsys.readouterr().out
    gone.remove("magenta")
    monkeypatch.setattr(doctor, "_magenta", lambda: ("Magenta imports", False, "no"))
    monkeypatch.setattr(doctor, "_gpu", lambda: "none")
    assert doctor.run(Console(False, False)) == 1
    assert "BAD  tensorflow" in capsys.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cold_interpolation_needs_less_than_250_megabytes(tmp_path):
    code = (
        "import atexit, re\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "atexit.register(lambda: print('PEAK', re.search(r'VmHWM:\\s+(\\d+) kB', status()).group(1)))\n"
        "from calmvae.cli.app import main\nmain()"
    )
    command = ["interpolate", *PIECES[:2], "--steps", "8", "-o", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 10_000 < int(done.stdout.rpartition("PEAK")[2]) < 250_000
