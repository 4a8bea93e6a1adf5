"""Reads the measures of a part of a MusicXML score; positions are quarter notes from the beginning of each measure.

Elements that cannot be understood are left out and counted by kind, a noun that follows a number.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from xml.etree.ElementTree import Element

from calmvae.midi import musicxml_signs
from calmvae.midi.musicxml_signs import number

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_TYPES = {name: Fraction(4) / 2**k for k, name in enumerate("whole half quarter eighth 16th 32nd 64th 128th".split())}
_TYPES |= {"maxima": Fraction(32), "long": Fraction(16), "longa": Fraction(16), "breve": Fraction(8)}
# A grace note takes this time of the next note, at most half of it.
_GRACE = Fraction(1, 8)
# A sixteenth, for notes without a length.
_SHORT = Fraction(1, 4)
# Acoustic snare, the default for unpitched notes.
_STRUCK = 38
_ACCENTS = {"sf", "sfz", "sffz", "sfp", "sfpp", "rf", "rfz", "fz", "fp", "pf"}


@dataclasses.dataclass(slots=True)
class Sound:
    """A note of a measure; `passes` are the passes that play it, None for all."""

    at: Fraction
    length: Fraction
    pitch: int
    program: int
    is_drum: bool
    velocity: int | None
    starts_tie: bool
    stops_tie: bool
    passes: frozenset[int] | None


@dataclasses.dataclass
class Bar:
    """The content of a measure of a part, as pairs `(position, value)`.

    Attributes:
      length: the end of its last note or rest.
      levels: velocities that hold from a position on; `accents` hold only at their position.
      wedges: beginnings (1 louder, -1 softer) and ends (0) of hairpins.
      tempos: quarters per minute; `words`: tempo words.
      metres: `(numerator, denominator)`; `keys`: `(tonic, 1 if minor)`.
    """

    sounds: list[Sound] = dataclasses.field(default_factory=list)
    length: Fraction = Fraction(0)
    levels: list[tuple[Fraction, int]] = dataclasses.field(default_factory=list)
    accents: dict[Fraction, int] = dataclasses.field(default_factory=dict)
    wedges: list[tuple[Fraction, int]] = dataclasses.field(default_factory=list)
    tempos: list[tuple[Fraction, float]] = dataclasses.field(default_factory=list)
    words: list[tuple[Fraction, str]] = dataclasses.field(default_factory=list)
    metres: list[tuple[Fraction, tuple[int, int]]] = dataclasses.field(default_factory=list)
    keys: list[tuple[Fraction, tuple[int, int]]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Player:
    """The instrument of a note: General MIDI program, whether it is percussion, and the pitch of unpitched notes."""

    program: int = 0
    is_drum: bool = False
    struck: int = _STRUCK


def read_players(score_part: Element | None) -> dict[str, Player]:
    """The instruments of a part by id."""
    if score_part is None:
        return {}
    return {found.get("id", ""): _player(found, Player()) for found in score_part.findall("midi-instrument")}


def _player(found: Element, before: Player) -> Player:
    program, channel, struck = (number(found.findtext(f"midi-{name}")) for name in ("program", "channel", "unpitched"))
    return Player(
        min(max(int(program) - 1, 0), 127) if program is not None else before.program,
        channel == 10 if channel is not None else before.is_drum,
        min(max(int(struck) - 1, 0), 127) if struck is not None else before.struck,
    )


class Reader:
    """Reads the measures of a part in order; attributes hold for the measures that follow."""

    def __init__(self, players: dict[str, Player], left_out: Counter[str], unplayed: Counter[str]) -> None:
        self._players = dict(players)
        self._default = next(iter(players), "")
        self._left_out, self._unplayed = left_out, unplayed
        self._divisions = Fraction(1)
        self._transposed = 0
        self.shortened = 0

    def read(self, measure: Element) -> Bar:
        """Reads a measure."""
        self._bar, self._at, self._onset = Bar(), Fraction(0), Fraction(0)
        # For each voice, grace notes that wait for the next note, and the last notes.
        self._graces: dict[str, list[list[Sound]]] = {}
        self._last: dict[str, list[Sound]] = {}
        handlers: dict[str, Callable[[Element], object]] = {
            "note": self._note,
            "attributes": self._attributes,
            "direction": self._direction,
            "sound": self._sound,
            "backup": self._backup,
            "forward": self._forward,
            "harmony": lambda _: self._left_out.update(["chord symbol"]),
        }
        for element in measure:
            handler = handlers.get(element.tag)
            if handler is None:
                continue
            try:
                handler(element)
            except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
                self._left_out[f"{element.tag} that cannot be understood"] += 1
        for voice, graces in self._graces.items():
            self._place_behind(voice, graces)
        return self._bar

    def _attributes(self, element: Element) -> None:
        divisions = number(element.findtext("divisions"))
        if divisions is not None and divisions > 0:
            self._divisions = divisions
        elif divisions is not None:
            self._left_out["note-length unit that cannot be used"] += 1
        transpose = element.find("transpose")
        if transpose is not None:
            steps, octaves = (number(transpose.findtext(name)) or 0 for name in ("chromatic", "octave-change"))
            self._transposed = int(steps) + 12 * int(octaves)
        self._bar.keys += [(self._at, key) for key in musicxml_signs.keys(element)]
        for time in element.findall("time"):
            metre = musicxml_signs.metre(time)
            if metre:
                self._bar.metres.append((self._at, metre))
            elif time.find("senza-misura") is None:
                self._left_out["time signature that cannot be used"] += 1

    def _backup(self, element: Element) -> None:
        self._at = max(self._at - self._duration(element), Fraction(0))

    def _forward(self, element: Element) -> None:
        self._move(self._duration(element))

    def _move(self, length: Fraction) -> None:
        self._at += length
        self._bar.length = max(self._bar.length, self._at)

    def _duration(self, element: Element) -> Fraction:
        found = number(element.findtext("duration"))
        if found is None or found < 0:
            raise ValueError("no duration")
        return found / self._divisions

    def _direction(self, element: Element) -> None:
        offset = number(element.findtext("offset")) or Fraction(0)
        at = max(self._at + offset / self._divisions, Fraction(0))
        sound = element.find("sound")
        tempo = level = None
        if sound is not None:
            tempo, level = self._sound(sound, at)
        for sign in element.findall("direction-type/*"):
            if sign.tag == "metronome" and tempo is None:
                self._metronome(sign, at)
            elif sign.tag == "words" and sign.text and tempo is None:
                self._words(" ".join(sign.text.split()), at)
            elif sign.tag == "dynamics":
                self._dynamics(sign, level, at)
                level = None
            elif sign.tag == "wedge":
                way = {"crescendo": 1, "diminuendo": -1, "stop": 0}.get(sign.get("type", ""))
                self._bar.wedges += [] if way is None else [(at, way)]
            elif sign.tag == "pedal" and sign.get("type") in ("start", "change", "resume"):
                self._unplayed["pedal"] += 1
        if level is not None:
            self._bar.levels.append((at, level))

    def _sound(self, element: Element, at: Fraction | None = None) -> tuple[float | None, int | None]:
        """Reads a `sound`. Returns tempo and velocity; with `at`, the caller combines the velocity with its mark."""
        here = self._at if at is None else at
        for found in element.findall("midi-instrument"):
            name = found.get("id", self._default)
            self._players[name] = _player(found, self._players.get(name, Player()))
        tempo, dynamics = number(element.get("tempo")), number(element.get("dynamics"))
        level = None if dynamics is None or dynamics < 0 else musicxml_signs.velocity(dynamics)
        if tempo is not None and tempo > 0:
            self._bar.tempos.append((here, float(tempo)))
        elif "tempo" in element.attrib:
            self._left_out["tempo mark that cannot be used"] += 1
            tempo = None
        if level is not None and at is None:
            self._bar.levels.append((here, level))
        return (None if tempo is None else float(tempo)), level

    def _metronome(self, sign: Element, at: Fraction) -> None:
        unit, found = _TYPES.get((sign.findtext("beat-unit") or "").strip()), sign.findtext("per-minute") or ""
        figure = re.search(r"\d+(?:[.,]\d+)?", found)
        if unit is None or figure is None or not (beats := float(figure[0].replace(",", "."))):
            self._left_out["tempo mark that cannot be used"] += 1
            return
        dots = len(sign.findall("beat-unit-dot"))
        self._bar.tempos.append((at, beats * float(unit * (2 - Fraction(1, 2**dots)))))

    def _words(self, text: str, at: Fraction) -> None:
        figures = musicxml_signs.tempo_in_words(text)
        if figures:
            self._bar.tempos.append((at, figures))
        else:
            self._bar.words.append((at, text))

    def _dynamics(self, sign: Element, level: int | None, at: Fraction) -> None:
        for mark in sign:
            usual = musicxml_signs.MARKS.get(mark.tag, level)
            if usual is None:
                self._left_out["dynamic mark that cannot be understood"] += 1
            elif mark.tag in _ACCENTS:
                self._bar.accents[at] = usual if level is None else level
                if mark.tag.endswith("p"):
                    self._bar.levels.append((at, musicxml_signs.MARKS["p"]))
            else:
                self._bar.levels.append((at, usual if level is None else level))

    def _note(self, element: Element) -> None:
        is_grace, in_chord = element.find("grace") is not None, element.find("chord") is not None
        length = Fraction(0) if is_grace else self._length(element)
        voice = element.findtext("voice") or ""
        at = self._onset if in_chord else self._at
        if not in_chord and not is_grace:
            self._onset = self._at
            self._move(length)
        if element.find("cue") is not None:
            self._left_out["cue note"] += 1
            return
        if element.find("rest") is not None:
            self._place_behind(voice, self._graces.pop(voice, []))
            return
        self._count_signs(element)
        sound = self._heard(element, at, length)
        if is_grace:
            graces = self._graces.setdefault(voice, [])
            if in_chord and graces:
                graces[-1].append(sound)
            else:
                graces.append([sound])
            return
        if not length:
            self.shortened += 1
            sound.length = _SHORT
        if in_chord and self._last.get(voice) and self._last[voice][0].at >= at:
            # A chord after grace notes begins as a whole where its first note does.
            first = self._last[voice][0].at
            sound.at, sound.length = first, sound.length - (first - at)
            self._last[voice].append(sound)
        else:
            self._place_before(self._graces.pop(voice, []), sound)
            self._last[voice] = [sound]
        self._bar.sounds.append(sound)

    def _length(self, element: Element) -> Fraction:
        """The duration of a note; without one, the length of its symbol."""
        if element.find("duration") is not None:
            return self._duration(element)
        dots = len(element.findall("dot"))
        return _TYPES[(element.findtext("type") or "").strip()] * (2 - Fraction(1, 2**dots))

    def _heard(self, element: Element, at: Fraction, length: Fraction) -> Sound:
        instrument = element.find("instrument")
        name = self._default if instrument is None else instrument.get("id", "")
        player = self._players.get(name) or self._players.get(self._default) or Player()
        pitch, is_drum = self._pitch(element.find("pitch")), player.is_drum
        if pitch is None:
            pitch, is_drum = player.struck, True
        elif not 0 <= pitch <= 127:
            raise ValueError("out of MIDI's range")
        ties = {tie.get("type") for tie in (*element.findall("tie"), *element.findall("notations/tied"))}
        dynamics, passes = number(element.get("dynamics")), re.findall(r"\d{1,2}", element.get("time-only", ""))
        return Sound(
            at,
            length,
            pitch,
            player.program,
            is_drum,
            None if dynamics is None or dynamics < 0 else musicxml_signs.velocity(dynamics),
            "start" in ties,
            "stop" in ties,
            frozenset(map(int, passes)) if passes else None,
        )

    def _pitch(self, element: Element | None) -> int | None:
        """The MIDI pitch, with accidentals counted from the step in its octave; None for an unpitched note."""
        if element is None:
            return None
        alter = number(element.findtext("alter")) or Fraction(0)
        octave = number(element.findtext("octave"))
        if octave is None:
            raise ValueError("no octave")
        if alter.denominator > 1:
            self._unplayed["microtone"] += 1
        step = _STEPS[(element.findtext("step") or "").strip().upper()]
        return int((step + alter + 12 * (octave + 1) + self._transposed + Fraction(1, 2)) // 1)

    def _count_signs(self, element: Element) -> None:
        for kind in ("articulations", "ornaments"):
            for sign in element.findall(f"notations/{kind}/*"):
                if sign.tag in musicxml_signs.UNPLAYED:
                    self._unplayed[sign.tag.removesuffix("-mark")] += 1
        for sign in element.findall("notations/*"):
            if sign.tag in ("fermata", "arpeggiate", "glissando", "slide"):
                self._unplayed[sign.tag] += 1
            elif sign.tag == "dynamics":
                self._dynamics(sign, None, self._onset)

    def _place_before(self, graces: list[list[Sound]], main: Sound) -> None:
        """Places grace notes at the beginning of the note that they lead to, which becomes shorter."""
        if graces:
            taken = min(_GRACE * len(graces), main.length / 2)
            self._place(graces, main.at, taken)
            main.at, main.length = main.at + taken, main.length - taken

    def _place_behind(self, voice: str, graces: list[list[Sound]]) -> None:
        """Places grace notes without a next note at the end of the note before, which becomes shorter."""
        before = self._last.get(voice)
        if graces and before:
            taken = min(_GRACE * len(graces), before[0].length / 2)
            self._place(graces, before[0].at + before[0].length - taken, taken)
            for sound in before:
                sound.length -= taken
        elif graces:
            self._left_out["grace note that cannot be placed"] += sum(map(len, graces))

    def _place(self, graces: list[list[Sound]], begin: Fraction, length: Fraction) -> None:
        each = length / len(graces)
        for k, chord in enumerate(graces):
            for sound in chord:
                sound.at, sound.length = begin + k * each, each
                self._bar.sounds.append(sound)
