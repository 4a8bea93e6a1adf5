"""What the commands do: one function each, from parsed options to files and sentences."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calmvae import catalog, compose, configs, corpus, folders, midi, models, opening, other_configs, outputs, render
from calmvae.console import Console, say_records
from calmvae.errors import InputError, ModelError, OptionError
from calmvae.made import Made
from calmvae.phrases import STEPS_PER_BAR
from calmvae.piece import Piece
from calmvae.text import command, count

DEMO_PIECES = ("brahms_wiegenlied.mid", "schumann_traeumerei.mid")


@dataclasses.dataclass(frozen=True)
class Making:
    """Options that all generating commands share."""

    model: str
    config: str | None
    temperature: float
    seed: int
    picture: bool = True
    sound: bool = True
    engine: str = "numpy"

    def load(self) -> models.Model:
        """The model."""
        return models.load_model(self.model, self.config, self.engine, self.seed)


def interpolate(a: Path, b: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes joined.mid/.wav/.png and steps/NN.mid."""
    first, second = midi.read_piece(a), midi.read_piece(b)
    opened = opening.open_model(making.model, making.config)
    model: Any
    if opened.spec is None:
        from calmvae import other_interpolation

        model = other_configs.of_opened(opened)
        make = functools.partial(other_interpolation.interpolate, a, b, model)
    else:
        model = models.of_opened(opened, making.engine, making.seed)
        options["endpoints"] = options.get("endpoints") or "original"
        make = functools.partial(compose.interpolate, first, second, model)
    arguments = {"a": a, "b": b, **dataclasses.asdict(making), **options}
    with outputs.OutputFolder(out, "interpolate", arguments) as folder:
        folder.add_inputs([a, b])
        made = make(temperature=making.temperature, seed=making.seed, **options)
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": made.remarks}
        _write(folder, "joined", made, making)
        for k, part in enumerate(made.parts, 1):
            midi.write_midi(part, folder.path(f"steps/{k:02d}.mid"))
    for remark in made.remarks:
        console.remark(remark)
    for name, accuracy in zip(("A", "B"), made.info["reconstruction_accuracy"], strict=True):
        console.remark(f"The model gives back {accuracy:.0%} of {name}.")
    length = _length(made.piece)
    console.result(
        folder.record,
        f"{out}: {len(made.parts)} steps of {count(made.info['bars_per_step'], 'bar')} in one piece of {length}.",
    )


def sample(
    n: int,
    out: Path,
    making: Making,
    console: Console,
    bars: int | None = None,
    chords: str | None = None,
    prior: str = "standard",
    **style: Any,
) -> None:
    """Writes sample-NN.mid/.wav/.png; of melody configs 16 bars by default, of others their window."""
    options = {"temperature": making.temperature, "seed": making.seed, **style}
    opened = opening.open_model(making.model, making.config)
    if opened.spec is None:
        if prior != "standard":
            raise OptionError(f"--prior is '{prior}', which only melody models have; {opened.config} is none.")
        other = other_configs.of_opened(opened)
        describe, generate = other.describe, functools.partial(other.sample, bars=bars, chords=chords, **options)
    elif chords is not None:
        raise OptionError("--chords goes with a config that plays over chords, such as cat-mel_2bar_med_chords.")
    else:
        model, bars = models.of_opened(opened, making.engine, making.seed), 16 if bars is None else bars
        options["prior"] = prior_of(prior, model)
        describe, generate = model.describe, functools.partial(compose.sample, model, bars=bars, **options)
    arguments = {"n": n, **dataclasses.asdict(making), "bars": bars, "chords": chords, "prior": prior, **style}
    with outputs.OutputFolder(out, "sample", arguments) as folder:
        made = generate(n=n)
        with console.progress("samples") as progress:
            for k, one in enumerate(made, 1):
                _write(folder, f"sample-{k:02d}", one, making, _origin(making.model, prior, one.info["prior"]))
                progress(k, n)
        remarks = [remark for one in made for remark in one.remarks]
        folder.record |= {"model": describe(), "result": [one.info for one in made], "remarks": remarks}
    for remark in remarks:
        console.remark(remark)
    bars = round(made[0].sections[-1].end / 4)
    console.result(
        folder.record,
        f"{out}: {count(n, 'sample')} of {count(bars, 'bar')}, {_length(made[0].piece)} each.",
    )


