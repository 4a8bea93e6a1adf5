"""A `Piece` as a picture: piano roll, PNG, the same bytes for the same piece on the same machine."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.midi.piece import Piece

# Okabe and Ito's colours without black and yellow, then three of Paul Tol's: told apart with any colour vision.
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#999933")
DRUM_COLOR, INK, MUTED, FAINT = "#6B6F73", "#24313B", "#6E7C87", "#98A4AD"
ROLL, BLACK_KEY, BEAT_LINE, BAR_LINE, OCTAVE_LINE, SEAM = "#F5F8FA #24313B08 #E6ECF0 #D3DCE3 #C2CDD5 #7D8D99".split()
# (band, label strip, label): the given pieces in sand, what lies between them in two cool greys by turns.
EMPHASIS = ("#FCF3E1", "#F0D5A2", "#5F4510")
BETWEEN = (("#EFF4F8", "#D2DFE9", "#3D5261"), ("#F8FAFC", "#E3EBF1", "#3D5261"))
LEFT, RIGHT, STRIP, TICKS = 0.72, 0.42, 0.22, 0.54  # Inches.
MAX_ROWS, MAX_PIXELS, LEGEND_COLUMNS = 8, 7.5e6, 5
# For scripts that matplotlib's own DejaVu Sans lacks, where the machine has them.
FALLBACK_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei")
TAIL_SECONDS, FADE_SECONDS, BLOCK_FRAMES = 2.0, 0.5, 1 << 16


@dataclasses.dataclass(frozen=True)
class Section:
    """A labelled stretch of a piece; start and end in quarter notes. `emphasis` marks the pieces that were given."""

    start: float
    end: float
    label: str
    emphasis: bool = False


@dataclasses.dataclass(frozen=True)
class Above:
    """What to draw above a piano roll: how high, and by what, given the figure and (left, bottom, width, height)."""

    inches: float
    draw: Callable[[Any, tuple[float, float, float, float]], None]


def write_piano_roll(
    piece: Piece,
    path: str | Path,
    *,
    title: str = "",
    subtitle: str = "",
    sections: Sequence[Section] = (),
    bar_quarters: float = 4.0,
    dpi: float = 110,
    above: Above | None = None,
    behind: int | None = None,
) -> Path:
    """Writes a PNG of the piece as a piano roll, wrapped into up to 8 rows like a score.

    One colour a track, drums in a grey lane below, velocity as shade; bar numbers and min:sec under each row; the
    sections as bands. The title is by default the piece's name; texts that do not fit are shortened. A bar is
    `bar_quarters` quarter notes. `dpi` (pixels an inch) is lowered where the picture would exceed 7.5 million pixels.
    `above` draws into a strip between the header and the rows. The track `behind` is drawn under the others.

    Raises:
      OptionError: `bar_quarters` or `dpi` is not positive.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not (bar_quarters > 0 and dpi > 0):
        raise OptionError(f"bar_quarters is {bar_quarters} and dpi {dpi}; both must be greater than 0.")
    tracks, title = _tracks(piece), title or piece.name
    # An upbeat stands at the end of the first bar.
    lead = _lead(piece, bar_quarters)
    sections = [dataclasses.replace(s, start=s.start + lead, end=s.end + lead) for s in sections]
    notes = _placed(piece, list(tracks), behind, (bar_quarters, lead))
    bars, row_bars = _bars(notes, sections, bar_quarters)
    low, high, lane = _range(notes)
    head = 0.44 + 0.3 * bool(title) + 0.26 * bool(subtitle)
    head += 0.09 + 0.21 * math.ceil(len(tracks) / LEGEND_COLUMNS) if len(tracks) > 1 else 0.0
    room, head = head, head + (above.inches if above else 0.0)
    at = _Layout.make(bars, row_bars, (low, high, lane), head, STRIP if sections else 0.0, dpi)

    canvas = FigureCanvasAgg(Figure(figsize=(at.width, at.height), dpi=at.dpi, facecolor="white"))
    page = canvas.figure
    _header(page, title, subtitle, list(tracks.values()))
    if above:
        box = (LEFT / at.width, 1 - head / at.height, 1 - (LEFT + RIGHT) / at.width, (head - room) / at.height)
        above.draw(page, box)
    shades = np.array([[_shade(color, v) for v in range(128)] for _, color in tracks.values()]).reshape(-1, 128, 3)
    colors = shades[notes.track.astype(int), notes.velocity.astype(int).clip(0, 127)]
    for row in range(at.rows):
        first, last = row * row_bars, min((row + 1) * row_bars, bars)
        limits: dict[str, Any] = {"xlim": (first, last), "ylim": (low - lane, high + 1), "xticks": [], "yticks": []}
        axes = page.add_axes(at.box(row, last - first), facecolor=ROLL, **limits)
        axes.spines[:].set_visible(False)
        _keys(axes, low, high, lane, at.step, at.bar_width)
        _bar_lines(axes, piece, (bar_quarters, lead), at.bar_width, at.roll, last == bars)
        _bands(axes, sections, bar_quarters, at.bar_width, at.strip / at.roll)
        _draw_notes(axes, notes, colors, (first, last), at)
    if not piece.notes:
        _say(axes, (first + last) / 2, 0.5, "no notes", 13, MUTED, ha="center", va="center")
    canvas.print_png(Path(path), metadata={"Software": None})  # It would name matplotlib's version.
    return Path(path)


