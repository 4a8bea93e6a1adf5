"""More MIDI files of the kinds in `tests/cases`, made here byte by byte: what they play, and what is said of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from calmvae.common.errors import InputError
from calmvae.midi import read_music
from calmvae.music import melody_extraction
from tests.odd_midi import chunk, header, number
from tests.test_cases import TUNE, Case, check, line

END = b"\x00\xff\x2f\x00"
# A quarter note at the default tempo is half a second.
QUARTER = 480


def meta(kind: int, data: bytes, wait: int = 0) -> bytes:
    """A meta event."""
    return number(wait) + bytes([0xFF, kind]) + number(len(data)) + data


def event(*data: int, wait: int = 0) -> bytes:
    """A channel event."""
    return number(wait) + bytes(data)


def strike(pitch: int, channel: int = 0, wait: int = 0) -> bytes:
    """A note-on."""
    return event(0x90 | channel, pitch, 80, wait=wait)


def release(pitch: int, channel: int = 0, wait: int = 0) -> bytes:
    """A note-off."""
    return event(0x80 | channel, pitch, 0, wait=wait)


def control(which: int, value: int, channel: int = 0, wait: int = 0) -> bytes:
    """A controller."""
    return event(0xB0 | channel, which, value, wait=wait)


def quarters(pitches: Sequence[int], channel: int = 0) -> bytes:
    """Quarter notes one after the other."""
    return b"".join(strike(pitch, channel) + release(pitch, channel, QUARTER) for pitch in pitches)


def track(*parts: bytes) -> bytes:
    """A track's chunk, with its end."""
    return chunk(b"MTrk", b"".join(parts) + END)


def file(*tracks: bytes, form: int = 1, division: int = QUARTER, announced: int | None = None) -> bytes:
    """A file of tracks."""
    return header(form, len(tracks) if announced is None else announced, division) + b"".join(tracks)


TEMPO_60, TEMPO_240 = b"\x0f\x42\x40", b"\x03\xd0\x90"
PLAIN = file(track(quarters(TUNE)))
SPACE = 4 * QUARTER


def with_length(data: bytes, at: int, length: int) -> bytes:
    """A file with another length of the track whose chunk begins at a place."""
    assert data[at : at + 4] == b"MTrk"
    return data[: at + 4] + struct.pack(">L", length) + data[at + 8 :]


TWO_TRACKS = file(track(quarters(TUNE)), track(quarters([48, 50] * 8, 1)))
SECOND = TWO_TRACKS.index(b"MTrk", 20)
BOTH = line(TUNE) + line([48, 50] * 8)


def of_tempo_and_metre() -> dict[str, tuple[bytes, Case]]:
    """Tempo and metre in any track, of two at one place the later; what cannot be used is passed over."""
    slower = [*line(TUNE[:4]), *line(TUNE[4:], 1.0, 2.0)]
    return {
        "tempo in the last of five tracks": (
            file(track(quarters(TUNE)), *[track()] * 3, track(meta(0x51, TEMPO_60, 4 * QUARTER))), Case(slower)),
        "tempo in the track of the notes": (
            file(track(), track(quarters(TUNE[:4]), meta(0x51, TEMPO_60), quarters(TUNE[4:]))), Case(slower)),
        "two tempos at one tick, in two tracks": (
            file(track(meta(0x51, TEMPO_240)), track(meta(0x51, TEMPO_60), quarters(TUNE))),
            Case(line(TUNE, 1.0), qpm=60)),
        "a tempo of two bytes": (
            file(track(meta(0x51, b"\x0f\x42"), quarters(TUNE))),
            Case(line(TUNE), said="1 tempo that cannot be used is passed over")),
        "a tempo of 0 between two": (
            file(track(meta(0x51, TEMPO_60), meta(0x51, b"\0\0\0"), quarters(TUNE))),
            Case(line(TUNE, 1.0), qpm=60, said="1 tempo that cannot be used")),
        "a metre in the third track": (
            file(track(quarters(TUNE)), track(), track(meta(0x58, b"\x06\x03\x18\x08"))),
            Case(line(TUNE), metres=[(0.0, 6, 8)])),
        "two metres at one tick, in two tracks": (
            file(track(meta(0x58, b"\x04\x02\x18\x08")), track(meta(0x58, b"\x03\x02\x18\x08"), quarters(TUNE))),
            Case(line(TUNE), metres=[(0.0, 3, 4)])),
        "a metre of 0 among others": (
            file(track(meta(0x58, b"\x00\x02\x18\x08"), meta(0x58, b"\x03\x02\x18\x08"), quarters(TUNE))),
            Case(line(TUNE), metres=[(0.0, 3, 4)], said="1 time signature that cannot be used")),
        "a metre of three bytes": (
            file(track(meta(0x58, b"\x03\x02\x18"), quarters(TUNE))), Case(line(TUNE), metres=[(0.0, 3, 4)])),
        "a metre of one byte, and one over 2 to the 200": (
            file(track(meta(0x58, b"\x03"), meta(0x58, b"\x03\xc8\x18\x08"), quarters(TUNE))),
            Case(line(TUNE), metres=[], said="2 time signatures that cannot be used are")),
        "a key of mode 7, and one of one byte": (
            file(track(meta(0x59, b"\x00\x07"), meta(0x59, b"\x00"), quarters(TUNE))),
            Case(line(TUNE), said="2 key signatures that cannot be used are passed over")),
        "a short sequence number, port and SMPTE offset": (
            file(track(meta(0x00, b"\x01"), meta(0x21, b""), meta(0x54, b"\x60"), quarters(TUNE))), Case(line(TUNE))),
        "an unknown meta event that takes time": (
            file(track(meta(0x60, b"??", QUARTER), quarters(TUNE))), Case(line(TUNE, start=0.5))),
    }  # fmt: skip


