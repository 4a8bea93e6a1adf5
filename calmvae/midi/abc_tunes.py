"""ABC tune books: every tune by itself through abc2midi, the reference among programs that play ABC.

symusic brings the program, and nothing else of symusic is used. What abc2midi does not play is written out for it:
sections that are repeated more than once, da capo and dal segno.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
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

# Without accents on beats, which no file asks for, as loud as mf, and chords struck at once.
_VOICE = ["%%MIDI beat 90 80 65 1", "%%MIDI nobeataccents", "%%MIDI chordattack 0"]
# abc2midi would read other files, or lay down how it speaks.
_FORBIDDEN = re.compile(r"^(%%|I:)\s*(abc-include|abc-charset)", re.IGNORECASE)
_FIELD = re.compile(r"^([A-Za-z]):")
_REMARK = re.compile(r"^(?:Error|Warning) in line-char \d+-\d+ :\s*(.+)$", re.MULTILINE)
# It says so of every voice that ends before the others, of incomplete bars, and of its own way to write repeats.
_NO_MATTER = re.compile(r"^Track \d+ (is|Bar \d+ has)|^Assuming repeat|^replacing ")
_JUMP = re.compile(r"[!+](d\.c\.(?:al ?fine)?|dacapo|d\.s\.(?:al ?fine)?)[!+]", re.IGNORECASE)
_MARKS = re.compile(r"[!+](?:fine|segno)[!+]", re.IGNORECASE)
_MANY_TIMES = re.compile(r"\|(:{2,})(?!\|)([^|:\[]*(?:\|(?!:)[^|:\[]*)*?)(:{2,})\|")
# abc2midi writes over its own memory when parts are nested deeper than it foresees.
_NESTED = 5
_SECONDS = 10
_BYTES = 16 << 20


def read(data: bytes) -> list[Performance | Damaged]:
    """Every tune of a book; of those that cannot be read, why.

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
    """The lines of every tune, in front of them those that hold for all.

    A tune begins with X: and ends with an empty line; without any X: there is one tune, if there is a key.
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
    """How deep the brackets of a line are nested."""
    depth = deepest = 0
    for letter in line:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    return deepest


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
            return Damaged(remarks[-1] if remarks else "abc2midi makes nothing of it")
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
    """What the program may use up, where the system can bound it: a few lines can ask for more than a disk holds."""
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
    """abc2midi puts all but the ends of notes a tick after their time, and calls tracks by the tune."""
    kind = found.status >> 4
    ends = (kind == midi_events.NOTE_OFF) | ((kind == midi_events.NOTE_ON) & (found.second == 0))
    metas = [meta for meta in found.metas if meta.kind != midi_events.TRACK_NAME]
    return dataclasses.replace(found, tick=np.where(ends, found.tick, np.maximum(found.tick - 1, 0)), metas=metas)


def _written_out(tune: list[str]) -> list[str]:
    """A tune as abc2midi plays it: the settings of every voice, and what is played more often than it can."""
    key = next((i for i, line in enumerate(tune) if line.startswith("K:")), len(tune) - 1)
    head, body = tune[: key + 1], "\n".join(tune[key + 1 :])
    body = _MANY_TIMES.sub(_times, body)
    if not any(line.startswith("V:") for line in head) and "V:" not in body:
        body = _jumped(body)
    # A voice that begins within a line begins a line of its own.
    body = re.sub(r"\[(V:[^\]\n]*)\]", r"\n\1\n", body)
    lines = [*head, *_VOICE]
    for line in body.split("\n"):
        if line:
            lines.append(line)
        if line.startswith("V:"):
            lines += _VOICE
    return lines


def _times(found: re.Match[str]) -> str:
    """`|::` and `::|` around a section: it is played three times, with one more colon four times."""
    times = max(len(found[1]), len(found[3])) + 1
    return f"|:{found[2]}:|" + f"{found[2]}|" * (times - 2)


def _jumped(body: str) -> str:
    """Writes out a da capo or dal segno, to the fine if there is one, without its repeats as is the custom."""
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
        # With endings it is not said which: abc2midi plays it without the jump, and remarks it.
        return body
    again = re.sub(r"\|[|\]]", "|", re.sub(r":+\|:*|\|:+|::", "|", again))
    return _MARKS.sub("", _JUMP.sub("", body[:end])) + "\n" + _MARKS.sub("", _JUMP.sub("", again))