@dataclasses.dataclass
class _Placed:
    """Notes in the picture, `[notes]` each: track's place, velocity, start and end in bars, lower edge, height."""

    track: np.ndarray
    drum: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    thick: np.ndarray


def _placed(piece: Piece, tracks: list[int], behind: int | None, grid: tuple[float, float]) -> _Placed:
    """The notes in the order of drawing; `grid` is quarter notes a bar and those before the first note's bar line."""
    (bar_quarters, lead), index = grid, {track: i for i, track in enumerate(tracks)}
    # Of voices in unison the louder is seen.
    drawn = sorted(piece.notes, key=lambda n: (n.track != behind, n.velocity))
    table = [(index[n.track], n.is_drum, n.pitch, n.velocity, n.start, n.end) for n in drawn]
    columns = np.array(table, dtype=np.float64).reshape(-1, 6).T
    track, drum, (pitch, velocity, start, end) = columns[0], columns[1] > 0, columns[2:]
    start, end = ((piece.quarters(at) + lead) / bar_quarters for at in (start, end))
    return _Placed(track, drum, pitch, velocity, start, end, np.ones(len(track)))


def _bars(notes: _Placed, sections: Sequence[Section], bar_quarters: float) -> tuple[int, int]:
    """How many bars there are, and how many in a row.

    A release that hangs over the bar line by less than half a beat does not open another bar.
    """
    ends = [*(notes.end - 0.5 / bar_quarters), *(notes.start + 0.001), *(s.end / bar_quarters for s in sections)]
    bars = max(1, math.ceil(max(ends, default=4) - 1e-6))
    return bars, _bars_per_row(bars, {round(s.start / bar_quarters, 3) for s in sections})


