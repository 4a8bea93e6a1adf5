"""Training examples: NoteSequence TFRecords to token windows, and windows to batches.

This replaces Magenta's `get_dataset`, which crashes on today's TensorFlow, freezes the random transposition after the
first epoch, keeps five windows a file and hangs below one batch. Windows are kept in memory as one byte a step: a
million 2-bar windows are 32 MB. The one-hot is made in the graph.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from calmvae.common import text
from calmvae.common.errors import DataError, EmptyMusicError, OptionError
from calmvae.midi.piece import Piece
from calmvae.music import calmness, melody_extraction, melody_tokens, melody_windows, voice_windows

MELODIES = (*melody_extraction.METHODS, "tracks", "all")
# The octaves' worth of transposition that Magenta's melody configs use, a fifth more on either side of calm registers.
TRANSPOSE = (-5, 6)


@dataclasses.dataclass
class WindowSet:
    """Windows of one split.

    Attributes:
      tokens: uint8 `[windows, steps]`, of several voices `[windows, steps, voices]`, all different.
      origins: int32 `[windows]`, the place in `collections` of each window; for repeated windows that of the first.
      collections: name to the number of its pieces, and of its windows left out, by reason (silent, repeated, dense,
        less calm, held-out).
    """

    tokens: np.ndarray
    origins: np.ndarray
    collections: dict[str, Counter[str]]

    @property
    def pieces(self) -> int:
        """Number of pieces that the windows come from."""
        return sum(counts["pieces"] for counts in self.collections.values())

    @property
    def dropped(self) -> dict[str, int]:
        """Windows left out, by reason."""
        total = sum(self.collections.values(), Counter[str]())
        return {reason: count for reason, count in total.items() if reason != "pieces"}

    def keep(self, wanted: np.ndarray, reason: str) -> WindowSet:
        """Leaves out the windows that are not wanted, bool `[windows]`."""
        lost = np.bincount(self.origins[~wanted], minlength=len(self.collections)).tolist()
        collections = {
            name: counts + Counter({reason: n})
            for (name, counts), n in zip(self.collections.items(), lost, strict=True)
        }
        return WindowSet(self.tokens[wanted], self.origins[wanted], collections)

    def split(self, steps: int) -> WindowSet:
        """Their parts of so many steps, as often as they come."""
        parts = self.tokens.shape[1] // steps
        tokens = self.tokens.reshape(-1, steps, *self.tokens.shape[2:])
        return WindowSet(tokens, self.origins.repeat(parts), self.collections)

    def drawn(self, most: int, seed: int | list[int]) -> WindowSet:
        """At most so many windows (0: all), drawn by the seed, in their order."""
        if not most or len(self.tokens) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.tokens))[:most])
        return WindowSet(self.tokens[rows], self.origins[rows], self.collections)

    def narrowed(self, max_onsets: int, calmest: float) -> WindowSet:
        """Leaves out windows with more onsets than `max_onsets` (0: none), and all but the calmest share of the others.

        Raises:
          OptionError: `calmest` is not a share.
        """
        windows = self
        if max_onsets:
            windows = self.keep(
                melody_tokens.is_onset(self.tokens).reshape(len(self.tokens), -1).sum(axis=1) <= max_onsets, "dense"
            )
        if text.share(calmest) == 1 or not len(windows.tokens):
            return windows
        scores = calmness.of_windows(windows.tokens)
        return windows.keep(scores >= np.quantile(scores, 1 - calmest), "less calm")


def sliding_windows(tokens: np.ndarray, steps: int) -> np.ndarray:
    """Every window of a melody that has a note starting in it, sliding by a bar. uint8 `[n, steps]`."""
    return sounding(melody_windows.cut_windows(tokens, steps, melody_tokens.STEPS_PER_BAR)[0])


def sounding(windows: np.ndarray) -> np.ndarray:
    """Those of windows in which a note starts."""
    return windows[melody_tokens.is_onset(windows).reshape(len(windows), -1).any(axis=1)]


def piece_windows(piece: Piece, steps: int, melody: str = "skyline", voices: int = 1) -> tuple[np.ndarray, int]:
    """Windows of a piece.

    Args:
      piece: with pitched notes.
      steps: window length.
      melody: a method of `melody_extraction.METHODS` on the whole piece, "tracks" for the skyline of each track, or
        "all" for the skyline of the whole and of each track.
      voices: with more than one the whole piece is taken, in bars of its own; `melody` then has no effect.

    Returns:
      windows uint8 `[n, steps]`, or `[n, steps, voices]`, repeats included, and the number of windows left out for
      having no note.

    Raises:
      OptionError: unknown `melody`. EmptyMusicError: no pitched notes.
    """
    if voices > 1:
        return voice_windows.piece_windows(piece, voices, steps // melody_tokens.STEPS_PER_BAR)
    if melody not in MELODIES:
        raise OptionError(f"unknown melody method '{melody}'; choose one of {', '.join(MELODIES)}.")
    lines = []
    if melody != "tracks":
        lines.append(melody_extraction.extract_melody(piece, "skyline" if melody == "all" else melody))
    if melody in ("tracks", "all"):
        lines += melody_extraction.track_melodies(piece)
    cut = [melody_windows.cut_windows(line.tokens, steps, melody_tokens.STEPS_PER_BAR)[0] for line in lines]
    found = [sliding_windows(line.tokens, steps) for line in lines]
    return np.concatenate(found), sum(map(len, cut)) - sum(map(len, found))


def windows_of(pieces: Iterable[Piece], steps: int) -> np.ndarray:
    """All different windows of the skylines of one piece or more, see `piece_windows`; uint8 `[n, steps]`."""
    return np.unique(np.concatenate([piece_windows(piece, steps)[0] for piece in pieces]), axis=0)


def load_windows(
    files: list[Path],
    steps: int,
    melody: str = "skyline",
    max_onsets: int = 0,
    calmest: float = 1.0,
    cache: Path | None = None,
    progress: Callable[[int], None] | None = None,
    voices: int = 1,
) -> WindowSet:
    """All different windows of the pieces in TFRecord files.

    Args:
      files: TFRecords of NoteSequences.
      steps: window length.
      melody: see `piece_windows`.
      max_onsets: leave out windows in which more notes start than this (0: take all).
      calmest: take only this share of the windows, the calmest by score. A thousand take a second.
      cache: folder that keeps the windows, so that a resumed training starts at once.
      progress: called with the number of pieces read.
      voices: see `piece_windows`.

    Raises:
      DataError: a file is missing or damaged. InputError: a piece's times cannot be used. OptionError: `calmest` is no
        share.
    """
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} does not exist; make a data set with `calmvae convert`.")
    store = cache / f"windows-{_cache_key(files, steps, melody, max_onsets, calmest, voices)}.npz" if cache else None
    windows = _read_cache(store) if store and store.exists() else None
    if windows is None:
        windows = _read_windows(files, steps, melody, progress, voices).narrowed(max_onsets, calmest)
        if store:
            _write_cache(store, windows)
    return windows


def _read_windows(
    files: list[Path], steps: int, melody: str, progress: Callable[[int], None] | None, voices: int
) -> WindowSet:
    from calmvae.midi import note_sequence, tfrecord

    shape = (0, steps) if voices == 1 else (0, steps, voices)
    found, origins = [np.zeros(shape, np.uint8)], [np.zeros(0, np.int32)]
    collections: dict[str, Counter[str]] = {}
    places: dict[str, int] = {}
    pieces = 0
    for sequence in tfrecord.note_sequences(files):
        try:
            piece = note_sequence.piece_of(sequence, sequence.filename)
            windows, silent = piece_windows(piece, steps, melody, voices)
        except EmptyMusicError:
            continue
        counts = collections.setdefault(sequence.collection_name, Counter())
        counts.update(pieces=1, silent=silent)
        found.append(windows)
        origins.append(np.full(len(windows), places.setdefault(sequence.collection_name, len(places)), np.int32))
        pieces += 1
        if progress:
            progress(pieces)
    everything = WindowSet(np.concatenate(found), np.concatenate(origins), collections)
    first = np.zeros(len(everything.tokens), bool)
    if len(first):
        first[np.unique(_rows(everything.tokens), return_index=True)[1]] = True
    return everything.keep(first, "repeated")


def _read_cache(store: Path) -> WindowSet | None:
    try:
        with np.load(store) as data:
            collections = {name: Counter(counts) for name, counts in json.loads(str(data["collections"])).items()}
            return WindowSet(data["tokens"], data["origins"], collections)
    # Damaged, or cut short by a full disk: read the records again.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _write_cache(store: Path, windows: WindowSet) -> None:
    scratch = store.with_name(f".{store.name}")
    # Without room for the cache the next start takes longer, and nothing else.
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        collections = json.dumps(windows.collections)
        np.savez(scratch, tokens=windows.tokens, origins=windows.origins, collections=collections)
        scratch.replace(store)


def without(windows: WindowSet, held_out: WindowSet) -> WindowSet:
    """Leaves out windows of which a transposition is held out."""
    if not len(windows.tokens) or not len(held_out.tokens):
        return windows
    ours, theirs = (_rows(intervals(w.tokens)) for w in (windows, held_out))
    return windows.keep(~np.isin(ours, theirs), "held-out")


def intervals(tokens: np.ndarray) -> np.ndarray:
    """Windows with every pitch counted from the first one's: equal for all transpositions. int16 `[n, places]`."""
    tokens = tokens.reshape(len(tokens), -1)
    notes = melody_tokens.is_onset(tokens)
    first = tokens[np.arange(len(tokens)), np.argmax(notes, axis=1)].astype(np.int16)
    return np.where(notes, tokens.astype(np.int16) - first[:, None] + 2 * melody_tokens.VOICE_DEPTH, tokens)


