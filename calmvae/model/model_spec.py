"""The `ModelSpec`, which says what a model of melodies or of several voices is, and the calm-* configurations.

A `ModelSpec` is plain data, so that naming a config, checking an option or generating from exported weights needs no
TensorFlow; `magenta_config.magenta_config` turns it into Magenta's `Config` object.

How the values were chosen (own_model/README.md has the experiments):

* Both calm-* models read and write in levels: beats of 4 steps, 2 bars of 8 beats, 16 bars of eight times 2. What a
  flat LSTM has to remember over 32 or 256 steps takes 4 + 8 or 4 + 8 + 8, which learns in a fraction of the steps, each
  of them cheaper. The big twins have Magenta's published structures.
* `free_bits` is what Magenta subtracts from the KL summed over all dimensions (its comment says "per dimension", its
  code does not). A melody of 2 bars holds about 50 to 60 bits, so 48 are free: the posterior cannot collapse to
  nothing, and `max_beta` prices every bit above. 16 bars hold more, but repeat themselves: 256 as in Magenta's
  published 16-bar model.
* `max_beta` .6 comes in slowly (`beta_rate` .9999: half of it after 7,000 steps). A model that may use as many bits as
  it likes finds out sooner how to give music back, and learns afterwards to do it with fewer.
* `sampling_rate` .3, constant: at three steps of ten the decoder hears what it said itself, as in generation it always
  does, from the start. The big 2-bar twin has Magenta's schedule.
* `batch_size` 128 and 32: below that, a core spends its time waiting for weights to come from memory.
* `learning_rate` .004 decaying to a fiftieth over 20,000 steps, what a core does in two hours. calm-mel_16bar is meant
  to start from `calmvae grow`, hence its .001.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from calmvae.common import text
from calmvae.common.errors import CalmvaeError, ModelError, OptionError
from calmvae.music.melody_tokens import DEPTH, STEPS_PER_BAR, VOICE_DEPTH

# Names, types and defaults of Magenta's lstm_models.get_default_hparams(); a test holds them to it.
DEFAULT_HPARAMS: dict[str, Any] = {
    "max_seq_len": 32,
    "z_size": 32,
    "free_bits": 0.0,
    "max_beta": 1.0,
    "beta_rate": 0.0,
    "batch_size": 512,
    "grad_clip": 1.0,
    "clip_mode": "global_norm",
    "grad_norm_clip_to_zero": 10000,
    "learning_rate": 0.001,
    "decay_rate": 0.9999,
    "min_learning_rate": 0.00001,
    "conditional": True,
    "dec_rnn_size": [512],
    "enc_rnn_size": [256],
    "dropout_keep_prob": 1.0,
    "sampling_schedule": "constant",
    "sampling_rate": 0.0,
    "use_cudnn": False,
    "residual_encoder": False,
    "residual_decoder": False,
    "control_preprocessing_rnn_size": [256],
}

# Changing these changes the weights' shapes.
SHAPE_HPARAMS = ("max_seq_len", "z_size", "enc_rnn_size", "dec_rnn_size", "residual_encoder", "residual_decoder")


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A MusicVAE for one-hot melodies, or for several voices of which each step has one token, as plain data.

    Attributes:
      name: config name.
      bars: window length in bars of 16 steps; 0 for a window of less.
      decoder: "categorical" (flat LSTM) or "hierarchical" (a conductor, then one decoder run a segment).
      level_lengths: for the hierarchical decoder: segments, segments in each of them and so on, steps in the last.
      hparams: all hparams of Magenta's LSTM models.
      encoder_lengths: for a hierarchical encoder: steps in a segment, segments in a longer one and so on; None for a
        flat one.
      voices: how many tokens a step has.
    """

    name: str
    bars: int
    decoder: str
    level_lengths: tuple[int, ...] | None
    hparams: dict[str, Any]
    encoder_lengths: tuple[int, ...] | None = None
    voices: int = 1

    @property
    def steps(self) -> int:
        """Window length in steps."""
        return int(self.hparams["max_seq_len"])

    def length(self) -> str:
        """Window length in words."""
        return text.count(self.bars, "bar") if self.bars else text.count(self.steps, "step")

    @property
    def depth(self) -> int:
        """How many different tokens a voice has: a melody's, and where bars have lengths of their own a bar's end."""
        return DEPTH if self.voices == 1 else VOICE_DEPTH

    @property
    def width(self) -> int:
        """The one-hot tokens of a step, one voice after the other, have so many places."""
        return self.voices * self.depth

    @property
    def z_size(self) -> int:
        """Number of latent dimensions."""
        return int(self.hparams["z_size"])

    def encoder_levels(self) -> list[tuple[str, int]]:
        """Scope of the variables and number of steps of each of the encoder's levels, the lowest first."""
        if not self.encoder_lengths:
            return [("encoder", self.steps)]
        return [(f"encoder/hierarchical_level_{i}", length) for i, length in enumerate(self.encoder_lengths)]

    def shape(self) -> dict[str, Any]:
        """All that decides the names and shapes of the weights."""
        names = ("decoder", "level_lengths", "encoder_lengths", "voices")
        kinds = {name: getattr(self, name) for name in names}
        return kinds | {name: self.hparams[name] for name in SHAPE_HPARAMS}

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON-ready data; `from_json` takes it back. A melody's one voice is not named."""
        data = dataclasses.asdict(self)
        return data if self.voices > 1 else {name: value for name, value in data.items() if name != "voices"}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelSpec:
        """Rebuilds a spec written by `to_json`.

        Raises:
          KeyError, TypeError: fields are missing.
        """
        levels, encoder = data.get("level_lengths"), data.get("encoder_lengths")
        hparams = {**copy.deepcopy(DEFAULT_HPARAMS), **data["hparams"]}
        return cls(
            name=data["name"],
            bars=int(data["bars"]),
            decoder=data["decoder"],
            level_lengths=tuple(levels) if levels else None,
            hparams=hparams,
            encoder_lengths=tuple(encoder) if encoder else None,
            voices=int(data.get("voices", 1)),
        )


