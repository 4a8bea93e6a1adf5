"""The commands that make pieces: interpolate, sample, reconstruct, calm, journey, demo."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calmvae.checkpoints import model_folder, open_model
from calmvae.cli.console import Console
from calmvae.cli.option_groups import Excerpts, Making
from calmvae.common import output_folder
from calmvae.common.errors import ModelError, OptionError
from calmvae.common.text import count, percent
from calmvae.generate import interpolation, reconstruction, sampling
from calmvae.generate.made_piece import Made
from calmvae.midi import audio, piano_roll, read_music, write_midi
from calmvae.midi.piece import Piece
from calmvae.model.interface import Model
from calmvae.model.numpy_model import NumpyModel
from calmvae.model.voice_model import VoiceModel

DEMO_PIECES = ("brahms_wiegenlied.mid", "schumann_traeumerei.mid")


def interpolate(a: Path, b: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes joined.mid/.wav/.png and steps/NN.mid."""
    first, second = read_music.read_piece(a), read_music.read_piece(b)
    model = _model(making)
    options["endpoints"] = options.get("endpoints") or model.endpoints
    arguments = {"a": a, "b": b, **making.arguments(), **options}
    with output_folder.OutputFolder(out, "interpolate", arguments) as folder:
        folder.add_inputs([a, b])
        made = interpolation.interpolate(
            first, second, model, temperature=making.temperature, seed=making.seed, **options
        )
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": made.remarks}
        _write(folder, "joined", made, making)
        for k, part in enumerate(made.parts, 1):
            write_midi.write_midi(part, folder.path(f"steps/{k:02d}.mid"))
    console.remark(*made.remarks)
    for name, accuracy in zip(("A", "B"), made.info["reconstruction_accuracy"], strict=True):
        console.remark(f"The model reconstructs {percent(accuracy)} of {name}.")
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
    model = _model(making)
    drawn_from = prior_of(prior, model)
    bars = model.sample_bars if bars is None else bars
    if making.temperature is None:
        making = dataclasses.replace(making, temperature=model.sample_temperature)
    arguments = {"n": n, **making.arguments(), "bars": bars, "chords": chords, "prior": prior, **style}
    with output_folder.OutputFolder(out, "sample", arguments) as folder:
        options: dict[str, Any] = {"temperature": making.temperature, "seed": making.seed, **style}
        made = sampling.sample(model, n, bars=bars, chords=chords, prior=drawn_from, **options)
        with console.progress("samples") as progress:
            for k, one in enumerate(made, 1):
                _write(folder, f"sample-{k:02d}", one, making, _origin(making.model, prior, one.info["prior"]))
                progress(k, n)
        remarks = [remark for one in made for remark in one.remarks]
        folder.record |= {"model": model.describe(), "result": [one.info for one in made], "remarks": remarks}
    console.remark(*remarks)
    bars = bars or round(made[0].sections[-1].end / 4)
    console.result(
        folder.record,
        f"{out}: {count(n, 'sample')} of {count(bars, 'bar')}, {_length(made[0].piece)} each.",
    )


def _origin(model: str, given: str, used: Any) -> str:
    """Model and prior of a sample, by what was asked for and what run.json says of the prior."""
    name = used if isinstance(used, str) else used["name"]
    return f"{Path(model).name}, {name} prior{'' if given == name else f' of {given}'}"


def prior_of(name: str, model: Model) -> Any:
    """The prior to draw from; None for the standard one."""
    if name == "standard":
        return None
    if not isinstance(model, NumpyModel):
        raise OptionError(f"--prior is '{name}', but {model.name} has no priors; leave --prior out.")
    from calmvae.latent import calm_prior, personal_prior

    folder = None if name in ("calm", "personal") else Path(name)
    if folder and not folder.is_dir():
        raise OptionError(f"--prior is '{name}'; choose standard, calm, personal, or the folder of one.")
    if name == "calm" or (folder and (folder / calm_prior.PRIOR_FILE).is_file()):
        return calm_prior.load_prior(model, folder)
    return personal_prior.load_prior(model, folder)