def _range(notes: _Placed) -> tuple[int, int, int]:
    """The lowest and highest pitch of a row, and the height of the lane of drums below, into which they are put.

    The pitches in use have a margin of two semitones, and are at least an octave; drums get a lane of five.
    """
    pitch, drum = notes.pitch, notes.drum
    used = pitch[~drum]
    low, high = (int(used.min()) - 2, int(used.max()) + 2) if len(used) else (60, 59 if len(pitch) else 72)
    missing = max(12 - (high - low), 0) if len(used) else 0
    low, high, lane = low - (missing + 1) // 2, high + missing // 2, 5 if drum.any() else 0
    kinds, kind = np.unique(pitch[drum], return_inverse=True)
    notes.thick = np.where(drum, min(4 / max(len(kinds), 1), 2), 1)
    pitch[drum] = low - lane + 0.5 + kind * notes.thick[drum]
    return low, high, lane


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where the rows lie. In inches but for `rows` and `dpi`: a semitone's `step` is a whole number of pixels, so that
    all look alike."""

    rows: int
    width: float
    height: float
    dpi: float
    head: float
    strip: float
    step: float
    roll: float
    bar_width: float

    @classmethod
    def make(
        cls, bars: int, row_bars: int, pitches: tuple[int, int, int], head: float, strip: float, dpi: float
    ) -> _Layout:
        """The layout of so many bars of pitches (low, high, lane of drums) under a head."""
        low, high, lane = pitches
        rows, semitones = math.ceil(bars / row_bars), high - low + 1 + lane
        width = min(max(13.0 * row_bars / 24, 13.0), 20.0)
        step = min(max(((3.6, 2.9, 2.4, 2.1)[rows - 1] if rows <= 4 else 1.9) / semitones, 0.036), 0.16)
        dpi = min(dpi, math.sqrt(MAX_PIXELS / (width * (head + rows * (semitones * step + strip + TICKS)))))
        step = max(round(step * dpi), 2) / dpi
        roll, bar_width = semitones * step, (width - LEFT - RIGHT) / row_bars
        height = math.ceil((head + rows * (roll + strip + TICKS)) * dpi) / dpi
        return cls(rows, width, height, dpi, head, strip, step, roll, bar_width)

    def box(self, row: int, bars: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a row of so many bars, as shares of the page."""
        below = self.head + (row + 1) * (self.strip + self.roll) + row * TICKS
        bottom = 1 - round(below * self.dpi) / self.dpi / self.height
        return LEFT / self.width, bottom, bars * self.bar_width / self.width, self.roll / self.height


def _draw_notes(axes, notes: _Placed, colors: np.ndarray, bars: tuple[int, int], at: _Layout) -> None:
    """Rectangles drawn with a round pen of radius r; a sliver of air keeps repeated notes apart. One collection, as
    50,000 single patches would take a minute."""
    from matplotlib.collections import PolyCollection

    first, last = bars
    shown = np.flatnonzero((notes.start < last) & (np.maximum(notes.end, notes.start + 1e-9) > first))
    r, air = min(0.3 * at.step, 0.035), 1 / at.dpi
    x0 = np.clip(notes.start[shown], first, last) + r / at.bar_width
    x1 = np.maximum(np.clip(notes.end[shown], first, last) - (air + r) / at.bar_width, x0 + 0.5 * air / at.bar_width)
    y0 = notes.pitch[shown] + r / at.step
    y1 = notes.pitch[shown] + notes.thick[shown] - (min(air, 0.2 * at.step) + r) / at.step
    outlines = np.array([[x0, x1, x1, x0], [y0, y0, np.maximum(y0, y1), np.maximum(y0, y1)]]).T
    pen = {"edgecolors": colors[shown], "linewidths": 2 * r * 72, "joinstyle": "round", "snap": False}
    drawn = PolyCollection(outlines, facecolors=colors[shown], zorder=2, **pen)  # type: ignore[arg-type]
    axes.add_collection(drawn, autolim=False)


def _tracks(piece: Piece) -> dict[int, tuple[str, str]]:
    """Track index to (name, colour), in order of index."""
    from pretty_midi import program_to_instrument_name

    tracks: dict[int, tuple[str, str]] = {}
    for track, note in sorted({n.track: n for n in reversed(piece.notes)}.items()):
        default = "Drums" if note.is_drum else program_to_instrument_name(note.program % 128)
        taken = sum(color != DRUM_COLOR for _, color in tracks.values())
        color = DRUM_COLOR if note.is_drum else TRACK_COLORS[taken % len(TRACK_COLORS)]
        tracks[track] = (piece.track_names.get(track) or default, color)
    return tracks


def _shade(color: str, velocity: float) -> np.ndarray:
    """The colour mixed with white: 35 % of it at velocity 0, all of it from 115."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return 1 - (0.35 + 0.65 * min(velocity / 115, 1)) * (1 - rgb)


def _bars_per_row(bars: int, section_starts: set[float]) -> int:
    """All bars up to 24, else 16 to 24 a row, more beyond 8 rows; rows begin with a section where they can."""
    least = max(16, math.ceil(bars / MAX_ROWS))

    def cost(size: int) -> tuple[int, bool, int, int]:
        torn = sum(row not in section_starts for row in range(size, bars, size)) if section_starts else 0
        return torn, size % 4 > 0 and not section_starts, -bars % size, size

    return bars if bars <= 24 else min(range(least, max(24, least * 5 // 4) + 1), key=cost)


@functools.cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """Font families to write with, and the code points they cover."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    known = {font.name for font in fontManager.ttflist}
    names = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in known)]
    return names, frozenset().union(*(FT2Font(findfont(name)).get_charmap() for name in names))


