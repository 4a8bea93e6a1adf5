"""How to train: the options of `calmvae train`."""

from __future__ import annotations

import dataclasses

from calmvae.common.errors import OptionError


@dataclasses.dataclass
class Options:
    """How to train.

    Attributes:
      steps: stop at this global step (0: no limit).
      minutes: stop after this much time in this session (0: no limit).
      eval_every, save_every, sample_every, log_every: in steps.
      patience: early stopping after so many evaluations without a better one (0: never; never with `keep` "last").
      melody: which melodies to take from a piece, see `training_windows.piece_windows`.
      max_onsets: leave out windows in which more notes start than this (0: take all).
      calmest: train and evaluate on this share of the windows only, the calmest ones.
      keep: "best" keeps the model with the best held-out score in model/, "last" that of the last evaluation. The
        score of a melody model is the mean of accuracy and onset accuracy; the score of any other is the loss.
      init: model or checkpoint to start from.
      note: text for notes.txt.
      seed: of weights, shuffling, transposition and sampling.
      threads: to compute with, default one per core.
      engine: a key of `train_melody.ENGINES`.

    Raises:
      OptionError: `keep` is neither "best" nor "last".
    """

    steps: int = 20000
    minutes: float = 0.0
    eval_every: int = 500
    save_every: int = 500
    sample_every: int = 2000
    log_every: int = 50
    patience: int = 20
    melody: str = "skyline"
    max_onsets: int = 0
    calmest: float = 1.0
    keep: str = "best"
    init: str | None = None
    note: str | None = None
    seed: int = 0
    threads: int | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last"):
            raise OptionError(f"--keep is '{self.keep}'; choose best or last.")
