"""A model of a config of Magenta's that is not only of melodies, run by Magenta on TensorFlow.

These configs are drums, trios, melodies over chords, hierarchical encoders, multi-instrument performances and grooves.
Magenta's data converter makes a window from a NoteSequence; a decoded window is a matrix `[max_seq_len, output_depth]`.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from calmvae.common import magenta_import
from calmvae.common.errors import OptionError
from calmvae.midi import note_sequence
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model import config_catalog, interface, magenta_seeds, magenta_windows, numpy_engine
from calmvae.model.interface import Excerpt, Segment
from calmvae.model.magenta_windows import Reader
from calmvae.music.calmness import DEFAULT_VELOCITY

# Constant, so that the draws of a sample do not depend on the number of samples.
_BATCH = 8


class MagentaModel(interface.Model):
    """See `interface.Model`.

    Attributes:
      config_name: name in Magenta's CONFIG_MAP, or of a calm-* config.
      config: Magenta's Config, with the hparams of the checkpoint.
      weights: Magenta's variable names to arrays.
    """

    endpoints: ClassVar[str] = "decoded"
    # A sixteenth, because grooves play beside the grid.
    grid: ClassVar[float] = 0.25

    def __init__(
        self, source: Path, config_name: str, config: Any, weights: dict[str, np.ndarray], **record: Any
    ) -> None:
        super().__init__(source, **record)
        values = config.hparams.values() | {"batch_size": _BATCH}
        self.config = config._replace(hparams=magenta_import.load().HParams(**values))
        self.config_name, self.weights = config_name, weights
        self._graphs: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        return self.config_name

    @property
    def bars(self) -> int:
        return config_catalog.window_bars(self.config)

    @property
    def z_size(self) -> int:
        return int(self.config.hparams.z_size)

    def step_bars(self, bars: int | None) -> int:
        """See `Model.step_bars`; always one window."""
        if bars not in (None, self.bars):
            raise OptionError(f"--bars is {bars}, but a step of {self.name} has {self.bars} bars; leave --bars out.")
        return self.bars

    def has_dynamics(self) -> bool:
        """True if the config has velocities of its own."""
        data = magenta_import.load().data
        flat = (data.OneHotMelodyConverter, data.DrumsConverter, data.TrioConverter)
        return not isinstance(self.config.data_converter, flat)

    def is_melodic(self) -> bool:
        """True for melodies, also over chords, which any instrument may play."""
        return isinstance(self.config.data_converter, magenta_import.load().data.OneHotMelodyConverter)

    def check_voice(self, program: int, velocity: int) -> None:
        """See `Model.check_voice`."""
        if program != interface.DEFAULT_PROGRAM and not self.is_melodic():
            raise OptionError(f"--program is {program}, but {self.name} chooses its own instruments; leave it out.")
        if velocity != DEFAULT_VELOCITY and self.has_dynamics():
            raise OptionError(f"--velocity is {velocity}, but {self.name} has dynamics of its own; leave it out.")

    def excerpt(
        self,
        piece: Piece,
        bars: int | None,
        remarks: list[str],
        *,
        melody: str = "skyline",
        track: int | str | None = None,
        start_bar: int | None = None,
    ) -> Excerpt:
        """See `Model.excerpt`; one window or, of a whole piece, all consecutive windows."""
        self._check_travel()
        if melody != "skyline" or track is not None:
            option = "--melody" if melody != "skyline" else "--track"
            raise OptionError(f"{option} goes with melody configs, and {self.name} is none; leave it out.")
        reader = Reader(self.config, "infer")
        # A cut may begin or end with silence, which a split (even without a change) would remove.
        reader.converter._pad_to_total_time, reader.converter._presplit_on_time_changes = True, False
        return magenta_windows.excerpt(self.name, reader, piece, bars is None, start_bar, remarks)

    def _check_travel(self) -> None:
        if not self.z_size:
            raise OptionError(f"{self.name} cannot encode a piece: it has no latent space (z_size is 0); sample it.")
        converter = self.config.data_converter
        if converter.control_depth and not getattr(converter, "_chord_encoding", None):
            raise OptionError(
                f"{self.name} plays hits that are given to it, so there is nothing between two pieces; choose a config "
                "without controls, or with chords."
            )

    def encode(self, excerpts: Sequence[Excerpt]) -> list[tuple[np.ndarray, np.ndarray]]:
        """See `Model.encode`.

        Raises:
          ModelError: the weights do not fit.
        """
        batch = Reader(self.config, "infer").batch([window for one in excerpts for window in one.inputs])
        shapes = [part.shape for part in batch]

        def build(config: Any, tf: Any) -> Any:
            inputs, _, controls, lengths = given = [
                tf.placeholder(part.dtype, shape) for part, shape in zip(batch, shapes, strict=True)
            ]
            posterior = config.model.encode(inputs, lengths, controls if config.data_converter.control_depth else None)
            return given, [posterior.loc, posterior.stddev()]

        with self._session(("encode", str(shapes)), build) as (session, (given, wanted)):
            mu, sigma = session.run(wanted, dict(zip(given, batch, strict=True)))
        ends = np.cumsum([one.count for one in excerpts])[:-1]
        return list(zip(np.split(mu, ends), np.split(sigma, ends), strict=True))

    def decode(
        self, z: np.ndarray, temperature: float = 0.0, seed: int | Sequence[int] = 0, like: Sequence[Excerpt] = ()
    ) -> list[np.ndarray]:
        """See `Model.decode`; windows `[max_seq_len, output_depth]`. Only the first of several seeds counts.

        Raises:
          ModelError: the weights do not fit.
        """
        seed = seed if isinstance(seed, int) else seed[0]
        if not self.config.data_converter.control_depth:
            return self._decode([None], z, temperature, seed)[0]
        distinct = list({id(one): one for one in like}.values())
        found = self._decode([one.inputs[0].controls.unpack() for one in distinct], z, temperature, seed)
        number = {id(one): k for k, one in enumerate(distinct)}
        return [found[number[id(one)]][k] for k, one in enumerate(like)]

    def _decode(
        self, controls: Sequence[np.ndarray | None], latents: np.ndarray, temperature: float, seed: int
    ) -> list[list[np.ndarray]]:
        """As Magenta's TrainedModel, but seeded, from given latents and without the encoder.

        Args:
          controls: each `[max_seq_len, control_depth]` or None.
          latents: `[n, z_size]`.
          temperature, seed: see `decode`.

        Returns:
          for each of the controls, n windows.
        """
        n, steps = len(latents), int(self.config.hparams.max_seq_len)
        latents = np.concatenate([latents, np.zeros((-n % _BATCH, self.z_size))])

        def build(config: Any, tf: Any) -> Any:
            z = tf.placeholder(tf.float32, [_BATCH, self.z_size]) if self.z_size else None
            control = None if controls[0] is None else tf.placeholder(tf.float32, controls[0].shape)
            heat = tf.placeholder(tf.float32, [])
            with magenta_seeds.seeded_decoding(seed):
                decoded, _ = config.model.sample(_BATCH, steps, z, control, temperature=heat)
            return z, control, heat, decoded

        tensors: list[list[np.ndarray]] = [[] for _ in controls]
        with self._session(("decode", seed), build) as (session, (z, control, heat, decoded)):
            for first in range(0, n, _BATCH):
                feed = {heat: max(temperature, magenta_seeds.COLDEST)}
                feed |= {} if z is None else {z: latents[first : first + _BATCH]}
                for k, window in enumerate(controls):
                    tensors[k] += list(session.run(decoded, feed if control is None else {**feed, control: window}))
        return [window[:n] for window in tensors]

    @contextlib.contextmanager
    def _session(self, key: Any, build: Callable[[Any, Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Yields a session with the weights, and the result of `build`. The graph is built once for each key.

        The session is new each time, so that its draws start again.
        """
        tf = magenta_import.load().tf
        if key not in self._graphs:
            config, graph = copy.deepcopy(self.config), tf.Graph()
            with graph.as_default(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                config.model.build(config.hparams, config.data_converter.output_depth, is_training=False)
                built = build(config, tf)
                variables = {v.op.name: v for v in tf.trainable_variables()}
            shapes = {name: tuple(v.shape.as_list()) for name, v in variables.items()}
            numpy_engine.check_shapes(self.name, shapes, self.weights)
            self._graphs[key] = graph, built, variables
        graph, built, variables = self._graphs[key]
        with tf.Session(graph=graph) as session:
            values = {v.initializer.inputs[1]: self.weights[name] for name, v in variables.items()}
            session.run([v.initializer for v in variables.values()], values)
            yield session, built

    def same(self, x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> np.ndarray:
        """True at steps where windows agree, bool `[n, length]`; of grooves only hits count, not velocity or time."""
        depth = self.config.data_converter.output_depth
        depth //= 3 if isinstance(self.config.data_converter, magenta_import.load().data.GrooveConverter) else 1
        pairs = zip(x, y, strict=True)
        return np.stack([((a[:, :depth] > 0.5) == (b[:, :depth] > 0.5)).all(axis=1) for a, b in pairs])

    def measure(self, given: Excerpt, decoded: Sequence[np.ndarray]) -> dict[str, float]:
        """See `Model.measure`; padding does not count."""
        counted = np.stack([magenta_windows.counted(window) for window in given.inputs])
        return {"reconstruction_accuracy": float(self.same(given.windows, decoded)[counted].mean())}

    def sample(
        self,
        n: int,
        walk: Callable[[int, int, int], np.ndarray],
        *,
        bars: int | None,
        temperature: float,
        seed: int,
        chords: str | None = None,
        controls: np.ndarray | None = None,
    ) -> list[tuple[list[np.ndarray], list[str]]]:
        """See `Model.sample`; each piece has one window, or one per chord.

        Args:
          bars: if given, must be the bars that the config makes.
          chords: for chord configs, such as "C G Am F". A melody's window divides evenly among them; a multi-instrument
            performance plays a bar over each, all from one latent vector.
          controls: for configs with other controls, `[max_seq_len, control_depth]`.
          n, walk, temperature, seed: see `Model.sample`.

        Raises:
          OptionError: an option is out of range, not for this config, or missing.
          ModelError: the checkpoint is of another config.
        """
        symbols = [symbol for symbol in re.split(r"[\s,|]+", chords) if symbol] if chords is not None else None
        given = self._controls(symbols, controls)
        if bars not in (None, self.bars * len(given)):
            raise OptionError(
                f"--bars is {bars}, but {self.name} makes {self.bars * len(given)} bars here; leave --bars out."
            )
        latents = np.concatenate([walk(k, 1, 1) for k in range(n + -n % _BATCH)])
        decoded = self._decode(given, latents, temperature, seed)
        return [([windows[k] for windows in decoded], symbols or [f"sample {k + 1}"]) for k in range(n)]

    def _controls(self, symbols: list[str] | None, controls: np.ndarray | None) -> list[np.ndarray | None]:
        """The controls of each window, `[max_seq_len, control_depth]` or None."""
        converter, steps = self.config.data_converter, int(self.config.hparams.max_seq_len)
        depth, encoding = int(converter.control_depth or 0), getattr(converter, "_chord_encoding", None)
        if symbols is not None and encoding is None:
            raise OptionError(f"config {self.name} has no chords; leave --chords out.")
        if controls is not None:
            if not depth or np.shape(controls) != (steps, depth):
                wanted = [steps, depth] if depth else "none"
                raise OptionError(f"the controls have the shape {np.shape(controls)}; {self.name} takes {wanted}.")
            return [np.asarray(controls, np.float32)]
        if not depth:
            return [None]
        if encoding is None:
            raise OptionError(
                f"config {self.name} adds dynamics and timing to given drum hits; pass them in Python, 0 or 1 in "
                f"[{steps} steps, {depth} drums]: calmvae.sample(model, controls=hits)."
            )
        if not symbols:
            raise OptionError(f'config {self.name} plays over chords; name them, such as --chords "C G Am F".')
        rows = np.eye(depth, dtype=np.float32)[[_chord(encoding, symbol) for symbol in symbols]]
        events = getattr(converter, "_max_events_per_instrument", None)
        if events:
            # As in training: the first event of each instrument is its program, without a chord.
            named = np.arange(steps)[:, None] % events == 0
            return [np.where(named, np.eye(depth, dtype=np.float32)[0], row) for row in rows]
        beats = self.bars * 4
        if beats % len(rows):
            fits = ", ".join(str(count) for count in range(1, beats + 1) if beats % count == 0)
            raise OptionError(f"--chords names {len(rows)} chords; the {beats} beats of {self.name} take {fits}.")
        return [np.repeat(rows, steps // len(rows), axis=0)]

    def play(self, segments: Sequence[Segment], name: str) -> tuple[Piece, list[Section]]:
        """See `Model.play`; the first voice's velocity and program count if the config has none of its own."""
        parts: list[Piece] = []
        qpms: list[float] = []
        sections = []
        for segment in segments:
            begin = len(parts) * self.bars * 4.0
            parts += [self._styled(piece, segment) for piece in self._pieces(segment.windows)]
            qpms += [segment.qpm] * len(segment.windows)
            sections.append(Section(begin, len(parts) * self.bars * 4.0, segment.label, segment.given))
        return arranged(parts, self.bars, qpms, name), sections

    def replay(self, excerpt: Excerpt, windows: Sequence[np.ndarray], name: str, track: str) -> Piece:
        """See `Model.replay`; windows that are apart in the piece become consecutive."""
        return arranged(self._pieces(windows), self.bars, excerpt.cut_from, name)

    def _pieces(self, windows: Sequence[np.ndarray]) -> list[Piece]:
        """Windows as pieces at 120 quarters per minute."""
        converter = copy.deepcopy(self.config.data_converter)
        converter.set_mode("infer")
        # Otherwise it also writes chord symbols, which fails in a bar without notes.
        converter._chord_encoding = None
        return [note_sequence.piece_of(sequence) for sequence in converter.from_tensors(windows)]

    def _styled(self, piece: Piece, segment: Segment) -> Piece:
        voice = segment.voices[0]
        style: dict[str, Any] = {} if self.has_dynamics() else {"velocity": round(voice.velocity)}
        style |= {"program": voice.program} if self.is_melodic() else {}
        piece.notes = [dataclasses.replace(note, **style) for note in piece.notes]
        return piece


def _chord(encoding: Any, symbol: str) -> int:
    note_seq = magenta_import.load_note_seq()
    try:
        return encoding.encode_event(symbol)
    except (note_seq.ChordSymbolError, note_seq.ChordEncodingError):
        raise OptionError(f"--chords: '{symbol}' is not a known chord; write C, F#m, Bbdim, Eaug or N.C.") from None


def arranged(windows: Sequence[Piece], bars: int, qpms: Sequence[float], name: str) -> Piece:
    """Consecutive windows of `bars` bars, each at its tempo, as one piece."""
    notes = []
    begins = np.cumsum([0.0, *(bars * 240 / qpm for qpm in qpms)]).tolist()
    for begin, qpm, window in zip(begins, qpms, windows, strict=False):
        slower = window.tempos[0][1] / qpm
        for note in window.notes:
            # A groove may begin just before the beat.
            start, end = max(note.start * slower, 0.0), note.end * slower
            notes.append(dataclasses.replace(note, start=begin + start, end=begin + end))
    if len(windows) > 1:
        # An instrument may be on another track in the next window.
        voices = sorted({(note.is_drum, note.program) for note in notes})
        notes = [dataclasses.replace(note, track=voices.index((note.is_drum, note.program))) for note in notes]
    tempos = [(begins[k], qpm) for k, qpm in enumerate(qpms) if k == 0 or qpm != qpms[k - 1]]
    return Piece(notes, tempos, [(0.0, 4, 4)], name=name)
