"""The display in notebooks: pieces as picture and player, tables and charts. Also copies the notebooks to a folder.

IPython and matplotlib are imported on use only.
"""

from __future__ import annotations

import html
import io
import shlex
import shutil
import tempfile
import wave
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calmvae.checkpoints import model_folder
from calmvae.cli.console import Console
from calmvae.common import output_folder
from calmvae.common.errors import InputError, MissingDependencyError
from calmvae.midi import audio, piano_roll
from calmvae.midi.piano_roll import FAINT, INK, MUTED, TRACK_COLORS
from calmvae.midi.piece import Piece
from calmvae.music import calmness, calmness_plot, melody_tokens

if TYPE_CHECKING:
    from calmvae.generate.made_piece import Made

# A player's sound becomes part of the notebook: mono at this rate, a minute takes 3.5 MB of it.
_RATE = 22050


def copy(out: Path, console: Console) -> None:
    """Copies the notebooks to a folder, where they can be run and changed.

    Raises:
      InputError: none are installed. OutputError: the folder is not ours, or a copy in it was changed.
    """
    files = sorted(model_folder.of_package("notebooks").glob("*.ipynb"))
    if not files:
        raise InputError("no notebooks are installed; install calmvae from a whole checkout.")
    with output_folder.OutputFolder(out, "notebooks", {}) as folder:
        for file in files:
            shutil.copyfile(file, folder.path(file.name))
    console.result(
        folder.record,
        f"{out}: {', '.join(file.name for file in files)}.",
        f"To open them, run `pip install jupyterlab` beside calmvae, and then `jupyter lab {shlex.quote(str(out))}`.",
    )


def pieces() -> list[Path]:
    """The embedded music files."""
    return sorted((model_folder.of_package("resources") / "pieces").glob("*.mid"))


def show(music: Piece | Made, title: str = "", sound: bool = True) -> None:
    """Shows a piece, or what calmvae made, as a piano roll with a player below. A journey is shown with its plan.

    Args:
      music: what to show.
      title: default the piece's name.
      sound: with the player.
    """
    from IPython.display import Audio, display

    piece, sections, info = (music, [], {}) if isinstance(music, Piece) else (music.piece, music.sections, music.info)
    # A single label would repeat the title.
    sections = sections if len(sections) > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        picture, wav = Path(folder) / "roll.png", Path(folder) / "sound.wav"
        above = calmness_plot.journey_plan(info) if "plan" in info else None
        piano_roll.write_piano_roll(piece, picture, title=title, sections=sections, above=above)
        _show(picture.read_bytes())
        if not sound:
            return
        try:
            audio.write_wav(piece, wav, sample_rate=_RATE)
        except MissingDependencyError as error:
            print(error)
        else:
            display(Audio(_mono(wav), rate=_RATE, normalize=False))


def _mono(path: Path) -> np.ndarray:
    """A stereo WAV's mean of both sides, from -1 to 1."""
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return frames.reshape(-1, 2).mean(axis=1) / 2**15


