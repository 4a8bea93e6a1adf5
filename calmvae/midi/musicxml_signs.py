"""The values of MusicXML signs: dynamics, tempo words, metres and keys."""

from __future__ import annotations

import re
from fractions import Fraction
from xml.etree.ElementTree import Element

# Velocities of dynamic marks without a number, as notation programs play them.
MARKS = {
    "n": 1, "pppppp": 5, "ppppp": 8, "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64,
    "mf": 80, "f": 96, "ff": 112, "fff": 120, "ffff": 124, "fffff": 126, "ffffff": 127, "pf": 96,
    "fp": 96, "sf": 112, "sfz": 112, "sffz": 120, "sfp": 112, "sfpp": 112, "rf": 112, "rfz": 112, "fz": 112,
}  # fmt: skip
DEFAULT_LEVEL = MARKS["mf"]
# Signs that change how notes are played, and that calmvae ignores.
UNPLAYED = (
    "staccato", "staccatissimo", "spiccato", "detached-legato", "breath-mark", "caesura", "scoop", "plop", "doit",
    "falloff", "trill-mark", "turn", "delayed-turn", "inverted-turn", "vertical-turn", "shake", "mordent",
    "inverted-mordent", "schleifer", "tremolo", "haydn",
)  # fmt: skip
# Tempos of words on metronomes and in notation programs, quarters per minute; the first word of a text counts.
_WORDS = {
    "larghissimo": 24, "sehr langsam": 40, "grave": 40, "very slow": 40, "largo": 50, "lento": 52, "langsam": 54,
    "lent": 54, "slow": 54, "slowly": 54, "larghetto": 63, "adagio": 66, "ruhig": 66, "adagietto": 72,
    "andantino": 86, "andante": 80, "gehend": 80, "modéré": 100, "mäßig": 100, "mässig": 100, "moderato": 108,
    "bewegt": 112, "allegretto": 116, "lebhaft": 132, "animé": 132, "allegro": 132, "geschwind": 144, "vivo": 152,
    "vivace": 160, "vif": 160, "schnell": 160, "rasch": 160, "prestissimo": 200, "presto": 184,
}  # fmt: skip
_WORD = re.compile(rf"\b({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(nicht|non|pas|not|ohne|kein)\b", re.IGNORECASE)
# A note symbol and a number in plain text; the beat in quarters.
_FIGURE = re.compile(r"([♩♪]|\U0001D15E|\U0001D15F|\U0001D160)\s*(\.?)\s*=\s*\D{0,6}(\d{2,3})")
_BEATS = {"♩": 1.0, "\U0001d15f": 1.0, "♪": 0.5, "\U0001d160": 0.5, "\U0001d15e": 2.0}
# The most sharps or flats of a key.
_SHARPEST = 7


def number(text: str | None) -> Fraction | None:
    """The number in an element or attribute, None if there is none."""
    text = (text or "").strip()
    # Fraction also takes other texts, and long numbers fill the memory.
    return Fraction(text) if re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?|[+-]?\.\d{1,18}", text) else None


def velocity(percent: Fraction) -> int:
    """The MIDI velocity of a MusicXML loudness, which is a percentage of 90."""
    return min(max(round(float(percent) * 0.9), 1), 127)


def tempo_in_words(text: str) -> float | None:
    """The tempo of a text such as `♩ = 60`, quarters per minute."""
    found = _FIGURE.search(text)
    if not found:
        return None
    return _BEATS[found[1]] * (1.5 if found[2] else 1.0) * int(found[3])


def tempo_of_words(text: str) -> float | None:
    """The usual tempo of a word such as Adagio, quarters per minute."""
    found = _WORD.search(text)
    if not found or _NEGATION.search(text, 0, found.start()):
        return None
    return float(_WORDS[found[1].lower()])


def metre(time: Element) -> tuple[int, int] | None:
    """Numerator and denominator of a time signature; several ones and sums are added."""
    total = Fraction(0)
    beats, types = time.findall("beats"), time.findall("beat-type")
    lowest = 0
    for upper, lower in zip(beats, types, strict=False):
        unit = number(lower.text)
        count = sum(number(part) or Fraction(0) for part in (upper.text or "").split("+"))
        if not unit or unit < 1 or count <= 0 or unit.denominator > 1:
            return None
        total += count / unit
        lowest = max(lowest, int(unit))
    scaled = total * lowest
    if not total or scaled.denominator > 1 or lowest & (lowest - 1) or scaled > 255 or lowest > 1 << 15:
        return None
    return int(scaled), lowest


def keys(attributes: Element) -> list[tuple[int, int]]:
    """Tonics (0 for C) and modes (1 for minor) of the traditional key signatures in attributes."""
    found = []
    for key in attributes.findall("key"):
        fifths = number(key.findtext("fifths"))
        if fifths is not None and abs(fifths) <= _SHARPEST:
            minor = (key.findtext("mode") or "").strip() == "minor"
            found.append(((int(fifths) * 7 + (9 if minor else 0)) % 12, int(minor)))
    return found