def of_channels() -> dict[str, tuple[bytes, Case]]:
    """Program, pedal and controllers belong to a channel."""
    return {
        "program in a later track, before the notes": (
            file(track(quarters(TUNE).replace(b"\x00", number(QUARTER), 1)), track(event(0xC0, 73))),
            Case(line(TUNE, start=0.5), program=73)),
        "program of another channel": (
            file(track(event(0xC1, 73)), track(quarters(TUNE))), Case(line(TUNE), program=0)),
        "program of another port": (
            file(track(meta(0x21, b"\x01"), event(0xC0, 73)), track(meta(0x21, b"\x00"), quarters(TUNE))),
            Case(line(TUNE), program=0)),
        "pedal in another track": (
            file(track(control(64, 127), control(64, 0, wait=SPACE)), track(strike(60), release(60, wait=60))),
            Case([(60, 0, 2)])),
        "pedal pressed to 63 and to 64": (
            file(track(control(64, 63), strike(60), release(60, wait=QUARTER), control(64, 64), strike(62),
                       release(62, wait=QUARTER), control(64, 63, wait=QUARTER))),
            Case([(60, 0, 0.5), (62, 0.5, 1.5)])),
        "pedal that is never lifted": (
            file(track(control(64, 127), strike(60), release(60, wait=QUARTER), meta(1, b"", SPACE))),
            Case([(60, 0, 2.5)])),
        "pedal lifted by a reset of all controllers": (
            file(track(control(64, 127), strike(60), release(60, wait=QUARTER), control(121, 0, wait=QUARTER),
                       meta(1, b"", SPACE))),
            Case([(60, 0, 1)])),
        "pedal pressed after the note ended": (
            file(track(strike(60), release(60, wait=QUARTER), control(64, 127), control(64, 0, wait=SPACE))),
            Case([(60, 0, 0.5)])),
        "pedal of another channel": (
            file(track(control(64, 127, 1), strike(60), release(60, wait=QUARTER), meta(1, b"", SPACE))),
            Case([(60, 0, 0.5)])),
        "all sound off": (
            file(track(strike(60), strike(64), control(120, 0, wait=QUARTER), release(60, wait=QUARTER), release(64))),
            Case([(60, 0, 0.5), (64, 0, 0.5)])),
        "all notes off, and no other end": (
            file(track(strike(60), control(123, 0, wait=QUARTER), meta(1, b"", SPACE))), Case([(60, 0, 0.5)])),
        "all sound off under the pedal": (
            file(track(control(64, 127), strike(60), release(60, wait=60), control(120, 0, wait=180),
                       meta(1, b"", SPACE))),
            Case([(60, 0, 0.25)])),
    }  # fmt: skip