class Table:
    """Rows that a notebook shows as a table, and anything else as text.

    Args:
      rows: column to value, each with the same columns; numbers with a fraction are shown with `digits` of it.
      digits: after the point.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], digits: int = 1) -> None:
        self.rows, self.digits = [dict(row) for row in rows], digits

    def _cells(self) -> list[list[str]]:
        """The heading and the rows, as text."""
        return [list(self.rows[0]), *([self._text(value) for value in row.values()] for row in self.rows)]

    def _text(self, value: Any) -> str:
        return f"{value:.{self.digits}f}" if isinstance(value, (float, np.floating)) else str(value)

    def _right(self) -> list[bool]:
        return [isinstance(value, (int, float, np.number)) for value in self.rows[0].values()]

    def __repr__(self) -> str:
        cells, right = self._cells(), self._right()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for row in cells:
            shown = zip(row, widths, right, strict=True)
            lines.append("  ".join(text.rjust(w) if r else text.ljust(w) for text, w, r in shown).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        sides = ["right" if right else "left" for right in self._right()]
        lines = []
        for k, row in enumerate(self._cells()):
            kind = "td" if k else "th"
            shown = zip(row, sides, strict=True)
            cells = [f'<{kind} style="text-align: {side}">{html.escape(text)}</{kind}>' for text, side in shown]
            lines.append(f"<tr>{''.join(cells)}</tr>")
        return "<table>\n" + "\n".join(lines) + "\n</table>"


table = Table


def show_score(piece: Piece) -> None:
    """Shows the calmness of a piece: over time, and what each feature adds to it."""
    curve = [(at, score.calmness) for at, score in calmness.over_time(piece)]
    with tempfile.TemporaryDirectory() as folder:
        path, score = Path(folder) / "score.png", calmness.score(piece)
        calmness_plot.write_score(path, piece.name, score, curve, piece.duration)
        _show(path.read_bytes())


def bars(values: Mapping[str, float], title: str, below: str = "") -> None:
    """Shows a chart of a bar for each value.

    Args:
      values: by name, from the top down, 0 to 100.
      title, below: what it shows, and the unit.
    """
    page, plot = _page(0.7 + 0.3 * len(values), left=0.22)
    plot.barh(range(len(values)), list(values.values()), color=TRACK_COLORS[0], height=0.62)
    for k, value in enumerate(values.values()):
        plot.text(value + 1, k, f"{value:.0f}", va="center", fontsize=9, color=INK)
    plot.set_yticks(range(len(values)), list(values))
    plot.invert_yaxis()
    plot.set_xlim(0, 100)
    _finish(page, plot, title, below)


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], title: str, below: str = "", least: float | None = 0.0
) -> None:
    """Shows a chart of a line through the points of each series, with its name.

    Args:
      lines: name to points.
      title, below: what it shows, and what the x axis counts.
      least: where the y axis begins; None leaves that to the points.
    """
    page, plot = _page(3.0, left=0.07, right=0.79 if len(lines) > 1 else 0.97)
    for (name, points), color in zip(lines.items(), TRACK_COLORS, strict=False):
        x, y = zip(*points, strict=True)
        plot.plot(x, y, color=color, lw=1.8, label=name, marker="o" if len(points) < 12 else None, ms=4)
    if least is not None:
        plot.set_ylim(bottom=least)
    plot.grid(axis="y", color=FAINT, alpha=0.3)
    if len(lines) > 1:
        _legend(plot)
    _finish(page, plot, title, below)


def dots(series: Mapping[str, Mapping[str, float]], title: str, below: str = "") -> None:
    """Shows a chart of dots on a line for each name, of each series in its colour.

    Args:
      series: name of the series to values by name, from the top down; the names of the first are the lines.
      title, below: what it shows, and the unit.
    """
    names = list(next(iter(series.values())))
    page, plot = _page(0.7 + 0.27 * len(names), left=0.3, right=0.88)
    for (name, values), color in zip(series.items(), TRACK_COLORS, strict=False):
        plot.plot([values[one] for one in names], range(len(names)), color=color, lw=0, marker="o", ms=7, label=name)
    plot.set_yticks(range(len(names)), names)
    plot.invert_yaxis()
    plot.grid(color=FAINT, alpha=0.3)
    _legend(plot)
    _finish(page, plot, title, below)


def rolls(melodies: Mapping[str, np.ndarray], title: str, like: Mapping[str, np.ndarray]) -> None:
    """Shows melodies one below the other, each note in the colour of what it is like.

    Args:
      melodies: name to tokens `[steps]`, all of one length.
      title: what they are.
      like: name to tokens of one melody or two; a note is like one that has it at the same step.
    """
    from matplotlib.patches import Patch

    known = [_begun(tokens) for tokens in like.values()]
    # By which of them have a note: none, the first, the second, both.
    colors = [TRACK_COLORS[1] if len(known) == 1 else FAINT, TRACK_COLORS[0], TRACK_COLORS[1], TRACK_COLORS[2]]
    names = ["neither" if len(known) == 2 else "otherwise", *like, "both"][: 2 ** len(known)]
    pitches = [note[0] for tokens in melodies.values() for note in melody_tokens.token_notes(tokens)] or [60]
    low, high = min(pitches) - 1.5, max(pitches) + 1.5
    steps = max(len(tokens) for tokens in melodies.values())
    page, plot = _page(0.75 + 0.62 * len(melodies), left=0.12)
    for row, tokens in enumerate(melodies.values()):
        plot.axhline(row, color=FAINT, lw=0.6, zorder=0)
        for pitch, start, end in melody_tokens.token_notes(tokens):
            kind = sum((pitch, start) in notes and 1 << k for k, notes in enumerate(known))
            at = row + (high - pitch) / (high - low)
            plot.hlines(at, start + 0.12, end - 0.12, color=colors[kind], lw=3.2)
    bars = range(0, steps + 1, melody_tokens.STEPS_PER_BAR)
    plot.set_xticks(bars, [f"bar {k}" for k in range(1, len(bars))] + [""], ha="left")
    plot.vlines(bars, 0, len(melodies), color=FAINT, lw=0.6, zorder=0)
    plot.set_yticks(np.arange(len(melodies)) + 0.5, list(melodies))
    plot.set_ylim(len(melodies), 0)
    plot.set_xlim(0, steps)
    patches = [Patch(color=color, label=name) for color, name in zip(colors, names, strict=False)]
    box = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderpad": 0, "handlelength": 1.0}
    plot.legend(handles=patches[1:] + patches[:1], ncols=4, fontsize=9, frameon=False, labelcolor=INK, **box)
    _finish(page, plot, title, "")


def _begun(tokens: np.ndarray) -> set[tuple[int, int]]:
    """Pitch and first step of each note."""
    return {(pitch, start) for pitch, start, _ in melody_tokens.token_notes(tokens)}


def _page(height: float, left: float, right: float = 0.97) -> tuple[Any, Any]:
    """A figure of so many inches and its axes, from and to a share of its width."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(9.0, height), dpi=110, facecolor="white")
    return page, page.add_axes((left, 0.3 / height, right - left, 1 - 0.65 / height))


def _legend(plot: Any) -> None:
    """The names of what is drawn, to the right of it."""
    plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False, labelcolor=INK)


def _finish(page: Any, plot: Any, title: str, below: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    plot.set_title(title, fontsize=11, color=INK, loc="left")
    plot.set_title(below, fontsize=9, color=MUTED, loc="right")
    plot.tick_params(labelsize=9, colors=MUTED)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(FAINT)
    picture = io.BytesIO()
    FigureCanvasAgg(page).print_png(picture, metadata={"Software": None})  # It would name matplotlib's version.
    _show(picture.getvalue())


def _show(picture: bytes) -> None:
    from IPython.display import Image, display

    display(Image(data=picture))
