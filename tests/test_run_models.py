"""`calmvae models`: fetched from a server on loopback, verified, imported, shown, exported."""

from __future__ import annotations

import functools
import http.server
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calmvae.checkpoints import (
    fetch_model,
    find_model,
    magenta_js,
    model_cache,
    model_folder,
    open_model,
    tf_checkpoint,
)
from calmvae.cli import run_models
from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import FetchError, ModelError, OptionError
from tests.conftest import random_weights, run_calmvae, tiny_spec

SPEC = tiny_spec()
WEIGHTS = random_weights(SPEC)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served, with a registry of what is in it, and a cache of the test's own."""
    folder = tmp_path / "site"
    (folder / "js").mkdir(parents=True)
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"

    tf_checkpoint.write_weights(folder / "tiny.ckpt", SPEC, WEIGHTS)
    with tarfile.open(folder / "tiny.tar", "w") as archive:
        for file in sorted(folder.glob("tiny.ckpt.*")):
            archive.add(file, file.name)
    magenta_js.export(folder / "js" / "tiny", SPEC, WEIGHTS)
    known = output_folder.sha256(folder / "tiny.tar")
    registry = [
        'licence = "ours"\n[sources]\nhere = "http://127.0.0.1/list"\n',
        f'[models.tiny-tar]\nkind = "tar"\naddress = "{address}/tiny.tar"\n'
        f'[[models.tiny-tar.files]]\nname = "tiny.tar"\nsha256 = "{known}"\nseen = "here"\n',
        f'[models.tiny-ckpt]\nkind = "checkpoint"\naddress = "{address}/tiny.ckpt"\n',
        f'[models.tiny-js]\nkind = "magenta-js"\naddress = "{address}/js/tiny"\n',
        f'[models.gone]\nkind = "tar"\naddress = "{address}/gone.tar"\n',
        '[models.offline]\nkind = "tar"\naddress = "http://127.0.0.1:9/offline.tar"\n',
    ]
    kinds = 'config = "calm-mel_2bar"\nbars = 2\nsize_mb = 1\nwhat = "melodies"\nsource = "here"\n'
    text = "".join(entry.replace('kind = "', f'{kinds}kind = "') for entry in registry)
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("CALMVAE_REGISTRY", str(tmp_path / "registry.toml"))
    monkeypatch.setenv("CALMVAE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    server.shutdown()


@pytest.mark.parametrize("name", ["tiny-tar", "tiny-ckpt", "tiny-js"])
def test_fetched_models_open_by_name(site, name):
    with pytest.raises(ModelError, match=f"published but not here yet; run: calmvae models fetch {name}"):
        open_model.load_model(name)
    folder = fetch_model.fetch(name)
    assert folder == model_cache.place(name) and model_cache.kept() == [name]
    opened = find_model.open_model(name)
    assert opened.spec.shape() == SPEC.shape()
    assert all(np.array_equal(opened.weights[n], value) for n, value in WEIGHTS.items())
    record = model_cache.read_record(name)
    assert all(output_folder.sha256(folder / file) == about["sha256"] for file, about in record.items())
    known = {about["known"] for about in record.values()}
    assert known == ({"registry"} if name == "tiny-tar" else {"first use"})
    assert {v.state for v in fetch_model.verify(name)} == {"ok"}
    assert opened.sha256 in {about["sha256"] for about in record.values()}


def test_fetching_again_fetches_nothing(site):
    fetch_model.fetch("tiny-js")
    for file in (site / "js" / "tiny").iterdir():
        file.unlink()
    fetch_model.fetch("tiny-js")
    with pytest.raises(FetchError, match="404"):
        fetch_model.fetch("tiny-js", again=True)


def test_what_was_trusted_at_first_is_held_to(site):
    fetch_model.fetch("tiny-ckpt")
    (model_cache.place("tiny-ckpt") / "tiny.ckpt.index").unlink()
    index = site / "tiny.ckpt.index"
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with pytest.raises(FetchError, match="SHA-256"):
        fetch_model.fetch("tiny-ckpt")
    fetch_model.fetch("tiny-ckpt", again=True)
    assert {v.state for v in fetch_model.verify("tiny-ckpt")} == {"ok"}


def test_not_what_the_registry_says(site):
    (site / "tiny.tar").write_bytes(b"something else")
    with pytest.raises(FetchError, match="SHA-256"):
        fetch_model.fetch("tiny-tar")
    assert model_cache.fetched("tiny-tar") is None


def test_a_file_put_there_by_hand(site):
    """What to do without a network is what the message says."""
    with pytest.raises(FetchError) as caught:
        fetch_model.fetch("offline")
    place = model_cache.place("offline") / "offline.tar"
    assert "http://127.0.0.1:9/offline.tar" in str(caught.value) and str(place) in str(caught.value)
    place.write_bytes((site / "tiny.tar").read_bytes())
    assert open_model.load_model("offline", "calm-mel_2bar").spec.shape() == SPEC.shape()
    assert [v.state for v in fetch_model.verify("offline")] == ["new"]


def test_changed_and_missing_files_are_found(site, capsys):
    fetch_model.fetch("tiny-js")
    shard = model_cache.place("tiny-js") / magenta_js.shard_names(model_cache.place("tiny-js"))[0]
    content = bytearray(shard.read_bytes())
    content[3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ModelError, match=r"1 of 3 files are not as recorded.*changed; run: calmvae models fetch"):
        run_models.verify(["tiny-js"], Console())
    assert f"changed  tiny-js/{shard.name}" in capsys.readouterr().out
    shard.unlink()
    with pytest.raises(ModelError, match="missing"):
        run_models.verify(["tiny-js"], Console())
    with pytest.raises(ModelError, match=r"published but not here yet"):
        find_model.open_model("tiny-js")


def test_a_manifest_cannot_lead_outside(site):
    manifest = site / "js" / "tiny" / "weights_manifest.json"
    groups = json.loads(manifest.read_text())
    groups[0]["paths"][0] = "../../../../stolen"
    manifest.write_text(json.dumps(groups))
    with pytest.raises(ModelError, match="not a file of this folder"):
        fetch_model.fetch("tiny-js")
    assert sorted(p.name for p in model_cache.place("tiny-js").iterdir() if not p.name.endswith(".lock")) == [
        "config.json",
        "fetched.json",
        "weights_manifest.json",
    ]


def test_commands(site, tmp_path):
    """The whole of it at the command line."""
    done = run_calmvae("models", "fetch", "tiny-tar", "tiny-js")
    assert done.returncode == 0, done.stderr
    assert "Try it: calmvae sample --model tiny-tar" in done.stdout and "no SHA-256 of it is known" in done.stderr
    listed = json.loads(run_calmvae("models", "list", "--json").stdout)
    assert listed["tiny-tar"]["here"] == "fetched" and listed["tiny-ckpt"]["here"] == ""
    assert listed["calm-mel_2bar"]["here"] == "embedded"
    here = run_calmvae("models", "list", "--here").stdout
    assert "tiny-tar" in here and "tiny-ckpt" not in here
    shown = json.loads(run_calmvae("models", "show", "tiny-tar", "--json").stdout)
    assert shown["config"] == "calm-mel_2bar" and shown["told_by"].startswith("the registry")
    assert shown["sizes"]["enc_rnn_size"] == [24] and shown["published"]["licence"] == "ours"
    assert "not here yet" in run_calmvae("models", "show", "tiny-ckpt").stdout
    assert run_calmvae("models", "path", "tiny-tar").stdout.strip() == str(model_cache.place("tiny-tar") / "tiny.tar")
    done = run_calmvae("models", "verify")
    assert done.returncode == 0 and done.stdout.count("ok  ") == 4 + len(model_folder.embedded())
    done = run_calmvae("sample", "--model", "tiny-js", "-n", "1", "--bars", "4", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fetch", "tiny-tarr"], "did you mean tiny-tar?"),
        (["fetch", "gone"], "404"),
        (["verify", "tiny-tar"], "run: calmvae models fetch tiny-tar"),
        (["path", "nowhere"], "no model 'nowhere'"),
        (["show", "nowhere"], "no model 'nowhere'"),
        (["export", "calm-mel_2bar", "--format", "tfjs"], "choose one of calmvae, magenta, magenta-js"),
        (["export", "calm-mel_2bar", "--half", "--format", "magenta"], "--half goes with"),
        (["export", "calm-mel_2bar", "--quantize", "uint8"], "--quantize goes with"),
        (["export", "calm-mel_2bar", "--format", "magenta-js", "--quantize", "int4"], "int4"),
        (["import", "calm-mel_2bar", "--name", "calm-mel_2bar"], "there is a model calm-mel_2bar already"),
        (["import", "calm-mel_2bar", "--name", "../up"], "not a name for a model"),
    ],
)
def test_mistakes_are_one_sentence(site, tmp_path, arguments, sentence):
    done = run_calmvae("models", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_import(site, tmp_path):
    done = run_calmvae("models", "import", site / "tiny.tar", "--config", "calm-mel_2bar")
    assert done.returncode == 0, done.stderr
    record = model_folder.read_record(model_cache.place("tiny"))
    assert record["imported_from"]["sha256"] == output_folder.sha256(site / "tiny.tar")
    (site / "tiny.tar").unlink()
    opened = find_model.open_model("tiny")
    assert opened.form == "model folder" and opened.spec.shape() == SPEC.shape()
    assert all(np.array_equal(opened.weights[n], value) for n, value in WEIGHTS.items())
    with pytest.raises(OptionError, match="there is a model tiny already"):
        run_models.import_model(str(site / "tiny.ckpt"), None, "calm-mel_2bar", Console())
    assert sorted(p.name for p in (model_cache.root() / "models").iterdir()) == ["tiny"]
    assert [v.state for v in fetch_model.verify("tiny")] == ["ok"]
    assert json.loads(run_calmvae("models", "list", "--here", "--json").stdout)["tiny"]["here"] == "imported"


def test_a_failed_import_leaves_nothing(site, monkeypatch):
    def fail(*_: object) -> None:
        raise ModelError("no")

    monkeypatch.setattr(model_folder, "write", fail)
    with pytest.raises(ModelError, match="no"):
        run_models.import_model(str(site / "tiny.ckpt"), "mine", "calm-mel_2bar", Console())
    assert list((model_cache.root() / "models").iterdir()) == []


@pytest.mark.parametrize("quantize", [None, "uint16"])
def test_export_to_magenta_js_and_back(tiny_model, tmp_path, capsys, quantize):
    run_models.export(str(tiny_model), tmp_path / "js", None, run_models.Form("magenta-js", False, quantize), Console())
    assert "weights_manifest.json" in capsys.readouterr().out
    back, before = find_model.open_model(tmp_path / "js"), open_model.load_model(tiny_model)
    assert back.spec.shape() == before.spec.shape()
    off = max(np.abs(back.weights[n] - value).max() for n, value in before.engine.weights.items())
    assert off == 0 if quantize is None else 0 < off < 1e-4


def test_export_of_three_levels_brings_its_adapter(tiny_model_16bar, tmp_path, capsys):
    run_models.export(str(tiny_model_16bar), tmp_path / "js", None, run_models.Form("magenta-js"), Console())
    assert (tmp_path / "js" / "levels.js").is_file() and "levels.js" in capsys.readouterr().err
