"""Sampling the configs that calmvae's own engine does not speak, through Magenta's model on TensorFlow.

Drums, trios, melodies over chords, hierarchical encoders, multi-instrument performances and grooves. Only
their decoders are built, to sample from the prior; interpolating and training stay with the melody configs.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from calmvae import compose, configs, magenta, models, outputs, runtime, scores
from calmvae.compose import Made
from calmvae.errors import ModelError, OptionError
from calmvae.midi import Piece
from calmvae.phrases import STEPS_PER_BAR
from calmvae.render import Section

# Always the same, so that the draws of a sample do not depend on how many others are asked for.
_BATCH = 8
# Magenta divides by the temperature; at this one only the likeliest token is left.
_COLDEST = 1e-4


def is_other(name: str | None) -> bool:
    """True for a config of Magenta's that is not one of melodies with a flat encoder.

    False for an unknown name, which `configs.get_spec` has a sentence for. Names that do not begin with "calm" import
    TensorFlow.
    """
    if name is None or name.startswith("calm"):
        return False
    config = magenta.load().configs.CONFIG_MAP.get(name)
    if config is None:
        return False
    try:
        configs.spec_of_magenta(name, config)
    except OptionError:
        return True
    return False


def split_chords(chords: str | None) -> list[str]:
    """Chord symbols between blanks, commas or bar lines."""
    return [symbol for symbol in re.split(r"[\s,|]+", chords or "") if symbol]


@dataclasses.dataclass
class OtherModel:
    """A checkpoint of one of Magenta's configs, ready to be sampled; made by `load_model`.

    Attributes:
      name: config name.
      config: Magenta's Config, a copy.
      source: prefix of the checkpoint.
      weights: its variables.
    """

    name: str
    config: Any
    source: Path
    weights: dict[str, np.ndarray]

    @property
    def bars(self) -> int:
        """Bars of the window."""
        return window_bars(self.config)

    def describe(self) -> dict[str, Any]:
        """What a run.json says of the model."""
        data = list(self.source.parent.glob(f"{self.source.name}.data-*"))
        sha256 = outputs.sha256(data[0]) if len(data) == 1 else ""
        return {"config": self.name, "source": str(self.source), "sha256": sha256}

    def sample(
        self,
        n: int = 1,
        *,
        bars: int | None = None,
        temperature: float = 0.5,
        seed: int = 0,
        chords: str | None = None,
        controls: np.ndarray | None = None,
        qpm: float = compose.DEFAULT_QPM,
        velocity: int = compose.DEFAULT_VELOCITY,
        program: int = compose.DEFAULT_PROGRAM,
    ) -> list[Made]:
        """Fresh pieces of one window from the prior.

        Args:
          n: pieces; piece k depends on the seed and k alone.
          bars: if given, must be what the config makes.
          temperature: 0 decodes the likeliest notes, 1 as the model believes.
          seed: of latents and draws.
          chords: for chord configs, such as "C G Am F": spread over a melody's window; a multi-instrument performance
            plays a bar over each, all from one latent vector.
          controls: for configs conditioned on something else, `[max_seq_len, control_depth]`.
          qpm: tempo.
          velocity: of configs without dynamics of their own.
          program: of melodies; other configs choose their own instruments.

        Raises:
          OptionError: an option is out of range, not for this config, or missing.
          ModelError: the checkpoint is of another config.
        """
        compose.check_sampling(n, temperature, qpm, velocity, program)
        _check_style(self.name, self.config, velocity, program)
        given = _controls(self.name, self.config, chords, controls)
        made_bars = self.bars * len(given)
        if bars not in (None, made_bars):
            raise OptionError(f"--bars is {bars}; config '{self.name}' makes {made_bars} here, leave it out.")
        sequences = self._decode(given, n, max(temperature, _COLDEST), seed)
        labels = split_chords(chords)
        made = []
        for k in range(n):
            windows = [scores.piece_of(window[k]) for window in sequences]
            piece = _arranged(windows, self.bars, qpm, f"{self.name} sample {k + 1}, seed {seed}")
            if not _has_dynamics(self.config):
                piece.notes = [dataclasses.replace(note, velocity=velocity) for note in piece.notes]
            if _is_one_melody(self.config):
                piece.notes = [dataclasses.replace(note, program=program) for note in piece.notes]
            sections = _sections(made_bars, labels or [f"sample {k + 1}"])
            made.append(compose.sampled(piece, sections, k))
        return made

    def _decode(self, controls: list[np.ndarray | None], n: int, temperature: float, seed: int) -> list[list[Any]]:
        """NoteSequences, n for each window.

        What TrainedModel does, but in a seeded graph, without the encoder, and from latent vectors of our own draw.
        """
        tf = magenta.load().tf
        config = copy.deepcopy(self.config)
        hparams, model, converter = config.hparams, config.model, config.data_converter
        latents = [np.random.default_rng([seed, k]).standard_normal(hparams.z_size) for k in range(n + -n % _BATCH)]
        with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf.set_random_seed(compose.hash_seed(seed, 0))
            model.build(hparams, converter.output_depth, is_training=False)
            z = tf.placeholder(tf.float32, [_BATCH, hparams.z_size]) if hparams.z_size else None
            control = None if controls[0] is None else tf.placeholder(tf.float32, controls[0].shape)
            options = {"max_length": hparams.max_seq_len, "temperature": temperature}
            decoded, _ = model.sample(_BATCH, z=z, c_input=control, **options)
            variables = {v.op.name: v for v in tf.trainable_variables()}
            shapes = {name: tuple(v.shape.as_list()) for name, v in variables.items()}
            runtime.check_shapes(self.name, shapes, self.weights)
            session.run(
                [v.initializer for v in variables.values()],
                {v.initializer.inputs[1]: self.weights[name] for name, v in variables.items()},
            )
            tensors: list[list[np.ndarray]] = [[] for _ in controls]
            for first in range(0, n, _BATCH):
                feed = {} if z is None else {z: np.stack(latents[first : first + _BATCH])}
                for k, window in enumerate(controls):
                    tensors[k] += list(session.run(decoded, feed if control is None else {**feed, control: window}))
        converter.set_mode("infer")
        # Else it writes chord symbols beside the notes, which fails in a bar without notes.
        converter._chord_encoding = None
        return [converter.from_tensors(window[:n]) for window in tensors]


def load_model(config_name: str, checkpoint: str | Path, hparams: dict[str, Any] | None = None) -> OtherModel:
    """Opens a TensorFlow checkpoint (prefix or folder) with any of Magenta's configs.

    Args:
      config_name: a name of Magenta's CONFIG_MAP.
      checkpoint: a prefix or a folder, whose newest is taken.
      hparams: those in which the checkpoint differs from the config.

    Raises:
      OptionError: no such config or hparam.
      ModelError: no checkpoint, or a damaged one.
    """
    prefix = models.find_checkpoint(checkpoint)
    if prefix is None:
        raise ModelError(
            f"no TensorFlow checkpoint at {checkpoint}, which config {config_name} is sampled from; "
            "give its prefix or folder (unpack a .tar first)."
        )
    return OtherModel(config_name, _config(config_name, hparams), Path(prefix), models.read_checkpoint(prefix))


def sample(
    config_name: str,
    checkpoint: str | Path,
    n: int = 1,
    temperature: float = 0.5,
    seed: int = 0,
    *,
    hparams: dict[str, Any] | None = None,
    **options: Any,
) -> list[Piece]:
    """The pieces of `OtherModel.sample`, opened by `load_model`."""
    model = load_model(config_name, checkpoint, hparams)
    return [made.piece for made in model.sample(n, temperature=temperature, seed=seed, **options)]


def _config(name: str, hparams: dict[str, Any] | None) -> Any:
    """A copy of Magenta's config of that name, for a batch of ours."""
    door = magenta.load()
    known = door.configs.CONFIG_MAP
    config = copy.deepcopy(known[name]) if name in known else configs.magenta_config(configs.get_spec(name))
    values = config.hparams.values()
    unknown = sorted(set(hparams or ()) - set(values))
    if unknown:
        raise OptionError(f"unknown hparam '{unknown[0]}'; choose one of {', '.join(sorted(values))}.")
    return config._replace(hparams=door.HParams(**values | (hparams or {}) | {"batch_size": _BATCH}))


