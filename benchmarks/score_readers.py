"""Does calmvae read MusicXML scores as music21 does? Strikes, pitches and lengths, the reasons they differ, and times.

    .venv/bin/python -m benchmarks.score_readers FOLDER [-n 200]

Needs music21 (pip install music21). Scores are drawn by a seed. music21 expands repeats and gives sounding pitches; its
tied notes are merged here, by part and pitch, where they touch: its `stripTies` leaves chords that are tied in part.

A disagreement is explained by a change to the score: if calmvae reads the changed score as music21 reads the given one,
the change names what is read differently. `KINDS` says what each means, and who is right.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import itertools
import logging
import random
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from calmvae.common.errors import CalmvaeError, Damaged
from calmvae.midi import musicxml, musicxml_file, musicxml_order

SUFFIXES = {".mxl", ".musicxml", ".xml"}
STRUCK = -1  # All unpitched notes.
NEAR = 0.01

KINDS = {
    "cue notes": "music21 strikes them, and none of their ties; by MusicXML they are silent",
    "ties over a gap": "a tie whose notes do not touch, as in a chord let ring; one strike by MusicXML",
    "each part by itself": "repeats, endings or jumps written in one part only, or measures that another part fills "
    "further; music21's parts fall out of step",
    "music21 expands nothing": "it finds the repeats badly formed, and plays the score once through",
    "jumps not followed": "da capo or dal segno that music21 takes for text",
    "another order": "as `each part by itself`: the parts' own marks give them different orders; not recomputed",
    "music21 fails": "an error of its own",
    "not explained": "look into the score",
}
JUMPS = ("dacapo", "dalsegno", "tocoda", "fine", "segno", "coda", "forward-repeat")


@dataclasses.dataclass
class Reading:
    """What a reader finds: struck pitches, and the end of the last note in quarter notes.

    Attributes:
      seconds: how long it took.
      refused: why repeats were not expanded.
    """

    pitches: Counter[int]
    length: float
    seconds: float = 0.0
    refused: str = ""

    def agrees(self, other: Reading) -> tuple[bool, bool, bool]:
        """Whether strikes, pitches and length are the same."""
        strikes = self.pitches.total() == other.pitches.total()
        return strikes, self.pitches == other.pitches, abs(self.length - other.length) < NEAR


def by_calmvae(data: bytes) -> Reading:
    """Reads with calmvae."""
    begin = time.perf_counter()
    found = musicxml.read(data)
    seconds = time.perf_counter() - begin
    pitches = Counter(np.where(found.notes.is_drum, STRUCK, found.notes.pitch).tolist())
    times, qpms = (np.array(column) for column in zip(*found.tempos, strict=True))
    quarters = np.append(0.0, np.cumsum(np.diff(times) * qpms[:-1] / 60))
    last = float(found.notes.end.max(initial=0.0))
    i = max(int(np.searchsorted(times, last, side="right")) - 1, 0)
    return Reading(pitches, float(quarters[i] + (last - times[i]) * qpms[i] / 60), seconds)


def by_music21(path: Path) -> Reading:
    """Reads with music21; a time includes parsing, repeats, transposition and ties."""
    import music21

    begin = time.perf_counter()
    score = music21.converter.parse(path, format="musicxml", forceSource=True)
    refused = ""
    try:
        score = score.expandRepeats()
    except music21.repeat.ExpanderException as error:
        refused = str(error)
    parts: dict[str, list[tuple[float, float, int, str]]] = {}
    for k, part in enumerate(score.toSoundingPitch().parts):
        # The staves of a keyboard are parts of their own to music21, and ties lead from one to the other.
        name, is_staff, _ = str(part.id).partition("-Staff")
        parts.setdefault(name if is_staff else f"{name} {k}", []).extend(_struck(part))
    pitches: Counter[int] = Counter()
    last = 0.0
    for notes in parts.values():
        ends: dict[int, list[float]] = {}
        for start, length, pitch, tie in sorted(notes, key=lambda note: note[0]):
            open_ends = ends.setdefault(pitch, [])
            touching = next((end for end in open_ends if abs(end - start) < 1e-4), None)
            if tie in ("stop", "continue") and touching is not None:
                open_ends.remove(touching)
            else:
                pitches[pitch] += 1
            if tie in ("start", "continue"):
                open_ends.append(start + length)
            last = max(last, start + length)
    return Reading(pitches, last, time.perf_counter() - begin, refused)


def _struck(part: object) -> Iterator[tuple[float, float, int, str]]:
    """Start, length, pitch and tie of each note of a part of music21."""
    from music21 import chord, harmony, note

    for found in part.flatten().notes:
        if isinstance(found, harmony.ChordSymbol):
            continue
        for each in found.notes if isinstance(found, chord.ChordBase) else [found]:
            pitch = STRUCK if isinstance(each, note.Unpitched) else each.pitch.midi
            yield float(found.offset), float(found.quarterLength), pitch, each.tie.type if each.tie else ""


def _with_cues(root: Element) -> list[Element]:
    """The score with its cue notes as notes, untied, for notation programs write their ties as signs alone."""
    for note in root.iter("note"):
        if note.find("cue") is not None:
            note.remove(note.find("cue"))
            for notations in note.findall("notations"):
                for tied in notations.findall("tied"):
                    notations.remove(tied)
    return [root]


def _part_by_part(root: Element) -> list[Element]:
    scores = []
    for part in root.findall("part"):
        score = Element("score-partwise")
        score.extend([*root.findall("part-list"), part])
        scores.append(score)
    return scores


def _without_jumps(root: Element) -> list[Element]:
    for sound in root.iter("sound"):
        for name in JUMPS:
            sound.attrib.pop(name, None)
    for direction in root.iter("direction"):
        for kind in direction.findall("direction-type"):
            if any(kind.find(name) is not None for name in ("words", "segno", "coda")):
                direction.remove(kind)
    return [root]


def _once_through(root: Element) -> list[Element]:
    for barline in root.iter("barline"):
        for sign in [*barline.findall("repeat"), *barline.findall("ending")]:
            barline.remove(sign)
    return _without_jumps(root)


CHANGES: dict[str, Callable[[Element], list[Element]]] = {
    "cue notes": _with_cues,
    "ties over a gap": lambda root: [root],
    "each part by itself": _part_by_part,
    "music21 expands nothing": _once_through,
    "jumps not followed": _without_jumps,
}


def _touching(waiting: list[tuple[int, object, int]], start: object, _: int) -> int | None:
    """In place of calmvae's rule for ties: only where notes touch."""
    found = next((tie for tie in reversed(waiting) if tie[1] == start), None)
    if found is None:
        return None
    waiting.remove(found)
    return found[0]