def reconstruct(piece: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes reconstruction.mid/.wav/.png."""
    make = functools.partial(reconstruction.reconstruct, temperature=making.temperature, seed=making.seed, **options)
    _remake(piece, out, making, _model, console, ("reconstruct", "reconstruction"), make, options)


def calm(piece: Path, out: Path, making: Making, console: Console, **options: Any) -> None:
    """Writes calm.mid/.wav/.png."""
    from calmvae.generate import calm_piece

    make = functools.partial(calm_piece.calm, **options)
    _remake(piece, out, making, _numpy_model, console, ("calm", "calm"), make, options)


def journey(
    given: tuple[Path | None, Path | None],
    from_model: bool,
    out: Path,
    making: Making,
    console: Console,
    excerpts: Excerpts,
    **options: Any,
) -> None:
    """Writes journey.mid/.wav/.png; of one piece alone a journey to its own calm."""
    from calmvae.generate import journey as journeys

    a, b = given
    if from_model == bool(a):
        raise OptionError(
            "a journey needs one start; give a piece (calmvae journey A.mid [B.mid]), or --from-model and no piece."
        )
    paths = [path for path in given if path]
    pieces = [read_music.read_piece(path) for path in paths]
    model = open_model.load_melody_model(making.model, making.config)
    arguments = {"a": a, "b": b, "from_model": from_model, **making.arguments(), **options, **excerpts.arguments()}
    remarks: list[str] = []
    with output_folder.OutputFolder(out, "journey", arguments) as folder:
        folder.add_inputs(paths)
        if from_model:
            sources = [journeys.of_model(model, calm, making.seed) for calm in (False, True)]
        else:
            _, tracks, starts = excerpts.arguments().values()
            sources = [
                journeys.of_piece(piece, model, excerpts.melody, track, start, remarks)
                for piece, track, start in zip(pieces, tracks, starts, strict=False)
            ]
        with console.progress("phrases") as progress:
            made = journeys.journey(sources[0], sources[-1], model, seed=making.seed, progress=progress, **options)
        remarks += made.remarks
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": remarks}
        _write(folder, "journey", made, making)
    console.remark(*remarks[:-1])
    console.result(folder.record, f"{out}: {_length(made.piece)}, {remarks[-1]}")


def _remake(
    piece: Path,
    out: Path,
    making: Making,
    load: Callable[[Making], Model],
    console: Console,
    names: tuple[str, str],
    make: Callable[[Piece, Any], Made],
    options: dict[str, Any],
) -> None:
    """Runs a command that makes one piece from another. `names` are those of the command and of its files.

    The last remark is the result of the command.
    """
    which, name = names
    given, model = read_music.read_piece(piece), load(making)
    with output_folder.OutputFolder(out, which, {"piece": piece, **making.arguments(), **options}) as folder:
        folder.add_inputs([piece])
        made = make(given, model)
        folder.record |= {"model": model.describe(), "result": made.info, "remarks": made.remarks}
        _write(folder, name, made, making)
    console.remark(*made.remarks[:-1])
    console.result(folder.record, f"{out}: {made.remarks[-1]}")


def _model(making: Making) -> Model:
    return _of_voices(making, open_model.load_model(making.model, making.config))


def _numpy_model(making: Making) -> Model:
    return _of_voices(making, open_model.load_numpy_model(making.model, making.config))


def _of_voices(making: Making, model: Model) -> Model:
    """The model, if it takes the voices that were asked for."""
    if making.voices == "melody" and isinstance(model, VoiceModel):
        raise OptionError(
            f"--voices is 'melody', but {making.model} takes all voices; leave --model out, or name a model of "
            f"melodies such as {open_model.DEFAULT_MELODY_MODEL}."
        )
    return model


def demo(out: Path, seed: int, console: Console) -> None:
    """Interpolates two embedded pieces."""
    folder = model_folder.of_package("resources") / "pieces"
    a, b = (folder / name for name in DEMO_PIECES)
    if not model_folder.embedded():
        raise ModelError("no embedded model is installed; install calmvae from a whole checkout.")
    console.say(f"calmvae interpolate {a.name} {b.name} -o {out}")
    making = Making(open_model.DEFAULT_MODEL, seed=seed)
    options = {"steps": 8, "bars": 4, "melody": "skyline"}
    interpolate(a, b, out, making, console, **options)


def _write(folder: output_folder.OutputFolder, name: str, made: Made, making: Making, origin: str = "") -> None:
    """The piece as .mid, .png and .wav; the picture's title is the piece's name, or where it comes from."""
    write_midi.write_midi(made.piece, folder.path(f"{name}.mid"))
    if not making.no_sound:
        audio.write_wav(made.piece, folder.path(f"{name}.wav"))
    if not making.no_picture:
        subtitle = f"seed {making.seed}" if origin else f"{Path(making.model).name}, seed {making.seed}"
        picture = folder.path(f"{name}.png")
        style: dict[str, Any] = {"title": origin or made.piece.name, "subtitle": subtitle, "sections": made.sections}
        if "plan" in made.info:
            from calmvae.music import calmness_plot

            style["above"] = calmness_plot.journey_plan(made.info)
        if made.beside:
            # What was made of the given melody is seen on top of it.
            piano_roll.write_piano_roll(_together(made.piece, made.beside), picture, behind=0, **style)
        else:
            piano_roll.write_piano_roll(made.piece, picture, **style)


def _together(piece: Piece, beside: Piece) -> Piece:
    """Both pieces in one roll, as two tracks."""
    lifted = [dataclasses.replace(n, track=n.track + 1) for n in piece.notes]
    names = beside.track_names | {k + 1: v for k, v in piece.track_names.items()}
    return dataclasses.replace(piece, notes=beside.notes + lifted, track_names=names)


def _length(piece: Piece) -> str:
    minutes, seconds = divmod(round(piece.duration), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
