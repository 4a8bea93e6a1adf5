"""Does calmvae read MusicXML scores as music21 does? Strikes, pitches, lengths and times, and why they differ.

    .venv/bin/python -m benchmarks.score_readers FOLDER [-n 200]

draws scores by a seed. music21 expands repeats, gives sounding pitches, and its ties are merged here by part and pitch.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import re
import statistics
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import musicxml
from calmvae.errors import MissingDependencyError

SUFFIXES = {".mxl", ".musicxml", ".xml"}
STRUCK = -1


@dataclasses.dataclass
class Reading:
    """What a reader finds: struck pitches, end of the last note in quarter notes, seconds it took."""

    pitches: Counter[int]
    length: float
    seconds: float = 0.0
    said: str = ""


def by_calmvae(data: bytes) -> Reading:
    begin = time.perf_counter()
    found = musicxml.read(data)
    seconds = time.perf_counter() - begin
    notes = found.notes
    pitches = Counter(np.where(notes.is_drum, STRUCK, notes.pitch).tolist())
    times, qpms = (np.array(column) for column in zip(*found.tempos, strict=True))
    begins = np.append(0.0, np.cumsum(np.diff(times) * qpms[:-1] / 60))
    last = float(notes.end.max(initial=0.0))
    i = max(int(np.searchsorted(times, last, side="right")) - 1, 0)
    return Reading(pitches, float(begins[i] + (last - times[i]) * qpms[i] / 60), seconds)


def by_music21(path: Path) -> Reading:
    import music21
    from music21 import chord, harmony, note

    begin = time.perf_counter()
    score = music21.converter.parse(path, format="musicxml", forceSource=True)
    said = ""
    try:
        score = score.expandRepeats()
    except music21.repeat.ExpanderException as error:
        said = str(error)
    score = score.toSoundingPitch()
    pitches: Counter[int] = Counter()
    last = 0.0
    held: dict[tuple[str, int], list[float]] = {}
    for part in score.parts:
        name = re.sub(r"-Staff\d+$", "", str(part.id))
        notes = [n for n in part.flatten().notes if not isinstance(n, harmony.ChordSymbol)]
        for one in notes:
            start, length = float(one.offset), float(one.quarterLength)
            for each in one.notes if isinstance(one, chord.ChordBase) else [one]:
                pitch = STRUCK if isinstance(each, note.Unpitched) else each.pitch.midi
                tie = each.tie.type if each.tie else ""
                ends = held.setdefault((name, pitch), [])
                found = [end for end in ends if abs(end - start) < 1e-4]
                if tie in ("stop", "continue") and found:
                    ends.remove(found[0])
                else:
                    pitches[pitch] += 1
                last = max(last, start + length)
                if tie in ("start", "continue"):
                    ends.append(start + length)
    return Reading(pitches, last, time.perf_counter() - begin, said)
