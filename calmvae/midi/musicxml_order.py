"""The order in which the measures of a score are played: repeats, endings, da capo, dal segno, coda and fine."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element

# Nobody plays music of more measures.
MAX_PLAYED = 50_000

_DA_CAPO = re.compile(r"\b(d\.\s*c\.|da\s+capo\b)", re.IGNORECASE)
_DAL_SEGNO = re.compile(r"\b(d\.\s*s\.|dal\s+segno\b)", re.IGNORECASE)
_TO_CODA = re.compile(r"\W*(to|al)\s+coda\W*", re.IGNORECASE)
_FINE = re.compile(r"\W*fine\W*", re.IGNORECASE)
_JUMPS = ("dacapo", "dalsegno", "tocoda", "fine", "segno", "coda")


@dataclasses.dataclass
class Marks:
    """The marks of a measure, in any part.

    Attributes:
      forward: a repeated section begins here.
      backward: how often a section that ends here is played, 0 for none.
      ending, numbered: the passes that play this measure, as printed and as in the attribute; None outside of endings.
      begins: an ending begins here.
      movement: a movement begins here.
      segno, coda: labels of this measure; `dalsegno` and `tocoda` are labels of measures to jump to from here.
      dacapo: a jump from here to the beginning.
      fine: the end after a jump back.
    """

    forward: bool = False
    backward: int = 0
    ending: frozenset[int] | None = None
    numbered: frozenset[int] | None = None
    begins: bool = False
    movement: bool = False
    segno: set[str] = dataclasses.field(default_factory=set)
    coda: set[str] = dataclasses.field(default_factory=set)
    dalsegno: str | None = None
    tocoda: str | None = None
    dacapo: bool = False
    fine: bool = False


def read_marks(parts: Sequence[Element]) -> list[Marks]:
    """The marks of every measure, collected from all parts, because often only the top part has them."""
    marks = [Marks() for _ in range(max((len(part.findall("measure")) for part in parts), default=0))]
    for part in parts:
        ending: Element | None = None
        before = 0
        for mark, measure in zip(marks, part.findall("measure"), strict=False):
            stops = False
            shown = re.fullmatch(r"\d{1,6}", measure.get("number", ""))
            if shown:
                # The count of measures restarts: another movement begins.
                mark.movement |= int(shown[0]) <= 1 < before
                before = int(shown[0])
            for barline in measure.findall("barline"):
                found = barline.find("ending")
                if found is not None and found.get("type") == "start":
                    ending, mark.begins = found, True
                elif found is not None:
                    stops = True
                _read_repeat(barline.find("repeat"), mark)
            if ending is not None and mark.ending is None:
                mark.numbered = _passes(ending.get("number", ""))
                mark.ending = _passes(ending.text or "") or mark.numbered
            ending = None if stops else ending
            for direction in measure.findall("direction"):
                _read_direction(direction, mark)
            for sound in measure.findall("sound"):
                _read_sound(sound, mark)
    return marks


def _passes(text: str) -> frozenset[int]:
    """The passes of an ending, such as `1, 2` or `1.-3.`."""
    passes: set[int] = set()
    for first, last in re.findall(r"(\d{1,2})\.?(?:\s*[-–]\s*(\d{1,2}))?", text):
        passes |= set(range(int(first), int(last or first) + 1))
    return frozenset(passes - {0})


def _read_repeat(repeat: Element | None, mark: Marks) -> None:
    if repeat is None:
        return
    if repeat.get("direction") == "forward":
        mark.forward = True
    else:
        times = repeat.get("times", "2")
        mark.backward = max(mark.backward, int(times) if re.fullmatch(r"\d{1,2}", times) and int(times) > 1 else 2)


def _read_direction(direction: Element, mark: Marks) -> None:
    """Reads the marks that a player sees, unless the file says what they mean."""
    sound = direction.find("sound")
    if sound is not None:
        _read_sound(sound, mark)
        if any(name in sound.attrib for name in _JUMPS):
            return
    for sign in direction.findall("direction-type/*"):
        text = " ".join((sign.text or "").split())
        if sign.tag == "segno":
            mark.segno.add("")
        elif sign.tag == "coda":
            mark.coda.add("")
        elif sign.tag == "words" and _DA_CAPO.search(text):
            mark.dacapo = True
        elif sign.tag == "words" and _DAL_SEGNO.search(text):
            mark.dalsegno = mark.dalsegno or ""
        elif sign.tag == "words" and _TO_CODA.fullmatch(text):
            mark.tocoda = mark.tocoda or ""
        elif sign.tag == "words" and _FINE.fullmatch(text):
            mark.fine = True


def _read_sound(sound: Element, mark: Marks) -> None:
    if "segno" in sound.attrib:
        mark.segno.add(sound.get("segno", ""))
    if "coda" in sound.attrib:
        mark.coda.add(sound.get("coda", ""))
    mark.dalsegno = sound.get("dalsegno", mark.dalsegno)
    mark.tocoda = sound.get("tocoda", mark.tocoda)
    mark.dacapo |= sound.get("dacapo") == "yes"
    mark.fine |= "fine" in sound.attrib
    mark.forward |= sound.get("forward-repeat") == "yes"


def play_order(marks: Sequence[Marks]) -> list[tuple[int, int]]:
    """Measures in the order of playing, each with the number of the pass through its section.

    By custom, after a jump back there are no repeats, and only the last ending is played. Movements are independent.
    """
    begins = [0, *(i for i, mark in enumerate(marks) if mark.movement and i), len(marks)]
    order: list[tuple[int, int]] = []
    for begin, end in itertools.pairwise(begins):
        most = MAX_PLAYED - len(order)
        order += [(begin + at, number) for at, number in _movement(marks[begin:end], most)]
    return order


def _movement(marks: Sequence[Marks], most: int) -> list[tuple[int, int]]:
    """The order of a movement's measures, as `play_order`; at most `most` of them."""
    groups = _groups(marks)
    jumps = any(mark.dacapo or mark.dalsegno is not None for mark in marks)
    order: list[tuple[int, int]] = []
    taken: set[int] = set()
    at, start, number, jumped, leave = 0, 0, 1, False, -1
    while at < len(marks) and len(order) < most:
        mark, group = marks[at], groups.get(at)
        if mark.forward and at != start:
            start, number = at, 1
        if group and at == group.first:
            chosen = group.choose(number, jumped, jumps)
            if chosen is None:
                at = start = group.last + 1
                number = 1
                continue
            at, leave = chosen
            mark = marks[at]
        order.append((at, number))
        if mark.backward and not jumped:
            if number < (group.passes if group else mark.backward):
                at, number = start, number + 1
                continue
            start, number = at + 1, 1
        if jumped and mark.fine:
            break
        target = _target(marks, mark.tocoda, "coda") if jumped and mark.tocoda is not None else None
        if target is not None and target > at:
            at = start = target
            number, jumped = 1, False
            continue
        if (mark.dacapo or mark.dalsegno is not None) and at not in taken:
            taken.add(at)
            found = 0 if mark.dacapo else _target(marks, mark.dalsegno, "segno")
            if found is not None:
                at = start = found
                number, jumped = 1, True
                continue
        # An ending that is not the last and leads nowhere continues with the next one.
        if group and at == leave and (jumped or mark.backward or number >= group.passes):
            at = start = group.last + 1
            number = 1
            continue
        at += 1
    return order


