"""Models written for magenta-js give there what they give here, and models of magenta-js are read back."""

from __future__ import annotations

import configparser
import dataclasses
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calmvae.checkpoints import magenta_js, open_model
from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.midi import read_music
from calmvae.model import model_spec, numpy_engine
from calmvae.model.melody_model import MelodyModel
from calmvae.music import melody_extraction, melody_tokens, melody_windows
from tests import magenta_engine
from tests.conftest import PIECES, ROOT, random_weights, tiny_spec

# Structures that magenta-js runs by itself, and such as need levels.js.
ALONE = {
    "flat": tiny_spec("calm-mel_2bar-big"),
    "two levels": tiny_spec("calm-mel_2bar"),
    "two levels, layers": model_spec.with_hparams(tiny_spec("calm-mel_16bar-big"), {"dec_rnn_size": [22, 22]}),
}
ADAPTED = {
    "three levels": tiny_spec("calm-mel_16bar"),
    "flat encoder of two layers": model_spec.with_hparams(
        tiny_spec("calm-mel_2bar-big"), {"enc_rnn_size": [24, 20], "dec_rnn_size": [22, 22]}
    ),
    "flat encoder, conductor": dataclasses.replace(tiny_spec("calm-mel_16bar-big"), encoder_lengths=None),
    "flat encoder of two layers, conductor": dataclasses.replace(
        tiny_spec("calm-mel_16bar-big", 2), encoder_lengths=None
    ),
    "two encoder layers in levels": model_spec.with_hparams(tiny_spec("calm-mel_2bar"), {"enc_rnn_size": [24, 24]}),
    "decoder layers of two sizes": model_spec.with_hparams(tiny_spec("calm-mel_2bar-big"), {"dec_rnn_size": [28, 22]}),
}
STRUCTURES = ALONE | ADAPTED


def loud_weights(spec: model_spec.ModelSpec) -> dict[str, np.ndarray]:
    """Random ones that let the decoder say many different tokens."""
    return {name: weight * 4 for name, weight in random_weights(spec).items()}


def exported(folder: Path, spec: model_spec.ModelSpec, quantize: str | None = None) -> dict[str, np.ndarray]:
    weights = loud_weights(spec)
    magenta_js.export(folder, spec, weights, quantize)
    return weights