def window_bars(config: Any) -> int:
    """Bars of the window of a config of Magenta's."""
    # A window of events (not steps) has no length in bars but the one it was cut to.
    bars = getattr(config.data_converter, "_hop_size_bars", None)
    return bars or int(config.hparams.max_seq_len) // STEPS_PER_BAR


def _is_one_melody(config: Any) -> bool:
    return isinstance(config.data_converter, magenta.load().data.OneHotMelodyConverter)


def _has_dynamics(config: Any) -> bool:
    data = magenta.load().data
    return not isinstance(config.data_converter, (data.OneHotMelodyConverter, data.DrumsConverter, data.TrioConverter))


def _check_style(name: str, config: Any, velocity: int, program: int) -> None:
    if program != compose.DEFAULT_PROGRAM and not _is_one_melody(config):
        raise OptionError(f"--program is {program}, but config '{name}' chooses its own instruments; leave it out.")
    if velocity != compose.DEFAULT_VELOCITY and _has_dynamics(config):
        raise OptionError(f"--velocity is {velocity}, but config '{name}' has dynamics of its own; leave it out.")


def _controls(name: str, config: Any, chords: str | None, controls: np.ndarray | None) -> list[np.ndarray | None]:
    """What each window is conditioned on: `[max_seq_len, control_depth]`, or None."""
    encoding = getattr(config.data_converter, "_chord_encoding", None)
    steps, depth = int(config.hparams.max_seq_len), int(config.data_converter.control_depth or 0)
    symbols = split_chords(chords)
    if chords is not None and encoding is None:
        raise OptionError(f"config '{name}' knows no chords; leave --chords out.")
    if controls is not None:
        if np.shape(controls) != (steps, depth) or not depth:
            wanted = f"[{steps}, {depth}]" if depth else "no controls"
            raise OptionError(f"controls have the shape {np.shape(controls)}; config '{name}' takes {wanted}.")
        return [np.asarray(controls, np.float32)]
    if not depth:
        return [None]
    if encoding is None:
        raise OptionError(
            f"config '{name}' puts dynamics and timing to given drum hits; give them from Python as "
            f"calmvae.other_configs.sample(..., controls=hits), 0 or 1 in [{steps} steps, {depth} drums]."
        )
    if not symbols:
        raise OptionError(f'config \'{name}\' plays over chords; name them, such as --chords "C G Am F".')
    one_hot = np.eye(depth, dtype=np.float32)[[_chord(encoding, symbol) for symbol in symbols]]
    if hasattr(config.data_converter, "_max_events_per_instrument"):
        windows = [np.repeat(row[None], steps, axis=0) for row in one_hot]
        for window in windows:
            # As in training: each instrument's first event names its program, under no chord.
            window[:: config.data_converter._max_events_per_instrument] = np.eye(depth)[0]
        return windows
    quarters = window_bars(config) * 4
    if quarters % len(symbols):
        fits = ", ".join(str(count) for count in range(1, quarters + 1) if quarters % count == 0)
        raise OptionError(f"--chords names {len(symbols)} chords; the {quarters} beats of '{name}' take {fits}.")
    return [np.repeat(one_hot, steps // len(symbols), axis=0)]


def _chord(encoding: Any, symbol: str) -> int:
    note_seq = magenta.load_note_seq()
    try:
        return encoding.encode_event(symbol)
    except (note_seq.ChordSymbolError, note_seq.ChordEncodingError):
        raise OptionError(
            f"'{symbol}' in --chords is not a chord the model knows; write triads such as C, F#m, Bbdim, Eaug, or N.C."
        ) from None


def _arranged(windows: list[Piece], bars: int, qpm: float, name: str) -> Piece:
    """Windows of so many bars each, one after the other, at a tempo."""
    notes = []
    for k, window in enumerate(windows):
        slower, begin = window.tempos[0][1] / qpm, k * bars * 240 / qpm
        for note in window.notes:
            # A groove may begin just ahead of the beat.
            start, end = max(note.start * slower, 0.0), note.end * slower
            notes.append(dataclasses.replace(note, start=begin + start, end=begin + end))
    if len(windows) > 1:
        # An instrument may lie on another track in the next window.
        voices = sorted({(note.is_drum, note.program) for note in notes})
        notes = [dataclasses.replace(note, track=voices.index((note.is_drum, note.program))) for note in notes]
    return Piece(notes, [(0.0, qpm)], [(0.0, 4, 4)], name=name)


def _sections(bars: int, labels: list[str]) -> list[Section]:
    """Stretches of equal length."""
    length = bars * 4 / len(labels)
    return [Section(k * length, (k + 1) * length, label) for k, label in enumerate(labels)]
