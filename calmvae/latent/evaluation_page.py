"""The page of `calmvae evaluate`: a model's metrics, and the distributions of its samples beside held-out music."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.data import training_windows
from calmvae.latent import sample_statistics, voice_statistics
from calmvae.latent.sample_statistics import Comparison
from calmvae.midi.piano_roll import FAINT, INK, MUTED, TRACK_COLORS

_PITCH_CLASSES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_TITLES = {
    "pitch_count": "Different pitches",
    "note_count": "Notes",
    "pitch_range": "Range (semitones)",
    "mean_interval": "Mean interval (semitones)",
    "mean_ioi": "Between onsets (sixteenths)",
}


def write_page(
    path: str | Path,
    title: str,
    metrics: Mapping[str, float],
    samples: np.ndarray,
    held_out: np.ndarray,
    compared: Comparison,
) -> Path:
    """Writes a PNG.

    Args:
      path: where to.
      title: model and data.
      metrics: name to value, listed as they come.
      samples, held_out: windows uint8 `[n, steps]`, two or more with notes in each.
      compared: the result of `sample_statistics.compare`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(11.7, 9.3), dpi=110, facecolor="white")
    canvas = FigureCanvasAgg(page)
    space = {"hspace": 0.45, "wspace": 0.24, "top": 0.855, "bottom": 0.055, "left": 0.05, "right": 0.97}
    # The numbers at the bottom right need the height.
    grid = page.subplots(3, 3, gridspec_kw={"height_ratios": (1, 1, 1.45), **space})
    page.text(0.05, 0.942, title, fontsize=15, color=INK, weight="bold")
    page.text(0.05, 0.905, "held-out music", fontsize=11, color=TRACK_COLORS[0])
    page.text(0.16, 0.905, "samples from the prior", fontsize=11, color=TRACK_COLORS[1])
    ours, wanted = (sample_statistics.features(training_windows.sounding(windows)) for windows in (samples, held_out))
    axes = list(grid.flat)
    for plot, (name, said) in zip(axes, _TITLES.items(), strict=False):
        _histogram(plot, wanted[name], ours[name])
        _dress(plot, said, compared.overlap[name])
    _bars(axes[5], wanted["pitch_classes"].mean(axis=0), ours["pitch_classes"].mean(axis=0), _PITCH_CLASSES)
    _dress(axes[5], "Pitch classes", compared.overlap["pitch_classes"])
    lengths = [str(length) for length in voice_statistics.LENGTHS]
    _bars(axes[6], wanted["note_lengths"].mean(axis=0), ours["note_lengths"].mean(axis=0), lengths)
    _dress(axes[6], "Note lengths (up to, 16ths)", compared.overlap["note_lengths"])
    _overlaps(axes[7], compared)
    _listed(axes[8], metrics)
    canvas.print_png(Path(path), metadata={"Software": None})  # It would name matplotlib's version.
    return Path(path)


def _histogram(plot: Any, wanted: np.ndarray, ours: np.ndarray) -> None:
    high = max(wanted.max(), ours.max(), 1.0)
    edges = np.linspace(0, high, min(int(high), 24) + 1)
    for values, color, filled in ((wanted, TRACK_COLORS[0], True), (ours, TRACK_COLORS[1], False)):
        kind: dict[str, Any] = {"histtype": "stepfilled", "alpha": 0.35} if filled else {"histtype": "step", "lw": 1.8}
        plot.hist(values, edges, weights=np.full(len(values), 1 / len(values)), color=color, **kind)


def _bars(plot: Any, wanted: np.ndarray, ours: np.ndarray, labels: tuple[str, ...] | list[str]) -> None:
    places = np.arange(len(labels))
    plot.bar(places - 0.2, wanted, 0.4, color=TRACK_COLORS[0], alpha=0.5)
    plot.bar(places + 0.2, ours, 0.4, color=TRACK_COLORS[1], alpha=0.8)
    plot.set_xticks(places, labels)


def _dress(plot: Any, title: str, overlap: float) -> None:
    plot.set_title(title, fontsize=10, color=INK, loc="left")
    plot.set_title(f"overlap {overlap:.2f}", fontsize=9, color=MUTED, loc="right")
    plot.tick_params(labelsize=8, colors=MUTED)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(FAINT)


def _overlaps(plot: Any, compared: Comparison) -> None:
    from matplotlib.patheffects import Normal, Stroke

    names = list(compared.overlap)
    plot.barh(range(len(names)), [compared.overlap[name] for name in names], color=MUTED, height=0.84)
    plot.set_yticks([])
    for k, name in enumerate(names):
        # A rim of the bar's colour keeps the name readable where its bar is short.
        rim = [Stroke(linewidth=2.5, foreground=MUTED), Normal()]
        plot.text(0.015, k, name.replace("_", " "), fontsize=7.5, color="white", va="center", path_effects=rim)
    plot.set_xlim(0, 1)
    plot.invert_yaxis()
    _dress(plot, "Overlapping area", compared.mean_overlap)
    plot.set_title(f"mean {compared.mean_overlap:.2f}", fontsize=9, color=MUTED, loc="right")


def _listed(plot: Any, metrics: Mapping[str, float]) -> None:
    plot.axis("off")
    shown: dict[str, str] = {}
    for name, value in metrics.items():
        if name.endswith("_held_out"):
            # Beside the samples' own.
            shown[name.removesuffix("_held_out")] += f" / {value:.3g} held out"
        elif not name.startswith(("overlap_", "path_pairs", "path_steps")):
            shown[name] = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    height = 1.07 / max(len(shown), 10)
    # In points; a line takes a fifth more than its letters.
    size = min(8.5, height * plot.get_window_extent().height * 72 / plot.get_figure().dpi / 1.2)
    for k, (name, said) in enumerate(shown.items()):
        plot.text(0.0, 1.07 - k * height, name.replace("_", " "), fontsize=size, color=MUTED, va="top")
        plot.text(1.0, 1.07 - k * height, said, fontsize=size, color=INK, va="top", ha="right")
