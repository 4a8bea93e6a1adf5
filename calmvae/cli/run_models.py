"""The commands `calmvae models ...`, a function each."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from calmvae.checkpoints import (
    fetch_model,
    find_model,
    magenta_js,
    model_cache,
    model_folder,
    open_model,
    registry,
    tf_checkpoint,
)
from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.common.text import command
from calmvae.model import config_catalog

FORMATS = ("calmvae", "magenta", "magenta-js")


@dataclasses.dataclass(frozen=True)
class Form:
    """The form to export: one of `FORMATS`, float16 or not, quantised for magenta-js or not."""

    name: str
    half: bool = False
    quantize: str | None = None

    def check(self) -> None:
        """Raises an `OptionError` if these options do not go together."""
        if self.name not in FORMATS:
            raise OptionError(f"--format is '{self.name}'; choose one of {', '.join(FORMATS)}.")
        if self.half and self.name != "calmvae":
            raise OptionError(f"--half goes with --format calmvae, not {self.name}.")
        if self.quantize and self.name != "magenta-js":
            raise OptionError(f"--quantize goes with --format magenta-js, not {self.name}.")


def list_models(here: bool, console: Console) -> None:
    """A line for each model: where it is, its window, size and purpose."""
    own = model_folder.of_package("own_model")
    rows = {
        name: _row("embedded", own / name) | {"what": "calmvae's own, see its card"} for name in model_folder.embedded()
    }
    for name in model_cache.kept():
        if folder := model_cache.imported_folder(name):
            place = model_folder.read_record(folder).get("imported_from", {}).get("place", "elsewhere")
            rows[name] = _row("imported", folder)
            rows[name]["what"] = f"{rows[name]['config']}, from {place}"
    for name, entry in registry.entries().items():
        if name not in rows:
            where = "fetched" if model_cache.fetched(name) else ""
            rows[name] = {"here": where, "bars": entry.bars, "mb": entry.size_mb, "config": entry.config}
            rows[name] |= {"what": entry.what, "licence": entry.licence}
    shown = {name: row for name, row in rows.items() if row["here"] or not here}
    lines = [
        f"{name:<36} {row['here']:<9} {row['bars'] or '':>2} {'bars' if row['bars'] else '    '} "
        f"{row['mb'] or 0:>7.1f} MB  {row['what']}"
        for name, row in shown.items()
    ]
    console.result(shown, *lines, f"{len(lines)} models; calmvae models show NAME describes one.")


def _row(here: str, folder: Path) -> dict[str, Any]:
    """Where a model folder is from, its window, size and config."""
    record = model_folder.read_record(folder)
    config = record.get("config") or record["spec"]["name"]
    bars = record["spec"]["bars"] if "spec" in record else config_catalog.bars(config)
    megabytes = round((folder / model_folder.WEIGHTS_FILE).stat().st_size / 1e6, 1)
    return {"here": here, "bars": bars, "mb": megabytes, "config": config}


def show(name: str, config: str | None, console: Console) -> None:
    """Prints everything that is known of a model."""
    entry = registry.find(name)
    about: dict[str, Any] = {"name": name}
    if entry:
        about |= {"published": {k: v for k, v in dataclasses.asdict(entry).items() if k != "name" and v}}
    if entry and not model_cache.fetched(name) and not model_cache.imported_folder(name):
        lines = [f"{name}: {entry.what}; not here yet ({entry.size_mb} MB); run: calmvae models fetch {name}"]
    else:
        about |= described(find_model.open_model(name, config))
        lines = [
            f"{name}: {about['form']} at {about['place']}",
            f"config {about['config']} (known from {about['told_by']}), {about['parameters'] / 1e6:.1f} M parameters"
            + (f", {about['bars']} bars, {about['decoder']}" if about["bars"] else ", run by Magenta"),
            f"SHA-256 {about['sha256'] or 'of several files, see calmvae models verify'}",
            *(f"{key}: {value}" for key, value in about["sizes"].items()),
        ]
    if entry:
        lines += [f"config of Magenta's: {entry.config or 'none; ' + entry.structure}", f"licence: {entry.licence}"]
        lines += [f"listed at: {entry.source}", f"address: {entry.address}"]
    console.result(about, *lines)


def described(opened: find_model.Opened) -> dict[str, Any]:
    """What is known of an opened model, JSON-ready."""
    spec = opened.spec
    sizes = {name: spec.hparams[name] for name in ("z_size", "enc_rnn_size", "dec_rnn_size")} if spec else {}
    levels = {"level_lengths": spec.level_lengths, "encoder_lengths": spec.encoder_lengths} if spec else {}
    return {
        "form": opened.form,
        "place": str(opened.place),
        "config": opened.config,
        "told_by": opened.told_by,
        "bars": spec.bars if spec else None,
        "decoder": spec.decoder if spec else None,
        "parameters": opened.parameters(),
        "sizes": sizes | {name: list(value) for name, value in levels.items() if value} | opened.hparams,
        "sha256": find_model.sha256_of(opened),
        "meta": opened.meta,
    }


def fetch(names: list[str], again: bool, console: Console) -> None:
    """Fetches published models."""
    done: dict[str, Any] = {}
    for name in names:
        entry = registry.get(name)
        with console.progress(name, size=True) as progress:
            folder = fetch_model.fetch(name, lambda _, now, total: progress(now, total), console.remark, again)
        done[name] = {"folder": str(folder), "files": model_cache.read_record(name)}
        for file, about in done[name]["files"].items():
            if about["known"] == "first use":
                console.remark(
                    f"{file}: no SHA-256 of it is known; {about['sha256']} is trusted from now on "
                    f"(calmvae models verify {name} compares)."
                )
        tried = "" if entry.kind == "bundle" else f" Try it: {command('sample', '--model', name)}"
        console.say(f"{name}: {folder}.{tried}")
    console.result(done)


def verify(names: list[str], console: Console) -> None:
    """Compares files with their record.

    Raises:
      ModelError: a file was changed or is missing.
    """
    embedded = model_folder.embedded()
    verdicts: list[fetch_model.Verdict] = []
    for name in names or [*embedded, *model_cache.kept()]:
        if name in embedded:
            verdicts.append(fetch_model.verify_folder(name, model_folder.of_package("own_model") / name))
        else:
            verdicts += fetch_model.verify(name)
    lines = [f"{v.state:<8} {v.name}/{v.file}  {v.sha256}  (known by {v.known})" for v in verdicts]
    bad = [v for v in verdicts if v.state in ("changed", "missing")]
    console.result({"files": [dataclasses.asdict(v) for v in verdicts]}, *lines)
    if bad:
        first = bad[0]
        raise ModelError(
            f"{len(bad)} of {len(verdicts)} files are not as recorded, and {first.name}/{first.file} is {first.state}; "
            f"run: calmvae models fetch {first.name} --again"
        )


def path(name: str, console: Console) -> None:
    """Prints the path of a model, for other programs."""
    found = model_folder.find(name) or model_cache.imported_folder(name) or model_cache.fetched(name)
    if not found:
        # Says what is missing.
        found = find_model.open_model(name).place
    console.say(str(found))


def import_model(source: str, name: str | None, config: str | None, console: Console) -> None:
    """Writes a model folder into the cache."""
    opened = find_model.open_model(source, config)
    name = name or _name_of(opened.place)
    folder = model_cache.place(name)
    if name in model_folder.embedded() or (folder.exists() and any(folder.iterdir())):
        raise OptionError(f"there is a model {name} already ({folder}); choose another name with --name.")
    meta = _carried(opened.meta)
    meta["imported_from"] = {"place": source, "form": opened.form, "told_by": opened.told_by}
    meta["imported_from"]["sha256"] = find_model.sha256_of(opened)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".import-"))
    try:
        if opened.spec:
            model_folder.write(scratch, opened.spec, opened.weights, meta)
        else:
            model_folder.write_other(scratch, opened.config, opened.hparams, opened.weights, meta)
        if folder.exists():
            folder.rmdir()
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    about = described(find_model.open_model(name))
    console.result(
        about,
        f"{name}: {opened.config} (known from {opened.told_by}), {about['parameters'] / 1e6:.1f} M parameters.",
        f"It is kept in {folder}.",
        f"Try it: {command('sample', '--model', name)}",
    )


def _carried(meta: dict[str, Any]) -> dict[str, Any]:
    """The entries of a model.json that do not describe the file of weights, which is written again."""
    return {k: v for k, v in meta.items() if k not in ("parameters", "dtype", "sha256")}


def _name_of(place: Path) -> str:
    name = re.sub(r"(\.ckpt)?(-\d+)?$", "", re.sub(r"\.(tar|tgz)(\.\w+)?$", "", place.name))
    return re.sub(r"[^A-Za-z0-9._+-]", "-", name) or "model"


def export(model: str, out: Path, config: str | None, form: Form, console: Console) -> None:
    """Writes a model folder, a TensorFlow checkpoint under Magenta's names, or what magenta-js fetches."""
    form.check()
    opened = open_model.load_numpy_model(model, config)
    weights = opened.engine.weights
    arguments = {"model": model, "format": form.name, "half": form.half, "quantize": form.quantize}
    remarks = []
    with output_folder.OutputFolder(out, "export", arguments) as folder:
        if form.name == "calmvae":
            made = folder.path(model_folder.SPEC_FILE).parent
            folder.path(model_folder.WEIGHTS_FILE)
            model_folder.write(made, opened.spec, weights, _carried(opened.meta), form.half)
        elif form.name == "magenta":
            prefix = folder.path("checkpoint").parent / "model.ckpt"
            tf_checkpoint.write_weights(prefix, opened.spec, weights, int(opened.meta.get("step", 0)))
            for file in sorted(prefix.parent.glob("model.ckpt.*")):
                folder.path(file.name)
            output_folder.write_json(folder.path("spec.json"), opened.spec.to_json())
        else:
            written = magenta_js.export(folder.path, opened.spec, weights, form.quantize)
            folder.record["magenta_js"] = written
            if written["adapter"]:
                remarks.append(
                    "magenta-js does not know the levels of this model; load the folder with its levels.js, whose "
                    "first lines say how."
                )
        folder.record |= {"model": opened.describe(), "remarks": remarks}
    console.remark(*remarks)
    console.result(folder.record, f"{out}: {', '.join(folder.record['outputs'])}")
