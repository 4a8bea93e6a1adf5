"""The names in a MIDI file as text; the standard defines no encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

# Kana, kanji and punctuation; half-width kana apart.
_JAPANESE = "\u3000-\u30ff\u4e00-\u9fff\uff01-\uff60"
_HALF_WIDTH = "\uff61-\uff9f"
# A single such character next to a Latin letter is an accented letter or a quotation mark of Windows.
_ALONE = re.compile(
    f"(?<![{_JAPANESE}{_HALF_WIDTH}])[{_JAPANESE}{_HALF_WIDTH}](?=[A-Za-z])|(?<=[A-Za-z])[{_JAPANESE}{_HALF_WIDTH}]"
)
# In Windows-1251 words of small Cyrillic letters have only bytes of accented letters, unlike any Latin script.
_CYRILLIC_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[\xc0-\xff][\xe0-\xff]{2,}(?![A-Za-z\x80-\xff])")


def decode(names: Iterable[tuple[int, bytes]]) -> dict[int, str]:
    """The first name of each track that is not empty.

    A name is UTF-8 or UTF-16 if it can be. All other names of a file have one encoding: Shift-JIS, Windows-1251 or
    Windows-1252, which has all letters of Latin-1.

    Args:
      names: `(track, bytes)`.
    """
    first: dict[int, bytes] = {}
    for track, data in names:
        if data.strip(b"\0 \t\r\n"):
            first.setdefault(track, data)
    texts = {track: _unicode(data) for track, data in first.items()}
    others = {track: first[track] for track, text in texts.items() if text is None}
    encoding = _guess(b"\n".join(others.values())) if others else ""
    found = {}
    for track, text in texts.items():
        if text is None:
            text = first[track].decode(encoding, "replace" if encoding == "latin1" else "strict")
        found[track] = text.replace("\0", "")
    return found


def _unicode(data: bytes) -> str | None:
    if data.isascii() and 0 not in data:
        return data.decode("ascii")
    encodings = ["utf-8-sig"]
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encodings = ["utf-16"]
    elif len(data) % 2 == 0 and data.count(0) * 2 >= len(data):
        # Latin letters in UTF-16 without a byte order mark: every second byte is 0.
        encodings = ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _guess(data: bytes) -> str:
    """The encoding of names, one per line."""
    try:
        text = data.decode("cp932")
        strange = re.search(f"[^\x00-\x7f{_JAPANESE}{_HALF_WIDTH}]", text) or _ALONE.search(text)
        # The first bytes of Shift-JIS are control characters in Latin-1; half-width kana alone are no proof.
        if not strange and re.search(rb"[\x81-\x9f]|^[\xa1-\xdf]{2,}$", data):
            return "cp932"
    except UnicodeDecodeError:
        pass
    if _CYRILLIC_WORD.search(data):
        return "cp1251"
    try:
        data.decode("cp1252")
        return "cp1252"
    except UnicodeDecodeError:
        return "latin1"
