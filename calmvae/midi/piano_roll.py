"""A `Piece` as a piano roll in PNG; on one machine the same piece gives the same bytes."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common.errors import OptionError
from calmvae.midi import roll_geometry
from calmvae.midi.piece import Piece
from calmvae.midi.roll_geometry import LEFT, RIGHT, STRIP, Grid, Layout, Rectangles, Section

# Okabe and Ito's colours without black and yellow, then three of Paul Tol's: distinct with any colour vision.
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#999933")
DRUM_COLOR, INK, MUTED, FAINT = "#6B6F73", "#24313B", "#6E7C87", "#98A4AD"
ROLL, BLACK_KEY, BEAT_LINE, BAR_LINE, OCTAVE_LINE, SEAM = "#F5F8FA #24313B08 #E6ECF0 #D3DCE3 #C2CDD5 #7D8D99".split()
# (band, label strip, label): sand for the given pieces, two alternating cool greys for the sections between them.
EMPHASIS = ("#FCF3E1", "#F0D5A2", "#5F4510")
BETWEEN = (("#EFF4F8", "#D2DFE9", "#3D5261"), ("#F8FAFC", "#E3EBF1", "#3D5261"))
LEGEND_COLUMNS = 5
# Used, if installed, for scripts that matplotlib's own DejaVu Sans lacks.
FALLBACK_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei")


@dataclasses.dataclass(frozen=True)
class Above:
    """A drawing above a piano roll: its height, and a function of the figure and (left, bottom, width, height)."""

    inches: float
    draw: Callable[[Any, tuple[float, float, float, float]], None]


def write_piano_roll(
    piece: Piece,
    path: str | Path,
    *,
    title: str = "",
    subtitle: str = "",
    sections: Sequence[Section] = (),
    dpi: float = 110,
    above: Above | None = None,
    behind: int | None = None,
) -> Path:
    """Writes a PNG of the piece as a piano roll, wrapped into up to 8 rows like a score.

    Each track has a colour, drums have a grey lane below, velocity is the shade. Bar numbers and min:sec are under each
    row, sections are bands. Texts that do not fit are shortened.

    Args:
      piece: the piece.
      path: the file to write.
      title: default the name of the piece.
      subtitle: a second line.
      sections: labelled stretches.
      dpi: pixels per inch; lowered if the picture would exceed 7.5 million pixels.
      above: draws into a strip between the header and the rows.
      behind: the track to draw under the others.

    Raises:
      OptionError: `dpi` is not positive.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not dpi > 0:
        raise OptionError(f"dpi is {dpi}; it must be greater than 0.")
    tracks, title, grid = _tracks(piece), title or piece.name, Grid(piece)
    # From here on in bars.
    sections = [dataclasses.replace(s, start=float(grid.bars(s.start)), end=float(grid.bars(s.end))) for s in sections]
    notes = roll_geometry.rectangles(piece, list(tracks), behind, grid)
    bars, row_bars = roll_geometry.count_bars(notes, sections, grid)
    room = _head_room(title, subtitle, len(tracks))
    head = room + (above.inches if above else 0.0)
    at = Layout.make(bars, row_bars, notes, head, STRIP if sections else 0.0, dpi)
    canvas = FigureCanvasAgg(Figure(figsize=(at.width, at.height), dpi=at.dpi, facecolor="white"))
    page = canvas.figure
    _header(page, title, subtitle, list(tracks.values()))
    if above:
        above.draw(page, at.strip_above(head, room))
    shades = np.array([[_shade(color, v) for v in range(128)] for _, color in tracks.values()]).reshape(-1, 128, 3)
    colors = shades[notes.track.astype(int), notes.velocity.astype(int).clip(0, 127)]
    for row in range(at.rows):
        first, last = row * row_bars, min((row + 1) * row_bars, bars)
        axes = _row_axes(page, at, row, (first, last), notes)
        _keys(axes, notes, at)
        _bar_lines(axes, piece, grid, at, last == bars)
        _bands(axes, sections, at.bar_width, at.strip / at.roll)
        _draw_notes(axes, notes, colors, (first, last), at)
    if not piece.notes:
        _say(axes, (first + last) / 2, 0.5, "no notes", 13, MUTED, ha="center", va="center")
    canvas.print_png(Path(path), metadata={"Software": None})  # It would name matplotlib's version.
    return Path(path)