def _calm(name: str, steps: int, levels: tuple[int, ...] | None, voices: int = 1, **hparams: Any) -> ModelSpec:
    """A config whose decoder has such levels (see `ModelSpec`) and whose encoder has the same, or flat."""
    values = {**copy.deepcopy(DEFAULT_HPARAMS), "max_seq_len": steps, "min_learning_rate": 2e-5, **hparams}
    return ModelSpec(
        name=name,
        bars=steps // STEPS_PER_BAR,
        decoder="hierarchical" if levels else "categorical",
        level_lengths=levels,
        hparams=values,
        encoder_lengths=levels and levels[::-1],
        voices=voices,
    )


CALM_SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        # 4.8 M parameters.
        _calm(
            "calm-mel_2bar",
            32,
            levels=(8, 4),
            batch_size=128,
            z_size=128,
            enc_rnn_size=[256],
            dec_rnn_size=[384],
            free_bits=48.0,
            max_beta=0.6,
            beta_rate=0.9999,
            learning_rate=0.004,
            decay_rate=0.9998,
            sampling_rate=0.3,
        ),
        # 5.8 M parameters.
        _calm(
            "calm-mel_16bar",
            256,
            levels=(8, 8, 4),
            batch_size=32,
            z_size=384,
            enc_rnn_size=[256],
            dec_rnn_size=[384],
            free_bits=256.0,
            max_beta=0.2,
            beta_rate=0.999,
            learning_rate=0.001,
            decay_rate=0.9995,
            sampling_rate=0.3,
        ),
        # Five voices, grown from a beat: 3.1 M, 6.1 M and 8.5 M parameters.
        _calm(
            "calm-piano_beat",
            4,
            levels=None,
            voices=5,
            batch_size=512,
            z_size=96,
            enc_rnn_size=[240],
            dec_rnn_size=[384],
            free_bits=0.0,
            max_beta=0.1,
            beta_rate=0.999,
            learning_rate=0.004,
            decay_rate=0.9993,
            sampling_rate=0.3,
        ),
        _calm(
            "calm-piano_2bar",
            32,
            levels=(8, 4),
            voices=5,
            batch_size=128,
            z_size=256,
            enc_rnn_size=[240],
            dec_rnn_size=[384],
            free_bits=64.0,
            max_beta=0.1,
            beta_rate=0.9995,
            learning_rate=0.001,
            decay_rate=0.9998,
            sampling_rate=0.3,
        ),
        _calm(
            "calm-piano_16bar",
            256,
            levels=(8, 8, 4),
            voices=5,
            batch_size=32,
            z_size=384,
            enc_rnn_size=[240],
            dec_rnn_size=[384],
            free_bits=256.0,
            max_beta=0.1,
            beta_rate=0.999,
            learning_rate=0.001,
            decay_rate=0.9995,
            sampling_rate=0.3,
        ),
        # The twins for a GPU, of the size of Magenta's published models.
        _calm(
            "calm-mel_2bar-big",
            32,
            levels=None,
            batch_size=512,
            z_size=512,
            enc_rnn_size=[2048],
            dec_rnn_size=[2048, 2048, 2048],
            free_bits=48.0,
            max_beta=0.2,
            beta_rate=0.9999,
            sampling_schedule="inverse_sigmoid",
            sampling_rate=1000.0,
        ),
        _calm(
            "calm-mel_16bar-big",
            256,
            levels=(16, 16),
            batch_size=256,
            z_size=512,
            enc_rnn_size=[2048],
            dec_rnn_size=[1024, 1024],
            free_bits=256.0,
            max_beta=0.2,
            beta_rate=0.9999,
        ),
    )
}