def batches(
    tokens: np.ndarray,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    transpose: tuple[int, int] = TRANSPOSE,
) -> Iterator[np.ndarray]:
    """Endless shuffled batches. Each window is transposed at random every time.

    The batch of a step depends only on the seed and the step, so a resumed training sees the same batches as an
    unbroken one. If there are fewer windows than a batch, windows are drawn more than once.

    Args:
      tokens: `[windows, steps]`, or `[windows, steps, voices]`.
      batch_size, seed: as they say.
      start_step: first step.
      transpose: lowest and highest shift in semitones. A window is moved only as far as its notes stay in range.

    Yields:
      uint8, the windows of a batch.

    Raises:
      DataError: there are no windows.
    """
    if not len(tokens):
        raise DataError("there are no windows to make batches of; give pieces with notes.")
    low, high = _ranges(tokens)
    for step, (_, rows) in enumerate(drawn_rows(len(tokens), batch_size, seed, start_step), start_step):
        shift = np.random.default_rng([seed, 1, step]).integers(transpose[0], transpose[1] + 1, batch_size)
        shift = np.clip(shift, melody_tokens.FIRST_PITCH - low[rows], melody_tokens.DEPTH - 1 - high[rows])
        batch = tokens[rows]
        shift = shift.reshape(-1, *[1] * (batch.ndim - 1))
        yield melody_tokens.shifted(batch, shift)


