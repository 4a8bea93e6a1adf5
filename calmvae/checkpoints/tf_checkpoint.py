"""TensorFlow checkpoints: finds them by prefix, folder or .tar, reads them without TensorFlow, writes them with it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from calmvae.checkpoints import tar_files, tf_checkpoint_reader, tf_old_names
from calmvae.common import magenta_import
from calmvae.common.errors import ModelError
from calmvae.model import numpy_engine
from calmvae.model.model_spec import ModelSpec


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The place of a checkpoint: a prefix on disk, or an archive and a prefix within it."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.member})" if self.member else str(self.path)

    def read(self, slots: bool = False) -> dict[str, np.ndarray]:
        """Its weights under today's names, see `tf_old_names`.

        Args:
          slots: return all variables unchanged, those of the optimiser too.

        Raises:
          ModelError: it is damaged.
        """
        try:
            with self._bundle() as content:
                names = content.entries if slots else tf_old_names.wanted(content.shapes())
                read = {name: content.read(name) for name in names}
        except tf_checkpoint_reader.Unreadable as error:
            if self.member or "compressed" not in str(error):
                raise ModelError(f"{self} is not a readable TensorFlow checkpoint ({error}).") from error
            read = self._read_by_tensorflow(slots)
        return read if slots else tf_old_names.today(read, str(self))

    @contextlib.contextmanager
    def _bundle(self) -> Iterator[tf_checkpoint_reader.Bundle]:
        if not self.member:
            yield tf_checkpoint_reader.Bundle(lambda suffix: _mapped(Path(f"{self.path}{suffix}")))
            return
        with tar_files.opened(self.path) as members:
            yield tf_checkpoint_reader.Bundle(lambda suffix: _member(members, f"{self.member}{suffix}"))

    def _read_by_tensorflow(self, slots: bool) -> dict[str, np.ndarray]:
        """For very old checkpoints, whose index is compressed."""
        tf = magenta_import.load_tensorflow()
        try:
            reader = tf.train.load_checkpoint(str(self.path))
            shapes = reader.get_variable_to_shape_map()
            names = shapes if slots else tf_old_names.wanted({name: tuple(shape) for name, shape in shapes.items()})
            return {name: reader.get_tensor(name) for name in names}
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{self} is not a readable TensorFlow checkpoint ({reason}).") from error


def read(prefix: str | Path, slots: bool = False) -> dict[str, np.ndarray]:
    """The variables of a checkpoint on disk, see `Checkpoint.read`."""
    return Checkpoint(Path(prefix)).read(slots)


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    except OSError as error:
        raise tf_checkpoint_reader.Unreadable(f"{path.name}: {error.strerror}") from error


def _member(members: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in members:
        raise tf_checkpoint_reader.Unreadable(f"{name} is missing")
    return members[name]


def find(name: str | Path) -> Checkpoint | None:
    """The checkpoint of a path: a prefix, an index file, or a folder or archive, of which the newest is taken.

    Raises:
      ModelError: the archive is damaged or not safe, or holds no checkpoint.
    """
    path = Path(name).expanduser()
    if tar_files.is_archive(path):
        with tar_files.opened(path) as members:
            prefixes = _prefixes(list(members))
        if not prefixes:
            raise ModelError(f"{path} holds no TensorFlow checkpoint (an .index with its .data files).")
        return Checkpoint(path, prefixes[-1])
    for prefix in (path, path.with_suffix("") if path.suffix == ".index" else path):
        if Path(f"{prefix}.index").is_file():
            return Checkpoint(prefix)
    for folder in (path, path / "train"):
        found = latest(folder)
        if found:
            return Checkpoint(Path(found))
    return None


def latest(folder: Path) -> str | None:
    """Prefix of the newest complete checkpoint of a folder (by the step in its name)."""
    return next(reversed(_whole(folder)), None)


def _whole(folder: Path) -> list[str]:
    """Prefixes of the complete checkpoints of a folder, the oldest first."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [str(folder / prefix) for prefix in _prefixes(names)]


def _prefixes(names: list[str]) -> list[str]:
    """Prefixes with both an index and data among the names, the oldest first."""

    def step(prefix: str) -> tuple[int, str]:
        digits = PurePosixPath(prefix).name.rpartition("-")[2]
        return int(digits) if digits.isdigit() else -1, prefix

    indexed = [name[: -len(".index")] for name in names if name.endswith(".index")]
    return sorted((p for p in indexed if any(name.startswith(f"{p}.data-") for name in names)), key=step)


def write(prefix: str | Path, variables: Mapping[str, Any], keep: int = 0) -> str:
    """Writes a TensorFlow checkpoint like TensorFlow's Saver, and returns its prefix.

    Args:
      prefix: path and start of the file names; ends in `-STEP` if the folder has several.
      variables: names to arrays.
      keep: how many checkpoints of this name to keep; older ones are removed (0 keeps all).
    """
    tf = magenta_import.load_tensorflow()
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(value) for name, value in variables.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.placeholder(array.dtype, array.shape) for array in arrays.values()]
        save = tf.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=inputs
        )
        session.run(save, dict(zip(inputs, arrays.values(), strict=True)))
    stem = prefix.name.rpartition("-")[0]
    same = [Path(p) for p in _whole(prefix.parent) if Path(p).name.rpartition("-")[0] == stem]
    for old in same[:-keep] if keep else []:
        for file in old.parent.glob(f"{old.name}.*"):
            file.unlink()
    kept = [p for p in _whole(prefix.parent) if p != str(prefix)]
    tf.train.update_checkpoint_state(str(prefix.parent), str(prefix), [*kept, str(prefix)])
    return str(prefix)


def write_weights(prefix: Path, spec: ModelSpec, weights: Mapping[str, np.ndarray], step: int = 0) -> str:
    """Writes a TensorFlow checkpoint that stock Magenta opens (weights and global step). Returns its prefix."""
    kept = {name: np.asarray(weights[name], np.float32) for name in numpy_engine.weight_shapes(spec)}
    return write(prefix, {**kept, "global_step": np.int64(step)})
