"""The registry has every checkpoint that Magenta lists, says nothing it does not know, and gives way to another."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from calmvae.checkpoints import registry
from calmvae.common.errors import InputError, OptionError

# Magenta's CONFIG_MAP; a test holds it to it.
CONFIGS = set(
    """
    cat-drums_2bar_big cat-drums_2bar_small cat-mel_2bar_big cat-mel_2bar_med_chords cat-mel_2bar_small flat-mel_16bar
    flat-trio_16bar groovae_2bar_add_closed_hh groovae_2bar_hits_control_tfds groovae_2bar_humanize
    groovae_2bar_tap_fixed_velocity groovae_2bar_tap_fixed_velocity_note_dropout groovae_4bar hier-mel_16bar
    hier-multiperf_vel_1bar_big hier-multiperf_vel_1bar_big_chords hier-multiperf_vel_1bar_med
    hier-multiperf_vel_1bar_med_chords hier-trio_16bar hierdec-mel_16bar hierdec-trio_16bar nade-drums_2bar_full
    nade-drums_2bar_reduced
    """.split()
)
# The table of magenta/models/music_vae/README.md.
README = """
    cat-mel_2bar_big hierdec-mel_16bar hierdec-trio_16bar cat-drums_2bar_small.lokl cat-drums_2bar_small.hikl
    nade-drums_2bar_full groovae_4bar groovae_2bar_humanize groovae_2bar_tap_fixed_velocity groovae_2bar_add_closed_hh
    groovae_2bar_hits_control
""".split()
# The rows of magenta-js' checkpoints.json whose model is MusicVAE.
MAGENTA_JS = """
    drums_2bar_lokl_small drums_2bar_hikl_small drums_2bar_nade_9_q2 drums_4bar_med_q2 drums_4bar_med_lokl_q2
    mel_2bar_small mel_4bar_med_q2 mel_4bar_med_lokl_q2 mel_4bar_small_q2 mel_chords mel_16bar_small_q2
    trio_4bar_lokl_small_q1 trio_16bar_xl multitrack multitrack_med multitrack_med_fb256 multitrack_chords
    multitrack_med_chords multitrack_med_chords_fb256 groovae_2bar_humanize tap2drum_1bar tap2drum_2bar tap2drum_3bar
    tap2drum_4bar groovae_4bar mel_2bar_multicontrol_tiny_fb0 mel_2bar_multicontrol_tiny_fb8
    mel_2bar_multicontrol_tiny_fb16 mel_2bar_multicontrol_tiny_fb32 mel_rhythm_2bar_tiny_fb0 mel_rhythm_2bar_tiny_fb8
    mel_rhythm_2bar_tiny_fb16 mel_rhythm_2bar_tiny_fb32 mel_shape_2bar_tiny_fb0 mel_shape_2bar_tiny_fb8
    mel_shape_2bar_tiny_fb16 mel_shape_2bar_tiny_fb32
""".split()
# What the colabs open.
COLAB = """
    mel_2bar_big mel_16bar_hierdec mel_16bar_flat trio_16bar_hierdec trio_16bar_flat drums_2bar_small.lokl
    drums_2bar_small.hikl drums_2bar_nade.reduced drums_2bar_nade.full multitrack_chords_fb64 multitrack_fb256
""".split()
MIRROR = """
licence = "CC0"
[models.ours]
kind = "tar"
config = "cat-mel_2bar_small"
address = "http://127.0.0.1:8000/a/ours.tar"
"""


@pytest.fixture(autouse=True)
def without_other(monkeypatch):
    monkeypatch.delenv("CALMVAE_REGISTRY", raising=False)


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Puts another registry in the place of ours."""

    def use(text: str):
        path = tmp_path / "other.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("CALMVAE_REGISTRY", str(path))
        return path

    return use


def raw() -> dict:
    return registry.tomllib.loads(registry._path().read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", registry.entries())
def test_every_entry_says_what_it_is(name):
    entry = registry.get(name)
    assert entry.name == name and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name)
    assert entry.address.startswith("https://storage.googleapis.com/")
    assert entry.source.startswith("https://github.com/magenta/") and "Apache-2.0" in entry.licence
    assert entry.what and entry.size_mb > 0
    if entry.kind == "bundle":
        assert entry.files[0].name == f"{entry.config}.mag" and not entry.bars
    else:
        assert bool(entry.config) != bool(entry.structure) and entry.config in CONFIGS | {""}
        assert entry.bars in (1, 2, 3, 4, 16) and (f"{entry.bars}bar" in name or "bar" not in name)
        assert name.startswith("js-") == (entry.kind == "magenta-js")
        assert name.startswith("colab-") == (entry.kind == "checkpoint")


def test_no_two_of_the_same_place():
    addresses = [entry.address for entry in registry.entries().values()]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("name", README)
def test_has_the_readme(name):
    entry = registry.get(name)
    assert entry.kind == "tar" and entry.config.startswith(name.rpartition(".")[0] or name)
    assert entry.address == f"https://storage.googleapis.com/magentadata/models/music_vae/checkpoints/{name}.tar"


