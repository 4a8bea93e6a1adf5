"""MusicXML to pieces: what scores play, written here one difficulty at a time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from calmvae.common.errors import EmptyMusicError, InputError, NoMusicError
from calmvae.midi import music_files, musicxml_file, read_music, write_midi
from calmvae.midi.piece import Piece
from calmvae.music import melody_extraction, melody_tokens
from tests import builders, conftest
from tests.test_cases import Case, Line, check, line

CONTAINER = """<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>"""
WALTZ = [(72, 0, 0.5), (81, 0.5, 0.5625), (75, 0.5625, 1.5), (79, 1.5, 3)]


def score(*parts: str, instruments: str = "") -> str:
    """A score whose parts are measures after one another."""
    names = "".join(
        f'<score-part id="P{k}"><part-name>Part {k}</part-name>{instruments}</score-part>' for k in range(len(parts))
    )
    held = "".join(f'<part id="P{k}">{part}</part>' for k, part in enumerate(parts))
    return f'<score-partwise version="4.0"><part-list>{names}</part-list>{held}</score-partwise>'


def bar(*content: str, first: bool = False) -> str:
    """A measure; the first says that a quarter has 4 divisions, and that the metre is 4/4."""
    time = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    given = f"<attributes><divisions>4</divisions>{time}</attributes>" if first else ""
    return f"<measure>{given}{''.join(content)}</measure>"


def note(pitch: str, length: float = 4, more: str = "", front: str = "", attributes: str = "") -> str:
    """A note such as `C5` or `B-4` (a flat) or `C#5`, its length in quarters."""
    if pitch == "rest":
        sound = "<rest/>"
    elif pitch[0] == "x":
        sound = "<unpitched/>"
    else:
        alter = pitch.count("#") - pitch.count("-")
        sound = f"<pitch><step>{pitch[0]}</step><alter>{alter}</alter><octave>{pitch[-1]}</octave></pitch>"
    duration = "" if "grace" in front else f"<duration>{length * 4:g}</duration>"
    return f"<note {attributes}>{front}{sound}{duration}{more}</note>"


def tie(*kinds: str) -> str:
    """Marks of ties."""
    return "".join(f'<tie type="{kind}"/>' for kind in kinds)


def repeat(direction: str, more: str = "", times: int = 2) -> str:
    """A barline with a repeat sign."""
    return f'<barline>{more}<repeat direction="{direction}" times="{times}"/></barline>'


def ending(number: str, kind: str, text: str = "") -> str:
    """One end of an ending's bracket."""
    return f'<ending number="{number}" type="{kind}">{text}</ending>'


