"""Draws the figures of the introductions in `resources`, and prints the numbers that their texts quote.

    python resources/figures.py            # writes resources/figures/*.png
    python resources/figures.py -o FOLDER  # writes them elsewhere

All is drawn from the embedded models and the pieces of `resources/pieces`, through calmvae's own functions; the same
matplotlib on the same machine writes the same bytes. TensorFlow is not needed. `numbers` works out every number that a
text quotes from a model; a test looks for each of them, as printed, in its page.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import open_model
from calmvae.common import text
from calmvae.data import training_windows
from calmvae.latent import attribute_vectors, calm_prior, evaluation, mixture_prior, sample_statistics, slerp
from calmvae.latent.attribute_vectors import Directions
from calmvae.midi import read_music
from calmvae.midi.piano_roll import BAR_LINE, BEAT_LINE, FAINT, INK, MUTED, OCTAVE_LINE, ROLL, TRACK_COLORS
from calmvae.midi.piece import Note
from calmvae.model.melody_model import MelodyModel
from calmvae.music import calmness, melody_extraction, melody_tokens
from calmvae.music.melody_extraction import Melody
from calmvae.music.melody_tokens import FIRST_PITCH, HOLD, MIN_PITCH, NOTE_OFF, STEPS_PER_BAR, STEPS_PER_QUARTER

HERE = Path(__file__).parent
FOLDER, PIECES = HERE / "figures", HERE / "pieces"

BLUE, RED, GREEN, _, ORANGE = TRACK_COLORS[:5]
WIDTH, DPI = 9.4, 130
PITCH_NAMES = ("C", "D♭", "D", "E♭", "E", "F", "G♭", "G", "A♭", "A", "B♭", "B")

SHORT, LONG = "calm-mel_2bar", "calm-mel_16bar"
# Draws, pairs of draws, points on a path; few enough to be done in seconds.
DRAWS, PAIRS, POINTS = 200, 200, 9
# A roll is at least this high, or one of few pitches would have huge notes.
LEAST_SEMITONES = 12
# How far along the calm direction a window is moved in the figure of it.
AMOUNTS = (-0.5, 0.0, 0.33, 0.67, 1.0)
# The bar of the figure of MIDI, counted from 1: of which piece, and of which of its tracks.
BAR = ("schubert_wiegenlied", "melody", 4)
# Of the four places that the first figure marks: colours, and where their names stand, in points.
SPOT_COLORS = (RED, ORANGE, RED, GREEN)
BESIDE = ((-9.0, -7.0), (-9.0, 8.0), (9.0, 8.0), (9.0, -8.0))

# ---------------------------------------------------------------------------------------------------------------------
# What the figures are drawn from.


@functools.cache
def load(name: str) -> MelodyModel:
    """An embedded model."""
    return open_model.load_model(name)


@functools.cache
def melody(stem: str, track: str | None = None) -> Melody:
    """The skyline of an embedded piece, or the melody of one of its tracks."""
    return melody_extraction.extract_melody(read_music.read_piece(PIECES / f"{stem}.mid"), track=track)


@functools.cache
def windows() -> np.ndarray:
    """All different 2-bar windows of the ten pieces' skylines, uint8 `[124, 32]`, as `calmvae evaluate` takes them."""
    stems = sorted(path.stem for path in PIECES.glob("*.mid"))
    rows = np.concatenate(
        [training_windows.sliding_windows(melody(stem).tokens, load(SHORT).spec.steps) for stem in stems]
    )
    return rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]


@functools.cache
def posterior() -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of the windows' posteriors, `[124, 128]` each."""
    return load(SHORT).engine.encode(windows())


def window(stem: str, bar: int) -> np.ndarray:
    """The 2-bar window of a piece's skyline that begins with a bar, from 1, uint8 `[32]`."""
    return training_windows.sliding_windows(melody(stem).tokens, load(SHORT).spec.steps)[bar - 1]


@functools.cache
def principal_axes() -> tuple[np.ndarray, float]:
    """The two directions `[2, 128]` in which the windows' means differ most, and their share of the variance."""
    mu = posterior()[0].astype(np.float64)
    _, lengths, axes = np.linalg.svd(mu - mu.mean(axis=0), full_matrices=False)
    # An axis has no sign of its own.
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])
    return axes[:2] * signs[:, None], float((lengths[:2] ** 2).sum() / (lengths**2).sum())


@functools.cache
def ends() -> tuple[np.ndarray, np.ndarray]:
    """Two windows to travel between."""
    return window("ar_hyd_y_nos", 1), window("schumann_traeumerei", 2)


@functools.cache
def kl_bits() -> np.ndarray:
    """KL of each window's posterior from the prior in bits, by dimension: `[124, 128]`."""
    mu, sigma = (values.T for values in posterior())
    columns = [evaluation.kl_nats(m[:, None], s[:, None]) for m, s in zip(mu, sigma, strict=True)]
    return np.stack(columns, axis=1) / np.log(2)


@functools.cache
def active() -> np.ndarray:
    """Which dimensions say something of the windows, bool `[128]`, by `evaluation.Metrics`' measure."""
    return posterior()[0].var(axis=0) > 0.01