def latents(spec: model_spec.ModelSpec, n: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((n, spec.z_size)).astype(np.float32)


def windows_of_pieces(spec: model_spec.ModelSpec, n: int) -> np.ndarray:
    melodies = [melody_extraction.extract_melody(read_music.read_piece(path)).tokens for path in PIECES]
    windows = np.concatenate([melody_windows.cut_windows(tokens, spec.steps)[0] for tokens in melodies])
    return windows[(windows >= melody_tokens.FIRST_PITCH).any(axis=1)][:n]


# --- without Node -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
def test_round_trip(name, tmp_path):
    """What was written is read back, bit for bit, and its structure is known from it."""
    spec = STRUCTURES[name]
    weights = exported(tmp_path, spec)
    assert magenta_js.is_folder(tmp_path) and not magenta_js.is_folder(tmp_path.parent)
    read, facts = magenta_js.read(tmp_path)
    assert read.keys() == weights.keys()
    assert all(np.array_equal(read[n], weights[n]) and read[n].dtype == np.float32 for n in weights)
    found = magenta_js.spec_of(read, facts)
    assert found.shape() == spec.shape() and (found.name, found.bars) == (spec.name, spec.bars)
    assert magenta_js.runs_alone(spec) == (name in ALONE) == (facts.type == "MusicVAE")


def test_what_is_written(tmp_path):
    """As TensorFlow.js's converter writes it: 4 MiB a shard, and a config.json as Magenta's."""
    model = open_model.load_model("calm-mel_2bar")
    weights = {**model.engine.weights, "global_step": np.int64(3)}
    done = magenta_js.export(tmp_path, model.spec, weights)
    assert done["files"][:2] == ["group1-shard1of5.bin", "group1-shard2of5.bin"] and not done["adapter"]
    assert sorted(done["files"]) == sorted(p.name for p in tmp_path.iterdir())
    sizes = [(tmp_path / name).stat().st_size for name in done["files"] if name.endswith(".bin")]
    assert sizes[:-1] == [4 << 20] * 4 and sum(sizes) == done["bytes"] == 4 * 4758618
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["type"] == "MusicVAE"
    args = {"minPitch": 21, "maxPitch": 108, "numSteps": 32, "numSegments": 8}
    assert config["dataConverter"] == {"type": "MelodyConverter", "args": args}
    (group,) = json.loads((tmp_path / "weights_manifest.json").read_text())
    assert {w["name"] for w in group["weights"]} == numpy_engine.weight_shapes(model.spec).keys()


def test_into_an_output_folder(tmp_path):
    spec = tiny_spec("calm-mel_16bar")
    with output_folder.OutputFolder(tmp_path / "out", "export-js", {}) as out:
        done = magenta_js.export(out.path, spec, random_weights(spec), "uint8")
    assert done["adapter"] and done["dtype"] == "uint8"
    assert set(done["files"]) == out.record["outputs"].keys()
    assert (tmp_path / "out" / "levels.js").read_bytes() == (
        ROOT / "calmvae" / "checkpoints" / "levels.js"
    ).read_bytes()


def test_the_adapter_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "*.js" in setup["options.package_data"]["calmvae"]


def test_quantisation_is_that_of_tensorflow_js():
    """The example of TensorFlow.js's converter, and zero and a single value come back as they were."""
    scale, least, numbers = magenta_js._quantized(np.array([0, -0.1, 1.2]), np.dtype("u1"))
    assert numbers.tolist() == [20, 0, 255]
    assert (least, scale) == pytest.approx((-0.10196078817, 0.00509803940852), rel=1e-6)
    assert 20 * scale + least == 0
    scale, least, numbers = magenta_js._quantized(np.full((2, 2), 0.3), np.dtype("<u2"))
    assert (numbers * scale + least == 0.3).all()
    scale, least, numbers = magenta_js._quantized(np.array([1.0, 2.0]), np.dtype("u1"))
    assert (least, numbers.tolist()) == (1, [0, 255])


@pytest.mark.parametrize(("quantize", "levels", "bytes_each"), [("uint8", 255, 1), ("uint16", 65535, 2)])
def test_quantised_round_trip(quantize, levels, bytes_each, tmp_path):
    spec = tiny_spec()
    weights = loud_weights(spec)
    done = magenta_js.export(tmp_path, spec, weights, quantize)
    assert done["bytes"] == bytes_each * sum(w.size for w in weights.values())
    read, _ = magenta_js.read(tmp_path)
    for name, weight in weights.items():
        assert read[name].dtype == np.float32
        np.testing.assert_allclose(read[name], weight, atol=0.501 * np.ptp(weight) / levels + 1e-6)


def test_as_magenta_writes_it(tmp_path):
    """No word of calmvae's, many groups and shards, weights that cross their borders, several types."""
    spec = ALONE["two levels, layers"]
    weights = random_weights(spec)
    groups: list[dict[str, Any]] = []
    names = sorted(weights)
    for g, chosen in enumerate((names[::3], names[1::3], names[2::3])):
        kind = [None, "float16", None][g]
        entries = [{"name": n, "shape": list(weights[n].shape), "dtype": "float32"} for n in chosen]
        entries = [{**e, "quantization": {"dtype": kind}} if kind else e for e in entries]
        data = b"".join(weights[n].astype("<f2" if kind else "<f4").tobytes() for n in chosen)
        if g == 2:
            entries.append({"name": "global_step", "shape": [], "dtype": "int32"})
            small = {"dtype": "uint8", "scale": 0.7, "min": -1.0}
            entries.append({"name": "counts", "shape": [3], "dtype": "int32", "quantization": small})
            data += np.array([70000], "<i4").tobytes() + bytes([0, 1, 5])
        cuts = [0, 1001, 1002, 5555, len(data)]
        shards = [data[a:b] for a, b in itertools.pairwise(cuts)]
        paths = [f"part/group{g}-shard{k}" for k in range(len(shards))]
        (tmp_path / "part").mkdir(exist_ok=True)
        for path, shard in zip(paths, shards, strict=True):
            (tmp_path / path).write_bytes(shard)
        groups.append({"paths": paths, "weights": entries})
    (tmp_path / "weights_manifest.json").write_text(json.dumps(groups))
    config = magenta_js.config_json(spec)
    del config["calmvae"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    read, facts = magenta_js.read(tmp_path)
    assert magenta_js.shard_names(tmp_path) == [path for group in groups for path in group["paths"]]
    assert read["global_step"] == 70000 and read["counts"].tolist() == [-1, 0, 3]
    for name, weight in weights.items():
        np.testing.assert_allclose(read[name], weight, atol=1e-3 if name in names[1::3] else 0)
    found = magenta_js.spec_of(read, facts)
    assert found.shape() == spec.shape() and found.name == "mel_16bar"


def changed(folder: Path, file: str, *steps: Any) -> None:
    """Puts the last of `steps` where the others lead to in a JSON file."""
    data = place = json.loads((folder / file).read_text())
    *path, last, value = steps
    for step in path:
        place = place[step]
    place[last] = value
    (folder / file).write_text(json.dumps(data))


SHARD, MANIFEST, CONFIG = "group1-shard1of1.bin", "weights_manifest.json", "config.json"
FIRST = (0, "weights", 0)
DAMAGES = {
    "missing shard": (lambda f: (f / SHARD).unlink(), "group1-shard1of1.bin cannot be read .No such file"),
    "short shard": (
        lambda f: (f / SHARD).write_bytes(b"123"),
        r"need \d+ bytes, but there are 3 in group1-shard1of1.bin;",
    ),
    "long shard": (lambda f: (f / SHARD).write_bytes(bytes(10**6)), "there are 1000000 in"),
    "shard is a folder": (lambda f: ((f / SHARD).unlink(), (f / SHARD).mkdir()), "group1-shard1of1.bin"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "weights_manifest.json cannot be read"),
    "cut manifest": (lambda f: (f / MANIFEST).write_text("[{"), "weights_manifest.json is not a readable"),
    "deep manifest": (lambda f: (f / MANIFEST).write_text("[" * 200000), "weights_manifest.json is not a readable"),
    "manifest of bytes": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe\x00"), "weights_manifest.json is not a"),
    "manifest of another kind": (lambda f: (f / MANIFEST).write_text("{}"), "dict instead of list"),
    "no paths": (lambda f: (f / MANIFEST).write_text('[{"weights": []}]'), "no 'paths'"),
    "paths of another kind": (lambda f: (f / MANIFEST).write_text("[3]"), "weights_manifest.json is not a readable"),
    "no numbers": (
        lambda f: (f / SHARD).write_bytes(b"\xff" * (f / SHARD).stat().st_size),
        "values that are not finite",
    ),
    "two of a name": (lambda f: changed(f, MANIFEST, *FIRST, "name", "encoder/mu/bias"), "two weights encoder/mu/bias"),
    "config of another kind": (lambda f: (f / CONFIG).write_text("[]"), "list instead of dict"),
    "config without type": (lambda f: (f / CONFIG).write_text("{}"), "no 'type'"),
    "converter of another kind": (lambda f: changed(f, CONFIG, "dataConverter", 3), "config.json is not a readable"),
}
for path in (
    "/etc/passwd",
    "../w.bin",
    "a/../../w",
    "https://host/w.bin",
    "C:\\w",
    "\\w",
    "",
    "a//b",
    "w\0",
    "w\n",
    ".",
):
    damage = (lambda f, path=path: changed(f, MANIFEST, 0, "paths", 0, path), "is not a file of this folder")
    DAMAGES[f"path {path!r}"] = damage
for shape in ("3", None, [-1, 4], [0], [2.5], [True], [10**400], [2**31], [1] * 50, ["4"]):
    damage = (lambda f, shape=shape: changed(f, MANIFEST, *FIRST, "shape", shape), "has the shape")
    DAMAGES[f"shape {str(shape)[:20]}"] = damage
DAMAGES["large shape"] = (lambda f: changed(f, MANIFEST, *FIRST, "shape", [2**30] * 8), r"need \d{60,} bytes")
for name in ("a\nb", "n" * 201):
    damage = (lambda f, name=name: changed(f, MANIFEST, *FIRST, "name", name), "a weight has the name")
    DAMAGES[f"name {name[:5]!r}"] = damage
for dtype in ("string", "complex64", "uint8", "", 7):
    damage = (lambda f, dtype=dtype: changed(f, MANIFEST, *FIRST, "dtype", dtype), "is of the unknown type")
    DAMAGES[f"dtype {dtype!r}"] = damage
for label, quantization, sentence in (
    ("dtype", {"dtype": "uint4", "scale": 1, "min": 0}, "of the unknown type 'uint4'"),
    ("kind", {"dtype": ["uint8"], "scale": 1, "min": 0}, "weights_manifest.json is not a readable"),
    ("scale", {"dtype": "uint8", "min": 0}, "no 'scale'"),
    ("infinite", {"dtype": "uint8", "scale": float("inf"), "min": 0}, "has the scale inf"),
    ("a word", {"dtype": "uint8", "scale": "wide", "min": 0}, "weights_manifest.json is not a readable"),
    ("text", "uint8", "weights_manifest.json is not a readable"),
):
    damage = (lambda f, q=quantization: changed(f, MANIFEST, *FIRST, "quantization", q), sentence)
    DAMAGES[f"quantization, {label}"] = damage


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_sentence(damage, tmp_path):
    exported(tmp_path, ALONE["two levels"])
    spoil, sentence = DAMAGES[damage]
    spoil(tmp_path)
    with pytest.raises(ModelError, match=sentence) as caught:
        magenta_js.read(tmp_path)
    said = str(caught.value)
    assert said.endswith("; fetch or export the model again.") and "\n" not in said and len(said) < 500


def facts_with(spec: model_spec.ModelSpec, **args: Any) -> magenta_js.Facts:
    config = magenta_js.config_json(spec)
    facts = magenta_js._facts({k: v for k, v in config.items() if k != "calmvae"})
    return dataclasses.replace(facts, args={**facts.args, **args})


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"minPitch": 48, "maxPitch": 83}, "pitches 48 to 83, calmvae needs 21 to 108; take such a model"),
        ({"minPitch": None}, "pitches None to 108"),
        ({"numSteps": 30}, "have 30 steps; calmvae needs a multiple of 16"),
        ({"numSteps": None}, "have None steps"),
        ({"numSteps": 16 * 10**9}, "up to 4096: fetch"),
        ({"numSegments": 5}, r"levels \[5, 6\] do not make up its 32 steps"),
        ({"numSegments": "8"}, "do not make up its 32 steps"),
        ({"numSegments": -8}, "do not make up its 32 steps"),
        ({"numSegments": None}, "no weights under encoder, decoder or"),
    ],
)
def test_a_model_that_does_not_fit_is_one_sentence(args, sentence):
    spec = ALONE["two levels"]
    with pytest.raises(ModelError, match=sentence):
        magenta_js.spec_of(random_weights(spec), facts_with(spec, **args))


