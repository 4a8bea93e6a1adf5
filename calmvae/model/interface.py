"""One interface of all models: opened once, a model encodes, decodes and samples, and says what music its windows are.

What a window is made of is the model's own affair: tokens of a melody, a matrix of drum hits. Whoever uses a model
hands windows on and does not look into them.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calmvae.common import output_folder
from calmvae.common.errors import OptionError
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.music.calmness import DEFAULT_VELOCITY

DEFAULT_PROGRAM = 0


@dataclasses.dataclass(frozen=True)
class Voice:
    """Who plays: a track's name, a General MIDI program, a velocity, and which voice of the windows."""

    name: str
    program: int
    velocity: float
    of: int = 0


@dataclasses.dataclass
class Excerpt:
    """Bars of a piece as a model takes them.

    Attributes:
      name: of the piece.
      inputs: `count` windows as the encoder takes them.
      windows: the same music as `Model.decode` gives it.
      bars: of the piece that they hold; the last window may have silence behind them.
      tied: bool `[count]`: the window's first note is held over from the window before.
      qpm: quarters per minute.
      players: of each voice of the windows.
      report: what became of the notes on the way, for run.json; empty if there is nothing to say.
      cut_from: what `Model.replay` needs beside; the model's own affair.
    """

    name: str
    inputs: Any
    windows: Any
    bars: int
    tied: np.ndarray
    qpm: float
    players: list[Voice]
    report: dict[str, Any] = dataclasses.field(default_factory=dict)
    cut_from: Any = None

    @property
    def count(self) -> int:
        """How many windows."""
        return len(self.tied)


@dataclasses.dataclass
class Segment:
    """Windows to be played one after the other at one tempo.

    Attributes:
      voices: who plays; several may play the same voice of the windows.
      excerpt: the music that it is, or is nearest to; `written` plays that piece's own notes.
    """

    windows: Any
    tied: np.ndarray
    qpm: float
    voices: list[Voice]
    label: str
    given: bool = False
    excerpt: Excerpt | None = None
    written: bool = False


class Model(abc.ABC):
    """A model and where it came from.

    Attributes:
      name: of its config.
      bars: of a window, of 16 steps each.
      z_size: length of a latent vector, 0 for none.
      source: the folder, file or prefix that it was opened from.
      sha256: of its weights, where it is on record.
      weights_file: the file with its weights, if it is one.
      meta: what model.json says besides.
    """

    # What `interpolate` begins and ends with if it is not said: "original" or "decoded".
    endpoints: ClassVar[str] = "original"
    # Bars of a sample if it is not said; None where a sample is what the model makes of one latent vector.
    sample_bars: ClassVar[int | None] = None
    # Silence in front of a piece is taken away in whole steps of so many quarter notes (0: to the first note).
    grid: ClassVar[float] = 0.0

    def __init__(
        self,
        source: Path,
        *,
        sha256: str = "",
        weights_file: Path | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.source, self.sha256, self.weights_file, self.meta = source, sha256, weights_file, meta or {}

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name of its config."""

    @property
    @abc.abstractmethod
    def bars(self) -> int:
        """Bars of a window."""

    @property
    @abc.abstractmethod
    def z_size(self) -> int:
        """Length of a latent vector."""

    @abc.abstractmethod
    def excerpt(
        self,
        piece: Piece,
        bars: int | None,
        remarks: list[str],
        *,
        melody: str = "skyline",
        track: int | str | None = None,
        start_bar: int | None = None,
    ) -> Excerpt:
        """Bars of a piece as windows.

        Args:
          piece: any piece.
          bars: how many, a multiple of the model's; None takes the whole piece.
          remarks: what was changed or left out is added, one sentence each.
          melody, track: how to find a melody, for models of melodies.
          start_bar: the first (from 1); default the first that gives a window.

        Raises:
          OptionError, InputError, EmptyMusicError: an option or the piece is not usable.
        """

    @abc.abstractmethod
    def encode(self, excerpts: Sequence[Excerpt]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean and deviation of the posterior of each excerpt's n windows, float32 `[n, z_size]` each."""

    @abc.abstractmethod
    def decode(
        self,
        z: np.ndarray,
        temperature: float = 0.0,
        seed: int | Sequence[int] = 0,
        like: Sequence[Excerpt] = (),
    ) -> Any:
        """A window for each latent vector.

        Args:
          z: `[n, z_size]`.
          temperature: 0 decodes the likeliest notes, 1 draws as the model believes.
          seed: of the draws; one for all or several, each for an equal share of the vectors.
          like: for models that play over something given, chords say: the excerpt that has it, of each vector.
        """

    @abc.abstractmethod
    def same(self, x: Any, y: Any) -> np.ndarray:
        """Where two sequences of windows agree, bool."""

    @abc.abstractmethod
    def sample(
        self,
        n: int,
        walk: Callable[[int, int, int], np.ndarray],
        *,
        bars: int | None,
        temperature: float,
        seed: int,
        chords: str | None = None,
        controls: np.ndarray | None = None,
    ) -> list[tuple[Any, list[str]]]:
        """Fresh windows of n pieces, each with the labels of its equal parts.

        Args:
          n: how many pieces.
          walk: the number of a piece, how many points, and how many of them to each fresh draw, to latent vectors
            `[points, z_size]`.
          bars: of each; default is the model's affair.
          temperature, seed: see `decode`.
          chords, controls: for models that play over something, see `magenta_model.MagentaModel.sample`.

        Raises:
          OptionError: an option is not for this model, or out of range.
        """

    @abc.abstractmethod
    def play(self, segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
        """Segments one after the other as a piece, and where each of them lies."""

    @abc.abstractmethod
    def replay(self, excerpt: Excerpt, windows: Any, name: str, track: str) -> Piece:
        """Windows in the places of an excerpt's own, at its own tempos; `track` names the voice."""

    def measure(self, given: Excerpt, decoded: Any) -> dict[str, float]:
        """How much of an excerpt is the same in windows decoded of it, as shares by name, the first of all steps."""
        return {"reconstruction_accuracy": float(self.same(given.windows, decoded).mean())}

    def voices(self) -> list[Voice]:
        """Who plays the windows of samples: one for each voice."""
        return [Voice("melody", DEFAULT_PROGRAM, DEFAULT_VELOCITY)]

    @abc.abstractmethod
    def check_voice(self, program: int, velocity: int) -> None:
        """Raises an `OptionError` where the model has programs or velocities of its own and others are asked for."""

    def step_bars(self, bars: int | None) -> int:
        """Bars of a step of an interpolation: those asked for, by default 4 or a window, whichever is longer.

        Raises:
          OptionError: windows of the model do not make so many.
        """
        return self.check_bars(max(4, self.bars) if bars is None else bars)

    def check_bars(self, bars: int) -> int:
        """The number of bars, if windows of the model make so many; else raises an `OptionError`."""
        if bars < 1 or bars % self.bars:
            raise OptionError(
                f"--bars is {bars}, but {self.name} makes multiples of {self.bars} bars; give such as --bars "
                f"{2 * self.bars}."
            )
        return bars

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the model."""
        if not self.sha256 and self.weights_file:
            self.sha256 = output_folder.sha256(self.weights_file)
        return {"config": self.name, "source": str(self.source), "sha256": self.sha256}