def of_notes() -> dict[str, tuple[bytes, Case]]:
    """Which note-off ends which note; notes without an end or a length."""
    return {
        "struck three times while held": (
            file(track(strike(60), strike(60, wait=QUARTER), strike(60, wait=QUARTER), release(60, wait=QUARTER),
                       release(60, wait=QUARTER), release(60, wait=QUARTER))),
            Case([(60, 0, 1.5), (60, 0.5, 2), (60, 1, 2.5)])),
        "struck again, with one note-off for each but the first": (
            file(track(strike(60), strike(60, wait=QUARTER), release(60, wait=QUARTER), strike(60),
                       release(60, wait=QUARTER), quarters(TUNE))),
            Case([(60, 0, 0.5), (60, 0.5, 1), (60, 1, 1.5), *line(TUNE, start=1.5)], said="1 note has no end")),
        "two notes without an end": (
            file(track(strike(48), quarters(TUNE), strike(72), meta(1, b"", QUARTER))),
            Case([(48, 0, 8.5), *line(TUNE), (72, 8, 8.5)], said="2 notes have no end; each sounds until")),
        "a note ended from another track": (
            file(track(strike(60), meta(1, b"", SPACE)), track(release(60, wait=QUARTER))), Case([(60, 0, 0.5)])),
        "note-offs for nothing": (
            file(track(release(60), quarters(TUNE), release(62), release(60))), Case(line(TUNE))),
        "a strike of velocity 0 is a note-off": (
            file(track(strike(60), event(0x90, 60, 0, wait=QUARTER), event(62, 80), event(62, 0, wait=QUARTER))),
            Case(line([60, 62]))),
        "no length, and struck again within a sixteenth": (
            file(track(strike(60), release(60), strike(60, wait=60), release(60, wait=QUARTER))),
            Case([(60, 0, 0.0625), (60, 0.0625, 0.5625)], said="1 note has no length; it is played as a sixteenth")),
        "drums of no length": (
            file(track(b"".join(strike(36, 9, QUARTER * (k > 0)) + release(36, 9) for k in range(4)))),
            Case(line([36] * 4, sounding=0.125), drums=4, said="4 notes have no length")),
    }  # fmt: skip


def of_framing() -> dict[str, tuple[bytes, Case]]:
    """What is wrapped around tracks, and lengths and counts that do not fit."""
    info = b"LIST" + struct.pack("<L", 4) + b"INFO"
    smf = PLAIN + b"\0" * (len(PLAIN) % 2)
    riff = b"RMID" + info + b"data" + struct.pack("<L", len(PLAIN)) + smf + b"DLS " + b"\0" * 4
    macbinary = b"\0\x04tune" + bytes(122 - 45) + struct.pack(">L", len(PLAIN)) + bytes(41)
    wrong = "The length of 1 track is wrong; the end was found by its mark"
    return {
        "RIFF with a list before and a sound bank after": (
            b"RIFF" + struct.pack("<L", len(riff)) + riff, Case(line(TUNE))),
        "MacBinary": (macbinary + PLAIN + bytes(-len(PLAIN) % 128), Case(line(TUNE))),
        "a mark of UTF-8 in front": (
            b"\xef\xbb\xbf" + PLAIN, Case(line(TUNE), said="3 bytes before its header are passed over")),
        "another file behind it": (
            PLAIN + TWO_TRACKS, Case(line(TUNE), said="Another MIDI file follows in it and is passed over")),
        "a header of 12 bytes that says 6": (
            header(1, 1, QUARTER) + bytes(6) + PLAIN[14:], Case(line(TUNE), said="length of its header is wrong")),
        "a header that says 1,000 bytes": (
            b"MThd" + struct.pack(">L", 1000) + PLAIN[8:], Case(line(TUNE), said="length of its header is wrong")),
        "no track announced": (
            file(track(quarters(TUNE)), announced=0), Case(line(TUNE), said="announces 0 tracks; 1 track is found")),
        "65,535 tracks announced": (
            header(1, -1, QUARTER) + TWO_TRACKS[14:], Case(BOTH, said="announces 65535 tracks; 2 tracks are found")),
        "first of two tracks too short": (with_length(TWO_TRACKS, 14, 9), Case(BOTH, said=wrong)),
        "first of two tracks of length 0": (with_length(TWO_TRACKS, 14, 0), Case(BOTH, said=wrong)),
        "first of two tracks reaches over the second": (
            with_length(TWO_TRACKS, 14, len(TWO_TRACKS) - 22), Case(BOTH, said=wrong)),
        "second of two tracks too long": (with_length(TWO_TRACKS, SECOND, 9999), Case(BOTH, said=wrong)),
        "a track of 4 GB": (with_length(PLAIN, 14, 0xFFFFFFFF), Case(line(TUNE), said=wrong)),
        "no mark of the end, and a length too short": (
            header(1, 2, QUARTER) + chunk(b"MTrk", quarters(TUNE))[:4] + struct.pack(">L", 5) + quarters(TUNE)
            + track(quarters([48, 50] * 8, 1)),
            Case(BOTH, said=wrong)),
        "unknown chunks before, between and after": (
            header(1, 2, QUARTER) + chunk(b"XFIH", b"1") + TWO_TRACKS[14:SECOND] + chunk(b"XFKM", b"123")
            + TWO_TRACKS[SECOND:] + chunk(b"abcd", b""),
            Case(BOTH, said=r"3 chunks of another kind \(XFIH, XFKM, abcd\) are passed over")),
        "a padding byte between tracks": (
            TWO_TRACKS[:SECOND] + b"\0" + TWO_TRACKS[SECOND:], Case(BOTH, said="1 byte between or after its")),
        "type 7": (file(track(quarters(TUNE)), form=7), Case(line(TUNE), said="Type 7 is unknown")),
        "type 255": (file(track(quarters(TUNE)), form=255), Case(line(TUNE), said="Type 255 is unknown")),
    }  # fmt: skip