@functools.cache
def redrawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows decoded from their means, with inactive dimensions redrawn from the prior, and with active ones."""
    mu, engine = posterior()[0], load(SHORT).engine
    fresh = np.random.default_rng(0).standard_normal(mu.shape).astype(np.float32)
    mixed = np.where(active(), mu, fresh), np.where(active(), fresh, mu)
    return engine.decode(mu), engine.decode(mixed[0]), engine.decode(mixed[1])


@functools.cache
def paths() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of paths between draws from the prior, around and straight: length and different pitches at each point."""
    a, b = np.random.default_rng(0).standard_normal((2, PAIRS, load(SHORT).spec.z_size))
    along = np.linspace(0, 1, POINTS)[:, None, None]
    found = {}
    for name, z in {"slerp": slerp.path(a, b, POINTS), "straight": (1 - along) * a + along * b}.items():
        tokens = load(SHORT).engine.decode(z.reshape(-1, z.shape[-1]))
        pitches = sample_statistics.features(tokens)["pitch_count"].reshape(POINTS, PAIRS)
        # A path is as likely the other way around.
        means = (np.linalg.norm(z, axis=2).mean(axis=1), pitches.mean(axis=1))
        found[name] = (means[0] + means[0][::-1]) / 2, (means[1] + means[1][::-1]) / 2
    return found


@functools.cache
def long_window() -> np.ndarray:
    """The first 16 bars of a melody, uint8 `[256]`."""
    return melody("schumann_traeumerei", "melody").tokens[: load(LONG).spec.steps]


@functools.cache
def read_and_written() -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """What the 16-bar model makes of `long_window`: embeddings of beats `[64, 512]`, of 2 bars `[8, 512]` and of all
    `[1, 512]`; the posterior mean `[384]`; the decoded tokens `[256]`."""
    engine = load(LONG).engine
    levels = [found[0] for found in engine.levels(long_window()[None])]
    mu, _ = engine.encode(long_window()[None])
    return levels, mu[0], engine.decode(mu)[0]


@functools.cache
def calm_vector() -> np.ndarray:
    """The calm direction of the 2-bar model, `[128]`."""
    found: Directions = attribute_vectors.read(load(SHORT).source / attribute_vectors.FILE)
    return found.vectors["calmness"]


def moved(amount: float, mu: np.ndarray) -> np.ndarray:
    """Windows decoded from means moved along the calm direction."""
    return load(SHORT).engine.decode(mu + np.float32(amount) * calm_vector())


@functools.cache
def calm_prior_of_short() -> mixture_prior.Mixture:
    """The calm prior of the 2-bar model."""
    return calm_prior.load_prior(load(SHORT))


@functools.cache
def sampled_calmness() -> tuple[np.ndarray, np.ndarray]:
    """Calmness of samples, by the likeliest tokens, from the standard prior and from the calm one."""
    standard = np.random.default_rng(0).standard_normal((DRAWS, load(SHORT).spec.z_size))
    both = standard, calm_prior_of_short().draw(np.random.default_rng(0), DRAWS)
    calm = [calmness.of_windows(training_windows.sounding(load(SHORT).engine.decode(z))) for z in both]
    return calm[0], calm[1]


# ---------------------------------------------------------------------------------------------------------------------
# Parts of figures.


def new_page(height: float, title: str, below: str) -> Any:
    """A figure with a title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    figure.text(0.03, 1 - 0.3 / height, title, fontsize=14, color=INK, weight="bold", va="center")
    figure.text(0.03, 1 - 0.56 / height, below, fontsize=9, color=MUTED, va="center")
    return figure


def write(figure: Any, path: Path) -> None:
    """Writes a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})  # It would name matplotlib's version.


