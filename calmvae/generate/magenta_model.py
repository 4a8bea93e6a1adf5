"""Sampling the configs that calmvae's own engine does not speak, through Magenta's model on TensorFlow.

Drums, trios, melodies over chords, hierarchical encoders, multi-instrument performances and grooves. Only their
decoders are built, to sample from the prior; `other_interpolation` and `other_training` do the rest.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.checkpoints import find_model
from calmvae.common import magenta_import
from calmvae.common.errors import OptionError
from calmvae.generate import sampling
from calmvae.generate.made_piece import Made
from calmvae.generate.sampling import DEFAULT_PROGRAM
from calmvae.midi import note_sequence
from calmvae.midi.piano_roll import Section
from calmvae.midi.piece import Piece
from calmvae.model import config_catalog, magenta_config, magenta_seeds, numpy_engine
from calmvae.music.calmness import DEFAULT_QPM, DEFAULT_VELOCITY

# Always the same, so that the draws of a sample do not depend on how many others are asked for.
_BATCH = 8


def load_model(config_name: str, checkpoint: str | Path, hparams: dict[str, Any] | None = None) -> OtherModel:
    """Opens anything that `find_model.open_model` opens with any config of Magenta's CONFIG_MAP.

    `hparams` are those in which the checkpoint differs from the config, where its variables do not tell them.

    Raises:
      OptionError: no such config or hparam.
      ModelError: no model, or a damaged one.
    """
    if hparams is None:
        return of_opened(find_model.open_model(checkpoint, config_name))
    # Whether they fit shows when Magenta builds the model.
    opened = find_model.open_model(checkpoint, strict=False)
    return of_opened(dataclasses.replace(opened, config=config_catalog.known(config_name), hparams={}), hparams)


def of_opened(opened: find_model.Opened, hparams: dict[str, Any] | None = None) -> OtherModel:
    """The model of what was opened; see `load_model`."""
    door = magenta_import.load()
    config = door.configs.CONFIG_MAP.get(opened.config) or magenta_config.magenta_config(
        config_catalog.get_spec(opened.config)
    )
    values, changes = config.hparams.values(), opened.hparams | (hparams or {})
    for name in changes.keys() - values.keys():
        raise OptionError(f"unknown hparam '{name}'; choose one of {', '.join(sorted(values))}.")
    config = config._replace(hparams=door.HParams(**values | changes | {"batch_size": _BATCH}))
    return OtherModel(opened.config, config, opened.place, dict(opened.weights), opened.sha256)


def sample(
    config_name: str, checkpoint: str | Path, n: int = 1, temperature: float = 0.5, seed: int = 0, **options: Any
) -> list[Piece]:
    """The pieces of `OtherModel.sample`, opened by `load_model`; takes the options of both."""
    model = load_model(config_name, checkpoint, options.pop("hparams", None))
    return [made.piece for made in model.sample(n, temperature=temperature, seed=seed, **options)]


@dataclasses.dataclass
class OtherModel:
    """A checkpoint of one of Magenta's configs, as `load_model` opens it: name and Config, place, variables."""

    name: str
    config: Any
    source: Path
    weights: dict[str, np.ndarray]
    sha256: str = ""

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the model."""
        sha256 = self.sha256 or find_model.sha256_of(self.source)
        return {"config": self.name, "source": str(self.source), "sha256": sha256}

    def has_dynamics(self) -> bool:
        """True where the config says how hard each note is played."""
        data = magenta_import.load().data
        flat = (data.OneHotMelodyConverter, data.DrumsConverter, data.TrioConverter)
        return not isinstance(self.config.data_converter, flat)

    def sample(
        self,
        n: int = 1,
        *,
        bars: int | None = None,
        temperature: float = 0.5,
        seed: int = 0,
        chords: str | None = None,
        controls: np.ndarray | None = None,
        qpm: float = DEFAULT_QPM,
        velocity: int = DEFAULT_VELOCITY,
        program: int = DEFAULT_PROGRAM,
    ) -> list[Made]:
        """Fresh pieces of one window from the prior.

        Args:
          n, temperature, seed, qpm: as in `sampling.sample`.
          bars: if given, must be what the config makes.
          chords: for chord configs, such as "C G Am F": spread over a melody's window; a multi-instrument performance
            plays a bar over each, all from one latent vector.
          controls: for configs conditioned on something else, `[max_seq_len, control_depth]`.
          velocity, program: for configs without dynamics, without instruments of their own.

        Raises:
          OptionError: an option is out of range, not for this config, or missing.
          ModelError: the checkpoint is of another config.
        """
        sampling.check_sampling(n, temperature, qpm, velocity, program)
        data, converter = magenta_import.load().data, self.config.data_converter
        melodic = isinstance(converter, data.OneHotMelodyConverter)
        dynamic = self.has_dynamics()
        if program != DEFAULT_PROGRAM and not melodic:
            raise OptionError(f"--program is {program}, but {self.name} chooses its own instruments; leave it out.")
        if velocity != DEFAULT_VELOCITY and dynamic:
            raise OptionError(f"--velocity is {velocity}, but {self.name} has dynamics of its own; leave it out.")
        symbols = [symbol for symbol in re.split(r"[\s,|]+", chords) if symbol] if chords is not None else None
        given, window = self._controls(symbols, controls), config_catalog.window_bars(self.config)
        if bars not in (None, window * len(given)):
            raise OptionError(f"--bars is {bars}; {self.name} makes {window * len(given)} here, leave it out.")
        style: dict[str, Any] = ({} if dynamic else {"velocity": velocity}) | ({"program": program} if melodic else {})
        length = window * len(given) * 4 / max(len(symbols or ()), 1)
        latents = self.latents(n + -n % _BATCH, seed)
        windows = [self.sequences(tensors[:n]) for tensors in self.decode(given, latents, temperature, seed)]
        made = []
        for k in range(n):
            parts = [note_sequence.piece_of(sequences[k]) for sequences in windows]
            piece = arranged(parts, window, [qpm] * len(parts), f"{self.name} sample {k + 1}, seed {seed}")
            piece.notes = [dataclasses.replace(note, **style) for note in piece.notes]
            labels = enumerate(symbols or [f"sample {k + 1}"])
            made.append(sampling.sampled(piece, [Section(i * length, (i + 1) * length, x) for i, x in labels], k))
        return made

    def _controls(self, symbols: list[str] | None, controls: np.ndarray | None) -> list[np.ndarray | None]:
        """What each window is conditioned on: `[max_seq_len, control_depth]`, or None."""
        converter, steps = self.config.data_converter, int(self.config.hparams.max_seq_len)
        depth, encoding = int(converter.control_depth or 0), getattr(converter, "_chord_encoding", None)
        if symbols is not None and encoding is None:
            raise OptionError(f"config {self.name} knows no chords; leave --chords out.")
        if controls is not None:
            if not depth or np.shape(controls) != (steps, depth):
                wanted = [steps, depth] if depth else "none"
                raise OptionError(f"the controls have the shape {np.shape(controls)}; {self.name} takes {wanted}.")
            return [np.asarray(controls, np.float32)]
        if not depth:
            return [None]
        if encoding is None:
            raise OptionError(
                f"config {self.name} gives dynamics and timing to drum hits; name the hits from Python, 0 or 1 in "
                f"[{steps} steps, {depth} drums]: calmvae.generate.magenta_model.sample(..., controls=hits)."
            )
        if not symbols:
            raise OptionError(f'config {self.name} plays over chords; name them, such as --chords "C G Am F".')
        rows = np.eye(depth, dtype=np.float32)[[_chord(encoding, symbol) for symbol in symbols]]
        events = getattr(converter, "_max_events_per_instrument", None)
        if events:
            # As in training: each instrument's first event names its program, under no chord.
            named = np.arange(steps)[:, None] % events == 0
            return [np.where(named, np.eye(depth, dtype=np.float32)[0], row) for row in rows]
        beats = config_catalog.window_bars(self.config) * 4
        if beats % len(rows):
            fits = ", ".join(str(count) for count in range(1, beats + 1) if beats % count == 0)
            raise OptionError(f"--chords names {len(rows)} chords; the {beats} beats of {self.name} take {fits}.")
        return [np.repeat(rows, steps // len(rows), axis=0)]

    def decode(
        self, controls: Sequence[np.ndarray | None], latents: np.ndarray, temperature: float, seed: int
    ) -> list[list[np.ndarray]]:
        """As TrainedModel, but seeded, from given latents and without the encoder.

        Args:
          controls: what windows are conditioned on, `[max_seq_len, control_depth]` or None.
          latents: `[n, z_size]`.
          temperature: 0 decodes the likeliest notes.
          seed: of the draws.

        Returns:
          for each of the controls, n windows `[max_seq_len, output_depth]`.

        Raises:
          ModelError: the weights do not fit.
        """
        tf, config, n = magenta_import.load().tf, copy.deepcopy(self.config), len(latents)
        hparams, model, converter = config.hparams, config.model, config.data_converter
        latents = np.concatenate([latents, np.zeros((-n % _BATCH, hparams.z_size))])
        temperature = max(temperature, magenta_seeds.COLDEST)
        with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.build(hparams, converter.output_depth, is_training=False)
            z = tf.placeholder(tf.float32, [_BATCH, hparams.z_size]) if hparams.z_size else None
            control = None if controls[0] is None else tf.placeholder(tf.float32, controls[0].shape)
            with magenta_seeds.seeded_decoding(seed):
                decoded, _ = model.sample(_BATCH, hparams.max_seq_len, z, control, temperature=temperature)
            self._load(session)
            tensors: list[list[np.ndarray]] = [[] for _ in controls]
            for first in range(0, n, _BATCH):
                feed = {} if z is None else {z: latents[first : first + _BATCH]}
                for k, window in enumerate(controls):
                    tensors[k] += list(session.run(decoded, feed if control is None else {**feed, control: window}))
        return [window[:n] for window in tensors]

    def latents(self, n: int, seed: int) -> np.ndarray:
        """Draws from the prior, `[n, z_size]`; the k-th depends on the seed and k alone."""
        size = int(self.config.hparams.z_size)
        return np.stack([np.random.default_rng([seed, k]).standard_normal(size) for k in range(n)])

    def encode(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """The means of the posteriors, `[n, z_size]`.

        Args:
          batch: inputs, outputs and controls `[n, length, depth]`, and lengths, as `other_examples` makes them.

        Raises:
          ModelError: the weights do not fit.
        """
        tf, config = magenta_import.load().tf, copy.deepcopy(self.config)
        with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config.model.build(config.hparams, config.data_converter.output_depth, is_training=False)
            inputs, _, controls, lengths = (tf.constant(part) for part in batch)
            mu = config.model.encode(inputs, lengths, controls if config.data_converter.control_depth else None).loc
            self._load(session)
            return session.run(mu)

    def _load(self, session: Any) -> None:
        """Sets the variables of the graph."""
        tf = magenta_import.load().tf
        variables = {v.op.name: v for v in tf.trainable_variables()}
        numpy_engine.check_shapes(self.name, {n: tuple(v.shape.as_list()) for n, v in variables.items()}, self.weights)
        values = {v.initializer.inputs[1]: self.weights[name] for name, v in variables.items()}
        session.run([v.initializer for v in variables.values()], values)

    def sequences(self, windows: Sequence[np.ndarray]) -> list[Any]:
        """Windows `[length, output_depth]` as NoteSequences of 120 quarters a minute."""
        converter = copy.deepcopy(self.config.data_converter)
        converter.set_mode("infer")
        # Else it writes chord symbols beside the notes, which fails in a bar without notes.
        converter._chord_encoding = None
        return converter.from_tensors(windows)


def _chord(encoding: Any, symbol: str) -> int:
    note_seq = magenta_import.load_note_seq()
    try:
        return encoding.encode_event(symbol)
    except (note_seq.ChordSymbolError, note_seq.ChordEncodingError):
        raise OptionError(f"--chords: '{symbol}' is not a chord here; write C, F#m, Bbdim, Eaug or N.C.") from None


def arranged(windows: list[Piece], bars: int, qpms: Sequence[float], name: str) -> Piece:
    """Windows of so many bars each, one after the other, each at its tempo."""
    notes = []
    begins = np.cumsum([0.0, *(bars * 240 / qpm for qpm in qpms)]).tolist()
    for begin, qpm, window in zip(begins, qpms, windows, strict=False):
        slower = window.tempos[0][1] / qpm
        for note in window.notes:
            # A groove may begin just ahead of the beat.
            start, end = max(note.start * slower, 0.0), note.end * slower
            notes.append(dataclasses.replace(note, start=begin + start, end=begin + end))
    if len(windows) > 1:
        # An instrument may lie on another track in the next window.
        voices = sorted({(note.is_drum, note.program) for note in notes})
        notes = [dataclasses.replace(note, track=voices.index((note.is_drum, note.program))) for note in notes]
    tempos = [(begins[k], qpm) for k, qpm in enumerate(qpms) if k == 0 or qpm != qpms[k - 1]]
    return Piece(notes, tempos, [(0.0, 4, 4)], name=name)