def _say(owner, x: float, y: float, words: str, size: float, color: str, room: float = 0, least: int = 1, **style):
    """Writes words, cut to `room` inches with an ellipsis; left out if fewer than `least` characters would remain."""
    fonts, known = _fonts()
    # Any file name can get here; matplotlib would warn of what it cannot draw.
    words = "".join(c if ord(c) in known else "□" for c in " ".join(words[:400].split()))
    if hasattr(owner, "get_xaxis_transform"):
        style["transform"] = owner.get_xaxis_transform()
    artist = owner.text(x, y, words, size=size, color=color, family=fonts, parse_math=False, zorder=3, **style)
    keep = len(words)
    while room and artist.get_text() and (used := artist.get_window_extent().width / artist.get_figure().dpi) > room:
        keep = min(keep - 1, int(keep * room / used))
        artist.set_text(words[:keep].rstrip() + "…" if keep >= least else "")


def _header(figure, title: str, subtitle: str, tracks: list[tuple[str, str]]) -> None:
    """Title, subtitle, legend and velocity scale."""
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    y, edge = 0.22, width - RIGHT

    def say(x: float, y: float, *args, **style) -> None:
        _say(figure, x / width, 1 - y / height, *args, **style)

    def swatch(x: float, color, size: float = 0.11) -> None:
        figure.add_artist(Rectangle((x / width, 1 - y / height), size / width, 0.1 / height, color=color, linewidth=0))

    y += 0.3 * bool(title)
    say(LEFT, y, title, 17, INK, edge - LEFT, weight="bold")
    y += 0.26 * bool(subtitle)
    say(LEFT, y, subtitle, 9.5, MUTED, edge - LEFT - 2)
    y += 0.09 if len(tracks) > 1 else 0.0
    for i, (name, color) in enumerate(tracks if len(tracks) > 1 else ()):
        x, y = LEFT + i % LEGEND_COLUMNS * 2.1, y + (0.21 if i % LEGEND_COLUMNS == 0 else 0)
        swatch(x, color, 0.17)
        say(x + 0.24, y, name, 8.5, INK, 1.75)
    for i in range(6 if tracks else 0):
        swatch(edge - 1.12 + i * 0.13, _shade(tracks[0][1] if len(tracks) == 1 else DRUM_COLOR, (i + 1) * 20))
    if tracks:
        say(edge - 1.19, y, "soft", 8, MUTED, ha="right")
        say(edge, y, "loud", 8, MUTED, ha="right")


def _bands(axes, sections: Sequence[Section], bar_quarters: float, bar_width: float, strip: float) -> None:
    """Bands behind the notes of the sections, their labels above, heavier lines where they meet."""
    first, last = axes.get_xlim()
    for i, section in enumerate(sections):
        x0, x1 = np.clip([section.start / bar_quarters, section.end / bar_quarters], first, last)
        if x0 < x1:
            band, label, ink = EMPHASIS if section.emphasis else BETWEEN[i % 2]
            axes.axvspan(x0, x1, color=band, linewidth=0, zorder=0.1)
            axes.axvspan(x0, x1, 1, 1 + strip, color=label, linewidth=0, zorder=0.1, clip_on=False)
            axes.axvline(x0, 0, 1 + strip, color=SEAM, linewidth=1.3 * (x0 > first), zorder=1, clip_on=False)
            # "1/…" would mislead: a label is shortened only where four characters of it remain.
            style = {"room": (x1 - x0) * bar_width - 0.06, "least": 4, "weight": 400 + 300 * section.emphasis}
            _say(axes, (x0 + x1) / 2, 1 + 0.32 * strip, section.label, 8.5, ink, ha="center", **style)


