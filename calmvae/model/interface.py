"""One interface of all models: a model encodes, decodes and samples windows, and turns them into music.

The content of a window depends on the model, such as tokens of a melody or a matrix of drum hits. Users of a model pass
windows on without looking inside.
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
    """The instrument of a track: its name, a General MIDI program, a velocity, and which voice it plays."""

    name: str
    program: int
    velocity: float
    of: int = 0


@dataclasses.dataclass
class Excerpt:
    """Bars of a piece as windows of a model.

    Attributes:
      name: name of the piece.
      inputs: `count` windows as input of the encoder.
      windows: the same windows in the form of `Model.decode`.
      bars: bars of the piece in the windows; the last window may end with silence.
      tied: bool `[count]`: the first note of the window is held over from the window before.
      qpm: quarters per minute.
      players: the instrument of each voice of the windows.
      report: the changes to the notes, for run.json; empty if there are none.
      cut_from: further data for `Model.replay`, of any form.
      quarters: length in quarter notes; default that of bars of 4/4.
      notes: how many notes of the piece are played where its own are, and how many it has; 0 of 0 if that is unknown.
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
    notes: tuple[int, int] = (0, 0)
    quarters: float = 0.0

    def __post_init__(self) -> None:
        self.quarters = self.quarters or self.bars * 4.0

    @property
    def count(self) -> int:
        """The number of windows."""
        return len(self.tied)


@dataclasses.dataclass
class Segment:
    """Windows to play in order at one tempo.

    Attributes:
      voices: the instruments; several may play the same voice of the windows.
      excerpt: the music of the windows, or the nearest to it. With `written`, its piece's own notes are played.
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
    """A model and its source.

    Attributes:
      name: name of its config.
      bars: bars of a window, of 16 steps each.
      z_size: length of a latent vector, 0 for none.
      source: the folder, file or prefix that it was opened from.
      sha256: SHA-256 of its weights, if it is recorded.
      weights_file: the file with its weights; None if they are in several files.
      meta: further entries of model.json.
    """

    # The default endpoints of `interpolate`: "original" or "decoded".
    endpoints: ClassVar[str] = "original"
    # The default bars of a sample; None if one latent vector makes the whole sample.
    sample_bars: ClassVar[int | None] = None
    # The default temperature of samples.
    sample_temperature: ClassVar[float] = 0.5
    # Whether the sections of an interpolation are chosen for even changes, see `decoded_path`.
    even_path: ClassVar[bool] = False
    # Silence before a piece is removed in steps of this many quarter notes (0: up to the first note).
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
          bars: number of bars, a multiple of the model's; None takes the whole piece.
          remarks: gets a sentence for each change or omission.
          melody, track: how to find a melody, for models of melodies.
          start_bar: the first bar, from 1; default the first with a window.

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
          temperature: 0 decodes the likeliest notes, 1 draws from the model's probabilities.
          seed: seed of the draws; one for all, or several, each for an equal share of the vectors.
          like: for models with controls such as chords, the excerpt with the controls of each vector.
        """

    @abc.abstractmethod
    def same(self, x: Any, y: Any) -> np.ndarray:
        """True at steps where two sequences of windows agree, bool."""

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
        """New windows of n pieces, each with the labels of its equal parts.

        Args:
          n: number of pieces.
          walk: a function of the number of a piece, the number of points, and the number of points per fresh draw; it
            returns latent vectors `[points, z_size]`.
          bars: bars of each piece; the default depends on the model.
          temperature, seed: see `decode`.
          chords, controls: for models with controls, see `magenta_model.MagentaModel.sample`.

        Raises:
          OptionError: an option is not for this model, or out of range.
        """

    @abc.abstractmethod
    def play(self, segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
        """Segments in order as a piece, and the section of each."""

    @abc.abstractmethod
    def replay(self, excerpt: Excerpt, windows: Any, name: str, track: str) -> Piece:
        """Windows in place of an excerpt's own, at its tempos; `track` is the name of the voice."""

    def measure(self, given: Excerpt, decoded: Any) -> dict[str, float]:
        """Reconstruction accuracies of windows decoded from an excerpt, shares by name; the first is of all steps."""
        return {"reconstruction_accuracy": float(self.same(given.windows, decoded).mean())}

    def faults(self, windows: Any, ends: Sequence[Excerpt]) -> int:
        """How many faults a section between two excerpts has that neither of them has; 0 for models without voices."""
        return 0

    def voices(self) -> list[Voice]:
        """The instruments of samples: one for each voice of the windows."""
        return [Voice("melody", DEFAULT_PROGRAM, DEFAULT_VELOCITY)]

    @abc.abstractmethod
    def check_voice(self, program: int, velocity: int) -> None:
        """Raises an `OptionError` if the model sets programs or velocities itself and others are requested."""

    def step_bars(self, bars: int | None) -> int:
        """Bars of a step of an interpolation: `bars` or, by default, 4 or a window, whichever is longer.

        Raises:
          OptionError: it is no multiple of the model's window.
        """
        return self.check_bars(max(4, self.bars) if bars is None else bars)

    def check_bars(self, bars: int) -> int:
        """The number of bars, if it is a multiple of the model's window; else raises an `OptionError`."""
        if bars < 1 or bars % self.bars:
            raise OptionError(
                f"--bars is {bars}, but {self.name} makes multiples of {self.bars} bars; give for example --bars "
                f"{2 * self.bars}."
            )
        return bars

    def describe(self) -> dict[str, Any]:
        """The entry of the model in run.json."""
        if not self.sha256 and self.weights_file:
            self.sha256 = output_folder.sha256(self.weights_file)
        return {"config": self.name, "source": str(self.source), "sha256": self.sha256}
