"""Magenta's converter for windows of several voices, so that its own code trains, opens and plays such models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calmvae.common import magenta_import
from calmvae.common.errors import EmptyMusicError
from calmvae.midi import note_sequence
from calmvae.midi.piece import DEFAULT_QPM, Note, Piece
from calmvae.model.model_spec import ModelSpec
from calmvae.music import bars, melody_tokens, voice_windows
from calmvae.music.melody_tokens import STEPS_PER_QUARTER

_VELOCITY = 80


def converter(spec: ModelSpec) -> Any:
    """A `BaseNoteSequenceConverter` of Magenta's between NoteSequences and one-hot windows bool `[steps, width]`."""
    data: Any = magenta_import.load().data

    class VoiceConverter(data.BaseNoteSequenceConverter):
        def __init__(self) -> None:
            super().__init__(spec.width, np.bool_, spec.width, np.bool_, presplit_on_time_changes=False)

        def to_tensors(self, item: Any) -> Any:
            """Every window of a NoteSequence, sliding by a bar, that has a note."""
            try:
                windows, _ = voice_windows.piece_windows(note_sequence.piece_of(item), spec.voices, spec.bars)
            except EmptyMusicError:
                return data.ConverterTensors()
            return data.ConverterTensors(*[list(one_hot(windows, spec))] * 2)

        def from_tensors(self, samples: Sequence[np.ndarray], controls: Any = None) -> list[Any]:
            """The NoteSequences of one-hot windows, at 120 quarters a minute."""
            return [note_sequence.of_piece(_piece(tokens_of(np.asarray(sample)[None], spec))) for sample in samples]

    return VoiceConverter()


def one_hot(windows: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Windows uint8 `[n, steps, voices]` as bool `[n, steps, width]`, one voice after the other."""
    return np.eye(spec.depth, dtype=bool)[windows].reshape(*windows.shape[:2], spec.width)


def tokens_of(one_hot: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The inverse of `one_hot`."""
    return one_hot.reshape(*one_hot.shape[:2], spec.voices, spec.depth).argmax(axis=3).astype(np.uint8)


def _piece(windows: np.ndarray) -> Piece:
    tokens, lines = voice_windows.join_windows(windows)
    second = 60 / DEFAULT_QPM / STEPS_PER_QUARTER
    notes = [
        Note(pitch, _VELOCITY, start * second, end * second, 0, False, voice)
        for voice, column in enumerate(tokens.T)
        for pitch, start, end in melody_tokens.token_notes(column)
    ]
    metres = [(float(lines[bar]) * second, upper, lower) for bar, upper, lower in bars.metres(np.diff(lines))]
    return Piece(notes, [(0.0, DEFAULT_QPM)], metres)