@dataclasses.dataclass(frozen=True)
class _Group:
    """Consecutive endings.

    Attributes:
      first, last: its measures.
      endings: first and last measure of each, and its passes.
      times: how often the repeat signs in them play the section, 0 if none leads back.
    """

    first: int
    last: int
    endings: list[tuple[int, int, frozenset[int]]]
    times: int

    @property
    def passes(self) -> int:
        """The number of times that the section before the endings is played."""
        return max(2, self.times, *(max(numbers, default=1) for _, _, numbers in self.endings))

    def choose(self, number: int, jumped: bool, jumps: bool) -> tuple[int, int] | None:
        """First and last measure to play on a pass; None if it has no ending."""
        if not self.times and not jumps:
            # Nothing leads back, so the brackets change nothing.
            return self.first, self.last
        if jumped:
            return max(self.endings, key=lambda ending: max(ending[2], default=0))[:2]
        return next((ending[:2] for ending in self.endings if number in ending[2]), None)


def _groups(marks: Sequence[Marks]) -> dict[int, _Group]:
    """The group of endings of each measure that is in one; a repeated number of a pass begins another group."""
    found: dict[int, _Group] = {}
    at = 0
    while at < len(marks):
        first, spans = at, []
        taken: set[int] = set()
        while at < len(marks) and (numbers := marks[at].ending) is not None and not numbers & taken:
            begin = at
            taken |= numbers
            at += 1
            while at < len(marks) and marks[at].ending is not None and not marks[at].begins:
                at += 1
            spans.append((begin, at - 1))
        if spans:
            passes = _told([marks[begin] for begin, _ in spans])
            endings = [(*span, numbers) for span, numbers in zip(spans, passes, strict=True)]
            times = max(mark.backward for mark in marks[first:at])
            found |= dict.fromkeys(range(first, at), _Group(first, at - 1, endings, times))
        else:
            at += 1
    return found


def _told(endings: Sequence[Marks]) -> list[frozenset[int]]:
    """The passes of consecutive endings: as printed if they count from 1 on, else as numbered."""
    for numbers in ([mark.ending for mark in endings], [mark.numbered for mark in endings]):
        passes = [found or frozenset() for found in numbers]
        counted = sorted(set().union(*passes))
        if counted and counted == list(range(1, counted[-1] + 1)):
            return passes
    return [mark.ending or frozenset({1}) for mark in endings]


def _target(marks: Sequence[Marks], label: str | None, kind: str) -> int | None:
    """The measure with a label. Without one: the first measure with any segno, or the last with any coda."""
    places = [i for i, mark in enumerate(marks) if getattr(mark, kind)]
    named = [i for i in places if label in getattr(marks[i], kind)]
    chosen = named or places
    return (chosen[-1] if kind == "coda" else chosen[0]) if chosen else None