@pytest.mark.parametrize("name", MAGENTA_JS)
def test_has_magenta_js(name):
    entry = registry.get(f"js-{name}")
    assert entry.address.startswith("https://storage.googleapis.com/magentadata/js/checkpoints/")
    assert [file.name for file in entry.files] == ["config.json", "weights_manifest.json"]
    assert all(file.address == f"{entry.address}/{file.name}" for file in entry.files)


@pytest.mark.parametrize("name", COLAB)
def test_has_the_colabs(name):
    entry = registry.get(f"colab-{name}")
    assert [file.address for file in entry.files] == [
        f"{entry.address}.index",
        f"{entry.address}.data-00000-of-00001",
    ]
    assert all(file.address.endswith(f"/{file.name}") for file in entry.files)


@pytest.mark.slow
def test_configs_are_magentas():
    from calmvae.common import magenta_import

    assert {n for n in magenta_import.load().configs.CONFIG_MAP if not n.startswith("calm-")} == CONFIGS


def test_every_sum_was_seen_somewhere():
    tables = {name: model.get("files", []) for name, model in raw()["models"].items()}
    assert any(tables.values())
    for name, files in tables.items():
        for table in files:
            assert re.fullmatch("[0-9a-f]{64}", table["sha256"]) and table["seen"].startswith("https://")
            assert (table["sha256"], table["bytes"]) in [(f.sha256, f.size) for f in registry.get(name).files]
    known = [file.sha256 for entry in registry.entries().values() for file in entry.files if file.sha256]
    assert len(known) == len(set(known)) == sum(map(len, tables.values()))


def test_sources_are_used():
    model_sources = {model["source"] for model in raw()["models"].values()}
    assert model_sources == set(raw()["sources"])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("cat-mel_2bar_bg", "cat-mel_2bar_big"),
        ("mel_2bar_small", "js-mel_2bar_small"),
        ("groovae_4bars", "groovae_4bar"),
    ],
)
def test_unknown_suggests(wrong, right):
    assert registry.find(wrong) is None
    with pytest.raises(OptionError, match=rf"^unknown checkpoint '{wrong}'; did you mean {right}\?$"):
        registry.get(wrong)


def test_unknown_without_a_neighbour_says_where_to_look():
    with pytest.raises(OptionError, match=r"^unknown checkpoint '\?'; `calmvae models list` has all \d+\.$"):
        registry.get("?")


def test_another_registry(other):
    path = other(MIRROR)
    file = registry.File("ours.tar", "http://127.0.0.1:8000/a/ours.tar")
    assert list(registry.entries()) == ["ours"] and registry.find("cat-mel_2bar_big") is None
    entry = registry.get("ours")
    assert entry.files == (file,) and (entry.licence, entry.config) == ("CC0", "cat-mel_2bar_small")
    assert (entry.bars, entry.what, entry.source) == (0, "", "")
    path.write_text(MIRROR.replace("[models.ours]", "[models.theirs]"), encoding="utf-8")
    assert list(registry.entries()) == ["theirs"], "a registry that changed is read again"


def test_the_caller_may_change_what_it_gets():
    registry.entries().clear()
    assert registry.entries()


SUM = '[[models.ours.files]]\nname = "ours.tar"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[models", "is damaged (Expected"),
        ("\x00", "is damaged ("),
        ("", "it has no [models.NAME]"),
        (MIRROR + MIRROR, "is damaged (Cannot"),
        (MIRROR.replace('"tar"', '"zip"'), "the kind of ours is 'zip', not one of tar, checkpoint, magenta-js, bundle"),
        (MIRROR.replace("http:", "gs:"), "not one that starts with https://"),
        (MIRROR.replace("ours.tar", "a b"), "does not end in a file name"),
        (MIRROR + "bars = '2'", "ours has bars = '2'"),
        (MIRROR + "whta = 'x'", "ours has whta = 'x'"),
        (MIRROR + SUM + "sha256 = 'ab'", "not 64 hexadecimal digits"),
        (MIRROR + SUM + "bytes = 'many'", "not a number of bytes"),
        (MIRROR + SUM.replace("ours.tar", "x.tar"), "ours has no file x.tar"),
        ("models = 3", "is damaged ("),
    ],
)
def test_damaged_is_one_sentence(other, text, sentence):
    path = other(text)
    with pytest.raises(InputError, match=re.escape(sentence)) as told:
        registry.entries()
    assert "\n" not in str(told.value) and str(told.value).startswith(f"the registry {path} is damaged (")
    assert str(told.value).endswith("; repair it or unset CALMVAE_REGISTRY.")


def test_missing_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("CALMVAE_REGISTRY", str(tmp_path / "none.toml"))
    with pytest.raises(
        InputError, match=r"none\.toml cannot be read \(No such file or directory\); repair it or unset"
    ):
        registry.find("ours")


def test_imports_nothing_heavy():
    code = "import sys; from calmvae.checkpoints import registry; registry.entries(); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"requests", "tensorflow", "calmvae.checkpoints.open_model"} & set(modules)