def inches(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at a place in inches, counted from the left and from the top."""
    total = figure.get_size_inches()[1]
    return figure.add_axes((left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total))


def dress(axes: Any, title: str, across: str = "", up: str = "") -> None:
    """The look of a plot."""
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=7)
    axes.set_xlabel(across, fontsize=8.5, color=MUTED)
    axes.set_ylabel(up, fontsize=8.5, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)


def pitch_name(pitch: int) -> str:
    """Such as C4, middle C."""
    return f"{PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def compass(*rows: np.ndarray) -> tuple[int, int]:
    """The lowest and the highest pitch to draw of some rows of tokens, with a margin."""
    pitches = [pitch for row in rows for pitch, _, _ in melody_tokens.token_notes(row)]
    low, high = min(pitches) - 1, max(pitches) + 1
    missing = max(LEAST_SEMITONES - (high - low), 0)
    return low - missing // 2, high + missing - missing // 2


def roll(
    axes: Any, tokens: np.ndarray, pitches: tuple[int, int], color: str, title: str = "", beats: bool = True
) -> None:
    """A piano roll of tokens `[steps]`, a step one unit wide; bars and beats as lines, the Cs named."""
    low, high = pitches
    axes.set_xlim(0, len(tokens))
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_facecolor(ROLL)
    for step in range(0, len(tokens) + 1, STEPS_PER_QUARTER):
        if beats or step % STEPS_PER_BAR == 0:
            axes.axvline(step, color=BAR_LINE if step % STEPS_PER_BAR == 0 else BEAT_LINE, lw=0.8, zorder=1)
    cs = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    for c in cs:
        axes.axhline(c - 0.5, color=OCTAVE_LINE, lw=0.7, zorder=1)
    air = len(tokens) / 300
    for pitch, start, end in melody_tokens.token_notes(tokens):
        axes.barh(pitch, end - start - air, left=start + air / 2, height=0.84 if beats else 1.1, color=color, zorder=2)
    axes.set_yticks(cs, [pitch_name(c) for c in cs])
    axes.set_xticks([])
    axes.tick_params(labelsize=7.5, colors=MUTED, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8.5, color=INK, loc="left", pad=4)


# ---------------------------------------------------------------------------------------------------------------------
# The figures.


def draw_vae(path: Path) -> None:
    """Where the windows' means lie in the latent space, the prior around them, and what some places decode to."""
    height = 5.7
    figure = new_page(
        height,
        f"A latent space of {load(SHORT).spec.z_size} dimensions, seen in a plane",
        f"the {len(windows())} windows of two bars in the ten pieces, as {SHORT} encodes them",
    )
    prior = np.random.default_rng(0).standard_normal((DRAWS, load(SHORT).spec.z_size))
    mu, sigma = load(SHORT).engine.encode(np.stack(ends()))
    on_path = slerp.path(mu[0], mu[1], POINTS)
    plot = inches(figure, 0.62, 0.85, 4.45, 4.25)
    draw_space(plot, prior, on_path, sigma)
    names = ("A", "halfway", "B", "a draw")
    spots = np.stack([mu[0], on_path[POINTS // 2], mu[1], prior[0]])
    for name, at, color, beside in zip(names, spots @ principal_axes()[0].T, SPOT_COLORS, BESIDE, strict=True):
        mark(plot, name, at, color, beside)
    decoded = load(SHORT).engine.decode(spots)
    titles = (
        "A: Ar Hyd y Nos, bars 1 and 2",
        "halfway from A to B",
        "B: Träumerei, bars 2 and 3",
        "a draw from the prior",
    )
    for k, (title, tokens) in enumerate(zip(titles, decoded, strict=True)):
        axes = inches(figure, 5.72, 1.2 + 1.07 * k, 3.4, 0.83)
        roll(axes, tokens, compass(*decoded), SPOT_COLORS[k], title)
    figure.text(5.72 / WIDTH, 1 - 0.9 / height, "The melodies decoded at four places", fontsize=9.5, color=INK)
    write(figure, path)


def draw_space(plot: Any, prior: np.ndarray, on_path: np.ndarray, sigma: np.ndarray) -> None:
    """The plane of the principal axes: the prior and draws from it, the windows' means, a path and its ends.

    Args:
      plot: axes.
      prior: draws, `[n, z_size]`.
      on_path: points, `[points, z_size]`.
      sigma: deviations of the posteriors at its ends, `[2, z_size]`.
    """
    from matplotlib.patches import Ellipse

    axes_of = principal_axes()[0]
    turn = np.linspace(0, 2 * np.pi, 200)
    # Of a standard normal in two dimensions this radius holds such a share.
    for share in (0.5, 0.95):
        radius = np.sqrt(-2 * np.log(1 - share))
        label = "half and 95% of the prior" if share == 0.5 else None
        plot.plot(radius * np.cos(turn), radius * np.sin(turn), color=FAINT, lw=1, zorder=1, label=label)
    plot.scatter(*(prior @ axes_of.T).T, s=7, color=FAINT, lw=0, alpha=0.6, zorder=2, label="draws from the prior")
    means = (posterior()[0] @ axes_of.T).T
    plot.scatter(*means, s=14, color=BLUE, lw=0, alpha=0.75, zorder=3, label="posterior means of the windows")
    plot.plot(*(on_path @ axes_of.T).T, color=RED, lw=1.6, zorder=5, label="path from A to B")
    for z, deviations in zip(on_path[[0, -1]], sigma, strict=True):
        wide, tall = 2 * np.sqrt(axes_of**2 @ deviations**2)
        plot.add_patch(Ellipse(z @ axes_of.T, wide, tall, color=RED, alpha=0.16, lw=0, zorder=4))
    # A patch in the legend of the plot's own would be a rectangle.
    plot.scatter([], [], s=90, color=RED, alpha=0.25, lw=0, label="posteriors of A and B, one deviation")
    plot.set_aspect("equal")
    plot.set_xlim(-4.45, 4.45)
    plot.set_ylim(-4.0, 4.5)
    dress(plot, "", "first principal axis of the means", "second principal axis")
    plot.legend(
        loc="upper left", fontsize=7.5, frameon=False, labelcolor=MUTED, borderpad=0, handletextpad=0.5, ncols=1
    )


def mark(plot: Any, name: str, at: np.ndarray, color: str, beside: tuple[float, float]) -> None:
    """A spot with a name beside it, at a distance in points."""
    from matplotlib.patheffects import withStroke

    plot.scatter(*at, s=46, color=color, edgecolor="white", lw=1, zorder=6)
    side = "right" if beside[0] < 0 else "left"
    style = {"fontsize": 9.5, "color": color, "weight": "bold", "ha": side, "va": "center", "zorder": 7}
    words = plot.annotate(name, at, beside, textcoords="offset points", **style)
    words.set_path_effects([withStroke(linewidth=3, foreground="white")])


def draw_free_bits(path: Path) -> None:
    """KL by dimension and by window, and what inactive and active dimensions are good for."""
    height = 5.35
    figure = new_page(
        height,
        "Which dimensions say something, and what saying it costs",
        f"{SHORT} on the {len(windows())} windows of two bars in the ten pieces",
    )
    draw_dimensions(inches(figure, 0.62, 1.1, 4.6, 1.9))
    draw_price(inches(figure, 5.95, 1.1, 3.15, 1.9))
    row = int(np.flatnonzero((windows() == ends()[0]).all(axis=1))[0])
    decoded, count = redrawn(), int(active().sum())
    titles = (
        ("Decoded from its posterior mean", "Ar Hyd y Nos, bars 1 and 2"),
        (
            f"The {active().size - count} inactive dimensions redrawn",
            f"{percent(decoded[1], decoded[0])} of steps stay, over all windows",
        ),
        (
            f"The {count} active dimensions redrawn",
            f"{percent(decoded[2], decoded[0])} of steps stay, over all windows",
        ),
    )
    pitches = compass(*(tokens[row] for tokens in decoded))
    for k, (tokens, (title, below), color) in enumerate(zip(decoded, titles, (BLUE, MUTED, RED), strict=True)):
        axes = inches(figure, 0.62 + 2.94 * k, 4.02, 2.6, 1.1)
        roll(axes, tokens[row], pitches, color)
        axes.text(0, 1.2, title, transform=axes.transAxes, fontsize=9, color=INK)
        axes.text(0, 1.06, below, transform=axes.transAxes, fontsize=8, color=MUTED)
    write(figure, path)


def percent(tokens: np.ndarray, other: np.ndarray) -> str:
    """The share of steps at which two sets of windows agree, in words."""
    return text.percent((tokens == other).mean())


def draw_dimensions(plot: Any) -> None:
    """Mean KL of each dimension, the largest first."""
    bits = kl_bits().mean(axis=0)
    order = np.argsort(-bits)
    count = int(active().sum())
    plot.bar(range(len(bits)), bits[order], color=[BLUE if active()[k] else FAINT for k in order], width=0.8)
    plot.set_xlim(-1.5, len(bits))
    plot.axvline(count - 0.5, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    plot.text(count - 3, 2.6, f"{count} active:\n{bits[active()].sum():.1f} bits", fontsize=9, color=BLUE, ha="right")
    words = f"{len(bits) - count} inactive:\n{bits[~active()].sum():.1f} bits together"
    plot.text(count + 2, 2.6, words, fontsize=9, color=MUTED)
    dress(plot, "Bits that each dimension carries, mean over windows", "dimensions, sorted", "KL, bits")


def draw_price(plot: Any) -> None:
    """KL of each window, and which part of it is free."""
    hparams = load(SHORT).spec.hparams
    free = hparams["free_bits"]
    totals = kl_bits().sum(axis=1)
    edges = np.arange(20, 96, 4)
    counts, _ = np.histogram(totals, edges)
    plot.bar(edges[:-1] + 2, counts, width=3.4, color=[BLUE if edge >= free else GREEN for edge in edges[:-1]])
    plot.axvspan(0, free, color=GREEN, alpha=0.1, lw=0)
    plot.axvline(free, color=GREEN, lw=1.2)
    top = counts.max()
    plot.set_ylim(0, top * 1.42)
    plot.set_xlim(16, 92)
    plot.text(free - 2, top * 1.36, f"{free:g} bits\nfree", fontsize=9, color=GREEN, ha="right", va="top")
    words = f"each bit above them\nadds {bit_price():.2f} nats to the loss"
    plot.text(free + 2, top * 1.36, words, fontsize=9, color=BLUE, va="top")
    dress(plot, "Bits that each window takes", "KL summed over all dimensions, bits", "windows")


def bit_price() -> float:
    """What a bit above the free ones adds to the loss of the 2-bar model's last training, in nats."""
    return float(load(SHORT).spec.hparams["max_beta"] * np.log(2))


def draw_musicvae(path: Path) -> None:
    """The levels of the 16-bar model between a melody and what it gives back."""
    height = 6.35
    figure = new_page(
        height,
        f"Sixteen bars through the levels of {LONG}",
        "a box is a row of numbers; where the model reads, boxes of like colours hold like numbers",
    )
    levels, mu, decoded = read_and_written()
    pitches, wrong = compass(long_window(), decoded), int((decoded != long_window()).sum())
    left, width = 1.9, 7.2
    roll(inches(figure, left, 0.85, width, 0.95), long_window(), pitches, BLUE, beats=False)
    draw_levels(inches(figure, left, 1.86, width, 3.1), levels, mu)
    back = inches(figure, left, 5.02, width, 0.95)
    roll(back, decoded, pitches, BLUE, beats=False)
    for step in np.flatnonzero(decoded != long_window()):
        back.axvspan(step, step + 1, color=RED, alpha=0.45, lw=0, zorder=3)
    bars = range(1, len(decoded) // STEPS_PER_BAR + 1)
    back.set_xticks([(bar - 0.5) * STEPS_PER_BAR for bar in bars], [str(bar) for bar in bars])
    for (title, below), at in zip(level_names(wrong), (1.33, 1.99, 2.72, 3.41, 4.1, 4.83, 5.5), strict=True):
        style = {"ha": "right", "va": "center"}
        figure.text((left - 0.42) / WIDTH, 1 - (at - 0.08) / height, title, fontsize=9, color=INK, **style)
        figure.text((left - 0.42) / WIDTH, 1 - (at + 0.1) / height, below, fontsize=8, color=MUTED, **style)
    write(figure, path)


def level_names(wrong: int) -> list[tuple[str, str]]:
    """What the rows of the figure of levels are, from the top."""
    spec = load(LONG).spec
    steps, beats, parts = spec.encoder_lengths or ()
    read, written = 2 * spec.hparams["enc_rnn_size"][-1], spec.hparams["dec_rnn_size"][-1]
    return [
        ("Träumerei", f"as given, {spec.steps} steps"),
        (f"{beats * parts} beats of {steps} steps", f"{read} numbers each"),
        (f"{parts} times 2 bars", f"{read} numbers each"),
        ("16 bars: the latent z", f"{spec.z_size} numbers"),
        (f"{parts} times 2 bars", f"{written} numbers each"),
        (f"{beats * parts} beats", f"{written} numbers each"),
        ("as written", f"{wrong} steps are not as given"),
    ]


def draw_levels(axes: Any, levels: list[np.ndarray], mu: np.ndarray) -> None:
    """Boxes of the encoder's levels, the latent and the decoder's levels, from the top, a step one unit wide.

    Args:
      axes: where to.
      levels: embeddings of beats `[64, depth]`, of 2 bars `[8, depth]` and of all.
      mu: the latent, `[z_size]`.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    steps = load(LONG).spec.steps
    axes.set_xlim(0, steps)
    axes.set_ylim(1, 0)
    axes.axis("off")
    shades = LinearSegmentedColormap.from_list("shades", [ORANGE, "#F7F3E8", BLUE])
    tops, tall = (0.005, 0.24, 0.465, 0.69, 0.92), 0.07
    counts = (64, 8, 1, 8, 64)
    widths = (0.84, 0.45, 0.45, 0.45, 0.84)
    for k in range(4):
        draw_funnels(axes, counts[k : k + 2], widths[k : k + 2], (tops[k] + tall, tops[k + 1]))
    for count, width, top, level in zip(counts, widths, tops, (*levels[:2], None, None, None), strict=True):
        # Plain where the model writes: what its boxes hold also depends on where in the window they are.
        colors = [ROLL] * count if level is None else shades(likeness(level))
        for k, color in enumerate(colors):
            each = steps / count
            box = (each * (k + (1 - width) / 2), top), each * width, tall
            axes.add_patch(Rectangle(*box, facecolor=color, edgecolor=MUTED, lw=0.6, zorder=3))
    extent = (steps * (1 - widths[2]) / 2, steps * (1 + widths[2]) / 2, tops[2] + tall, tops[2])
    axes.imshow(mu[None], extent=extent, cmap=shades, vmin=-2, vmax=2, aspect="auto", zorder=4, interpolation="nearest")
    axes.set_xlim(0, steps)
    axes.set_ylim(1, 0)
    for words, at in (("the encoder has read\nwhat is above", 0.44), ("the decoder writes\nwhat is below", 0.56)):
        axes.text(steps, at, words, fontsize=8.5, color=INK, ha="right", va="center")
    # Between its levels the short model has its z where this one has two boxes of 2 bars.
    for top, bottom in ((tops[0] - 0.012, tops[1] + tall + 0.012), (tops[3] + tall + 0.012, 1.0)):
        frame = Rectangle((0.4, top), steps / counts[1] - 0.8, bottom - top)
        frame.set(fill=False, edgecolor=RED, lw=1, ls=(0, (3, 2)), zorder=5, clip_on=False)
        axes.add_patch(frame)
    words = f"the levels of {SHORT},\nwith a z of {load(SHORT).spec.z_size} numbers\nbetween them"
    axes.text(0, 0.5, words, fontsize=8.5, color=RED, va="center")


def draw_funnels(axes: Any, counts: Sequence[int], widths: Sequence[float], between: tuple[float, float]) -> None:
    """Light areas from the boxes of one level to those of the next that they become, or that become them."""
    from matplotlib.patches import Polygon

    steps, fewest = axes.get_xlim()[1], min(counts)
    for k in range(fewest):
        sides = []
        for count, width in zip(counts, widths, strict=True):
            # The narrow side is one box, the wide one all boxes that belong to it.
            air = steps / count * (1 - width) / 2
            sides.append((steps / fewest * k + air, steps / fewest * (k + 1) - air))
        corners = [(sides[0][0], between[0]), (sides[0][1], between[0]), (sides[1][1], between[1])]
        axes.add_patch(Polygon([*corners, (sides[1][0], between[1])], color=FAINT, alpha=0.22, lw=0, zorder=1))


def likeness(rows: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 of which like ones belong to like rows: where they lie on their first principal axis."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ (axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()]))
    return (places - places.min()) / np.ptp(places)


def draw_latent_arithmetic(path: Path) -> None:
    """Slerp beside the straight line, the calm prior beside the standard one, a window moved along the calm vector."""
    height = 5.4
    figure = new_page(
        height,
        "Travelling through a latent space, and moving in it",
        f"{SHORT}; means over {PAIRS} pairs of draws from the prior, and {DRAWS} samples from each prior",
    )
    draw_paths(inches(figure, 0.62, 1.15, 2.35, 1.75), inches(figure, 3.62, 1.15, 2.35, 1.75))
    draw_priors(inches(figure, 6.7, 1.15, 2.4, 1.75))
    given = window("schubert_wiegenlied", 1)
    mu, _ = load(SHORT).engine.encode(given[None])
    rows = [moved(amount, mu)[0] for amount in AMOUNTS]
    words = "A window moved along the calm direction: Schubert's Wiegenlied, bars 1 and 2"
    figure.text(0.62 / WIDTH, 1 - 3.55 / height, words, fontsize=9.5, color=INK)
    for k, (amount, tokens) in enumerate(zip(AMOUNTS, rows, strict=True)):
        axes = inches(figure, 0.62 + 1.73 * k, 4.05, 1.56, 1.1)
        roll(axes, tokens, compass(*rows), BLUE if amount > 0 else RED if amount < 0 else INK)
        if k:
            axes.set_yticks([])
        notes, calm = int((tokens >= FIRST_PITCH).sum()), calmness.of_windows(tokens[None])[0]
        axes.text(
            0,
            1.2,
            f"{amount:+g}".replace("-", "−") if amount else "0: as decoded",
            transform=axes.transAxes,
            fontsize=9,
            color=INK,
        )
        below = f"{notes} notes, calmness {calm:.0f}"
        axes.text(0, 1.06, below, transform=axes.transAxes, fontsize=8, color=MUTED)
    write(figure, path)


def draw_paths(lengths: Any, pitches: Any) -> None:
    """Length and number of different pitches along slerp and along the straight line."""
    along = np.linspace(0, 1, POINTS)
    mean, deviation = prior_length()
    lengths.axhspan(mean - deviation, mean + deviation, color=FAINT, alpha=0.3, lw=0)
    lengths.text(0.5, mean + deviation + 0.35, "the prior, one deviation", fontsize=8, color=MUTED, ha="center")
    for name, color in (("slerp", BLUE), ("straight", RED)):
        for plot, values in zip((lengths, pitches), paths()[name], strict=True):
            plot.plot(along, values, color=color, lw=1.8, marker="o", ms=3)
    lengths.set_ylim(6, 14)
    pitches.set_ylim(4, 7)
    lengths.text(0.5, 10.0, "slerp", fontsize=9, color=BLUE, ha="center")
    lengths.text(0.5, 7.1, "straight line", fontsize=9, color=RED, ha="center")
    pitches.text(0.5, 6.35, "slerp", fontsize=9, color=BLUE, ha="center")
    pitches.text(0.5, 4.55, "straight line", fontsize=9, color=RED, ha="center")
    for plot in (lengths, pitches):
        plot.set_xticks([0, 0.5, 1], ["A", "halfway", "B"])
    dress(lengths, "Length of z along the path")
    dress(pitches, "Different pitches in its two bars")


def draw_priors(plot: Any) -> None:
    """Calmness of samples from the standard and the calm prior."""
    edges = np.arange(35, 101, 5)
    standard, calm = sampled_calmness()
    counts = [np.histogram(values, edges)[0] for values in (standard, calm)]
    plot.stairs(counts[0], edges, color=MUTED, lw=1.6, fill=True, alpha=0.3)
    plot.stairs(counts[0], edges, color=MUTED, lw=1.4)
    plot.stairs(counts[1], edges, color=BLUE, lw=1.8)
    plot.set_xlim(35, 100)
    plot.set_ylim(0, max(counts[1]) * 1.12)
    plot.text(51, max(counts[0]) * 0.6, "standard\nprior", fontsize=9, color=MUTED, ha="center")
    plot.text(79, max(counts[1]) * 0.9, "calm prior", fontsize=9, color=BLUE, ha="right")
    dress(plot, "Calmness of samples", up="samples")


@functools.cache
def prior_length() -> tuple[float, float]:
    """Mean and deviation of the lengths of draws from the prior."""
    lengths = np.linalg.norm(np.random.default_rng(0).standard_normal((2 * PAIRS, load(SHORT).spec.z_size)), axis=1)
    return float(lengths.mean()), float(lengths.std())


@functools.cache
def midi_events() -> tuple[int, list[tuple[int, Any]]]:
    """Ticks per quarter, and the notes' events of `BAR` as `(tick, message)`, as they stand in the file."""
    import mido

    stem, track, bar = BAR
    file = mido.MidiFile(PIECES / f"{stem}.mid")
    found, now = [], 0
    for message in next(some for some in file.tracks if some.name == track):
        now += message.time
        if message.type in ("note_on", "note_off"):
            found.append((now, message))
    begin, end = (4 * file.ticks_per_beat * k for k in (bar - 1, bar))
    # What ends just where the bar begins belongs to the bar before.
    return file.ticks_per_beat, [(t, m) for t, m in found if begin < t < end or (t == begin and m.type == "note_on")]


@functools.cache
def bar_notes() -> list[Note]:
    """The notes of `BAR`."""
    stem, track, bar = BAR
    line, piece = melody(stem, track), read_music.read_piece(PIECES / f"{stem}.mid")
    begin, end = (line.seconds_at(k * STEPS_PER_BAR) - 1e-6 for k in (bar - 1, bar))
    return [note for note in piece.notes if piece.track_names[note.track] == track and begin <= note.start < end]


@functools.cache
def bar_tokens() -> np.ndarray:
    """The tokens of `BAR`, uint8 `[16]`."""
    stem, track, bar = BAR
    return melody(stem, track).tokens[(bar - 1) * STEPS_PER_BAR : bar * STEPS_PER_BAR]


def draw_midi_and_notesequence(path: Path) -> None:
    """One bar as a roll with its ticks, seconds and tokens; as MIDI events; as notes of a NoteSequence."""
    stem, track, bar = BAR
    height, qpm = 5.75, melody(stem, track).piece.tempos[0][1]
    words = f"bar {bar} of the melody of Schubert's Wiegenlied, at {qpm:g} quarters a minute"
    figure = new_page(height, "One bar, said in four ways", words)
    left, width = 1.3, 7.55
    axes, heights = inches(figure, left, 0.85, width, 1.25), [note.pitch for note in bar_notes()]
    roll(axes, bar_tokens(), (min(heights) - 1, max(heights) + 1), BLUE)
    for pitch, start, end in melody_tokens.token_notes(bar_tokens()):
        style = {"fontsize": 8, "color": "white", "ha": "center", "va": "center_baseline"}
        axes.text((start + end) / 2, pitch, pitch_name(pitch), **style)
    axes.set_yticks([])
    axes.text(-0.75, sum(heights) / len(heights), "notes", fontsize=9, color=INK, ha="right", va="center")
    draw_rulers(inches(figure, left, 2.13, width, 1.2), melody(stem, track))
    events, shown = event_rows(), 8
    rows = [*events[:shown], (f"… and {len(events) - shown} more", "", "", "")]
    names: Sequence[str] = ("ticks later", "event", "velocity", "bytes")
    table(figure, 3.62, "In the MIDI file: events", names, (0.62, 1.52, 2.62, 3.4), rows)
    names = ("pitch", "velocity", "start_time", "end_time", "instrument", "program")
    table(figure, 3.62, "In a NoteSequence: notes", names, (4.85, 5.4, 6.1, 6.95, 7.75, 8.55), note_rows())
    write(figure, path)


def draw_rulers(axes: Any, line: Melody) -> None:
    """Ticks and seconds of `BAR`, and its tokens in cells."""
    from matplotlib.patches import Rectangle

    tokens, first, ticks = bar_tokens(), (BAR[2] - 1) * STEPS_PER_BAR, midi_events()[0]
    axes.set_xlim(0, len(tokens))
    axes.set_ylim(1, 0)
    axes.axis("off")
    for step in range(0, len(tokens) + 1, STEPS_PER_QUARTER):
        tick = (first + step) * ticks // STEPS_PER_QUARTER
        for words, at in ((f"{tick:,}", 0.1), (f"{line.seconds_at(first + step):.3f}", 0.3)):
            axes.text(step, at, words, fontsize=8, color=MUTED, ha="center", va="center")
    for step, token in enumerate(tokens.tolist()):
        color = ROLL if token == HOLD else RED if token == NOTE_OFF else BLUE
        axes.add_patch(Rectangle((step + 0.06, 0.45), 0.88, 0.24, facecolor=color, edgecolor=FAINT, lw=0.6))
        color = MUTED if token == HOLD else "white"
        axes.text(step + 0.5, 0.57, str(token), fontsize=9, color=color, ha="center", va="center_baseline")
    for words, at in (("ticks", 0.1), ("seconds", 0.3), ("tokens", 0.57)):
        axes.text(-0.75, at, words, fontsize=9, color=INK, ha="right", va="center")
    words = f"{HOLD} holds what sounds or the silence,  {NOTE_OFF} ends the note,  "
    words += f"{FIRST_PITCH} to {melody_tokens.DEPTH - 1} start the notes {pitch_name(MIN_PITCH)} to "
    axes.text(0, 0.82, words + pitch_name(melody_tokens.MAX_PITCH), fontsize=8, color=MUTED, va="center")


def event_rows() -> Sequence[tuple[str, ...]]:
    """The events of `BAR`: ticks since the event before, what happens, how loud, and the bytes that say so."""
    rows, before = [], (BAR[2] - 1) * 4 * midi_events()[0]
    for tick, message in midi_events()[1]:
        velocity = f"{message.velocity}" if message.type == "note_on" else ""
        data = " ".join(f"{byte:02X}" for byte in message.bytes())
        rows.append((f"{tick - before}", f"{message.type}  {pitch_name(message.note)}", velocity, data))
        before = tick
    return rows


def note_rows() -> Sequence[tuple[str, ...]]:
    """The notes of `BAR` by the fields of a NoteSequence."""
    return [
        (f"{n.pitch}", f"{n.velocity}", f"{n.start:.3f}", f"{n.end:.3f}", f"{n.track}", f"{n.program}")
        for n in bar_notes()
    ]


def table(
    figure: Any, top: float, title: str, names: Sequence[str], places: Sequence[float], rows: Sequence[tuple[str, ...]]
) -> None:
    """A table with a title, so many inches from the top, its columns at so many inches from the left."""
    height = figure.get_size_inches()[1]
    figure.text(places[0] / WIDTH, 1 - top / height, title, fontsize=9.5, color=INK, va="top")
    for k, (name, left) in enumerate(zip(names, places, strict=True)):
        figure.text(left / WIDTH, 1 - (top + 0.26) / height, name, fontsize=8, color=MUTED, va="top")
        for i, row in enumerate(rows):
            figure.text(left / WIDTH, 1 - (top + 0.58 + 0.158 * i) / height, row[k], fontsize=8, color=INK)


FIGURES: dict[str, Callable[[Path], None]] = {
    "vae": draw_vae,
    "free_bits": draw_free_bits,
    "musicvae": draw_musicvae,
    "latent_arithmetic": draw_latent_arithmetic,
    "midi_and_notesequence": draw_midi_and_notesequence,
}

# ---------------------------------------------------------------------------------------------------------------------
# The numbers in the texts.


def numbers() -> dict[str, str]:
    """What the texts quote, as they print it: "page.what" to words that stand in resources/page.md."""
    pages = {
        "vae": vae_numbers,
        "free_bits": free_bits_numbers,
        "musicvae": musicvae_numbers,
        "latent_arithmetic": latent_numbers,
        "midi_and_notesequence": midi_numbers,
    }
    return {f"{page}.{name}": words for page, found in pages.items() for name, words in found().items()}


def vae_numbers() -> dict[str, str]:
    """Of the windows' reconstruction, from the mean and from a draw, and of the loss."""
    engine, (mu, sigma) = load(SHORT).engine, posterior()
    metrics = evaluation.evaluate(engine, windows())
    drawn = mu + sigma * np.random.default_rng(0).standard_normal(mu.shape, np.float32)
    bound, _ = evaluation.elbo(engine, windows())
    kl = float(evaluation.kl_nats(mu, sigma).mean())
    return {
        "windows": f"{len(windows())} windows",
        "size": f"{mu.shape[1]} numbers",
        "steps right from the mean": text.percent(metrics.accuracy),
        "steps right from a draw": percent(engine.decode(drawn), windows()),
        "reconstruction": f"{-bound - kl:.1f} nats",
        "KL": f"{kl:.1f} nats",
        "loss": f"{-bound:.1f} nats",
        "share of the plane": text.percent(principal_axes()[1], 0),
    }


def free_bits_numbers() -> dict[str, str]:
    """Of the KL of the windows' posteriors, by dimension and by window."""
    bits, hparams, count = kl_bits().mean(axis=0), load(SHORT).spec.hparams, int(active().sum())
    cheap = int((kl_bits().sum(axis=1) <= hparams["free_bits"]).sum())
    decoded, given = redrawn(), windows()
    # Of every pair of different windows.
    alike = ((given[:, None] == given).mean() * len(given) - 1) / (len(given) - 1)
    return {
        "KL": f"{bits.sum():.1f} bits",
        "active": f"{count} of the {len(bits)} dimensions",
        "inactive together": f"{len(bits) - count} carry {bits[~active()].sum():.1f} bits together",
        "largest": f"{bits.max():.1f} bits",
        "inactive redrawn": percent(decoded[1], decoded[0]),
        "active redrawn": percent(decoded[2], decoded[0]),
        "alike by chance": text.percent(alike, 0),
        "free bits": f"{hparams['free_bits']:g} bits are free",
        "beta": f"beta is {hparams['max_beta']:g}",
        "price": f"{bit_price():.2f} nats",
        "free windows": f"{cheap} of the {len(windows())} windows",
    }


def musicvae_numbers() -> dict[str, str]:
    """Of the two embedded models' sizes, and of what the larger makes of a melody."""
    short, large, (levels, _, decoded) = load(SHORT), load(LONG), read_and_written()
    millions = [sum(value.size for value in some.engine.weights.values()) / 1e6 for some in (short, large)]
    wrong = int((decoded != long_window()).sum())
    return {
        "steps in all": f"{large.spec.steps} steps",
        "steps through the levels": " + ".join(map(str, large.spec.encoder_lengths or ())),
        "numbers a level": f"{levels[0].shape[1]} numbers",
        "numbers written": f"{large.spec.hparams['dec_rnn_size'][-1]} numbers",
        "size, short": f"{short.spec.z_size} numbers",
        "size, large": f"{large.spec.z_size} numbers",
        "parameters, short": f"{millions[0]:.1f} million",
        "parameters, large": f"{millions[1]:.1f} million",
        "wrong": f"{wrong} of {large.spec.steps} steps",
    }


def latent_numbers() -> dict[str, str]:
    """Of the paths, of the calm direction and of the priors."""
    half, found, mu = POINTS // 2, paths(), posterior()[0]
    rows = {amount: moved(amount, mu) for amount in (0, 1)}
    notes = {
        amount: (tokens >= FIRST_PITCH).sum(axis=1).mean() / load(SHORT).spec.bars for amount, tokens in rows.items()
    }
    by_amount = {
        amount: calmness.of_windows(training_windows.sounding(tokens)).mean() for amount, tokens in rows.items()
    }
    standard, calm = (values.mean() for values in sampled_calmness())
    return {
        "length": "{:.1f}, give or take {:.1f}".format(*prior_length()),
        "length halfway, straight": f"length {found['straight'][0][half]:.1f}",
        "pitches at the ends": f"{found['slerp'][1][0]:.2f} different pitches",
        "pitches halfway, slerp": f"{found['slerp'][1][half]:.2f} on the arc",
        "pitches halfway, straight": f"{found['straight'][1][half]:.2f} on the straight line",
        "calm vector": f"length of {np.linalg.norm(calm_vector()):.1f}",
        "notes": f"from {notes[0]:.1f} to {notes[1]:.1f} notes a bar",
        "calmness": f"from {by_amount[0]:.0f} to {by_amount[1]:.0f}",
        "Gaussians": f"{len(calm_prior_of_short().shares)} Gaussians",
        "calmness, standard": f"{standard:.0f} from the standard prior",
        "calmness, calm": f"{calm:.0f} from the calm one",
    }


def midi_numbers() -> dict[str, str]:
    """Of the bar."""
    stem, track, bar = BAR
    line, first, ticks = melody(stem, track), (bar - 1) * STEPS_PER_BAR, midi_events()[0]
    return {
        "ticks a quarter": f"{ticks} ticks",
        "ticks a step": f"{ticks // STEPS_PER_QUARTER} ticks",
        "first tick": f"tick {first * ticks // STEPS_PER_QUARTER:,}",
        "tempo": f"{line.piece.tempos[0][1]:g} quarters a minute",
        "begins": f"{line.seconds_at(first):.3f} seconds",
        "a step": f"{line.seconds_at(first + 1) - line.seconds_at(first):.3f} seconds",
        "tokens": " ".join(map(str, bar_tokens().tolist())),
        "vocabulary": f"{melody_tokens.DEPTH} tokens",
    }


def draw_all(folder: Path) -> list[Path]:
    """Draws every figure into a folder. Returns the paths."""
    from matplotlib import rc_context, rcdefaults

    wanted = [folder / f"{name}.png" for name in FIGURES]
    # Whatever look somebody has set for figures of their own must not show in these.
    with rc_context():
        rcdefaults()
        for draw, path in zip(FIGURES.values(), wanted, strict=True):
            draw(path)
    return wanted


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draws the figures of the introductions, and prints their numbers.")
    parser.add_argument("-o", dest="folder", type=Path, default=FOLDER, help="where to (default: resources/figures)")
    folder = parser.parse_args(arguments).folder
    for path in draw_all(folder):
        print(path)
    for name, words in numbers().items():
        print(f"{name:44} {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
