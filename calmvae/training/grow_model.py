"""Start a model of long windows from a trained one of short windows, whose levels it has as its lower ones.

A hierarchical config whose windows are made of the windows of another, such as 16 bars of 2 or 2 bars of beats, reads
and writes those as the other does; only how they follow each other is left to learn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calmvae.model.model_spec import ModelSpec

# The first layer of a flat decoder.
FIRST_CELL = "decoder/multi_rnn_cell/cell_0/lstm_cell/kernel"
FIRST_CELL_BIAS = "decoder/multi_rnn_cell/cell_0/lstm_cell/bias"
_SIZES = ("enc_rnn_size", "dec_rnn_size", "residual_encoder", "residual_decoder")


def can_grow(small: ModelSpec, large: ModelSpec) -> bool:
    """Whether the larger spec has all levels of the smaller one, of the same sizes, and others above them."""
    ours, below = _levels(small)
    theirs, above = _levels(large)
    if not large.encoder_lengths or not large.level_lengths:
        return False
    return (
        len(theirs) > len(ours)
        and theirs[: len(ours)] == ours
        and above[-len(below) :] == below
        and len(above) - len(below) == len(theirs) - len(ours)
        and small.voices == large.voices
        and all(small.hparams[name] == large.hparams[name] for name in _SIZES)
    )


def levels_above(small: ModelSpec, large: ModelSpec) -> int:
    """How many levels the larger of two specs has more."""
    return len(_levels(large)[0]) - len(_levels(small)[0])


def _levels(spec: ModelSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lengths of the encoder's and of the decoder's levels; a flat model has one."""
    return spec.encoder_lengths or (spec.steps,), spec.level_lengths or (spec.steps,)


def grown(
    small: ModelSpec, weights: Mapping[str, np.ndarray], large: ModelSpec, fresh: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Weights of a larger model: fresh ones, but for the levels that it has in common with the smaller one.

    Args:
      small, weights: the model to start from.
      large: a spec to which it `can_grow`.
      fresh: initial weights of the larger one.
    """
    found = dict(fresh)
    for name, values in weights.items():
        place = _place(name, small, levels_above(small, large))
        if place not in found or name.startswith(("encoder/mu", "encoder/si")):
            continue
        if found[place].shape == values.shape:
            found[place] = np.asarray(values, np.float32)
        elif name == FIRST_CELL:
            # Its input is a token and, instead of the latent vector, what the level above says.
            units, width = values.shape[1] // 4, small.width
            found[place] = np.concatenate([values[:width], found[place][width:-units], values[-units:]])
    return found


def _place(name: str, small: ModelSpec, more: int) -> str:
    """The larger model's name for a variable of the smaller one, which has so many levels less."""
    coder, _, rest = name.partition("/")
    if coder == "decoder" and not small.level_lengths:
        return f"core_decoder/{name}"
    if coder == "encoder" and not small.encoder_lengths:
        return f"encoder/hierarchical_level_0/{rest}"
    if name.startswith("decoder/hierarchical_level_"):
        # Conductors are counted from the top.
        level, _, variable = rest.removeprefix("hierarchical_level_").partition("/")
        return f"decoder/hierarchical_level_{int(level) + more}/{variable}"
    return name
