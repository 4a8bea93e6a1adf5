"""Tune families: pieces that share so many windows that they are variants of one tune.

A piece's sketch is the smallest hashes of its windows, transposition apart; of two sketches the share of common hashes
estimates the share of common windows (bottom-k sketches, Cohen & Kaplan 2007).
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from calmvae.data import training_windows
from calmvae.music import melody_tokens

_STEPS = 2 * melody_tokens.STEPS_PER_BAR
_SKETCH = 24
# Windows of fewer notes are common property.
_LEAST_ONSETS = 5
_SHARED = 0.2
_LEAST_SHARED = 3


def sketch(tokens: np.ndarray) -> list[int]:
    """The sketch of a melody, tokens uint8 `[steps]`: up to 24 hashes of its 2-bar windows, the smallest first."""
    windows = training_windows.sliding_windows(tokens, _STEPS)
    windows = windows[(windows >= melody_tokens.FIRST_PITCH).sum(axis=1) >= _LEAST_ONSETS]
    if not len(windows):
        return []
    return sorted({zlib.crc32(row.tobytes()) for row in training_windows.intervals(windows)})[:_SKETCH]


def join(sketches: Sequence[Iterable[int]], labels: Sequence[str | None]) -> list[int]:
    """Families of pieces.

    Args:
      sketches: of each piece.
      labels: of each piece the name of its tune if that is known; equal names are one family.

    Returns:
      of each piece the index of the first piece of its family.
    """
    parents = list(range(len(sketches)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    def unite(i: int, j: int) -> None:
        a, b = sorted((root(i), root(j)))
        parents[b] = a

    first: dict[str, int] = {}
    for i, label in enumerate(labels):
        if label is not None:
            unite(first.setdefault(label, i), i)
    sets = [set(hashes) for hashes in sketches]
    owners = defaultdict(list)
    for i, hashes in enumerate(sets):
        for value in hashes:
            owners[value].append(i)
    common = Counter(pair for pieces in owners.values() for pair in itertools.combinations(pieces, 2))
    for (i, j), shared in common.items():
        if shared >= max(_LEAST_SHARED, _SHARED * min(len(sets[i]), len(sets[j]))):
            unite(i, j)
    return [root(i) for i in range(len(sketches))]