def _keys(axes, low: int, high: int, lane: int, step: float, bar_width: float) -> None:
    """Black keys, octave lines and as many note names as fit: all white keys, the C major triad, or the Cs."""
    named = (0, 2, 4, 5, 7, 9, 11) if step >= 0.115 else (0, 4, 7) if step >= 0.04 else (0,)
    x, height = axes.get_xlim()[0] - 0.07 / bar_width, high - low + 1 + lane
    style: dict[str, Any] = {"ha": "right", "va": "center_baseline"}
    keys = range(low, high + 1)
    black, octaves = [k + 0.5 for k in keys if k % 12 in (1, 3, 6, 8, 10)], [k for k in keys[1:] if k % 12 == 0]
    axes.hlines(black, *axes.get_xlim(), color=BLACK_KEY, linewidth=step * 72, zorder=0.2)
    axes.hlines(octaves + [low] * bool(lane), *axes.get_xlim(), color=OCTAVE_LINE, linewidth=0.7, zorder=0.3)
    for key in (k for k in keys if k % 12 in named):
        name, color = "C D EF G A B"[key % 12] + str(key // 12 - 1), FAINT if key % 12 else INK
        _say(axes, x, (key + 0.5 - low + lane) / height, name, 7.5, color, **style)
    if lane:
        _say(axes, x, lane / 2 / height, "drums", 7.5, MUTED, **style)


def _lead(piece: Piece, bar_quarters: float) -> float:
    """What a first bar lacks at its beginning, in quarter notes: the metre says that of an upbeat."""
    begins = [float(piece.quarters(at)) for at, _, _ in piece.time_signatures[:2]]
    return bar_quarters - begins[1] if len(begins) == 2 and not begins[0] and begins[1] < bar_quarters else 0.0


def _bar_lines(axes, piece: Piece, grid: tuple[float, float], bar_width: float, roll: float, is_end: bool) -> None:
    """Bar and beat lines, bar numbers and min:sec below them; a heavy line ends the piece.

    `grid` is the length of a bar in quarter notes, and what the first one lacks.
    """
    bar_quarters, lead = grid
    first, last = (int(x) for x in axes.get_xlim())
    # In bars: lines at least 0.18 inches apart, numbers at least 0.55.
    every, numbered = (next(2**k for k in range(64) if 2**k * bar_width >= w) for w in (0.18, 0.55))

    def write(x: float, number: str, time: str = "", size: float = 7.5, color: str = FAINT, ha: str = "center") -> None:
        _say(axes, x, -0.16 / roll, number, size, color, ha=ha)
        _say(axes, x, -0.31 / roll, time, 7.5, FAINT if ha == "right" else MUTED, ha=ha)

    quarters = np.maximum(np.arange(first, last + 1) * bar_quarters - lead, 0)
    seconds = np.round(piece.seconds(quarters)).astype(int)
    clock = [f"{s // 60}:{s % 60:02d}" for s in seconds]
    bars, beat = np.arange(first, last, every), 1 / bar_quarters
    beats = [b * beat for b in range(1, math.ceil(bar_quarters))] if bar_width >= 0.9 else []
    axes.vlines([bar + b for b in beats for bar in bars], *axes.get_ylim(), color=BEAT_LINE, linewidth=0.7, zorder=0.4)
    axes.vlines([*bars, last], *axes.get_ylim(), color=BAR_LINE, linewidth=0.7, zorder=0.5)
    for bar in bars:
        if (bar - first) % numbered == 0:
            write(bar, str(bar + 1), clock[bar - first], 8.5, INK)
        for i, b in enumerate(beats if beat * bar_width >= 0.55 else ()):
            write(bar + b, f"{bar + 1}.{i + 2}")
    axes.axvline(last, color=SEAM, linewidth=4 * is_end, zorder=0.5)
    if is_end and ((last - first - 1) % numbered + 1) * bar_width >= 0.55:
        write(last, "", clock[-1])
    if first == 0:
        write(-0.2 / bar_width, "bar", "min:s", ha="right")