def of_time() -> dict[str, tuple[bytes, Case]]:
    """Divisions in frames, and numbers written in more bytes than they may have."""

    def frames(a_second: int, ticks: int, *parts: bytes) -> bytes:
        return file(track(*parts), division=-a_second * 256 + ticks)

    def held(ticks: int) -> bytes:
        return strike(60) + release(60, wait=ticks)

    said = "counted in film frames"
    return {
        "24 frames of 80 ticks": (frames(24, 80, held(1920)), Case([(60, 0, 1)], said=said)),
        "29.97 frames of 100 ticks": (frames(29, 100, held(2997)), Case([(60, 0, 1)], said=said)),
        "30 frames of 1 tick": (frames(30, 1, held(15)), Case([(60, 0, 0.5)], said=said)),
        "frames, with a tempo for the beats": (
            frames(25, 40, meta(0x51, TEMPO_60), held(1000)), Case([(60, 0, 1)], qpm=60, said=said)),
        "a number of five bytes": (
            file(track(b"\x80\x80\x80\x80\x00" + strike(60)[1:], release(60, wait=QUARTER), quarters(TUNE))),
            Case([(60, 0, 0.5), *line(TUNE, start=0.5)])),
        "a number of five bytes within a running status": (
            file(track(b"".join(number(QUARTER * (k > 0), 3) + bytes([0x90] * (k == 0) + [60, 80 * (k % 2 == 0)])
                                for k in range(16)))),
            Case(line([60] * 8, 1.0, sounding=0.5))),
        "32,767 ticks a quarter": (
            file(track(strike(60), release(60, wait=32767)), division=32767), Case([(60, 0, 0.5)])),
    }  # fmt: skip


def of_bytes() -> dict[str, tuple[bytes, Case]]:
    """Stray bytes, running status, and lengths of events that do not fit."""
    two = strike(60) + number(QUARTER) + b"\x3c\x00"
    stray = "stray system message"
    return {
        "running status over a continued sysex": (
            file(track(two, b"\x00\xf7\x02\x01\x02", event(62, 80), event(62, 0, wait=QUARTER))), Case(line([60, 62]))),
        "running status over a clock": (
            file(track(two, b"\x00\xf8", event(62, 80), event(62, 0, wait=QUARTER))),
            Case(line([60, 62]), said=f"1 {stray} is")),
        "every system message": (
            file(track(b"".join(b"\x00" + bytes([status]) + data for status, data in (
                (0xF1, b"\x01"), (0xF2, b"\x01\x02"), (0xF3, b"\x01"), (0xF4, b""), (0xF5, b""), (0xF6, b""),
                (0xF8, b""), (0xFA, b""), (0xFE, b""))), quarters(TUNE))),
            Case(line(TUNE), said=f"9 {stray}s are passed over")),
        "a sysex that is longer than its track": (
            file(track(quarters(TUNE[:8]), b"\x00\xf0\x7f\x01\x02\xf7", quarters(TUNE[8:]))),
            Case(line(TUNE), said="1 system exclusive message has a wrong length")),
        "a sysex without an end that is longer than its track": (
            file(track(quarters(TUNE), b"\x00\xf0\x7f\x01\x02")),
            Case(line(TUNE), said="9 bytes at the end of tracks cannot be read")),
        "a text that is longer than its track": (
            file(track(quarters(TUNE), b"\x00\xff\x01\x7fabc")), Case(line(TUNE), said="11 bytes at the end of")),
        "a text of 34,359,738,240 bytes": (
            file(track(quarters(TUNE), b"\x00\xff\x01\xff\xff\xff\xff\x00")), Case(line(TUNE), said="12 bytes at the")),
        "a velocity of 200": (
            file(track(event(0x90, 60, 200), release(60, wait=QUARTER))),
            Case([(60, 0, 0.5)], velocities=[127], said="1 event with data bytes above 127 is read with 127")),
        "a data byte with no status": (
            file(track(quarters(TUNE)), track(b"\x00\x3c\x40", quarters(TUNE))),
            Case(line(TUNE), said="bytes at the end of tracks cannot be read")),
        "a track that is nothing": (
            file(chunk(b"MTrk", b""), track(quarters(TUNE))), Case(line(TUNE))),
    }  # fmt: skip


