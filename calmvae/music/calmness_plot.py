"""Pictures of calmness: its curve over a piece, and the points of each feature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calmvae.midi.piano_roll import BETWEEN, FAINT, INK, MUTED, TRACK_COLORS, Above
from calmvae.music.calmness import Score, words

_CALM, _OTHER = TRACK_COLORS[0], TRACK_COLORS[1]


def write_score(path: str | Path, title: str, score: Score, curve: list[tuple[float, float]], length: float) -> Path:
    """Writes a PNG.

    Args:
      path: the file to write.
      title: name of the piece.
      score: of the whole piece.
      curve: seconds and calmness of stretches, one or more.
      length: length of the piece in seconds.
    """
    page = _page(11.7, 4.6)
    ratios = {"width_ratios": [1.25, 1], "left": 0.055, "right": 0.975, "top": 0.78, "bottom": 0.12, "wspace": 0.42}
    over_time, parts = page.subplots(1, 2, gridspec_kw=ratios)
    page.text(0.055, 0.9, title, fontsize=15, color=INK, weight="bold")
    page.text(0.975, 0.9, f"calmness {score.calmness:.0f}", fontsize=15, color=_CALM, weight="bold", ha="right")
    _curve(over_time, curve, length)
    _parts(parts, score)
    return _save(page, path)


def write_effects(path: str | Path, title: str, table: Mapping[str, Mapping[str, float]]) -> Path:
    """Writes a PNG with the effect of each attribute vector on each attribute, in standard deviations.

    Args:
      path: the file to write.
      title: name of the model.
      table: vector to attribute to effect.
    """
    names = list(table)
    values = [[table[name][other] for other in names] for name in names]
    page = _page(7.2, 5.6)
    plot = page.add_axes((0.2, 0.08, 0.76, 0.72))
    reach = max(max(map(abs, row)) for row in values) or 1.0
    plot.imshow(values, cmap="RdBu", vmin=-reach, vmax=reach, aspect="auto")
    for i, row in enumerate(values):
        for k, value in enumerate(row):
            color = "white" if abs(value) > 0.6 * reach else INK
            plot.text(k, i, f"{value:+.2f}", ha="center", va="center", fontsize=10, color=color)
    shown = [name.replace("_", " ") for name in names]
    plot.set_xticks(range(len(names)), shown)
    plot.set_yticks(range(len(names)), [f"+ {name}" for name in shown])
    plot.xaxis.tick_top()
    plot.tick_params(length=0, labelsize=9.5, colors=MUTED)
    plot.spines[:].set_visible(False)
    page.text(0.04, 0.93, title, fontsize=14, color=INK, weight="bold")
    page.text(0.04, 0.885, "what adding each vector does to each attribute, in its deviations", fontsize=9, color=MUTED)
    return _save(page, path)


def _page(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(figsize=(width, height), dpi=110, facecolor="white")).figure


def _save(page: Any, path: str | Path) -> Path:
    page.canvas.print_png(Path(path), metadata={"Software": None})  # It would name matplotlib's version.
    return Path(path)


def journey_plan(info: Mapping[str, Any]) -> Above:
    """A drawing of a journey's plan and its result by minutes, for the top of its piano roll.

    Args:
      info: the info that `journey.journey` returns.
    """
    plan, starts = info["plan"], [at / 60 for at in info["plan"]["seconds"]]
    end = plan["end"] / 60
    stages = [at / 60 for at in info["stages"]]
    made = info["calmness_by_minute"]

    def draw(figure: Any, box: tuple[float, float, float, float]) -> None:
        left, bottom, width, height = box
        panels = (
            ("tempo", "quarters/min", plan["qpm"], None),
            ("density", "onsets/s, -- at most", plan["onsets_per_second"], info["onsets_per_second"]),
            ("velocity", "MIDI, mean", plan["velocity"], None),
            ("calmness", "by minute, -- planned", plan["calmness"], None),
        )
        for k, (title, below, planned, played) in enumerate(panels):
            at = (left + k * width / 4 + 0.1 * width / 4, bottom + 0.3 * height, 0.82 * width / 4, 0.48 * height)
            plot = figure.add_axes(at)
            for n, (begin, stop) in enumerate(zip(stages, [*stages[1:], end], strict=True)):
                plot.axvspan(begin, stop, color=BETWEEN[n % 2][0], lw=0)
            dashed = title == "calmness" or played is not None
            line = {"color": MUTED, "lw": 1.2, "ls": "--"} if dashed else {"color": _CALM, "lw": 1.8}
            plot.step([*starts, end], [*planned, planned[-1]], where="post", **line)
            if played is not None:
                plot.plot(starts, played, color=_CALM, lw=0, marker=".", ms=3.5)
            if title == "calmness":
                plot.plot([m + 0.5 for m in range(len(made))], made, color=_CALM, lw=1.8, marker=".", ms=6)
            values = [*planned, *(played or ()), *(made if title == "calmness" else ())]
            margin = max(0.12 * (max(values) - min(values)), 0.5 if title != "density" else 0.1)
            plot.set_ylim(min(values) - margin, max(values) + margin)
            plot.set_xlim(0, end)
            plot.set_xlabel("minutes", fontsize=8, color=MUTED, labelpad=1)
            _dress(plot, title, below)

    return Above(1.9, draw)


def _curve(plot: Any, curve: list[tuple[float, float]], length: float) -> None:
    # The curve lacks half a stretch at either end; the first and the last value fill it.
    end = max(length, 1.0)
    times = [0.0, *(at for at, _ in curve), end]
    values = [curve[0][1], *(value for _, value in curve), curve[-1][1]]
    plot.axhline(50, color=FAINT, lw=1)
    plot.fill_between(times, values, 50, color=_CALM, alpha=0.15, lw=0)
    plot.plot(times, values, color=_CALM, lw=1.8)
    plot.set_ylim(0, 100)
    plot.set_xlim(0, end)
    plot.xaxis.set_major_formatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02d}")
    _dress(plot, "Calmness over the piece", "min:s, stretches of 20 s")


def _parts(plot: Any, score: Score) -> None:
    names = sorted(score.points, key=lambda name: -abs(score.points[name]))
    values = [score.points[name] for name in names]
    plot.barh(range(len(names)), values, color=[_CALM if value >= 0 else _OTHER for value in values], height=0.72)
    plot.axvline(0, color=MUTED, lw=0.8)
    plot.set_yticks(range(len(names)), [words(name, score.values[name]) for name in names])
    plot.invert_yaxis()
    reach = max(5.0, *(abs(value) for value in values)) * 1.1
    plot.set_xlim(-reach, reach)
    _dress(plot, "What makes it so", "points added to 50")


def _dress(plot: Any, title: str, below: str) -> None:
    plot.set_title(title, fontsize=10, color=INK, loc="left")
    plot.set_title(below, fontsize=8.5, color=MUTED, loc="right")
    plot.tick_params(labelsize=8, colors=MUTED)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(FAINT)