def changed(root: Element, names: tuple[str, ...]) -> Reading:
    """calmvae's reading of a score after changes."""
    scores = [copy.deepcopy(root)]
    for name in names:
        scores = [one for score in scores for one in CHANGES[name](score)]
    ties = (
        mock.patch.object(musicxml, "_tied_to", _touching) if "ties over a gap" in names else contextlib.nullcontext()
    )
    with ties:
        read = [by_calmvae(ElementTree.tostring(score)) for score in scores]
    return Reading(sum((one.pitches for one in read), Counter()), max(one.length for one in read))


def explain(data: bytes, theirs: Reading) -> tuple[str, ...]:
    """The fewest kinds of difference that turn calmvae's reading into music21's."""
    root = musicxml_file.load(data)[0]
    kinds = [
        kind for kind in CHANGES if kind != ("jumps not followed" if theirs.refused else "music21 expands nothing")
    ]
    for n in range(1, len(kinds) + 1):
        for names in itertools.combinations(kinds, n):
            if all(changed(root, names).agrees(theirs)):
                return names
    orders = {tuple(musicxml_order.play_order(musicxml_order.read_marks([part]))) for part in root.findall("part")}
    return ("another order",) if len(orders) > 1 else ("not explained",)


def compare(path: Path) -> tuple[Reading, Reading | None, tuple[str, ...]]:
    """Both readings of a score, and the kinds of difference between them."""
    data = path.read_bytes()
    ours = by_calmvae(data)
    try:
        theirs = by_music21(path)
    except Exception as error:
        print(f"{path.name}: music21: {type(error).__name__}: {error}", file=sys.stderr)
        return ours, None, ("music21 fails",)
    return ours, theirs, () if all(ours.agrees(theirs)) else explain(data, theirs)


def main() -> None:
    """Prints a line for each disagreement, the kinds, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=200, help="scores to draw")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        import music21  # noqa: F401
    except ImportError:
        sys.exit("this benchmark compares with music21, which is not installed; pip install music21")
    warnings.filterwarnings("ignore")
    logging.disable()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = random.Random(options.seed).sample(paths, min(options.n, len(paths)))
    if not paths:
        sys.exit(f"no scores ({', '.join(sorted(SUFFIXES))}) in {options.folder}")
    kinds: Counter[str] = Counter()
    agree = np.zeros(3, int)
    times: list[tuple[float, float]] = []
    for path in paths:
        try:
            ours, theirs, found = compare(path)
        except (CalmvaeError, Damaged) as error:
            print(f"{path.relative_to(options.folder)}: calmvae: {error}", flush=True)
            continue
        kinds[" + ".join(found)] += bool(found)
        if theirs is None:
            continue
        agree += ours.agrees(theirs)
        times.append((ours.seconds, theirs.seconds))
        if found:
            strikes, lengths = ((f(ours), f(theirs)) for f in (lambda r: r.pitches.total(), lambda r: r.length))
            figures = f"{strikes[0]} and {strikes[1]} strikes, {lengths[0]:g} and {lengths[1]:g} quarters"
            print(f"{path.relative_to(options.folder)}: {figures}: {' + '.join(found)}", flush=True)
    for kind, n in kinds.most_common():
        if n:
            print(f"{n:4} {kind}")
    for kind in dict.fromkeys(kind for found in kinds for kind in found.split(" + ") if kind):
        print(f"{kind}: {KINDS[kind]}.")
    if times:
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(
            f"{len(times)} of {len(paths)} scores read by both. The same: strikes {agree[0]}, pitches {agree[1]}, "
            f"lengths {agree[2]}. Median seconds a score: calmvae {ours:.3f}, music21 {theirs:.2f}, {ratio:.0f} times."
        )


if __name__ == "__main__":
    main()
