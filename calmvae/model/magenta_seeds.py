"""Seeds for what Magenta draws on TensorFlow: its decoding and encoding loops repeat themselves."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from calmvae.common import magenta_import, seeds

# Magenta divides by the temperature; at this one only the likeliest token is left.
COLDEST = 1e-6


@contextlib.contextmanager
def seeded_decoding(seed: int) -> Iterator[None]:
    """Makes the draws of the decoding loops built within depend on the seed alone."""
    tf, library = magenta_import.load().tf, magenta_import.load().lstm_models.contrib_seq2seq
    decode, loops = library.dynamic_decode, itertools.count()

    def seeded(*args: Any, **options: Any) -> Any:
        # Every loop counts its random operations from 0: with one seed, all bars would draw the same.
        tf.set_random_seed(seeds.hash_seed(seed, next(loops)))
        # A draw waits for nothing, so that steps run side by side would take theirs in any order.
        return decode(*args, **options, parallel_iterations=1)

    library.dynamic_decode = seeded
    try:
        yield
    finally:
        library.dynamic_decode = decode


@contextlib.contextmanager
def seeded_training(seed: int) -> Iterator[None]:
    """`seeded_decoding`, and the same for the encoders' loops, which draw what they drop."""
    tf, library = magenta_import.load().tf, magenta_import.load().lstm_models.contrib_rnn
    encode, loops = library.stack_bidirectional_dynamic_rnn, itertools.count()

    def seeded(*args: Any, **options: Any) -> Any:
        tf.set_random_seed(seeds.hash_seed(seeds.hash_seed(seed, 1), next(loops)))
        return encode(*args, **options, parallel_iterations=1)

    library.stack_bidirectional_dynamic_rnn = seeded
    try:
        with seeded_decoding(seed):
            yield
    finally:
        library.stack_bidirectional_dynamic_rnn = encode