@pytest.mark.parametrize("levels", ["8,4", [8, -4], [[8]], 32, [10**30], [1] * 3])
def test_a_spoilt_word_of_ours_is_one_sentence(levels):
    spec = ADAPTED["three levels"]
    facts = dataclasses.replace(facts_with(spec), own={"levelLengths": levels, "encoderLengths": None})
    with pytest.raises(ModelError, match="do not make up its 256 steps"):
        magenta_js.spec_of(random_weights(spec), facts)


def test_weights_of_other_shapes_are_named():
    spec = ALONE["two levels"]
    weights = random_weights(spec)
    weights["encoder/mu/kernel"] = weights["encoder/mu/kernel"][:-1]
    with pytest.raises(ModelError, match="encoder/mu/kernel is 47x12"):
        magenta_js.spec_of(weights, facts_with(spec))


@pytest.mark.parametrize(
    "config",
    [
        {"type": "MusicRNN", "dataConverter": {"type": "MelodyConverter", "args": {}}},
        {"type": "MusicVAE", "dataConverter": {"type": "DrumsConverter", "args": {"numSteps": 32}}},
        {"type": "MusicVAE", "dataConverter": {"type": "MelodyConverter", "args": {}}, "chordEncoder": "PitchChords"},
        {"type": "MusicVAE", "dataConverter": {"type": "MelodyConverter", "args": {}}, "conditionOnKey": True},
        {
            "type": "MusicVAE",
            "dataConverter": {"type": "MelodyConverter", "args": {}},
            "extraControls": [{"name": "density", "depth": 4}],
        },
        {"type": "PianoGenie"},
    ],
    ids=["rnn", "drums", "chords", "key", "extra", "bare"],
)
def test_other_models_have_no_config_of_ours(config):
    facts = magenta_js._facts(config)
    assert magenta_js.spec_of({}, facts) is None
    assert len(facts.controls) == sum(key in config for key in ("chordEncoder", "conditionOnKey", "extraControls"))


