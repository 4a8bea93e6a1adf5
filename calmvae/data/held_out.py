"""Which pieces of a data set are held out from training."""

from __future__ import annotations

import hashlib
from typing import Any

# From so many pieces on about the share is held out, below exactly.
_MANY = 100


def split(records: list[dict[str, Any]], eval_share: float, seed: int) -> None:
    """Splits by content, so that a piece's side does not depend on its name or its neighbours. Known families are split
    by their name.

    Below `_MANY` pieces exactly the share is held out. Above, about the share is: a collection that grows keeps every
    piece on its side, so a model can be trained further without having seen the held-out pieces.
    """
    groups = {record.get("family", record["content"]) for record in records}
    draws = {group: hashlib.sha256(f"{seed}:{group}".encode()).digest() for group in groups}
    if len(groups) < _MANY:
        n_eval = round(len(groups) * eval_share)
        if eval_share > 0 and len(groups) > 1:
            n_eval = min(max(n_eval, 1), len(groups) - 1)
        held_out = set(sorted(groups, key=lambda group: draws[group])[:n_eval])
    else:
        held_out = {group for group, draw in draws.items() if int.from_bytes(draw[:6], "big") < eval_share * 2**48}
    for record in records:
        record["split"] = "eval" if record.get("family", record["content"]) in held_out else "train"
