"""Every command of pretrained/COMMANDS.md, run as it stands there against a mirror of small checkpoints."""

from __future__ import annotations

import functools
import http.server
import re
import shlex
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from calmvae.checkpoints import magenta_js, registry
from calmvae.model import config_catalog, model_spec
from tests.conftest import ROOT, run_calmvae
from tests.random_checkpoints import save_random
from tests.test_run_models import Quiet
from tests.test_train_magenta import write_band

TEXT = (ROOT / "pretrained" / "COMMANDS.md").read_text(encoding="utf-8")
TITLES, BLOCKS = re.findall(r"^## (.*)$", TEXT, re.M), re.findall(r"^```\n(.*?)^```", TEXT, re.M | re.S)
SECTIONS = dict(zip(TITLES, BLOCKS, strict=True))


def fetched_by(section: str) -> list[str]:
    return [name for line in re.findall(r"models fetch (.*)", section) for name in line.split()]


def stand_in(entry: registry.Entry, site: Path) -> None:
    """A small checkpoint with random weights, as the entry's kind is published, under its path."""
    place = site / urlsplit(entry.address).path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind == "magenta-js":
        sizes = {"z_size": 8, "enc_rnn_size": [12], "dec_rnn_size": [16, 16]}
        levels = (16, 16) if entry.bars == 16 else None
        spec = model_spec.with_hparams(model_spec._calm("js", 16 * entry.bars, levels), sizes)
        rng = np.random.default_rng(0)
        shapes = magenta_js.numpy_engine.weight_shapes(spec)
        weights = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
        magenta_js.export(place, spec, weights, "uint16" if entry.name.endswith("_q2") else None)
    elif entry.kind == "checkpoint":
        save_random(entry.config, place)
    else:
        prefix = Path(save_random(entry.config, site / "scratch" / entry.name / f"{entry.name}.ckpt"))
        with tarfile.open(place, "w") as archive:
            for file in sorted(prefix.parent.glob(f"{prefix.name}.*")):
                archive.add(file, file.name)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The registry's files on loopback: the environment that makes calmvae use them."""
    folder = tmp_path_factory.mktemp("mirror")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = (ROOT / "pretrained" / "registry.toml").read_text(encoding="utf-8")
    text = re.sub(r'address = "https://[^/]+/', f'address = "http://127.0.0.1:{server.server_address[1]}/', text)
    # What is known of the published files does not hold for those that stand in.
    text = re.sub(r"\[\[models\.[^\]]*\.files\]\]\n(?:\w+ = .*\n)+", "", text)
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    for name in {name for section in SECTIONS.values() for name in fetched_by(section)}:
        stand_in(registry.get(name), folder)
    none = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "")
    yield {"CALMVAE_REGISTRY": str(folder / "registry.toml"), "CALMVAE_CACHE": str(folder / "cache"), **none}
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_commands(section, mirror, tmp_path):
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    for k, name in enumerate(("a", "b")):
        write_band(tmp_path / "MY_BANDS" / f"{name}.mid", k)
    if section == "Anything else":
        run_calmvae("models", "fetch", "hierdec-mel_16bar", cwd=tmp_path, **mirror)
    for line in SECTIONS[section].splitlines():
        program, *words = shlex.split(line)
        assert program == "calmvae"
        words = ["2" if word == "2000" else word for word in words]
        if words[0] == "train":
            words += ["--eval-every", "2", "--save-every", "2", "--sample-every", "0"]
        if words[0] in ("sample", "interpolate"):
            words += ["--no-sound", "--no-picture"]
        done = run_calmvae(*words, cwd=tmp_path, **mirror)
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


def test_every_release_of_the_readme_has_commands():
    named = {name for section in SECTIONS.values() for name in fetched_by(section)}
    entries = registry.entries()
    tars = {name for name, entry in entries.items() if entry.kind == "tar" and not re.match("colab|bundled", name)}
    assert tars <= named and named <= set(entries)


def test_the_table_has_every_config():
    table = (ROOT / "pretrained" / "README.md").read_text(encoding="utf-8")
    for name in config_catalog.names():
        assert name.startswith("calm") or re.search(rf"\b{re.escape(name)}\b", table), name