def test_what_cannot_be_exported_is_one_sentence(tmp_path):
    spec = tiny_spec()
    weights = random_weights(spec)
    with pytest.raises(OptionError, match="quantised to 'int4'; choose one of uint8, uint16"):
        magenta_js.export(tmp_path, spec, weights, "int4")
    with pytest.raises(ModelError, match="residual connections"):
        magenta_js.export(tmp_path, model_spec.with_hparams(spec, {"residual_decoder": True}), weights)
    with pytest.raises(ModelError, match="the weights do not fit config calm-mel_2bar"):
        magenta_js.export(tmp_path, spec, random_weights(tiny_spec("calm-mel_2bar-big")))
    weights["encoder/mu/bias"][0] = np.nan
    with pytest.raises(ModelError, match="encoder/mu/bias has values that are not finite; train"):
        magenta_js.export(tmp_path, spec, weights)
    assert not list(tmp_path.iterdir())


# --- in Node ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client beside magenta-js, freshly installed from the benchmark's lock file."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("found no node and npm to run magenta-js with")
    folder = tmp_path_factory.mktemp("magenta_js")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(ROOT / "benchmarks" / "decode_js" / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not fetch magenta-js in 300 seconds")
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if "error" in line] or ["no reason given"]
        pytest.skip(f"npm could not fetch magenta-js ({reasons[0]})")
    shutil.copyfile(Path(__file__).with_name("magenta_js_client.js"), folder / "client.js")
    return folder / "client.js"


