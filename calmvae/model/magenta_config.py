"""Converts specs to Magenta's `Config` objects and back."""

from __future__ import annotations

import copy
import functools
from typing import Any

from calmvae.common import magenta_import
from calmvae.model.model_spec import CALM_SPECS, DEFAULT_HPARAMS, ModelSpec, not_melodies
from calmvae.music.melody_tokens import DEPTH, STEPS_PER_BAR


def spec_of_magenta(name: str, config: Any) -> ModelSpec:
    """The spec of one of Magenta's melody configs.

    Raises:
      OptionError: the config is not one of one-hot melodies without controls.
    """
    door = magenta_import.load()
    lstm, converter = door.lstm_models, config.data_converter
    encoder, decoder = config.model.encoder, config.model.decoder
    core, levels = decoder, None
    if type(decoder) is lstm.HierarchicalLstmDecoder:
        core, levels = decoder._core_decoder, tuple(decoder._level_lengths)
    encoder_class, encoder_lengths = type(encoder), None
    if encoder_class is lstm.HierarchicalLstmEncoder:
        encoder_class, encoder_lengths = encoder._core_encoder_cls, tuple(encoder.level_lengths)
    fits = (
        type(converter) is door.data.OneHotMelodyConverter
        and converter.input_depth == DEPTH
        and not converter.control_depth
        and encoder_class is lstm.BidirectionalLstmEncoder
        and type(core) is lstm.CategoricalLstmDecoder
        and config.hparams.z_size > 0
    )
    if not fits:
        raise not_melodies(name)
    hparams = {**copy.deepcopy(DEFAULT_HPARAMS), **config.hparams.values()}
    bars = int(hparams["max_seq_len"]) // STEPS_PER_BAR
    return ModelSpec(name, bars, "hierarchical" if levels else "categorical", levels, hparams, encoder_lengths)


def magenta_config(spec: ModelSpec) -> Any:
    """Magenta's `Config` for a spec: a new model, its hparams, and a converter for its window."""
    door = magenta_import.load()
    return door.configs.Config(
        model=_model(spec, door),
        hparams=door.HParams(**copy.deepcopy(spec.hparams)),
        note_sequence_augmenter=door.data.NoteSequenceAugmenter(transpose_range=(-5, 5)),
        data_converter=_converter(spec, door),
        train_examples_path=None,
        eval_examples_path=None,
    )


def _converter(spec: ModelSpec, door: Any) -> Any:
    if spec.voices > 1:
        from calmvae.model import magenta_voices

        return magenta_voices.converter(spec)
    return door.data.OneHotMelodyConverter(
        skip_polyphony=False, max_bars=100, slice_bars=spec.bars, steps_per_quarter=4
    )


def _decoder_class(spec: ModelSpec, door: Any) -> Any:
    if spec.voices == 1:
        return door.lstm_models.CategoricalLstmDecoder
    return functools.partial(door.lstm_models.MultiOutCategoricalLstmDecoder, [spec.depth] * spec.voices)


def _model(spec: ModelSpec, door: Any) -> Any:
    """Magenta's `MusicVAE` with the levels of a spec around flat encoders and a flat decoder."""
    encoder_class = door.lstm_models.BidirectionalLstmEncoder
    encoder, decoder = encoder_class(), _decoder_class(spec, door)()
    if spec.encoder_lengths:
        encoder = door.lstm_models.HierarchicalLstmEncoder(encoder_class, level_lengths=list(spec.encoder_lengths))
    if spec.decoder == "hierarchical":
        decoder = door.lstm_models.HierarchicalLstmDecoder(
            decoder, level_lengths=list(spec.level_lengths or ()), disable_autoregression=True
        )
    return door.MusicVAE(encoder, decoder)


def register() -> None:
    """Adds the calm-* configs to Magenta's CONFIG_MAP."""
    for name, spec in CALM_SPECS.items():
        magenta_import.load().configs.CONFIG_MAP.setdefault(name, magenta_config(spec))