def _origin(model: str, given: str, used: Any) -> str:
    """Model and prior of a sample, by what was asked for and what run.json says of the prior."""
    name = used if isinstance(used, str) else used["name"]
    return f"{Path(model).name}, {name} prior{'' if given == name else f' of {given}'}"


def prior_of(name: str, model: models.Model) -> Any:
    """The prior to draw from; None for the standard one."""
    if name == "standard":
        return None
    from calmvae import calming, personal

    folder = None if name in ("calm", "personal") else Path(name)
    if folder and not folder.is_dir():
        raise OptionError(f"--prior is '{name}'; choose standard, calm, personal, or the folder of one.")
    if name == "calm" or (folder and (folder / calming.PRIOR_FILE).is_file()):
        return calming.load_prior(model, folder)
    return personal.load_prior(model, folder)


def reconstruct(piece: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes reconstruction.mid/.wav/.png."""
    make = functools.partial(compose.reconstruct, temperature=making.temperature, seed=making.seed, **options)
    _remake(piece, out, making, console, ("reconstruct", "reconstruction"), make, options)


def calm(piece: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes calm.mid/.wav/.png."""
    from calmvae import calmer

    _remake(piece, out, making, console, ("calm", "calm"), functools.partial(calmer.calm, **options), options)


def journey(
    given: tuple[Path | None, Path | None],
    from_model: bool,
    out: Path,
    making: Making,
    console: Console,
    **options: Any,
) -> None:
    """Writes journey.mid/.wav/.png; of one piece alone a journey to its own calm."""
    from calmvae import journey as journeys

    a, b = given
    if from_model == bool(a):
        raise OptionError(
            "a journey starts from a piece, calmvae journey A.mid [B.mid], or with --from-model from none."
        )
    melody, tracks, starts = (options.pop(name) for name in ("melody", "tracks", "start_bars"))
    paths = [path for path in given if path]
    pieces = [midi.read_piece(path) for path in paths]
    model = making.load()
    arguments = {"a": a, "b": b, "from_model": from_model, **dataclasses.asdict(making), **options}
    arguments |= {"melody": melody, "tracks": tracks, "start_bars": starts}
    remarks: list[str] = []
    with outputs.OutputFolder(out, "journey", arguments) as folder:
        folder.add_inputs(paths)
        if from_model:
            sources = [journeys.of_model(model, calm, making.seed) for calm in (False, True)]
        else:
            sources = [
                journeys.of_piece(piece, model, melody, track, start, remarks)
                for piece, track, start in zip(pieces, tracks, starts, strict=False)
            ]
        with console.progress("phrases") as progress:
            made = journeys.journey(sources[0], sources[-1], model, seed=making.seed, progress=progress, **options)
        remarks += made.remarks
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": remarks}
        _write(folder, "journey", made, making)
    for remark in remarks[:-1]:
        console.remark(remark)
    console.result(folder.record, f"{out}: {_length(made.piece)}, {remarks[-1]}")


def _remake(
    piece: Path,
    out: Path,
    making: Making,
    console: Console,
    names: tuple[str, str],
    make: Callable[[Piece, models.Model], Made],
    options: dict[str, Any],
) -> None:
    """What a command makes of one piece; `names` are the command's and the files'. The last remark is its result."""
    which, name = names
    given = midi.read_piece(piece)
    model = making.load()
    with outputs.OutputFolder(out, which, {"piece": piece, **dataclasses.asdict(making), **options}) as folder:
        folder.add_inputs([piece])
        made = make(given, model)
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": made.remarks}
        _write(folder, name, made, making)
    *before, last = made.remarks
    for remark in before:
        console.remark(remark)
    console.result(folder.record, f"{out}: {last}")


def convert(
    paths: list[Path], out: Path, config: str, eval_share: float, seed: int, workers: int | None, console: Console
) -> None:
    """Writes train-*.tfrecord, eval-*.tfrecord and manifest.jsonl."""
    summary = _convert(paths, out, catalog.known(config), eval_share, seed, workers, console)
    if catalog.is_other(config):
        from calmvae import other_training

        other_training.say_converted(out, config, console.remark)
    say_records(corpus.read_manifest(out), console)
    skipped = sum(summary.skipped.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.skipped.items())
    more = summary.entries - summary.files
    books = f" ({more} more in tune books)" if more else ""
    console.result(
        {"out": str(out), **dataclasses.asdict(summary)},
        f"{out}: {summary.entries} pieces read from {summary.files} files{books}"
        f" = {summary.kept} kept ({summary.train} to train, {summary.eval} held out) + {skipped} skipped"
        f"{f' ({reasons})' if reasons else ''}.",
        f"{summary.notes} notes, {count(summary.windows, 'window')} for {config}; "
        f"{count(summary.other_files, 'other file')} ignored.",
    )


def build_corpus(given: list[str], out: Path, console: Console, **options: Any) -> None:
    """Writes train-*.tfrecord, eval-*.tfrecord, manifest.jsonl and DATA.md."""
    from calmvae import gather

    with console.progress("reading") as progress:
        built = gather.build(given, out, progress=progress, say=console.remark, **options)
    say_records(corpus.read_manifest(out), console)
    summary = built.summary
    counted = {bars: sum(c["windows"][bars]["train"]["kept"] for c in built.collections.values()) for bars in (2, 16)}
    console.result(
        {"out": str(out), **dataclasses.asdict(built)},
        f"{out}: {summary.entries} pieces in {built.families} tune families = {summary.kept} kept ({summary.train} to "
        f"train, {summary.eval} held out) + {sum(summary.skipped.values())} skipped.",
        f"To train on: {counted[2]} windows of 2 bars, {counted[16]} of 16 bars. {out / gather.CARD_FILE} has it all.",
    )


def _convert(
    paths: list[Path],
    out: Path,
    config: str,
    eval_share: float,
    seed: int,
    workers: int | None,
    console: Console,
) -> Any:
    split: dict[str, Any] = {"eval_share": eval_share, "seed": seed}
    if catalog.is_other(config):
        split |= {"steps": catalog.bars(config) * STEPS_PER_BAR, "config": config}
    else:
        split["steps"] = catalog.get_spec(config).steps
    with console.progress("converting") as progress:
        return corpus.convert(paths, out, **split, workers=workers, progress=progress)


def train(data: list[Path], out: Path, config: str | None, settings: list[str], options: Any, console: Console) -> None:
    """Fills a run folder."""
    from calmvae import other_training, training

    other = other_training.to_train(config, options)
    if other:
        name, start = other
        go = functools.partial(other_training.train, name, settings=settings, start=start)
    else:
        spec = training.spec_to_train(config, settings, options.init, out)
        name, go = spec.name, functools.partial(training.train, spec)
    source = data_set_of(data, out.with_name(f"{out.name}-data"), name, options.seed, console)

    def report(progress: training.Progress) -> None:
        bits = progress.scalars.get("losses/kl_bits", 0.0)
        line = f"step {progress.step}  loss {progress.scalars['loss']:.2f}  KL {bits:.1f} bits"
        line += f"  {progress.examples_per_second:.0f} examples/s"
        if progress.metrics:
            line += f"  {progress.metrics.words()}"
            line += " (best)" if progress.best else ""
        console.remark(line)

    result = go(data=source, run=out, options=options, report=report, say=console.remark)
    console.result(
        {"run": str(out), **dataclasses.asdict(result)},
        f"{out}: {result.reason} at step {result.step}; {result.words()}. Try it: {command('sample', '--model', out)}",
    )
    if result.reason == "interrupted":
        raise SystemExit(130)


def data_set_of(data: list[Path], folder: Path, config: str, seed: int, console: Console) -> Path:
    """One converted folder or TFRecord as it is; music files and folders of them are converted first."""
    if is_data_set(data):
        return data[0]
    if len(data) == 1 and not data[0].exists():
        raise InputError(f"{data[0]} does not exist; give a converted folder, a .tfrecord or music files.")
    if _converted_before(folder, data, config if catalog.is_other(config) else None):
        console.remark(f"Using {folder}, converted before; delete it to convert afresh.")
        return folder
    console.remark(f"Converting {', '.join(map(str, data))} to {folder}.")
    _convert(data, folder, config, 0.1, seed, None, console)
    say_records(corpus.read_manifest(folder), console)
    return folder


def is_data_set(data: list[Path]) -> bool:
    """True for one TFRecord or one converted folder, false for music."""
    return len(data) == 1 and (data[0].suffix == ".tfrecord" or any(data[0].glob("*.tfrecord")))


def _converted_before(folder: Path, data: list[Path], config: str | None) -> bool:
    try:
        record = json.loads((folder / outputs.RUN_FILE).read_text(encoding="utf-8"))
        given = record["arguments"]["paths"], record["arguments"].get("config")
        return bool(given == ([str(path) for path in data], config) and "outputs" in record)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def list_configs(with_magenta: bool, console: Console) -> None:
    """Names, window, size and purpose of the configs."""
    import numpy as np

    from calmvae import runtime

    rows: dict[str, dict[str, Any]] = {}
    for name, spec in configs.CALM_SPECS.items():
        parameters = sum(int(np.prod(shape)) for shape in runtime.weight_shapes(spec).values())
        rows[name] = {"bars": spec.bars, "decoder": spec.decoder, "parameters": parameters, "hparams": spec.hparams}
    lines = [
        f"{name:<20} {row['bars']:>3} bars  {row['decoder']:<12} {row['parameters'] / 1e6:6.1f} M parameters"
        for name, row in rows.items()
    ]
    for name in catalog.names()[len(rows) :] if with_magenta else ():
        melodies, bars = catalog.spec(name), catalog.bars(name)
        decoder = melodies.decoder if melodies else None
        rows[name] = {"bars": bars, "decoder": decoder}
        lines.append(f"{name:<45} {bars:>3} bars  {decoder or 'through Magenta and TensorFlow'}")
    console.result(rows, *lines)


def demo(out: Path, seed: int, console: Console) -> None:
    """Interpolates two embedded pieces."""
    folder = folders.of_package("resources") / "pieces"
    a, b = (folder / name for name in DEMO_PIECES)
    if not folders.embedded():
        raise ModelError("no embedded model is installed; install calmvae from a whole checkout.")
    console.say(f"calmvae interpolate {a.name} {b.name} --track-a melody --track-b melody -o {out}")
    making = Making(models.DEFAULT_MODEL, None, 0.0, seed)
    options = {"steps": 8, "bars": 4, "melody": "skyline", "tracks": ("melody", "melody")}
    interpolate(a, b, out, making, console, **options)


def _write(folder: outputs.OutputFolder, name: str, made: Made, making: Making, origin: str = "") -> None:
    """The piece as .mid, .png and .wav; the picture's title is the piece's name, or where it comes from."""
    midi.write_midi(made.piece, folder.path(f"{name}.mid"))
    if making.sound:
        render.write_wav(made.piece, folder.path(f"{name}.wav"))
    if making.picture:
        subtitle = f"seed {making.seed}" if origin else f"{Path(making.model).name}, seed {making.seed}"
        picture = folder.path(f"{name}.png")
        style: dict[str, Any] = {"title": origin or made.piece.name, "subtitle": subtitle, "sections": made.sections}
        if "plan" in made.info:
            from calmvae import calmplot

            style["above"] = calmplot.journey_plan(made.info)
        if made.beside:
            # What was made of the given melody is seen on top of it.
            render.write_piano_roll(_together(made.piece, made.beside), picture, behind=0, **style)
        else:
            render.write_piano_roll(made.piece, picture, **style)


def _together(piece: Piece, beside: Piece) -> Piece:
    """Both pieces in one roll, as two tracks."""
    lifted = [dataclasses.replace(n, track=n.track + 1) for n in piece.notes]
    names = beside.track_names | {k + 1: v for k, v in piece.track_names.items()}
    return dataclasses.replace(piece, notes=beside.notes + lifted, track_names=names)


def _length(piece: Piece) -> str:
    minutes, seconds = divmod(round(piece.duration), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