def ask(client: Path, folder: Path, style: str = "require", **job: Any) -> dict[str, Any]:
    """What magenta-js makes of a model: see the client."""
    question = {"folder": os.path.realpath(folder), "style": style, "backend": "wasm", **job}
    text = json.dumps(question, default=np.ndarray.tolist)
    done = subprocess.run(
        ["node", str(client)], input=text, capture_output=True, text=True, timeout=300, check=False, cwd=client.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def notes(tokens: np.ndarray) -> list[list[list[int]]]:
    """The notes of windows as the client tells them."""
    return [[list(note) for note in melody_tokens.token_notes(row)] for row in tokens]


@dataclasses.dataclass
class Said:
    """What both sides say of the same latent vectors and windows."""

    model: MelodyModel
    z: np.ndarray
    windows: np.ndarray
    warm: dict[str, Any]
    cold: dict[str, Any]


FEW = 8


@pytest.fixture(scope="session")
def said(client, tmp_path_factory):
    """Asks magenta-js once for each embedded model."""
    known: dict[str, Said] = {}

    def of(name: str) -> Said:
        if name not in known:
            folder, model = tmp_path_factory.mktemp(name), open_model.load_model(name)
            magenta_js.export(folder, model.spec, model.engine.weights)
            style = "stock" if magenta_js.runs_alone(model.spec) else "require"
            z, windows = latents(model.spec, 128 // model.spec.bars), windows_of_pieces(model.spec, 16)
            warm = ask(client, folder, style, z=z, windows=notes(windows))
            # magenta-js by itself draws in plain JavaScript only.
            backend = "cpu" if style == "stock" else "wasm"
            cold = ask(client, folder, style, z=z[:FEW], temperature=1e-6, backend=backend)
            known[name] = Said(model, z, windows, warm, cold)
        return known[name]

    return of


EMBEDDED = ["calm-mel_2bar", "calm-mel_16bar"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_models_in_magenta_js(name, said, capsys):
    """The 2-bar model runs in stock magenta-js, the 16-bar one with levels.js, as in the numpy engine."""
    one = said(name)
    engine, theirs = one.model.engine, np.array(one.warm["tokens"])
    ours = engine.decode(one.z)
    how = "stock magenta-js" if magenta_js.runs_alone(one.model.spec) else "magenta-js with levels.js"
    with capsys.disabled():
        print(f"\n{name}, {how}: {(theirs == ours).sum()} of {ours.size} tokens equal")
    assert np.array_equal(theirs, ours) and len(np.unique(ours)) > 20
    assert one.warm["notes"] == notes(ours)
    assert np.array_equal(one.cold["tokens"], ours[:FEW])
    np.testing.assert_allclose(one.warm["mu"], engine.encode(one.windows)[0], atol=5e-5)
    assert one.warm["decoded"] == notes(engine.decode(np.array(one.warm["mu"], np.float32)))


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_magenta_js_says_what_tensorflow_says(name, said, capsys):
    one = said(name)
    given = open_model.load_model(name)
    reference = magenta_engine.MagentaEngine(given.spec, given.engine.weights)
    wanted, theirs = reference.decode(one.z), np.array(one.warm["tokens"])
    with capsys.disabled():
        print(f"\n{name}, magenta-js against TensorFlow: {(theirs == wanted).sum()} of {wanted.size} tokens equal")
    assert np.array_equal(theirs, wanted)
    np.testing.assert_allclose(one.warm["mu"], reference.encode(one.windows)[0], atol=5e-5)


@pytest.mark.parametrize("quantize", magenta_js.QUANTIZED)
def test_quantised_models_in_magenta_js(quantize, client, tmp_path, capsys):
    """JavaScript widens the weights as `read` does."""
    model = open_model.load_model("calm-mel_2bar")
    magenta_js.export(tmp_path, model.spec, model.engine.weights, quantize)
    weights, facts = magenta_js.read(tmp_path)
    spec = magenta_js.spec_of(weights, facts)
    z = latents(spec, 32)
    theirs, ours = np.array(ask(client, tmp_path, "stock", z=z)["tokens"]), numpy_engine.Engine(spec, weights).decode(z)
    full = model.engine.decode(z)
    with capsys.disabled():
        print(
            f"\ncalm-mel_2bar in {quantize}: {(theirs == ours).sum()} of {ours.size} tokens equal, "
            f"{(full == ours).mean():.1%} equal to those of float32"
        )
    assert np.array_equal(theirs, ours)
    assert (full == ours).mean() > {"uint8": 0.6, "uint16": 0.98}[quantize]


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_in_magenta_js(name, client, tmp_path):
    spec = STRUCTURES[name]
    engine = numpy_engine.Engine(spec, exported(tmp_path, spec))
    z, windows = latents(spec, 12), windows_of_pieces(spec, 12)
    said = ask(client, tmp_path, "stock" if name in ALONE else "require", z=z, windows=notes(windows))
    assert "error" not in said, said
    ours = engine.decode(z)
    assert np.array_equal(said["tokens"], ours) and len(np.unique(ours)) > 20
    np.testing.assert_allclose(said["mu"], engine.encode(windows)[0], atol=5e-5)


@pytest.mark.parametrize("name", ADAPTED)
def test_magenta_js_alone_refuses_what_it_would_play_wrong(name, client, tmp_path):
    spec = ADAPTED[name]
    exported(tmp_path, spec)
    assert "incorrect type" in ask(client, tmp_path, "stock", z=latents(spec, 1))["error"]
    assert "levels.js" in ask(client, tmp_path, "stock", z=latents(spec, 1))["error"]


def test_all_methods_of_magenta_js_work_with_levels(client, tmp_path):
    spec = ADAPTED["three levels"]
    exported(tmp_path, spec)
    said = ask(client, tmp_path, windows=notes(windows_of_pieces(spec, 2)), methods=True, backend="cpu")
    assert "error" not in said, said
    assert len(said["interpolated"]) == 3 and said["interpolated"][0] == said["decoded"][0]
    assert said["similar"] == [said["decoded"][0]] * 2
    assert said["sampled"] == [256, 256] and said["leaked"] == 0
    # A model that was disposed of is fetched again, as magenta-js's own are.
    assert said["again"] == said["decoded"]


@pytest.mark.parametrize("style", ["import", "script", "class"])
def test_ways_to_load_the_adapter(style, client, tmp_path):
    spec = ADAPTED["three levels"]
    engine, z = numpy_engine.Engine(spec, exported(tmp_path, spec)), latents(spec, 2)
    assert ask(client, tmp_path, style, z=z)["tokens"] == engine.decode(z).tolist()


def test_the_adapter_loads_models_without_need_of_it(client, tmp_path):
    """Also one that says nothing of calmvae's."""
    spec = ALONE["two levels"]
    engine, z = numpy_engine.Engine(spec, exported(tmp_path, spec)), latents(spec, 2)
    shutil.copyfile(ROOT / "calmvae" / "checkpoints" / "levels.js", tmp_path / "levels.js")
    assert ask(client, tmp_path, z=z)["tokens"] == engine.decode(z).tolist()
    config = magenta_js.config_json(spec)
    del config["calmvae"]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert ask(client, tmp_path, z=z)["tokens"] == engine.decode(z).tolist()


def test_the_adapter_fails_in_words(client, tmp_path):
    spec = ADAPTED["three levels"]
    exported(tmp_path, spec)
    z = latents(spec, 1)
    assert "another TensorFlow.js" in ask(client, tmp_path, "other tf", z=z)["error"]
    changed(tmp_path, MANIFEST, *FIRST, "name", "lost")
    assert "fw/multi_rnn_cell/cell_0/lstm_cell/kernel is missing" in ask(client, tmp_path, z=z)["error"]
    (tmp_path / MANIFEST).unlink()
    assert "weights_manifest.json cannot be fetched (HTTP 404)" in ask(client, tmp_path, z=z)["error"]


def test_temperature_in_levels(client, tmp_path):
    """Drawn first tokens are as frequent as the model's probabilities at that temperature."""
    spec = model_spec.with_hparams(tiny_spec("calm-mel_2bar"), {"enc_rnn_size": [8, 8], "dec_rnn_size": [12, 10]})
    weights = {name: weight * 1.5 for name, weight in random_weights(spec).items()}
    magenta_js.export(tmp_path, spec, weights)
    z, n = latents(spec, 1), 2000
    said = ask(client, tmp_path, z=np.repeat(z, n, axis=0), temperature=0.7)
    drawn = np.bincount(np.array(said["tokens"])[:, 0], minlength=melody_tokens.DEPTH) / n
    tokens = np.zeros((melody_tokens.DEPTH, spec.steps), np.uint8)
    tokens[:, 0] = np.arange(melody_tokens.DEPTH)
    logs = numpy_engine.Engine(spec, weights).log_likelihood(np.repeat(z, melody_tokens.DEPTH, axis=0), tokens)[0][:, 0]
    wanted = np.exp(logs / 0.7) / np.exp(logs / 0.7).sum()
    assert 0.02 < wanted.max() < 0.9
    np.testing.assert_allclose(drawn, wanted, atol=0.05)
