"""A `Piece` as a picture (piano roll, PNG) and as sound (General MIDI synthesis, WAV).

Both writers are deterministic: the same piece gives the same bytes on the same machine. matplotlib and
tinysoundfont are imported by the function that needs them, never on import of this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import math
import warnings
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from calmvae.errors import MissingDependencyError, OptionError, OutputError
from calmvae.midi import Piece

SOUNDFONT = "TimGM6mb.sf2"
TAIL_SECONDS = 2.0

# Okabe and Ito's colours without black and yellow, then three of Paul Tol's: told apart with any colour vision.
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#999933")
DRUM_COLOR = "#6B6F73"
INK, MUTED, FAINT = "#24313B", "#6E7C87", "#9AA6AF"
ROLL, BAR_LINE, BEAT_LINE, OCTAVE_LINE, SEAM = "#F5F8FA", "#D3DCE3", "#E6ECF0", "#C2CDD5", "#7D8D99"
BLACK_KEY = (0.14, 0.19, 0.23, 0.03)
# (band, label strip, label); the given pieces are sand, what lies between them takes turns in two cool greys.
EMPHASIS = ("#FCF3E1", "#F0D5A2", "#5F4510")
BETWEEN = (("#EFF4F8", "#D2DFE9", "#3D5261"), ("#F8FAFC", "#E3EBF1", "#3D5261"))

# Inches.
LEFT, RIGHT, STRIP, TICKS, ROW_GAP = 0.72, 0.42, 0.22, 0.40, 0.14
MAX_ROWS, MAX_PIXELS = 8, 12e6

# Fonts for scripts that matplotlib's own DejaVu Sans lacks, where the machine has them.
FALLBACK_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei")

# Decibels on the SoundFont's own level: a quiet piano piece peaks near -12 dBFS, a full ensemble near -3.
GAIN_DB = 3.0
# Just under -1 dBFS (0.8913).
CEILING = 0.89
BLOCK_FRAMES = 1 << 16
# More than the default of 256: dozens of long notes with layered samples would cut each other off.
MAX_VOICES = 512
FADE_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Section:
    """A labelled stretch of a piece; start and end in quarter notes. `emphasis` marks the pieces that were given."""

    start: float
    end: float
    label: str
    emphasis: bool = False


@functools.cache
def _gm_names() -> tuple[str, ...]:
    import pretty_midi

    return tuple(pretty_midi.program_to_instrument_name(program) for program in range(128))


def __getattr__(name: str) -> tuple[str, ...]:
    # GM_NAMES[program] is the General MIDI instrument name; looked up on first use, as pretty_midi is slow to import.
    if name == "GM_NAMES":
        return _gm_names()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def write_piano_roll(
    piece: Piece,
    path: str | Path,
    *,
    title: str = "",
    subtitle: str = "",
    sections: Sequence[Section] = (),
    bar_quarters: float = 4.0,
    dpi: int = 110,
) -> Path:
    """Draws the piece as a piano roll, wrapped into up to 8 rows like a score, and writes a PNG.

    One colour a track, drums in a grey lane below, velocity as shade; bar numbers and min:sec under each row.

    Args:
      title: the heading; default the piece's name. Shortened with an ellipsis where it does not fit.
      sections: labelled bands behind the notes, positions in quarter notes.
      bar_quarters: length of a bar in quarter notes.
      dpi: pixels an inch; lowered where the picture would exceed 12 million pixels.

    Raises:
      OptionError: `bar_quarters` or `dpi` is not positive.
      OutputError: the file cannot be written.
      MissingDependencyError: matplotlib is not installed.
    """
    if not bar_quarters > 0 or not dpi > 0:
        raise OptionError(f"bar_quarters is {bar_quarters} and dpi {dpi}; both must be greater than 0.")
    tracks = _track_styles(piece)
    rank = {track: i for i, track in enumerate(tracks)}
    columns = [(rank[n.track], n.is_drum, n.pitch, n.velocity, n.start, n.end) for n in piece.notes]
    table = np.array(columns, dtype=np.float64).reshape(-1, 6)
    track, drum, pitch, velocity = table[:, 0].astype(int), table[:, 1] > 0, table[:, 2], table[:, 3]
    start, end = piece.quarters(table[:, 4]), piece.quarters(table[:, 5])

    # A release a hair past the bar line is not another bar.
    total = max(float(end.max(initial=0.0)) - 0.05, max((s.end for s in sections), default=0.0))
    bars = max(1 if len(table) else 4, math.ceil(total / bar_quarters - 1e-6))
    row_bars = _bars_per_row(bars, [s.start / bar_quarters for s in sections])
    rows = math.ceil(bars / row_bars)

    # Pitches: the used range, a margin of two semitones, at least an octave. Drums get a lane below.
    melodic = pitch[~drum]
    low, high = (int(melodic.min()) - 2, int(melodic.max()) + 2) if len(melodic) else (60, 72 if not len(table) else 59)
    if len(melodic) and high - low < 12:
        low, high = low - (13 - high + low) // 2, high + (12 - high + low) // 2
    lane = (5 if len(melodic) else 10) if drum.any() else 0
    semitones = high - low + 1 + lane

    width = float(np.clip(13.0 * row_bars / 24, 13.0, 20.0))
    target = (3.6, 2.9, 2.4, 2.1)[rows - 1] if rows <= 4 else 1.9
    step = min(target / semitones, 0.16)
    tallest = 2.0 + rows * (semitones * max(step, 0.025) + STRIP + TICKS + ROW_GAP)
    page = _Page(width, min(float(dpi), math.sqrt(MAX_PIXELS / (width * tallest))))
    step = max(round(step * page.dpi), 2) / page.dpi
    height = semitones * step
    bar_width = (width - LEFT - RIGHT) / row_bars

    y = _header(page, title or piece.name, subtitle, list(tracks.values()))
    drum_pitches, drum_rank = np.unique(pitch[drum], return_inverse=True)
    # Offsets from the top of a row, in inches.
    top = (high - pitch) * step
    thick = np.full(len(table), step)
    if lane:
        thick[drum] = min((lane - 1) * step / len(drum_pitches), 2 * step)
        top[drum] = height - (drum_rank + 1) * thick[drum]
    shades = np.array([_rgb(color) for _, color in tracks.values()]).reshape(-1, 3)

    for row in range(rows):
        first, last = row * row_bars, min((row + 1) * row_bars, bars)
        span = (first * bar_quarters, last * bar_quarters)
        right = LEFT + (last - first) * bar_width

        def at(quarters, origin=span[0]):
            return LEFT + (quarters - origin) / bar_quarters * bar_width

        y += STRIP if sections else 0.0
        page.rect(LEFT, y, right, y + height, ROLL)
        seams = _bands(page, sections, span, at, y, height)
        _keys(page, low, high, step, y, right, lane)
        _bar_lines(page, piece, first, last, bar_quarters, bar_width, y, height, row == 0, last == bars)
        for x in seams:
            page.rule(x, y - STRIP, y + height, SEAM, 2)

        shown = np.flatnonzero((start < span[1]) & (np.maximum(end, start + 1e-9) > span[0]))
        if len(shown):
            x0, x1 = at(np.clip(start[shown], *span)), at(np.clip(end[shown], *span))
            # A sliver of air keeps repeated notes apart; 1.2 pixels keep the shortest in sight.
            x1 = np.maximum(x1 - np.minimum(1.5 / page.dpi, 0.2 * (x1 - x0)), x0 + 1.2 / page.dpi)
            depth = 0.3 + 0.7 * np.clip(velocity[shown, None] / 127, 0, 1)
            inset = min(0.5 / page.dpi, 0.1 * step)
            y0 = y + top[shown] + inset
            page.notes(x0, y0, x1, y0 + thick[shown] - 2 * inset, 1 - depth * (1 - shades[track[shown]]))
        if not len(table):
            page.text((LEFT + right) / 2, y + height / 2, "no notes", 13, MUTED, ha="center", va="center")
        y += height + TICKS + ROW_GAP
    return page.save(path, y)


class _Page:
    """Rectangles and words on one sheet, placed in inches from its top left corner."""

    def __init__(self, width: float, dpi: float) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.font_manager import fontManager
        except ImportError as error:
            raise MissingDependencyError("Pictures need matplotlib; install it with: pip install matplotlib") from error
        self.width, self.dpi = width, dpi
        self._figure = Figure(figsize=(width, 1.0), dpi=dpi, facecolor="white")
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._rects: list[tuple[float, float, float, float, object]] = []
        known = {font.name for font in fontManager.ttflist}
        self._fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in known)]

    def rect(self, x0: float, y0: float, x1: float, y1: float, color: object) -> None:
        """A filled rectangle; its edges are moved to whole pixels, so that they are crisp."""
        x0, y0, x1, y1 = (round(v * self.dpi) / self.dpi for v in (x0, y0, x1, y1))
        self._rects.append((x0, y0, x1, y1, color))

    def rule(self, x: float, y0: float, y1: float, color: object, weight: int = 1) -> None:
        """A vertical line, `weight` pixels wide at 110 dots an inch."""
        pixels = max(1, round(weight * self.dpi / 110))
        x = (round(x * self.dpi) - pixels // 2) / self.dpi
        self.rect(x, y0, x + pixels / self.dpi, y1, color)

    def notes(self, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray, colors: np.ndarray) -> None:
        """Bars with rounded corners: one polygon collection, as 50,000 patches would take a minute."""
        from matplotlib.collections import PolyCollection

        radius = np.minimum(np.minimum(x1 - x0, y1 - y0) * 0.35, 0.04)[:, None]
        turn = np.radians(np.arange(0, 360, 30) + np.repeat([0.0, 15.0, 30.0, 45.0], 3))[None, :]
        turn = np.radians(np.repeat([0, 90, 180, 270], 3) + np.tile([0, 45, 90], 4))[None, :]
        right, below = np.repeat([1, 0, 0, 1], 3)[None, :], np.repeat([1, 1, 0, 0], 3)[None, :]
        x = np.where(right, x1[:, None] - radius, x0[:, None] + radius) + radius * np.cos(turn)
        y = np.where(below, y1[:, None] - radius, y0[:, None] + radius) + radius * np.sin(turn)
        self._axes.add_collection(
            PolyCollection(np.stack([x, y], axis=-1), facecolors=colors, linewidths=0, zorder=3), autolim=False
        )

    def text(self, x: float, y: float, words: str, size: float, color: str, width: float = 0, least: int = 1, **style):
        """Writes words (baseline at y); wider than `width` inches they end in an ellipsis. Returns their width.

        Words of which less than `least` characters would remain are left out.
        """
        # Any file name can arrive here: no line breaks, no control characters, no half of a surrogate pair.
        words = "".join(c if c.isprintable() else " " for c in words[:400])
        words = " ".join(words.split())
        artist = self._axes.text(x, y, words, size=size, color=color, family=self._fonts, parse_math=False, **style)
        artist.set_zorder(4)
        used, keep = self._width(artist), len(words)
        while width and used > width:
            keep = min(keep - 1, int(keep * width / used))
            artist.set_text(words[:keep].rstrip() + "…" if keep >= least else "")
            used = self._width(artist)
        return used

    def _width(self, artist) -> float:
        with _quiet_glyphs():
            return artist.get_window_extent(self._canvas.get_renderer()).width / self.dpi if artist.get_text() else 0.0

    def save(self, path: str | Path, height: float) -> Path:
        from matplotlib.collections import PolyCollection

        self._figure.set_size_inches(self.width, math.ceil(height * self.dpi) / self.dpi)
        self._axes.set(xlim=(0, self.width), ylim=(self._figure.get_figheight(), 0))
        corners = [((a, b), (c, b), (c, d), (a, d)) for a, b, c, d, _ in self._rects]
        colors = [color for *_, color in self._rects]
        rects = PolyCollection(corners, facecolors=colors, linewidths=0, antialiaseds=False, zorder=1)
        self._axes.add_collection(rects, autolim=False)
        path = Path(path)
        # Without the Software entry the bytes do not name matplotlib's version.
        with _quiet_glyphs(), _writing(path), path.open("wb") as file:
            self._canvas.print_png(file, metadata={"Software": None})
        return path


@contextlib.contextmanager
def _quiet_glyphs() -> Iterator[None]:
    # A script without a font is drawn as boxes; the user can do nothing about the warning.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*Glyph \d+")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from error


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _track_styles(piece: Piece) -> dict[int, tuple[str, str]]:
    """Track index to (name, colour), in order of track."""
    seen = {}
    for note in piece.notes:
        seen.setdefault(note.track, note)
    styles: dict[int, tuple[str, str]] = {}
    names: list[str] = []
    for track, note in sorted(seen.items()):
        default = "Drums" if note.is_drum else _gm_names()[note.program % 128]
        names.append(piece.track_names.get(track) or default)
        name = names[-1] + (f" ({names.count(names[-1])})" if names.count(names[-1]) > 1 else "")
        melodic = sum(color != DRUM_COLOR for _, color in styles.values())
        styles[track] = (name, DRUM_COLOR if note.is_drum else TRACK_COLORS[melodic % len(TRACK_COLORS)])
    return styles


def _bars_per_row(bars: int, section_bars: Sequence[float]) -> int:
    """Bars a row: all up to 24, then 16 to 24, more beyond 8 rows; rows begin with a section where they can."""
    if bars <= 24:
        return bars
    least = max(16, math.ceil(bars / MAX_ROWS))
    starts = {round(b, 3) for b in section_bars}

    def cost(size: int) -> tuple[int, bool, int, int]:
        broken = sum(row not in starts for row in range(size, bars, size)) if starts else 0
        return broken, size % 4 > 0, -bars % size, size

    return min(range(least, max(24, least * 5 // 4) + 1), key=cost)


def _header(page: _Page, title: str, subtitle: str, tracks: list[tuple[str, str]]) -> float:
    """Title, subtitle, legend and velocity scale; returns where the rows begin, in inches."""
    y, room = 0.22, page.width - LEFT - RIGHT
    scale = 1.6 if tracks else 0.0
    if title.strip():
        y += 0.30
        page.text(LEFT, y, title, 17, INK, room, weight="bold")
    if subtitle.strip():
        y += 0.26
        page.text(LEFT, y, subtitle, 9.5, MUTED, room - scale)
    if len(tracks) > 1:
        y, x, lines = y + 0.30, LEFT, 1
        for i, (name, color) in enumerate(tracks):
            used = page.text(x + 0.24, y, name, 8.5, INK, 2.2)
            if x + 0.24 + used > page.width - RIGHT - scale - 0.9 and i + 1 < len(tracks):
                pass
            page.rect(x, y - 0.10, x + 0.17, y, color)
            x += 0.24 + used + 0.28
            if x > page.width - RIGHT - scale - 2.5 and i + 1 < len(tracks):
                if lines == 3:
                    page.text(x, y, f"+ {len(tracks) - i - 1} more", 8.5, MUTED)
                    break
                y, x, lines = y + 0.21, LEFT, lines + 1
    if tracks:
        y = max(y, 0.40)
        x = page.width - RIGHT - scale + 0.42
        page.text(x - 0.06, y, "soft", 8, MUTED, ha="right")
        for i in range(6):
            shade = 1 - (0.3 + 0.7 * (i + 1) / 6) * (1 - np.array(_rgb(tracks[0][1] if len(tracks) == 1 else DRUM_COLOR)))
            page.rect(x + i * 0.13, y - 0.10, x + i * 0.13 + 0.11, y, tuple(shade))
        page.text(page.width - RIGHT, y, "loud", 8, MUTED, ha="right")
    return y + 0.22