DEFAULT_CONFIG = "calm-mel_2bar"


def closest(name: str, names: Iterable[str]) -> str | None:
    """The one of some names that another was probably meant to be."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


def unknown(what: str, name: str, names: Iterable[str], otherwise: str = "") -> OptionError:
    """What to say of a name that is none of those there are; `otherwise` where none is close, default all of them."""
    close = closest(name, names)
    hint = f"did you mean {close}?" if close else otherwise or f"choose one of {', '.join(names)}."
    return OptionError(f"unknown {what} '{name}'; {hint}")


def not_melodies(config: str, place: Path | None = None) -> CalmvaeError:
    """The error where a command needs a melody model: an `OptionError` about a config, a `ModelError` about a place."""
    kind: type[CalmvaeError] = ModelError if place else OptionError
    found = f"{place}, of config '{config}'," if place else f"config '{config}'"
    return kind(
        f"{found} is not a melody model; `calmvae sample`, `interpolate` and `train` take it, but this command needs a "
        f"melody model such as {DEFAULT_CONFIG}."
    )


def with_hparams(spec: ModelSpec, settings: list[str] | dict[str, Any]) -> ModelSpec:
    """A copy of a spec with some hparams changed.

    Args:
      spec: where to start.
      settings: `["free_bits=48", "enc_rnn_size=[256,256]"]` or a dict.

    Raises:
      OptionError: unknown name, a value of the wrong type, or a shape that does not fit the window.
    """
    pairs = settings.items() if isinstance(settings, dict) else map(_split, settings)
    hparams = copy.deepcopy(spec.hparams)
    for name, value in pairs:
        if name not in hparams:
            raise unknown("hparam", name, sorted(hparams))
        if name == "max_seq_len":
            raise OptionError("max_seq_len follows from the config's bars; choose another config instead.")
        # Magenta writes whole numbers for some hparams that need not be.
        hparams[name] = _typed(name, value, DEFAULT_HPARAMS.get(name, hparams[name]))
    _check(hparams)
    return dataclasses.replace(spec, hparams=hparams)


def _split(setting: str) -> tuple[str, str]:
    name, found, value = setting.partition("=")
    if not found or not name.strip() or not value.strip():
        raise OptionError(f"--set {setting} is not of the form name=value, such as --set free_bits=48.")
    return name.strip(), value.strip()


def _typed(name: str, value: Any, like: Any) -> Any:
    kind = type(like)
    try:
        if kind is list:
            parts = value if isinstance(value, (list, tuple)) else str(value).strip("[]() ").split(",")
            return [int(part) for part in parts]
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if kind is int:
            return int(str(value))
        return kind(value)
    except (ValueError, KeyError, TypeError):
        wanted = "a list of whole numbers such as [512]" if kind is list else f"of type {kind.__name__}"
        raise OptionError(f"hparam {name} is {value!r}; it must be {wanted}.") from None


def _check(hparams: dict[str, Any]) -> None:
    rules = [
        (all(n > 0 for n in hparams["enc_rnn_size"] + hparams["dec_rnn_size"]), "layer sizes must be above 0"),
        (hparams["z_size"] > 0 and hparams["batch_size"] > 0, "z_size and batch_size must be above 0"),
        (hparams["learning_rate"] > 0, "learning_rate must be above 0"),
        (hparams["min_learning_rate"] <= hparams["learning_rate"], "min_learning_rate must not exceed learning_rate"),
        (0 < hparams["decay_rate"] <= 1, "decay_rate must be above 0 and at most 1"),
        (0 <= hparams["beta_rate"] <= 1, "beta_rate must be from 0 to 1"),
        (hparams["free_bits"] >= 0 and hparams["max_beta"] >= 0, "free_bits and max_beta must not be negative"),
        (0 < hparams["dropout_keep_prob"] <= 1, "dropout_keep_prob must be above 0 and at most 1"),
        (hparams["clip_mode"] in ("value", "global_norm"), "clip_mode must be value or global_norm"),
        (
            hparams["sampling_schedule"] in ("constant", "exponential", "inverse_sigmoid"),
            "sampling_schedule must be constant, exponential or inverse_sigmoid",
        ),
    ]
    schedule, rate = hparams["sampling_schedule"], hparams["sampling_rate"]
    bounds = {"constant": 0 <= rate <= 1, "exponential": 0 < rate < 1, "inverse_sigmoid": rate >= 1}
    rules.append((bounds.get(schedule, True), f"sampling_rate {rate} does not fit the schedule {schedule}"))
    for holds, sentence in rules:
        if not holds:
            raise OptionError(f"{sentence}.")