def _head_room(title: str, subtitle: str, tracks: int) -> float:
    """The height of title, subtitle and legend in inches."""
    legend = 0.09 + 0.21 * math.ceil(tracks / LEGEND_COLUMNS) if tracks > 1 else 0.0
    return 0.44 + 0.3 * bool(title) + 0.26 * bool(subtitle) + legend


def _row_axes(page, at: Layout, row: int, bars: tuple[int, int], notes: Rectangles):
    """The axes of a row, from its first bar to before its last, in bars and semitones."""
    axes = page.add_axes(at.box(row, bars[1] - bars[0]), facecolor=ROLL, xticks=[], yticks=[])
    axes.set(xlim=bars, ylim=(notes.low - notes.lane, notes.high + 1))
    axes.spines[:].set_visible(False)
    return axes


def _draw_notes(axes, notes: Rectangles, colors: np.ndarray, bars: tuple[int, int], at: Layout) -> None:
    """Draws rectangles with a round pen of radius r and a small gap after each. They are one collection, because 50,000
    single patches would take a minute."""
    from matplotlib.collections import PolyCollection

    first, last = bars
    shown = np.flatnonzero((notes.start < last) & (np.maximum(notes.end, notes.start + 1e-9) > first))
    r, air = min(0.3 * at.step, 0.035), 1 / at.dpi
    x0 = np.clip(notes.start[shown], first, last) + r / at.bar_width
    x1 = np.maximum(np.clip(notes.end[shown], first, last) - (air + r) / at.bar_width, x0 + 0.5 * air / at.bar_width)
    y0 = notes.lower[shown] + r / at.step
    y1 = notes.lower[shown] + notes.thick[shown] - (min(air, 0.2 * at.step) + r) / at.step
    outlines = np.array([[x0, x1, x1, x0], [y0, y0, np.maximum(y0, y1), np.maximum(y0, y1)]]).T
    pen = {"edgecolors": colors[shown], "linewidths": 2 * r * 72, "joinstyle": "round", "snap": False}
    drawn = PolyCollection(outlines, facecolors=colors[shown], zorder=2, **pen)  # type: ignore[arg-type]
    axes.add_collection(drawn, autolim=False)


def _tracks(piece: Piece) -> dict[int, tuple[str, str]]:
    """Track index to (name, colour), sorted by index."""
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


