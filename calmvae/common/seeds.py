"""Seeds derived from one seed."""

from __future__ import annotations

import numpy as np


def hash_seed(seed: int, k: int) -> int:
    """The seed of the k-th of several draws."""
    return int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
