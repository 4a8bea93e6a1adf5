"""Reads ABC tune books: abc2midi, the reference program for ABC, plays each tune alone.

The package symusic contains the program; nothing else of symusic is used. calmvae writes out signs that abc2midi does
not play: sections repeated more than once, da capo and dal segno.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from calmvae.common.errors import Damaged, MissingDependencyError
from calmvae.common.text import count
from calmvae.midi import midi_events, midi_read
from calmvae.midi.piece import Performance

# No accents on beats, because no file asks for them; the loudness of mf; all notes of a chord at once.
_VOICE = ["%%MIDI beat 90 80 65 1", "%%MIDI nobeataccents", "%%MIDI chordattack 0"]
# These would make abc2midi read other files, or change the encoding.
_FORBIDDEN = re.compile(r"^(%%|I:)\s*(abc-include|abc-charset)", re.IGNORECASE)
_FIELD = re.compile(r"^([A-Za-z]):")
_REMARK = re.compile(r"^(?:Error|Warning) in line-char \d+-\d+ :\s*(.+)$", re.MULTILINE)
# Remarks on voices that end before the others, on incomplete bars and on repeats, which do no harm.
_NO_MATTER = re.compile(r"^Track \d+ (is|Bar \d+ has)|^Assuming repeat|^replacing ")
_JUMP = re.compile(r"[!+](d\.c\.(?:al ?fine)?|dacapo|d\.s\.(?:al ?fine)?)[!+]", re.IGNORECASE)
_MARKS = re.compile(r"[!+](?:fine|segno)[!+]", re.IGNORECASE)
_MANY_TIMES = re.compile(r"\|(:{2,})(?!\|)([^|:\[]*(?:\|(?!:)[^|:\[]*)*?)(:{2,})\|")
# abc2midi overwrites its own memory if parts are nested deeper.
_NESTED = 5
_SECONDS = 10
_BYTES = 16 << 20


def read(data: bytes) -> list[Performance | Damaged]:
    """Every tune of a book, or the reason why it cannot be read.

    Raises:
      Damaged: there is no tune in it.
      MissingDependencyError: symusic is not installed.
    """
    program = _program()
    tunes = _split(_text(data))
    if not tunes:
        raise Damaged("there is no tune in it: none begins with X: or has a key K:")
    return [_play(tune, program) for tune in tunes]


def _program() -> Path:
    found = importlib.util.find_spec("symusic")
    name = "abc2midi.exe" if os.name == "nt" else "abc2midi"
    for place in (found.submodule_search_locations or []) if found else []:
        if (path := Path(place, "bin", name)).is_file():
            return path
    raise MissingDependencyError("ABC files need the package symusic, which is not installed; run: pip install symusic")


def _text(data: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return data.decode("latin1").replace("\0", "")


def _split(text: str) -> list[list[str]]:
    """The lines of every tune, after the lines that hold for all tunes.

    A tune begins with X: and ends with an empty line. Without any X: there is one tune, if there is a key.
    """
    lines = [line.rstrip() for line in text.split("\n") if not _FORBIDDEN.match(line)]
    starts = [i for i, line in enumerate(lines) if line.startswith("X:")]
    if not starts:
        return [["X:1", *(line for line in lines if line)]] if any(line.startswith("K:") for line in lines) else []
    common = [line for line in lines[: starts[0]] if _FIELD.match(line) or line.startswith("%%")]
    tunes = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        empty = next((i for i in range(start, end) if not lines[i]), end)
        tunes.append(["X:1", *common, *lines[start + 1 : empty]])
    return tunes


def _depth(line: str) -> int:
    """The depth to which the brackets of a line are nested."""
    return max(itertools.accumulate(((letter == "(") - (letter == ")") for letter in line), initial=0))


def _play(tune: list[str], program: Path) -> Performance | Damaged:
    if any(line.startswith("P:") and _depth(line) > _NESTED for line in tune):
        return Damaged(f"its parts (P:) are nested more than {_NESTED} deep")
    with tempfile.TemporaryDirectory(prefix="calmvae-abc-") as folder:
        source, target = Path(folder, "tune.abc"), Path(folder, "tune.mid")
        source.write_text("\n".join(_written_out(tune)) + "\n", encoding="utf-8")
        command = [str(program), str(source), "1", "-o", str(target), "-NGUI", "-NCOM"]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_SECONDS, cwd=folder, check=False, preexec_fn=_limits()
            )
        except subprocess.TimeoutExpired:
            return Damaged(f"abc2midi does not end within {_SECONDS} seconds")
        except OSError as error:
            return Damaged(f"abc2midi cannot be run ({error.strerror})")
        remarks = [" ".join(remark.split())[:120] for remark in _REMARK.findall(done.stdout.decode("utf-8", "replace"))]
        if not target.is_file():
            return Damaged(remarks[-1] if remarks else "abc2midi cannot play it")
        midi = target.read_bytes()
    try:
        played = midi_read.of_all([_on_time(midi_events.read(midi))])[0]
    except Damaged as error:
        return error
    if isinstance(played, Damaged):
        return played
    remarks = [remark for remark in remarks if not _NO_MATTER.match(remark)]
    said = [f"{count(len(remarks), 'remark')} by abc2midi; the first: {remarks[0].rstrip('.')}."] if remarks else []
    return dataclasses.replace(played, warnings=said + played.warnings, encoding="abc")


def _limits() -> Callable[[], None] | None:
    """Limits of the program's memory, time and output, if the system has them: a few lines of ABC can fill a disk."""
    try:
        import resource
    except ImportError:
        return None

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (_BYTES, _BYTES))
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES * 32, _BYTES * 32))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))

    return bound


