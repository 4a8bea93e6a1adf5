"""Tensors in a safetensors file, with a record of how they were made.

The format (github.com/huggingface/safetensors): the length of the header (8 bytes), a JSON header with the type, shape
and place of each tensor, and the bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calmvae.common import output_folder
from calmvae.common.errors import ModelError

_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


def write(path: Path, tensors: Mapping[str, np.ndarray], record: dict[str, Any] | None = None) -> None:
    """Writes tensors with their own types, in one step. The same content gives the same bytes.

    Args:
      path: the file, in an existing folder.
      tensors: float16, float32 or float64, of any shape.
      record: how they were made, JSON-ready.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    metadata = None if record is None else {"record": json.dumps(record, sort_keys=True)}
    # safetensors' own function makes a file that only its owner can read.
    output_folder.write_whole(path, save(arrays, metadata))


@contextlib.contextmanager
def read(path: Path, what: str, mend: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Maps tensors into memory, read-only; unused ones are not read. Yields them and their record (`{}` without one).

    If the block misses a tensor or finds another shape, the file counts as damaged, too.

    Args:
      path: the file.
      what: the content that it should have.
      mend: the advice for the user if it has another.

    Raises:
      ModelError: the file is missing or damaged.
    """
    try:
        content = np.memmap(path, np.uint8, mode="r")
        begin = 8 + int.from_bytes(content[:8].tobytes(), "little")
        header = json.loads(content[8:begin].tobytes())
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            start, stop = entry["data_offsets"]
            raw = content[begin + start : begin + stop]
            tensors[name] = raw.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        yield tensors, json.loads(metadata["record"]) if "record" in metadata else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"{path} holds no readable {what} ({error!r}); {mend}.") from error