def read(tmp_path: Path, text: str | bytes) -> Piece:
    """The piece of a score."""
    return read_music.read_piece(write(tmp_path / "a.musicxml", text))


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_mxl(path: Path, **content: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, text in content.items():
            archive.writestr(name, text)
    return path


def musicxml(tempo: object = 120, program: object = 74) -> str:
    """A small waltz with a grace note."""
    instrument = f'<midi-instrument id="I"><midi-program>{program}</midi-program></midi-instrument>'
    time = "<attributes><divisions>4</divisions><time><beats>3</beats><beat-type>4</beat-type></time></attributes>"
    first = f'{time}<direction><sound tempo="{tempo}"/></direction>'
    grace = note("A5", front="<grace/>")
    return score(
        f"<measure>{first}{note('C5', 1)}{grace}{note('E-5', 2)}</measure>" + bar(note("G5", 3)), instruments=instrument
    )


CDEF = [60, 62, 64, 65]
WHOLE = {"C": 60, "D": 62, "E": 64, "F": 65, "G": 67}


def wholes(order: str) -> Line:
    """Whole notes, two seconds each."""
    return line([WHOLE[letter] for letter in order], 2.0)


def marked(*bars: tuple[str, str]) -> str:
    """A part of whole notes `C4`, `D4` ..., each with what else stands in its measure."""
    return "".join(bar(more, note(f"{letter}4"), first=k == 0) for k, (letter, more) in enumerate(bars))


def sound(**attributes: object) -> str:
    return "<sound " + " ".join(f'{name}="{value}"' for name, value in attributes.items()) + "/>"


def words(text: str) -> str:
    return f"<direction><direction-type><words>{text}</words></direction-type></direction>"


ORDERS = {
    "repeat from the beginning": (marked(("C", ""), ("D", repeat("backward")), ("E", "")), "CDCDE"),
    "three times": (marked(("C", repeat("backward", times=3)), ("D", "")), "CCCD"),
    "two sections": (
        marked(("C", repeat("backward")), ("D", repeat("forward")), ("E", repeat("backward")), ("F", "")), "CCDEDEF"),
    "two endings": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start')}</barline>" + repeat("backward", ending("1", "stop"))),
               ("E", f"<barline>{ending('2', 'start')}{ending('2', 'discontinue')}</barline>"), ("F", "")), "CDCEF"),
    "an ending of two measures": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start')}</barline>"),
               ("E", repeat("backward", ending("1", "stop"))), ("F", f"<barline>{ending('2', 'start')}</barline>")),
        "CDECF"),
    "three passes, two of them with one ending": (
        marked(("C", ""), ("D", f"<barline>{ending('1, 2', 'start')}</barline>" +
               repeat("backward", ending("1, 2", "stop"))), ("E", f"<barline>{ending('3', 'start')}</barline>")),
        "CDCDCE"),
    "an ending printed otherwise than numbered": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start', '1.–2.')}</barline>" +
               repeat("backward", ending("1", "stop"))), ("E", f"<barline>{ending('2', 'start', '3.')}</barline>")),
        "CDCDCE"),
    "an ending printed for a range of passes": (
        marked(("C", ""), ("D", f"<barline>{ending('1, 2', 'start', '[ 1.-3. times only ]')}</barline>" +
               repeat("backward", ending("1, 2", "stop"))),
               ("E", f"<barline>{ending('2', 'start', '[ 4. ]')}</barline>")),
        "CDCDCDCE"),
    "endings printed from 2 on": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start', '2.')}</barline>" +
               repeat("backward", ending("1", "stop"))), ("E", f"<barline>{ending('2', 'start', '3.')}</barline>")),
        "CDCE"),
    "an ending and more passes than it names": (
        marked(("C", ""), ("D", f"<barline>{ending('1, 2', 'start')}</barline>" +
               repeat("backward", ending("1, 2", "stop"), times=3)), ("E", "")),
        "CDCDCE"),
    "two sets of endings side by side": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start')}</barline>" + repeat("backward", ending("1", "stop"))),
               ("E", f"<barline>{ending('2', 'start')}{ending('2', 'stop')}</barline>"),
               ("F", f"<barline>{ending('1', 'start')}</barline>" + repeat("backward", ending("1", "stop"))),
               ("G", f"<barline>{ending('2', 'start')}{ending('2', 'stop')}</barline>")),
        "CDCEFG"),
    "endings of every other pass": (
        marked(("C", ""), ("D", f"<barline>{ending('1, 3', 'start')}</barline>" +
               repeat("backward", ending("1, 3", "stop"))),
               ("E", f"<barline>{ending('2, 4', 'start')}</barline>" + repeat("backward", ending("2, 4", "stop")))),
        "CDCECDCE"),
    "an ending that goes on into the next": (
        marked(("C", ""), ("D", f"<barline>{ending('1, 4', 'start')}</barline>" +
               repeat("backward", ending("1, 4", "stop")) + sound(fine="yes")),
               ("E", f"<barline>{ending('2', 'start')}{ending('2', 'stop')}</barline>"),
               ("F", f"<barline>{ending('3', 'start')}{ending('3', 'stop')}</barline>" + sound(dacapo="yes"))),
        "CDCEFCD"),
    "an ending with nothing that leads back": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start')}{ending('1', 'stop')}</barline>"), ("E", "")), "CDE"),
    "da capo": (marked(("C", ""), ("D", sound(dacapo="yes"))), "CDCD"),
    "da capo al fine": (marked(("C", ""), ("D", sound(fine="yes")), ("E", sound(dacapo="yes"))), "CDECD"),
    "da capo in words": (marked(("C", ""), ("D", words("Fine")), ("E", words("D. C. al Fine"))), "CDECD"),
    "da capo after a repeat": (
        marked(("C", repeat("backward")), ("D", sound(fine="yes")), ("E", sound(dacapo="yes"))), "CCDECD"),
    "da capo to the last ending": (
        marked(("C", ""), ("D", f"<barline>{ending('1', 'start')}</barline>" + repeat("backward", ending("1", "stop"))),
               ("E", f"<barline>{ending('2', 'start')}{ending('2', 'stop')}</barline>" + sound(fine="yes")),
               ("F", sound(dacapo="yes"))),
        "CDCEFCE"),
    "dal segno al coda": (
        marked(("C", ""), ("D", sound(segno="s")), ("E", sound(tocoda="c")), ("F", sound(dalsegno="s")),
               ("G", sound(coda="c"))),
        "CDEFDEG"),
    "dal segno in signs": (
        marked(("C", ""), ("D", "<direction><direction-type><segno/></direction-type></direction>"),
               ("E", words("D.S."))),
        "CDEDE"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_measures_are_played_in_their_order(tmp_path, name):
    part, order = ORDERS[name]
    check(read(tmp_path, score(part)), Case(wholes(order)))


def test_movements_are_played_each_by_itself(tmp_path):
    """Da capo and fine are of the movement in which they stand: measures are counted anew in each."""
    letters = [("C", 1, ""), ("D", 2, sound(dacapo="yes")), ("E", 1, repeat("backward")), ("F", 2, sound(fine="yes")),
               ("G", 3, words("D.C. al Fine")), ("C", 0, ""), ("D", 1, repeat("backward"))]  # fmt: skip
    part = "".join(
        bar(more, note(f"{letter}4"), first=k == 0).replace("<measure>", f'<measure number="{number}">')
        for k, (letter, number, more) in enumerate(letters)
    )
    check(read(tmp_path, score(part)), Case(wholes("CDCD" + "EEFGEF" + "CDCD")))


def test_what_is_never_played_and_what_ends_early_is_said(tmp_path):
    part = marked(("C", ""), ("D", sound(tocoda="c", dacapo="yes")), ("E", ""), ("F", sound(coda="c")))
    below = bar(note("C3", 2), first=True) + bar(note("C3")) * 3
    piece = read(tmp_path, score(part, below))
    assert piece.warnings == [
        "1 measure is never played, by its repeats and jumps.",
        "1 measure ends earlier in one part than in another; the latest end counts.",
    ]
    check(read(tmp_path, score(part)), Case(wholes("CDCDF"), said="1 measure is never played"))


def test_a_tie_leads_to_the_note_that_ends_where_it_begins(tmp_path):
    back, short = "<backup><duration>8</duration></backup>", note("C4", 1, tie("start"))
    part = bar(note("C4", 2, tie("start")), back, short, note("rest", 1), note("C4", 2, tie("stop")), first=True)
    check(read(tmp_path, score(part)), Case([(60, 0, 2), (60, 0, 0.5)]))


def test_signs_of_one_part_hold_for_all(tmp_path):
    """Scores often have endings and da capo over the top part alone."""
    for part, order in ORDERS.values():
        below = "".join(bar(note("C3"), first=k == 0) for k in range(part.count("<measure>")))
        check(read(tmp_path, score(part, below)), Case(wholes(order) + line([48] * len(order), 2.0)))


CONTENT = {
    "a chain of ties": (
        bar(note("C4", 2, tie("start")), note("C4", 2, tie("stop", "start")), first=True) +
        bar(note("C4", 4, tie("stop"))), [(60, 0, 4)]),
    "a tie that is only drawn": (
        bar(note("C4", 2, '<notations><tied type="start"/></notations>'),
            note("C4", 2, '<notations><tied type="stop"/></notations>'), first=True), [(60, 0, 2)]),
    "a chord of which one note is tied": (
        bar(note("C4", 2, tie("start")), note("E4", 2, front="<chord/>"), note("C4", 2, tie("stop")),
            note("G4", 2, front="<chord/>"), first=True), [(60, 0, 2), (64, 0, 1), (67, 1, 2)]),
    "a tie over a repeat that is played twice": (
        bar(note("C4", 4, tie("start")), first=True) + bar(repeat("backward"), note("C4", 4, tie("stop"))),
        [(60, 0, 4), (60, 4, 8)]),
    "a slur is no tie": (bar(note("C4", 2), note("C4", 2), first=True), [(60, 0, 1), (60, 1, 2)]),
    "a grace note tied to its note": (
        bar(note("C4", front="<grace/>", more=tie("start")), note("C4", 4, tie("stop")), first=True), [(60, 0, 2)]),
    "double sharp and flat across octaves": (
        bar(note("B##4", 2), note("C--5", 2), first=True), line([73, 70], 1.0)),
    "a triplet": (
        "<measure><attributes><divisions>3</divisions></attributes>" + "".join(
            f"<note><pitch><step>{step}</step><octave>4</octave></pitch><duration>1</duration><time-modification>"
            "<actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification></note>" for step in "CDE")
        + "</measure>", line([60, 62, 64], 1 / 6)),
    "lengths from looks": (
        bar(*(f"<note><pitch><step>C</step><octave>4</octave></pitch><type>{kind}</type>{'<dot/>' * dots}</note>"
              for kind, dots in (("half", 1), ("quarter", 0))), first=True), [(60, 0, 1.5), (60, 1.5, 2)]),
    "two voices": (
        bar(note("C5"), "<backup><duration>16</duration></backup>", note("C4", 2), "<forward><duration>4</duration>"
            "</forward>", note("E4", 1), first=True), [(72, 0, 2), (60, 0, 1), (64, 1.5, 2)]),
    "a chord with a grace note before it": (
        bar(note("B4", front="<grace/>"), note("C5", 4), note("E5", 4, front="<chord/>"), first=True),
        [(71, 0, 0.0625), (72, 0.0625, 2), (76, 0.0625, 2)]),
    "two grace notes take half at most": (
        bar(note("A4", front="<grace/>"), note("B4", front="<grace/>"), note("C5", 0.25), first=True),
        [(69, 0, 0.03125), (71, 0.03125, 0.0625), (72, 0.0625, 0.125)]),
    "a grace note at the end": (
        bar(note("C5", 2), note("B4", front="<grace/>"), first=True), [(72, 0, 0.9375), (71, 0.9375, 1)]),
    "clarinet in B flat": (
        bar("<attributes><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>",
            note("C4"), first=True), [(58, 0, 2)]),
    "guitar, an octave lower": (
        bar("<attributes><transpose><chromatic>0</chromatic><octave-change>-1</octave-change></transpose></attributes>",
            note("C4"), first=True), [(48, 0, 2)]),
    "other divisions in the middle": (
        bar(note("C4", 2), "<attributes><divisions>8</divisions></attributes>", note("D4", 4), first=True),
        [(60, 0, 1), (62, 1, 2)]),
    "a part that is shorter than its measure": (
        bar(note("C4", 2), first=True) + bar(note("D4")), [(60, 0, 1), (62, 1, 3)]),
    "a note of one pass": (
        bar(repeat("backward"), note("C4", 2, attributes='time-only="1"'), note("D4", 2), first=True),
        [(60, 0, 1), (62, 1, 2), (62, 3, 4)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENT)
def test_notes_sound_where_and_as_long_as_written(tmp_path, name):
    part, notes = CONTENT[name]
    check(read(tmp_path, score(part)), Case(notes))


def metronome(unit: str, dots: int, figure: str) -> str:
    inside = f"<beat-unit>{unit}</beat-unit>{'<beat-unit-dot/>' * dots}<per-minute>{figure}</per-minute>"
    return f"<direction><direction-type><metronome>{inside}</metronome></direction-type></direction>"


@pytest.mark.parametrize(
    ("mark", "qpm", "said"),
    [
        (sound(tempo=60), 60, ""),
        (f"<direction>{sound(tempo='59.5')}</direction>", 59.5, ""),
        (metronome("quarter", 0, "60"), 60, ""),
        (metronome("quarter", 1, "40"), 60, ""),
        (metronome("half", 0, "45"), 90, ""),
        (metronome("eighth", 0, "c. 90"), 45, ""),
        (metronome("quarter", 0, "60-66"), 60, ""),
        (words("Langsam ♩ = 56"), 56, ""),
        (words("♪ = 80"), 40, ""),
        (words("Adagio molto"), 66, "Its tempo is given only in words; 'Adagio molto' is played at 66"),
        (words("nicht zu schnell"), 120, ""),
        (metronome("quarter", 0, "slow"), 120, "1 tempo mark that cannot be used is left out"),
        *((sound(tempo=tempo), 120, "1 tempo mark that cannot be used") for tempo in ("-60", "nan", "inf", "1e9", "0")),
    ],
)
def test_tempo_marks_in_every_form(tmp_path, mark, qpm, said):
    check(read(tmp_path, score(bar(mark, note("C4"), first=True))), Case([(60, 0, 240 / qpm)], qpm=qpm, said=said))


def test_a_tempo_in_the_middle_and_again_after_a_repeat(tmp_path):
    part = marked(("C", sound(tempo=60)), ("D", sound(tempo=120) + repeat("backward")))
    piece = read(tmp_path, score(part))
    check(piece, Case([(60, 0, 4), (62, 4, 6), (60, 6, 10), (62, 10, 12)], qpm=60))
    assert piece.tempos == [(0, 60), (4, 120), (6, 60), (10, 120)]


def dynamics(mark: str, more: str = "") -> str:
    return f"<direction><direction-type><dynamics><{mark}/></dynamics></direction-type>{more}</direction>"


def wedge(kind: str) -> str:
    return f'<direction><direction-type><wedge type="{kind}"/></direction-type></direction>'


@pytest.mark.parametrize(
    ("content", "velocities"),
    [
        ([note("C4", 2), dynamics("pp"), note("D4", 2)], [80, 33]),
        ([dynamics("ff", sound(dynamics="100")), note("C4", 2), note("D4", 2)], [90, 90]),
        ([sound(dynamics="54.44"), note("C4", 2), note("D4", 2, attributes='dynamics="100"')], [49, 90]),
        ([dynamics("p"), note("C4", 1), dynamics("sfz"), note("D4", 1), note("E4", 2)], [49, 112, 49]),
        ([dynamics("fp"), note("C4", 2), note("D4", 2)], [96, 49]),
        ([dynamics("p"), wedge("crescendo"), note("C4", 1), note("D4", 1), wedge("stop"), dynamics("f"), note("E4", 2)],
         [49, 72, 96]),
        ([dynamics("f"), wedge("diminuendo"), note("C4", 2), note("D4", 1), wedge("stop"), note("E4", 1)],
         [96, 85, 80]),
        ([dynamics("other-dynamics", sound(dynamics="50")), note("C4", 4)], [45]),
        ([note("C4", 2, "<notations><dynamics><pp/></dynamics></notations>"), note("D4", 2)], [33, 33]),
    ],
)  # fmt: skip
def test_loudness(tmp_path, content, velocities):
    piece = read(tmp_path, score(bar(*content, first=True)))
    assert [n.velocity for n in piece.notes] == velocities and piece.warnings == []


def test_percussion_and_programs(tmp_path):
    instruments = "".join(
        f'<midi-instrument id="I{k}"><midi-channel>{channel}</midi-channel><midi-program>{program}</midi-program>'
        f"{f'<midi-unpitched>{struck}</midi-unpitched>' if struck else ''}</midi-instrument>"
        for k, (channel, program, struck) in enumerate([(1, 74, None), (10, 1, 36), (10, 1, 43), (2, 41, None)])
    )
    change = '<sound><midi-instrument id="I0"><midi-program>69</midi-program></midi-instrument></sound>'
    part = bar(
        note("C5", 1),
        note("x", 1, '<instrument id="I1"/>'),
        note("x", 1, '<instrument id="I2"/>'),
        note("D5", 1, '<instrument id="I3"/>'),
        first=True,
    ) + bar(change, note("E5", 4, '<instrument id="I0"/>'))
    notes = read(tmp_path, score(part, instruments=instruments)).notes
    assert [(n.pitch, n.program, n.is_drum) for n in notes] == [
        (72, 73, False),
        (35, 0, True),
        (42, 0, True),
        (74, 40, False),
        (76, 68, False),
    ]


@pytest.mark.parametrize("program", [0, 1, 128, 500, -3, "flute"])
def test_any_program_gives_one_that_midi_has(tmp_path, program):
    piece = read(tmp_path, musicxml(program=program))
    assert all(0 <= n.program <= 127 for n in piece.notes)
    write_midi.write_midi(piece, tmp_path / "a.mid")


@pytest.mark.parametrize(
    ("time", "metre"),
    [
        ("<time><beats>3+2</beats><beat-type>8</beat-type></time>", (5, 8)),
        ("<time><beats>3</beats><beat-type>8</beat-type><beats>2</beats><beat-type>4</beat-type></time>", (7, 8)),
        ("<time><senza-misura>X</senza-misura></time>", None),
        ("<time><beats>0</beats><beat-type>4</beat-type></time>", None),
        ("<time><beats>3</beats><beat-type>5</beat-type></time>", None),
        ("<time><beats>many</beats><beat-type>4</beat-type></time>", None),
    ],
)
def test_metres(tmp_path, time, metre):
    part = f"<measure><attributes><divisions>4</divisions>{time}</attributes>{note('C4')}</measure>"
    piece = read(tmp_path, score(part))
    assert piece.time_signatures == ([(0.0, *metre)] if metre else [])
    assert ("cannot be used" in " ".join(piece.warnings)) == (metre is None and "senza" not in time)


@pytest.mark.parametrize(("length", "metre"), [(1, (1, 4)), (1.5, (3, 8)), (0.25, (1, 16))])
def test_an_upbeat_has_a_metre_of_its_own(tmp_path, length, metre):
    piece = read(tmp_path, score(bar(note("G4", length), first=True) + bar(note("C5")) + bar(note("D5"))))
    assert piece.time_signatures == [(0.0, *metre), (length / 2, 4, 4)]
    assert (
        melody_extraction.extract_melody(piece).tokens[16] == 72 - melody_tokens.MIN_PITCH + melody_tokens.FIRST_PITCH
    )


def test_what_is_left_out_is_counted(tmp_path):
    part = bar(
        "<harmony><root><root-step>C</root-step></root><kind>other</kind></harmony>" * 2,
        note("C4", 1, "<notations><articulations><staccato/></articulations><fermata/></notations>"),
        note("D4", 1, front="<cue/>"),
        note("H4", 1),
        note("E4", 0),
        note("F4", 1, "<notations><ornaments><trill-mark/></ornaments></notations>"),
        "<direction><direction-type><dynamics><loud/></dynamics></direction-type></direction>",
        first=True,
    )
    piece = read(tmp_path, score(part))
    assert [n.pitch for n in piece.notes] == [60, 64, 65]
    assert piece.warnings == [
        "1 note has no length; it is played as a sixteenth.",
        "2 chord symbols are left out.",
        "1 cue note is left out.",
        "1 note that cannot be understood is left out.",
        "1 dynamic mark that cannot be understood is left out.",
        "Signs that are not played: 1 staccato, 1 fermata, 1 trill.",
    ]


@pytest.mark.parametrize("suffix", [".xml", ".musicxml", ".XML"])
def test_a_plain_file(tmp_path, suffix):
    piece = read_music.read_piece(write(tmp_path / f"waltz{suffix}", musicxml()))
    check(piece, Case(WALTZ, program=73, metres=[(0.0, 3, 4)]))
    assert piece.name == "waltz" and piece.track_names == {0: "Part 0"}


@pytest.mark.parametrize("name", ["waltz.mxl", "WALTZ.MXL", f"{builders.ODD_NAME}.mxl"])
def test_a_packed_file(tmp_path, name):
    check(read_music.read_piece(write_mxl(tmp_path / name, **{"score.xml": musicxml()})), Case(WALTZ, program=73))


def test_a_packed_file_without_a_container(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.mxl", "w") as archive:
        archive.writestr("__MACOSX/a.xml", "no score")
        archive.writestr("a.xml", musicxml())
    check(read_music.read_piece(tmp_path / "a.mxl"), Case(WALTZ, program=73))


@pytest.mark.parametrize(
    ("declared", "encoding", "said"),
    [
        ("UTF-8", "utf-8", ""),
        ("UTF-16", "utf-16", ""),
        ("ISO-8859-1", "latin1", ""),
        ("windows-1252", "cp1252", ""),
        ("UTF-8", "latin1", "it is read as Latin-1"),
    ],
)
def test_letters(tmp_path, declared, encoding, said):
    doctype = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN" "partwise.dtd">'
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{doctype}\n{musicxml().replace("Part", "Flöte")}'
    piece = read(tmp_path, text.encode(encoding))
    assert piece.track_names == {0: "Flöte 0"}
    check(piece, Case(WALTZ, program=73, said=said))


def test_a_score_by_measures(tmp_path):
    text = '<score-timewise><measure><part id="A">{}</part><part id="B">{}</part></measure></score-timewise>'
    inside = [f"<attributes><divisions>4</divisions></attributes>{note(pitch)}" for pitch in ("C4", "C5")]
    check(read(tmp_path, text.format(*inside)), Case([(60, 0, 2), (72, 0, 2)]))


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(musicxml_file, "MAX_BYTES", 1 << 20)
    path = write_mxl(tmp_path / "bomb.mxl", **{"score.xml": musicxml() + " " * (2 << 20)})
    with pytest.raises(InputError, match="it unpacks to more than 1 MiB"):
        read_music.read_piece(path)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.xml", b"", "is empty"),
        ("a.xml", b"not xml", "is not a readable MusicXML file"),
        ("a.xml", musicxml()[:700].encode(), "ends in the middle"),
        ("a.mxl", b"not a zip", "is not a readable MusicXML file"),
        ("a.mxl", b"PK\x03\x04" + builders.random.Random(0).randbytes(400), "archive is damaged"),
        ("a.xml", b'<?xml version="1.0" encoding="klingon"?><score-partwise/>', "unknown encoding"),
        ("a.xml", b"\xff\xfe<\0a\0", "is not a readable MusicXML file"),
    ],
)
def test_damaged_scores_are_refused_in_one_sentence(tmp_path, name, data, word):
    with pytest.raises(InputError, match=word) as caught:
        read_music.read_piece(write(tmp_path / name, data))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["<settings/>", "<html><body/></html>", '<?xml version="1.0"?><a:plist xmlns:a="x"/>'])
def test_an_xml_file_that_is_no_score_is_said_to_be_no_music(tmp_path, text):
    with pytest.raises(NoMusicError, match=r"settings.xml is no music \(it is no score: it begins with <"):
        read_music.read_piece(write(tmp_path / "settings.xml", text))


def test_a_score_without_notes(tmp_path):
    with pytest.raises(EmptyMusicError, match="a has no notes"):
        melody_extraction.extract_melody(read(tmp_path, "<score-partwise/>"))


def test_entities_do_not_blow_up(tmp_path):
    entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><score-partwise>&e12;</score-partwise>'
    with pytest.raises(InputError, match="declares entities of its own"):
        read(tmp_path, text)


def test_music_without_an_end_is_refused(tmp_path):
    with pytest.raises(InputError, match="lasts 1,389 hours; up to 48 hours are read"):
        read(tmp_path, score(bar(note("C4", 10**7).replace("4e+07", "40000000"), first=True)))
    part = bar(*[note("C4", 0.25)] * 16, first=True) + bar(repeat("backward", times=99), note("C4")) * 2000
    piece = read(tmp_path, score(part))
    # The first measure of sixteen notes is played with the second, 99 times.
    assert len(piece.notes) == 50_000 + 99 * 15
    assert piece.warnings == ["Its repeats make more than 50000 measures; the first 50000 are played."]


def test_scores_need_no_other_package(tmp_path):
    path = write(tmp_path / "a.xml", musicxml())
    code = (
        "import sys; import calmvae; calmvae.read_piece(sys.argv[1]);"
        "print({'note_seq', 'tensorflow', 'music21', 'lxml', 'pretty_midi', 'mido', 'symusic'} & {*sys.modules})"
    )
    done = conftest.run_python(code, path)
    assert done.stdout.strip() == "set()"
    assert set(music_files.SCORE_SUFFIXES) == {".xml", ".musicxml", ".mxl", ".abc"}