def drawn_rows(n: int, batch_size: int, seed: int, start_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches of n rows, shuffled again each epoch. A batch depends only on the seed and the step.

    Yields:
      the epoch of each row and the rows, int64 `[batch_size]`.
    """
    step = start_step
    epoch, order = -1, np.zeros(0, np.int64)
    while True:
        places = np.arange(step * batch_size, (step + 1) * batch_size)
        rows = np.empty(batch_size, np.int64)
        for wanted in np.unique(places // n):
            if wanted != epoch:
                epoch = int(wanted)
                order = np.random.default_rng([seed, epoch]).permutation(n)
            mine = places // n == wanted
            rows[mine] = order[places[mine] % n]
        yield places // n, rows
        step += 1


def _ranges(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tokens = tokens.reshape(len(tokens), -1)
    notes = melody_tokens.is_onset(tokens)
    low = np.where(notes, tokens, melody_tokens.DEPTH).min(axis=1).astype(np.int64)
    high = np.where(notes, tokens, 0).max(axis=1).astype(np.int64)
    return low, np.maximum(high, low)


def _rows(array: np.ndarray) -> np.ndarray:
    """Rows as single values that can be compared and looked up."""
    array = np.ascontiguousarray(array.reshape(len(array), -1))
    return array.view(np.dtype((np.void, array.dtype.itemsize * array.shape[1]))).ravel()


def _cache_key(files: list[Path], *options: int | float | str) -> str:
    parts = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr((4, parts, options)).encode()).hexdigest()[:16]
