"""Start a model of long windows from a trained one of short windows, whose levels it has as its lower ones.

A hierarchical config whose windows are made of the windows of another, such as 16 bars of 2, reads and writes those as
the other does; only how they follow each other is left to learn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calmvae.model.model_spec import ModelSpec

_SIZES = ("enc_rnn_size", "dec_rnn_size", "residual_encoder", "residual_decoder")


def can_grow(small: ModelSpec, large: ModelSpec) -> bool:
    """Whether the larger spec has all levels of the smaller one, of the same sizes, and others above them."""
    ours, theirs = small.encoder_lengths, large.encoder_lengths
    below, above = small.level_lengths, large.level_lengths
    if not (ours and theirs and below and above):
        return False
    return (
        len(theirs) > len(ours)
        and theirs[: len(ours)] == ours
        and above[-len(below) :] == below
        and len(above) - len(below) == len(theirs) - len(ours)
        and all(small.hparams[name] == large.hparams[name] for name in _SIZES)
    )


def grown(
    small: ModelSpec, weights: Mapping[str, np.ndarray], large: ModelSpec, fresh: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Weights of a larger model: fresh ones, but for the levels that it has in common with the smaller one.

    Args:
      small, weights: the model to start from.
      large: a spec to which it `can_grow`.
      fresh: initial weights of the larger one.
    """
    more = len(large.level_lengths or ()) - len(small.level_lengths or ())
    found = dict(fresh)
    for name, values in weights.items():
        parts = name.split("/")
        if name.startswith("decoder/hierarchical_level_"):
            # Conductors are counted from the top.
            parts[1] = f"hierarchical_level_{int(parts[1].rpartition('_')[2]) + more}"
        place = "/".join(parts)
        if place in found and found[place].shape == values.shape and not name.startswith(("encoder/mu", "encoder/si")):
            found[place] = np.asarray(values, np.float32)
    return found
