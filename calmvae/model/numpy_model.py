"""Models that the numpy engine runs: windows are arrays of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calmvae.common import seeds, text
from calmvae.common.errors import OptionError
from calmvae.model import interface
from calmvae.model.interface import Excerpt
from calmvae.model.model_spec import ModelSpec
from calmvae.model.numpy_engine import Engine
from calmvae.music.calmness import DEFAULT_QPM
from calmvae.music.melody_extraction import Melody
from calmvae.music.melody_tokens import STEPS_PER_BAR
from calmvae.music.voice_extraction import Voices

# MIDI's tempo event cannot say less than 3.6; nobody plays above 400.
_QPM_RANGE = (4.0, 400.0)
# Samples decoded together, always as many: the last bits of a product depend on how many rows it has.
_GROUP = 8
# Bars of a sample to each fresh draw.
_SECTION_BARS = 8


class NumpyModel(interface.Model):
    """See `interface.Model`; windows are tokens uint8 `[steps]`, or `[steps, voices]`.

    Attributes:
      spec: its config.
      engine: encodes and decodes.
    """

    sample_bars: ClassVar[int] = 16

    def __init__(self, source: Path, spec: ModelSpec, engine: Engine, **record: Any) -> None:
        """A model from a place.

        Args:
          source: the folder, file or prefix that it was opened from. spec: its config. engine: encodes and decodes.
          record: the other arguments of `interface.Model`.
        """
        super().__init__(source, **record)
        self.spec, self.engine = spec, engine

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def bars(self) -> int:
        return self.spec.bars

    @property
    def z_size(self) -> int:
        return self.spec.z_size

    def encode(self, excerpts: Sequence[Excerpt]) -> list[tuple[np.ndarray, np.ndarray]]:
        """See `Model.encode`."""
        return [self.engine.encode(one.inputs) for one in excerpts]

    def decode(
        self,
        z: np.ndarray,
        temperature: float = 0.0,
        seed: int | Sequence[int] = 0,
        like: Sequence[Excerpt] = (),
    ) -> np.ndarray:
        """See `Model.decode`; windows uint8 `[n, steps]`, or `[n, steps, voices]`."""
        return self.engine.decode(z, temperature, seed)

    def same(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which tokens agree, bool `[n, tokens of a window]`."""
        same = np.asarray(x) == np.asarray(y)
        return same.reshape(len(same), -1)

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
    ) -> list[tuple[np.ndarray, list[str]]]:
        """See `Model.sample`; 16 bars by default.

        A piece longer than a window is decoded along a path through fresh draws, one every 8 bars, so that its windows
        belong together.
        """
        if chords is not None:
            raise OptionError("--chords goes with a config that plays over chords, such as cat-mel_2bar_med_chords.")
        if controls is not None:
            raise OptionError(f"{self.name} is not conditioned on controls; leave them out.")
        count = self.check_bars(self.sample_bars if bars is None else bars) // self.bars
        every = max(1, _SECTION_BARS // self.bars)
        made: list[tuple[np.ndarray, list[str]]] = []
        while len(made) < n:
            group = range(len(made), len(made) + _GROUP)
            latents = np.concatenate([walk(k, count, every) for k in group])
            tokens = self.decode(latents, temperature, [seeds.hash_seed(seed, k) for k in group])
            found = zip(group, np.split(tokens, _GROUP), strict=True)
            made += [(windows, [f"sample {k + 1}"]) for k, windows in found if k < n]
        return made

    def check_voice(self, program: int, velocity: int) -> None:
        """See `Model.check_voice`; any will do."""

    def excerpts_of(self, windows: np.ndarray) -> list[Excerpt]:
        """Windows as excerpts of no piece, one each."""
        bars, tied, players = windows.shape[1] // STEPS_PER_BAR, np.zeros(1, bool), self.voices()
        return [Excerpt("", row[None], row[None], bars, tied, DEFAULT_QPM, players) for row in windows]


def report_changes(music: Melody | Voices, remarks: list[str]) -> None:
    """Adds to the remarks what was changed in a piece to get a melody or voices of it."""
    changes = music.piece.warnings + [f"{sentence}." for sentence in music.report.sentences()]
    remarks += [f"{music.piece.name or 'The piece'}: {change}" for change in changes]


def chosen_bars(music: Melody | Voices, bars: int, start_bar: int | None, remarks: list[str]) -> tuple[int, int]:
    """The first of so many bars, by default the first with a note, and the one after the last that there is.

    Raises:
      OptionError: the piece has no such bar.
    """
    name = music.piece.name or "the piece"
    first = music.first_bar() if start_bar is None else start_bar - 1
    if not 0 <= first < music.bars:
        raise OptionError(f"bar {first + 1} of {name} was asked for; it has bars 1 to {music.bars}.")
    if first and start_bar is None:
        remarks.append(f"{name}: {text.bars(1, first)}, before the first note, {text.are(first)} left out.")
    return first, min(first + bars, music.bars)


def report_bars(music: Melody | Voices, first: int, last: int, bars: int, heard: bool, remarks: list[str]) -> None:
    """Adds to the remarks which bars, `first` to before `last`, are used or repeated to make so many.

    Raises:
      OptionError: they are not `heard`.
    """
    name = music.piece.name or "the piece"
    chosen, are = text.bars(first + 1, last), text.are(last - first)
    if not heard:
        raise OptionError(f"{chosen} of {name} {are} silent; choose a bar with notes.")
    if last < music.bars:
        remarks.append(f"{name}: {chosen} of {music.bars} {are} used.")
    elif last - first < bars:
        remarks.append(f"{name}: {chosen}, all there is from there on, {are} repeated to fill {bars}.")


def even_tempo(music: Melody | Voices, begin: int, end: int, remarks: list[str]) -> float:
    """The mean tempo between two steps, in quarters per minute; a remark says so if the tempo changes."""
    piece, times = music.piece, [music.seconds_at(step) for step in (begin, end)]
    qpm = float(np.clip(piece.mean_qpm(*(max(time, 0.0) for time in times)), *_QPM_RANGE))
    slowest, fastest = piece.qpm_range(*times)
    if fastest > 1.02 * slowest:
        name = piece.name or "the piece"
        remarks.append(f"{name}: its tempo, {slowest:.0f} to {fastest:.0f}, is evened out to the mean, {qpm:.0f}.")
    return qpm


def own_tempos(music: Melody | Voices) -> tuple[float, list[tuple[float, float]]]:
    """How many seconds before time 0 an upbeat lies that was added to reach the grid, and the tempos moved by them."""
    shift, given = max(0.0, -music.seconds_at(0)), music.piece.tempos
    return shift, [(0.0, given[0][1])] + [(time + shift, qpm) for time, qpm in given if time + shift > 0]
