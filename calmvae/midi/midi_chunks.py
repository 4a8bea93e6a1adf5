"""Finds the tracks in the bytes of a MIDI file, also inside other formats and with wrong lengths."""

from __future__ import annotations

import dataclasses
import struct

from calmvae.common.errors import Damaged
from calmvae.common.text import are, count

_HEADER, _TRACK, _END_OF_TRACK = b"MThd", b"MTrk", b"\xff\x2f\x00"
_FORMS = (0, 1, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Chunks:
    """The header and the tracks of a file.

    Attributes:
      form: the type of the file: 0, 1 or 2.
      division: ticks per quarter note or, if negative, frames per second (high byte) and ticks per frame (low byte).
      tracks: `(begin, end)` of each track's events in the bytes.
      said: the faults, one sentence each.
    """

    form: int
    division: int
    tracks: list[tuple[int, int]]
    said: list[str]


def find(data: bytes) -> Chunks:
    """Finds the tracks. If a length is wrong, the marks in the bytes count.

    Raises:
      Damaged: no header, no track, no time, or a track that breaks off.
    """
    begin, end, said = _unwrap(data)
    if end - begin < 14:
        raise Damaged("it ends in the middle")
    size, form, announced, division = struct.unpack_from(">LHHh", data, begin + 4)
    if not division or (division < 0 and not division & 0xFF):
        raise Damaged("its header says that a quarter note has 0 ticks")
    if form not in _FORMS:
        said.append(f"Type {form} is unknown; it is read as type 1.")
        form = 1
    at = begin + 8 + size
    if at != end and not _is_chunk(data, at, end):
        at = max(data.find(_TRACK, begin + 8, end), begin + 14)
        said.append("The length of its header is wrong.")
    tracks, passed = _tracks(data, at, end)
    if not tracks:
        raise Damaged("it has a header, but no track")
    if announced != len(tracks):
        found = f"{count(len(tracks), 'track')} {are(len(tracks))}"
        said.append(f"Its header announces {count(announced, 'track')}; {found} found and read.")
    return Chunks(form, division, tracks, said + passed)


def _unwrap(data: bytes) -> tuple[int, int, list[str]]:
    """Begin and end of the MIDI file in the bytes, and a sentence about bytes before it."""
    begin = data.find(_HEADER)
    if begin < 0:
        raise Damaged("it does not hold MThd, the mark of a MIDI file")
    end = len(data)
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        length = int.from_bytes(data[begin - 4 : begin], "little")
    elif begin == 128 and not data[0] and 0 < data[1] < 64:
        # MacBinary: a header of 128 bytes with the length of the file itself.
        length = int.from_bytes(data[83:87], "big")
    else:
        return begin, end, [f"{count(begin, 'byte')} before its header {are(begin)} passed over."] if begin else []
    return begin, begin + length if 14 <= length <= end - begin else end, []


def _tracks(data: bytes, at: int, end: int) -> tuple[list[tuple[int, int]], list[str]]:
    """The tracks from a place on, and sentences about the bytes between and after them."""
    tracks: list[tuple[int, int]] = []
    wrong, strays = 0, 0
    others: list[str] = []
    said = []
    while at + 8 <= end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if kind == _TRACK:
            stop = _track_end(data, at + 8, length, end)
            wrong += stop != at + 8 + length
            tracks.append((at + 8, stop))
            at = stop
        elif kind == _HEADER:
            said.append("Another MIDI file follows in it and is passed over.")
            end = at
        elif _is_chunk(data, at, end):
            others.append(kind.decode("ascii"))
            at += 8 + length
        else:
            following = data.find(_TRACK, at, end)
            following = end if following < 0 else following
            strays += following - at
            at = following
    strays += end - at
    if wrong:
        said.append(f"The length of {count(wrong, 'track')} is wrong; the end was found by its mark.")
    if others:
        names = ", ".join(sorted(set(others)))
        said.append(f"{count(len(others), 'chunk')} of another kind ({names}) {are(len(others))} passed over.")
    if strays:
        said.append(f"{count(strays, 'byte')} between or after its tracks {are(strays)} passed over.")
    return tracks, said


def _track_end(data: bytes, start: int, length: int, end: int) -> int:
    """The end of a track: by its length, if the bytes there agree, else by its end mark."""
    stop = start + length
    # The mark with the next track right after it; with a right length it is at the end.
    mark = data.find(_END_OF_TRACK + _TRACK, start, min(stop + len(_TRACK), end))
    if mark >= 0:
        return mark + len(_END_OF_TRACK)
    marked = length > 0 and data[stop - len(_END_OF_TRACK) : stop] == _END_OF_TRACK
    if stop <= end and (stop == end or marked or _is_chunk(data, stop, end)):
        return stop
    limit = data.find(_TRACK, start, end)
    mark = data.rfind(_END_OF_TRACK, start, end if limit < 0 else limit)
    if mark >= 0:
        return mark + len(_END_OF_TRACK)
    if limit >= 0:
        return limit
    if stop > end:
        raise Damaged("it ends in the middle")
    return stop


def _is_chunk(data: bytes, at: int, end: int) -> bool:
    """True if a chunk of any kind begins at a place and ends within the file; a track may be longer."""
    kind = data[at : at + 4]
    if kind in (_TRACK, _HEADER):
        return True
    length = int.from_bytes(data[at + 4 : at + 8], "big")
    return len(kind) == 4 and kind.isalnum() and at + 8 + length <= end