KINDS = {**of_tempo_and_metre(), **of_channels(), **of_notes(), **of_framing(), **of_time(), **of_bytes()}


@pytest.mark.parametrize("name", KINDS)
def test_a_member_of_a_kind(name):
    data, case = KINDS[name]
    check(read_music.parse_midi(data), case)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Flöte".encode("latin1"), "Flöte"),
        ("Übung für Elise".encode("cp1252"), "Übung für Elise"),
        ("“Don’t”".encode("cp1252"), "“Don’t”"),
        ("ピアノ".encode("shift_jis"), "ピアノ"),
        ("右手 Piano".encode("cp932"), "右手 Piano"),
        ("Скрипка".encode("cp1251"), "Скрипка"),
        ("Flöte".encode("utf-16-be"), "Flöte"),
        ("Flöte\0".encode(), "Flöte"),
        (b" Flute ", "Flute"),
    ],
)
def test_names_are_read_however_they_are_written(written, name):
    piece = read_music.parse_midi(file(track(meta(3, written), quarters(TUNE))))
    assert piece.track_names == {0: name}
    assert melody_extraction.extract_melody(piece, track=name.upper()).report.in_melody == 16


def test_names_of_one_file_are_told_together():
    names = ["メロディー", "歌"]
    written = file(*(track(meta(3, name.encode("cp932")), quarters(TUNE, k)) for k, name in enumerate(names)))
    assert list(read_music.parse_midi(written).track_names.values()) == names


def test_the_program_is_the_one_of_the_strike():
    """Not of the note's end, at which pretty_midi looks."""
    data = file(track(event(0xC0, 5), strike(60), event(0xC0, 9, wait=10), release(60, wait=QUARTER), quarters([62])))
    assert [(n.pitch, n.program) for n in read_music.parse_midi(data).notes] == [(60, 5), (62, 9)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty|does not hold MThd"),
        (b"MThd", "ends in the middle"),
        (b"no music at all", "does not hold MThd, the mark of a MIDI file"),
        (PLAIN[: len(PLAIN) // 2], "ends in the middle"),
        (TWO_TRACKS[:-40], "ends in the middle"),
        (file(track(quarters(TUNE)), division=0), "a quarter note has 0 ticks"),
        (file(track(quarters(TUNE)), division=-25 * 256), "a quarter note has 0 ticks"),
        (header(1, 0, QUARTER), "it has a header, but no track"),
        (file(*[track(quarters([60]))] * 5000), "it has 5000 tracks; up to 4096 can be read"),
        # A time that no music reaches, a note of days, a tempo at which seconds become hours.
        (file(track(strike(60), b"\xff\xff\xff\xff\xff\xff\xff\x7f\x80\x3c\x00")), "hours; up to 48 hours are read"),
        (file(track(strike(60), release(60, wait=(1 << 28) - 1))), "lasts 78 hours; up to 48 hours"),
        (file(track(meta(0x51, b"\xff\xff\xff"), strike(60), release(60, wait=20000)), division=1), "lasts 93 hours"),
    ],
)
def test_what_is_refused_is_one_sentence(data, why):
    with pytest.raises(InputError, match=why) as caught:
        read_music.parse_midi(data)
    assert "\n" not in str(caught.value)


def test_a_late_end_of_a_track_is_no_music():
    check(read_music.parse_midi(file(track(quarters(TUNE), meta(1, b"", (1 << 28) - 1)))), Case(line(TUNE)))
