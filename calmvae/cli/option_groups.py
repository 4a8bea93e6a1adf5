"""Options that belong together, each group a dataclass that a command takes as one parameter."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from calmvae.cli import options
from calmvae.common.defaults import DEFAULT_MELODY_MODEL, DEFAULT_MODEL
from calmvae.common.errors import OptionError


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command: a parameter that is a dataclass becomes an option for each field.

    Its own options come first in the help, those of the groups last.
    """
    given = _typed(function)
    groups: dict[str, Any] = {name: p.annotation for name, p in given.items() if dataclasses.is_dataclass(p.annotation)}
    fields = {name: _typed(kind) for name, kind in groups.items()}
    own = [parameter for name, parameter in given.items() if name not in groups]
    every = [*own, *(field for some in fields.values() for field in some.values())]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        made = {name: kind(**{field: values.pop(field) for field in fields[name]}) for name, kind in groups.items()}
        function(**values, **made)

    # By name, as Typer passes them: then those without a default may follow others.
    by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    command.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return command


def _typed(called: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a function or a dataclass, with their types instead of the types' names."""
    types = get_type_hints(called, include_extras=True)
    return {name: p.replace(annotation=types[name]) for name, p in inspect.signature(called).parameters.items()}


@dataclasses.dataclass(frozen=True)
class Making:
    """Options of the commands that make pieces with a model."""

    model: options.ModelOfVoices = ""
    config: options.Config = None
    temperature: options.Temperature = 0.0
    seed: options.Seed = 0
    no_picture: options.NoPicture = False
    no_sound: options.NoSound = False
    voices: options.Voices = "all"

    def __post_init__(self) -> None:
        if self.voices not in ("all", "melody"):
            raise OptionError(f"--voices is '{self.voices}'; choose all or melody.")
        if not self.model:
            chosen = DEFAULT_MELODY_MODEL if self.voices == "melody" else DEFAULT_MODEL
            object.__setattr__(self, "model", chosen)

    def arguments(self) -> dict[str, Any]:
        """The options as run.json holds them."""
        given = dataclasses.asdict(self)
        picture, sound = (not given.pop(name) for name in ("no_picture", "no_sound"))
        return {**given, "picture": picture, "sound": sound}


@dataclasses.dataclass(frozen=True)
class Sampling(Making):
    """Options of `calmvae sample`, which draws by default."""

    temperature: options.SampleTemperature = None  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Excerpts:
    """Which melody and which bars to take of two pieces, A and B."""

    melody: options.Melody = "skyline"
    track_a: options.TrackA = None
    track_b: options.TrackB = None
    start_a: options.StartA = None
    start_b: options.StartB = None

    def arguments(self) -> dict[str, Any]:
        """The options as run.json holds them and `interpolation.interpolate` takes them."""
        tracks, start_bars = (self.track_a, self.track_b), (self.start_a, self.start_b)
        return {"melody": self.melody, "tracks": tracks, "start_bars": start_bars}


@dataclasses.dataclass(frozen=True)
class Training:
    """How to train, see `training_loop.Options`."""

    init: Annotated[
        str | None,
        typer.Option("--from", help="Fine-tune this model or checkpoint. Beta is then max_beta from the start."),
    ] = None
    steps: Annotated[int, typer.Option(min=0, help="Stop at this step (0: no limit).")] = 20000
    minutes: Annotated[float, typer.Option(min=0.0, help="Stop after so many minutes (0: no limit).")] = 0.0
    eval_every: Annotated[int, typer.Option(min=1, help="Evaluate every so many steps.")] = 500
    save_every: Annotated[int, typer.Option(min=1, help="Write a checkpoint every so many steps.")] = 500
    sample_every: Annotated[int, typer.Option(min=0, help="Write samples every so many steps (0: never).")] = 2000
    patience: Annotated[
        int, typer.Option(min=0, help="Stop early after so many evaluations without improvement (0: never).")
    ] = 20
    melody: options.Windows = "skyline"
    max_onsets: options.MaxOnsets = 0
    calmest: options.Calmest = 1.0
    engine: Annotated[
        str,
        typer.Option(help="The engine: numpy, jax, magenta, or auto. auto takes numpy unless JAX has a GPU."),
    ] = "auto"
    threads: options.Threads = None
    keep: Annotated[
        str,
        typer.Option(
            help="Keep the best model (by the mean of accuracy and onset accuracy) or the last one. "
            "Only best stops early."
        ),
    ] = "best"
    note: Annotated[str | None, typer.Option(help="Write this text to notes.txt.")] = None
    seed: options.Seed = 0


@dataclasses.dataclass(frozen=True)
class Growing:
    """How to grow a model."""

    windows: Annotated[int, typer.Option(min=0, help="The most long windows to learn from (0: all).")] = 100000
    steps: Annotated[int, typer.Option(min=1, help="The number of training steps.")] = 6000
    melody: options.Windows = "skyline"
    max_onsets: options.MaxOnsets = 0
    settings: options.Hparams = None
    seed: options.Seed = 0
    threads: options.Threads = None


@dataclasses.dataclass(frozen=True)
class Evaluating:
    """Which windows to measure on, and which measurements to make besides reconstruction."""

    data: Annotated[
        list[Path],
        typer.Option("--data", help="Evaluate on this: a data set, a TFRecord, music files, or music21:bach."),
    ]
    melody: options.Windows = "skyline"
    max_onsets: options.MaxOnsets = 0
    most: Annotated[int, typer.Option("--windows", min=0, help="The most windows to take (0: all).")] = 4096
    samples: Annotated[int, typer.Option(min=0, help="Compare so many samples with the windows (0: none).")] = 400
    temperature: options.SampleTemperature = None
    paths: Annotated[int, typer.Option(min=0, help="Measure so many interpolations (0: none).")] = 100
    seed: options.Seed = 0
    copying: Annotated[
        bool, typer.Option("--copying", help="Measure how near samples come to the training windows.")
    ] = False
    prior: options.Prior = "standard"
    calmest: options.Calmest = 1.0
