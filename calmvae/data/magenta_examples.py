"""Training examples for models that are not of melodies: Magenta's windows of a data set's pieces, and batches.

The order of an epoch depends only on the music. Every window is used. A piece without windows is counted with its
reason.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from calmvae.common import magenta_import
from calmvae.data import training_windows
from calmvae.model.magenta_windows import Reader, Window, look


@dataclasses.dataclass
class Examples:
    """The windows of some pieces.

    Attributes:
      reader: what read them.
      pieces: serialized NoteSequences of the pieces that gave windows.
      windows: of each of them, as it is.
      left_out: pieces without a window, by reason.
      unknown_drums: notes left out, see `Reader.unknown_drums`.
    """

    reader: Reader
    pieces: list[bytes]
    windows: list[list[Window]]
    left_out: Counter[str]
    unknown_drums: int = 0

    @classmethod
    def read(cls, reader: Reader, sequences: Iterator[Any]) -> Examples:
        """Reads NoteSequences."""
        found = cls(reader, [], [], Counter())
        for sequence in sequences:
            windows, why = look(reader, sequence)
            if why:
                found.left_out[why] += 1
                continue
            found.unknown_drums += reader.unknown_drums(sequence)
            found.pieces.append(sequence.SerializeToString(deterministic=True))
            found.windows.append(windows)
        return found

    def __len__(self) -> int:
        return sum(map(len, self.windows))

    def slots(self) -> list[tuple[int, int]]:
        """Piece, and place among its windows, of every window."""
        return [(piece, k) for piece, windows in enumerate(self.windows) for k in range(len(windows))]

    def batches(self, batch_size: int, seed: int, start_step: int = 0) -> Iterator[list[np.ndarray]]:
        """Endless batches, shuffled and, where the config transposes, transposed anew each epoch.

        A step's batch depends on the seed and the step alone. A transposed piece may have fewer windows, or more, than
        it has as it is: an epoch takes as many as of the piece as it is, or that where nothing is left.

        Yields:
          what `Reader.batch` makes.
        """
        slots, varies = self.slots(), self.reader.varies()

        @functools.lru_cache(maxsize=max(len(self.pieces), 1))
        def anew(epoch: int, piece: int) -> list[Window]:
            sequence = magenta_import.load_note_seq().NoteSequence.FromString(self.pieces[piece])
            try:
                windows = self.reader.windows(sequence, (seed, 2, epoch, piece), augment=True)
            except Exception:
                # As it is, the piece was read.
                windows = []
            return windows or self.windows[piece]

        for epochs, rows in training_windows.drawn_rows(len(slots), batch_size, seed, start_step):
            batch = []
            for epoch, row in zip(epochs.tolist(), rows.tolist(), strict=True):
                piece, k = slots[row]
                windows = anew(epoch, piece) if varies else self.windows[piece]
                batch.append(windows[k % len(windows)])
            yield self.reader.batch(batch)


@functools.lru_cache(maxsize=1)
def reader_of(config: str) -> Reader:
    """The reader of one of Magenta's configs, for training."""
    return Reader(magenta_import.load().configs.CONFIG_MAP[config])


def count(config: str, data: bytes) -> tuple[int, str]:
    """How many windows a serialized NoteSequence has for a config, and if none, why."""
    windows, why = look(reader_of(config), magenta_import.load_note_seq().NoteSequence.FromString(data))
    return len(windows), why
