"""Seeds the draws of Magenta's decoding and encoding loops on TensorFlow."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from calmvae.common import magenta_import, seeds

# Magenta divides by the temperature; with this one only the likeliest token remains.
COLDEST = 1e-6


def seeded_decoding(seed: int) -> contextlib.AbstractContextManager[None]:
    """Makes the draws of decoding loops that are built within the block depend only on the seed."""
    return _seeded_loops(magenta_import.load().lstm_models.contrib_seq2seq, "dynamic_decode", seed)


@contextlib.contextmanager
def seeded_training(seed: int) -> Iterator[None]:
    """`seeded_decoding`, and the same for the encoders' loops, which draw their dropout."""
    library = magenta_import.load().lstm_models.contrib_rnn
    encoding = _seeded_loops(library, "stack_bidirectional_dynamic_rnn", seeds.hash_seed(seed, 1))
    with encoding, seeded_decoding(seed):
        yield


@contextlib.contextmanager
def _seeded_loops(library: Any, name: str, seed: int) -> Iterator[None]:
    """Replaces a function of a library that builds loops by one that seeds them."""
    tf, build, loops = magenta_import.load().tf, getattr(library, name), itertools.count()

    def seeded(*args: Any, **options: Any) -> Any:
        # Every loop counts its random operations from 0: with one seed, all bars would draw the same.
        tf.set_random_seed(seeds.hash_seed(seed, next(loops)))
        # Draws have no inputs, so parallel steps would draw in any order.
        return build(*args, **options, parallel_iterations=1)

    setattr(library, name, seeded)
    try:
        yield
    finally:
        setattr(library, name, build)