@functools.cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """The font families for texts, and the code points that they cover."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    known = {font.name for font in fontManager.ttflist}
    names = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in known)]
    return names, frozenset().union(*(FT2Font(findfont(name)).get_charmap() for name in names))


def _say(owner, x: float, y: float, words: str, size: float, color: str, room: float = 0, least: int = 1, **style):
    """Writes words, cut to `room` inches with an ellipsis; if fewer than `least` characters remain, nothing."""
    fonts, known = _fonts()
    # File names can have any characters; matplotlib warns of those that it cannot draw.
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


def _bands(axes, sections: Sequence[Section], bar_width: float, strip: float) -> None:
    """Draws the bands of the sections behind the notes, their labels above, and heavier lines between them."""
    first, last = axes.get_xlim()
    for i, section in enumerate(sections):
        x0, x1 = np.clip([section.start, section.end], first, last)
        if x0 < x1:
            band, label, ink = EMPHASIS if section.emphasis else BETWEEN[i % 2]
            axes.axvspan(x0, x1, color=band, linewidth=0, zorder=0.1)
            axes.axvspan(x0, x1, 1, 1 + strip, color=label, linewidth=0, zorder=0.1, clip_on=False)
            axes.axvline(x0, 0, 1 + strip, color=SEAM, linewidth=1.3 * (x0 > first), zorder=1, clip_on=False)
            # A label keeps at least four characters, because "1/…" would mislead.
            style = {"room": (x1 - x0) * bar_width - 0.06, "least": 4, "weight": 400 + 300 * section.emphasis}
            _say(axes, (x0 + x1) / 2, 1 + 0.32 * strip, section.label, 8.5, ink, ha="center", **style)


def _keys(axes, notes: Rectangles, at: Layout) -> None:
    """Draws black keys, octave lines and as many note names as fit: of white keys, the C major triad, or only C."""
    low, high, lane = notes.low, notes.high, notes.lane
    named = (0, 2, 4, 5, 7, 9, 11) if at.step >= 0.115 else (0, 4, 7) if at.step >= 0.04 else (0,)
    x, height = axes.get_xlim()[0] - 0.07 / at.bar_width, high - low + 1 + lane
    style: dict[str, Any] = {"ha": "right", "va": "center_baseline"}
    keys = range(low, high + 1)
    black, octaves = [k + 0.5 for k in keys if k % 12 in (1, 3, 6, 8, 10)], [k for k in keys[1:] if k % 12 == 0]
    axes.hlines(black, *axes.get_xlim(), color=BLACK_KEY, linewidth=at.step * 72, zorder=0.2)
    axes.hlines(octaves + [low] * bool(lane), *axes.get_xlim(), color=OCTAVE_LINE, linewidth=0.7, zorder=0.3)
    for key in (k for k in keys if k % 12 in named):
        name, color = "C D EF G A B"[key % 12] + str(key // 12 - 1), FAINT if key % 12 else INK
        _say(axes, x, (key + 0.5 - low + lane) / height, name, 7.5, color, **style)
    if lane:
        _say(axes, x, lane / 2 / height, "drums", 7.5, MUTED, **style)


def _bar_lines(axes, piece: Piece, grid: Grid, at: Layout, is_end: bool) -> None:
    """Draws bar and beat lines, bar numbers and min:sec below them, and a heavy line at the end of the piece."""
    bar_width = at.bar_width
    first, last = (int(x) for x in axes.get_xlim())
    # Bars between lines at least 0.18 inches apart, and between numbers at least 0.55 apart.
    every, numbered = (next(2**k for k in range(64) if 2**k * bar_width >= w) for w in (0.18, 0.55))

    def write(x: float, number: str, time: str = "", size: float = 7.5, color: str = FAINT, ha: str = "center") -> None:
        _say(axes, x, -0.16 / at.roll, number, size, color, ha=ha)
        _say(axes, x, -0.31 / at.roll, time, 7.5, FAINT if ha == "right" else MUTED, ha=ha)

    seconds = np.round(piece.seconds(grid.quarters(np.arange(first, last + 1)))).astype(int)
    clock = [f"{s // 60}:{s % 60:02d}" for s in seconds]
    bars = np.arange(first, last, every)
    lengths = grid.lengths(bars)
    beats = [
        (bar, [k / length for k in range(1, math.ceil(length))] if bar_width >= 0.9 else [])
        for bar, length in zip(bars.tolist(), lengths.tolist(), strict=True)
    ]
    inner = [bar + beat for bar, parts in beats for beat in parts]
    axes.vlines(inner, *axes.get_ylim(), color=BEAT_LINE, linewidth=0.7, zorder=0.4)
    axes.vlines([*bars, last], *axes.get_ylim(), color=BAR_LINE, linewidth=0.7, zorder=0.5)
    for (bar, parts), length in zip(beats, lengths.tolist(), strict=True):
        if (bar - first) % numbered == 0:
            write(bar, str(bar + 1), clock[bar - first], 8.5, INK)
        for i, beat in enumerate(parts if bar_width / length >= 0.55 else ()):
            write(bar + beat, f"{bar + 1}.{i + 2}")
    axes.axvline(last, color=SEAM, linewidth=4 * is_end, zorder=0.5)
    if is_end and ((last - first - 1) % numbered + 1) * bar_width >= 0.55:
        write(last, "", clock[-1])
    if first == 0:
        write(-0.2 / bar_width, "bar", "min:s", ha="right")
