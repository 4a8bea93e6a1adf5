"""Paths of a model of several voices between held-out pieces: metre, jumps, stutter and silence of their sections.

    .venv/bin/python -m benchmarks.voice_paths out/corpus [--model calm-piano_2bar] [--pairs 50] [--json]

A third of the pairs has bars of 12 sixteenths at both ends, a third 12 and 16, a third 16. A jump is the largest step
of a path over its mean step, in tokens. A path stutters if a voice strikes one pitch five times in a row or more, and
more often than either end does.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common.errors import CalmvaeError
from calmvae.data import load_dataset
from calmvae.generate.decoded_path import decoded_path
from calmvae.midi import note_sequence, tfrecord
from calmvae.model.interface import Excerpt
from calmvae.model.voice_model import VoiceModel
from calmvae.music import melody_tokens, voice_windows

_BARS, _STEPS, _RUN = 4, 8, 5
_KINDS = ((12, 12), (12, 16), (16, 16))


def excerpts(data: Path, model: VoiceModel) -> dict[int, list[Excerpt]]:
    """The first four bars of each held-out piece by the length that all of them have."""
    found: dict[int, list[Excerpt]] = {12: [], 16: []}
    for sequence in tfrecord.note_sequences(load_dataset.data_files(data)[1]):
        try:
            one = model.excerpt(note_sequence.piece_of(sequence), _BARS, [])
        except CalmvaeError:
            continue
        lengths = set(voice_windows.bar_lengths(one.windows).ravel().tolist())
        if len(lengths) == 1 and (length := lengths.pop()) in found:
            found[length].append(one)
    return found


def path(model: VoiceModel, ends: tuple[Excerpt, Excerpt]) -> dict[str, Any]:
    """What a path of eight sections is like."""
    decoded, _ = decoded_path(model, ends, [mu for mu, _ in model.encode(ends)], _STEPS)
    sections = np.split(decoded, _STEPS)
    moved = (decoded.reshape(_STEPS, -1)[1:] != decoded.reshape(_STEPS, -1)[:-1]).sum(axis=1)
    given = max(voice_windows.longest_run(end.windows) for end in ends)
    between = max(map(voice_windows.longest_run, sections[1:-1]))
    return {
        "bars": Counter(voice_windows.bar_lengths(decoded).ravel().tolist()),
        "jump": float(moved.max() / max(moved.mean(), 1e-9)),
        "stutters": between >= _RUN and between > given,
        "silent": sum(not melody_tokens.is_onset(section).any() for section in sections),
    }


def measured(data: Path, model: VoiceModel, pairs: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """By the lengths of the ends' bars: pairs, share of right bars, largest and mean jump, stuttering, silence."""
    rng, given = np.random.default_rng(seed), excerpts(data, model)
    rows = {}
    for kind, share in zip(_KINDS, np.array_split(np.arange(pairs), len(_KINDS)), strict=True):
        chosen = [[given[n][rng.integers(len(given[n]))] for n in kind] for _ in share]
        found = [path(model, (a, b)) for a, b in chosen]
        bars = sum((one["bars"] for one in found), Counter[int]())
        jumps = [one["jump"] for one in found]
        rows[f"{kind[0]} to {kind[1]}"] = {
            "pairs": len(found),
            "right_bars": sum(bars[n] for n in set(kind)) / sum(bars.values()),
            "mean_jump": float(np.mean(jumps)),
            "largest_jump": max(jumps),
            "stutters": sum(one["stutters"] for one in found),
            "silent": sum(one["silent"] for one in found),
        }
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a data set of `calmvae corpus build`")
    parser.add_argument("--model", default="calm-piano_2bar", help="a model of several voices")
    parser.add_argument("--pairs", type=int, default=50, help="how many paths")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    model = open_model.load_model(options.model)
    if not isinstance(model, VoiceModel):
        parser.error(f"{options.model} is not a model of several voices")
    rows = measured(options.data, model, options.pairs)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("| bars of the ends | paths | right bars | mean jump | largest jump | stutter | silent sections |")
    print("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        jumps = f"{row['mean_jump']:.2f} | {row['largest_jump']:.2f}"
        print(f"| {name} | {row['pairs']} | {row['right_bars']:.3f} | {jumps} | {row['stutters']} | {row['silent']} |")


if __name__ == "__main__":
    main()
