"""Interpolation: a piece that travels from one piece to another through the latent space of a model."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common.errors import OptionError
from calmvae.generate.arguments import check_temperature, opened_model, opened_piece
from calmvae.generate.decoded_path import decoded_path
from calmvae.generate.made_piece import Made
from calmvae.midi.piece import Piece
from calmvae.model.interface import Excerpt, Model, Segment, Voice


def interpolate(
    a: Piece | str | Path,
    b: Piece | str | Path,
    model: Model | str | Path = open_model.DEFAULT_MODEL,
    *,
    steps: int = 8,
    bars: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    melody: str = "skyline",
    tracks: tuple[int | str | None, int | str | None] = (None, None),
    start_bars: tuple[int | None, int | None] = (None, None),
    endpoints: str | None = None,
) -> Made:
    """A piece that travels from one piece to another.

    Each of its `steps` sections has `bars` bars. Tempo and velocity glide from A's to B's; where the instruments
    differ, A's fades out as B's fades in. A model that plays over chords plays over A's in the first half and over B's
    in the second.

    Args:
      a, b: pieces or music files.
      model: a loaded model or what `load_model` takes.
      steps: sections, both ends included, at least 2.
      bars: of each section, a multiple of the model's window; see `Model.step_bars`.
      temperature: 0 decodes the likeliest notes.
      seed: of the draws at a temperature above 0.
      melody: a method of `melody_extraction.METHODS`.
      tracks: take the melody from this track of A, of B.
      start_bars: first bar (from 1) to take of A, of B; default the first with a note.
      endpoints: "original" begins and ends with the given music itself, "decoded" with its reconstruction; default
        `Model.endpoints`.

    Raises:
      OptionError, InputError, EmptyMusicError, ModelError: an option, a file or the model cannot be used.
    """
    model = opened_model(model)
    endpoints = model.endpoints if endpoints is None else endpoints
    _check(steps, endpoints, temperature)
    bars = model.step_bars(bars)
    remarks: list[str] = []
    ends = [
        model.excerpt(opened_piece(piece), bars, remarks, melody=melody, track=track, start_bar=start)
        for piece, track, start in zip((a, b), tracks, start_bars, strict=True)
    ]
    means = [mu for mu, _ in model.encode(ends)]
    decoded, again = decoded_path(model, ends, means, steps, temperature, seed)
    segments = _segments(ends, decoded, steps, endpoints == "original")
    piece, sections = model.play(segments, f"{ends[0].name} to {ends[1].name}")
    count = ends[0].count
    # At temperature 0 the path has decoded the ends already.
    backs = [decoded[:count], decoded[-count:]]
    if temperature:
        backs = [model.decode(mu, like=[end] * count) for end, mu in zip(ends, means, strict=True)]
    info: dict[str, Any] = {"bars_per_step": bars, **_measured(model, ends, backs, segments)}
    remarks += _closing(ends, endpoints == "original", again, info)
    parts = [model.play([s], f"{piece.name}, step {s.label}")[0] for s in segments]
    return Made(piece, sections, info, remarks, parts).begun(model.grid)


def _closing(ends: list[Excerpt], original: bool, again: int, info: dict[str, Any]) -> list[str]:
    """What was decoded again, and how many notes of the pieces are in the result; both go to `info`, too."""
    said = []
    if again:
        info["decoded_again"] = again
        were = "section was" if again == 1 else "sections were"
        said.append(f"{again} {were} decoded again, because a note came again and again or a bar had another length.")
    if original and all(end.notes[1] for end in ends):
        info["notes"] = [list(end.notes) for end in ends]
        told = [f"{kept} of {name}'s {total} notes" for name, (kept, total) in zip("AB", info["notes"], strict=True)]
        said.append(f"{' and '.join(told)} are in the result.")
    return said


def _check(steps: int, endpoints: str, temperature: float) -> None:
    if steps < 2:
        raise OptionError(f"--steps is {steps}; an interpolation has at least 2, its two ends.")
    if endpoints not in ("original", "decoded"):
        raise OptionError(f"--endpoints is '{endpoints}'; choose original or decoded.")
    check_temperature(temperature)


def _measured(model: Model, ends: list[Excerpt], backs: list[Any], segments: list[Segment]) -> dict[str, Any]:
    changes = [1 - float(model.same(x.windows, y.windows).mean()) for x, y in itertools.pairwise(segments)]
    accuracy = [model.measure(*both)["reconstruction_accuracy"] for both in zip(ends, backs, strict=True)]
    found: dict[str, Any] = {
        "qpm": [round(s.qpm, 2) for s in segments],
        "reconstruction_accuracy": [round(share, 4) for share in accuracy],
        "changes_between_steps": [round(change, 4) for change in changes],
    }
    return found | ({"melodies": [end.report for end in ends]} if ends[0].report else {})


def _segments(ends: list[Excerpt], decoded: Any, steps: int, original: bool) -> list[Segment]:
    """The steps from A to B; `original` has the given music itself at both ends."""
    (a, b), count, segments = ends, ends[0].count, []
    for k, t in enumerate(np.linspace(0.0, 1.0, steps).tolist()):
        windows, qpm = decoded[k * count : (k + 1) * count], a.qpm ** (1 - t) * b.qpm**t
        label, nearest = f"{k}/{steps - 1}", ends[2 * k >= steps]
        segments.append(Segment(windows, np.zeros(count, bool), qpm, _voices(a, b, t), label, excerpt=nearest))
    for segment, end, label in ((segments[0], a, "A"), (segments[-1], b, "B")):
        segment.label, segment.given = label, True
        if original:
            segment.windows, segment.tied, segment.written = end.windows, end.tied, True
    return segments


def _voices(a: Excerpt, b: Excerpt, t: float) -> list[Voice]:
    return [voice for ours, theirs in zip(a.players, b.players, strict=True) for voice in _between(ours, theirs, t)]


def _between(a: Voice, b: Voice, t: float) -> list[Voice]:
    velocity = (1 - t) * a.velocity + t * b.velocity
    if a.program == b.program:
        return [dataclasses.replace(a, velocity=velocity)]
    # Equal power, so that the middle is as loud as the ends.
    return [
        dataclasses.replace(a, name=f"{a.name} of A", velocity=velocity * float(np.sqrt(1 - t))),
        dataclasses.replace(b, name=f"{b.name} of B", velocity=velocity * float(np.sqrt(t))),
    ]