def _on_time(found: midi_events.Events) -> midi_events.Events:
    """Moves events back by the tick that abc2midi adds to all but the ends of notes, and removes its track names."""
    kind = found.status >> 4
    ends = (kind == midi_events.NOTE_OFF) | ((kind == midi_events.NOTE_ON) & (found.second == 0))
    metas = [meta for meta in found.metas if meta.kind != midi_events.TRACK_NAME]
    return dataclasses.replace(found, tick=np.where(ends, found.tick, np.maximum(found.tick - 1, 0)), metas=metas)


def _written_out(tune: list[str]) -> list[str]:
    """A tune for abc2midi, with settings for every voice, and with repeats and jumps written out."""
    key = next((i for i, line in enumerate(tune) if line.startswith("K:")), len(tune) - 1)
    head, body = tune[: key + 1], "\n".join(tune[key + 1 :])
    body = _MANY_TIMES.sub(_times, body)
    if not any(line.startswith("V:") for line in head) and "V:" not in body:
        body = _jumped(body)
    # A voice that begins within a line gets its own line.
    body = re.sub(r"\[(V:[^\]\n]*)\]", r"\n\1\n", body)
    lines = [*head, *_VOICE]
    for line in body.split("\n"):
        if line:
            lines.append(line)
        if line.startswith("V:"):
            lines += _VOICE
    return lines


def _times(found: re.Match[str]) -> str:
    """Writes out a section between `|::` and `::|`, which is played three times; with one more colon four times."""
    times = max(len(found[1]), len(found[3])) + 1
    return f"|:{found[2]}:|" + f"{found[2]}|" * (times - 2)


def _jumped(body: str) -> str:
    """Writes out a da capo or dal segno, to the fine if there is one, and by custom without repeats."""
    jump = _JUMP.search(body)
    if not jump:
        return body

    def bar_after(at: int) -> int:
        found = re.compile(r"[:|\]]*\|[|\]:]*").search(body, at)
        return found.end() if found else len(body)

    fine = re.search(r"[!+]fine[!+]", body, re.IGNORECASE)
    segno = re.search(r"[!+]segno[!+]", body, re.IGNORECASE)
    begin = segno.start() if segno and jump[1].lower().startswith("d.s") else 0
    end = bar_after(jump.end())
    again = body[begin : bar_after(fine.end()) if fine else end]
    if re.search(r"[|\[]\s*\d", again):
        # It is unclear which ending to play: abc2midi plays the tune without the jump, and remarks that.
        return body
    again = re.sub(r"\|[|\]]", "|", re.sub(r":+\|:*|\|:+|::", "|", again))
    return _MARKS.sub("", _JUMP.sub("", body[:end])) + "\n" + _MARKS.sub("", _JUMP.sub("", again))
