"""Models that the numpy engine runs: windows are arrays of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calmvae.common import seeds
from calmvae.common.errors import OptionError
from calmvae.model import interface
from calmvae.model.interface import Excerpt
from calmvae.model.model_spec import ModelSpec
from calmvae.model.numpy_engine import Engine

# MIDI's tempo event cannot say less than 3.6; nobody plays above 400.
QPM_RANGE = (4.0, 400.0)
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
