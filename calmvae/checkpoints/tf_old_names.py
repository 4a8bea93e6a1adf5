"""Converts variables of older checkpoints to the names and the layout of Magenta 2.1.4.

Older checkpoints differ in three ways:

* Some have an optimiser's slots (`.../Adam`, `beta1_power`) beside the weights. These are left out; training makes new
  ones.
* Cells were named `basic_lstm_cell` or `cudnn_compatible_lstm_cell`, their variables `weights` and `biases`.
* A layer trained by cuDNN is one vector, `opaque_kernel`. Magenta's converter wrote the usual matrices beside it; if
  they are missing, they are cut from the vector.

cuDNN's vector (NVIDIA, cudnnGetRNNLinLayerMatrixParams) has, for each layer, matrices `[units, inputs]` of the gates
input, forget, candidate, output, then recurrent matrices `[units, units]` of the same gates, and after all layers two
biases for each gate. Magenta's kernel is `[inputs + units, 4 * units]` with the gates input, candidate, forget, output
and one bias. Magenta's cell adds 1 to the forget gate; cuDNN does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from calmvae.common.errors import ModelError

_OPAQUE = "opaque_kernel"
_CELL = "multi_rnn_cell/cell_%d/lstm_cell"
_SLOT = re.compile(r"(^|/)(Adam(_\d+)?|Momentum|ExponentialMovingAverage|beta[12]_power(_\d+)?|global_step)$")
_WITHOUT_ONE = "cudnn_compatible_lstm_cell"
_RENAMES = (
    (re.compile(r":0$"), ""),
    (re.compile(r"/(basic_lstm_cell|cudnn_compatible_lstm_cell)/"), "/lstm_cell/"),
    (re.compile(r"/weights$"), "/kernel"),
    (re.compile(r"/biases$"), "/bias"),
    (re.compile(r"/cudnn_lstm/(rnn/)?"), "/"),
)


def wanted(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Names of the weights among a checkpoint's variables: no slots, no counters, and no vector of cuDNN's if its
    matrices are there, too."""
    names = [name for name in shapes if not _SLOT.search(name) and shapes[name]]
    return [n for n in names if not (_is_opaque(n) and any(_below(n, other) for other in names))]


def _is_opaque(name: str) -> bool:
    return name.rpartition("/")[2].removesuffix(":0") == _OPAQUE


def _below(opaque: str, other: str) -> bool:
    scope = _renamed(opaque).removesuffix(_OPAQUE)
    return _renamed(other).startswith(f"{scope}multi_rnn_cell/")


def today(variables: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Weights under today's names and in today's layout.

    Raises:
      ModelError: the size of a vector of cuDNN's does not fit the layers.
    """
    found: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if _WITHOUT_ONE in name and name.removesuffix(":0").endswith(("bias", "biases")):
            value = _less_one(value)
        found[_renamed(name)] = value
    for name in [name for name in found if _is_opaque(name)]:
        found |= _unpacked(name.removesuffix(_OPAQUE), found, source)
        del found[name]
    return found


def _renamed(name: str) -> str:
    for pattern, text in _RENAMES:
        name = pattern.sub(text, name)
    return name


def _less_one(bias: np.ndarray) -> np.ndarray:
    """The bias for a cell that adds 1 to its forget gate, the third of four."""
    gates = np.array(bias, np.float32).reshape(4, -1)
    gates[2] -= 1
    return gates.reshape(-1)


def _unpacked(scope: str, found: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Kernels and biases cut from the vector at `scope`."""
    vector = np.asarray(found[scope + _OPAQUE], np.float32)
    units, layers = _shape(scope, found)
    # The first layer has the size 4 units (inputs + units + 2), each other one 4 units (2 units + 2).
    inputs = vector.size / (4 * max(units, 1)) - (layers - 1) * (2 * units + 2) - units - 2
    if units < 1 or layers < 1 or inputs < 1 or inputs != int(inputs):
        raise ModelError(
            f"{source} holds {scope}{_OPAQUE} of {vector.size} numbers, but the variables beside it need {layers} LSTM "
            f"layers of {units} units; it cannot be opened."
        )
    return unpack(vector, int(inputs), units, layers, scope)


def _shape(scope: str, found: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Units and layers of a vector, by the variables that take its outputs."""

    def size(name: str, axis: int) -> int:
        return found[name].shape[axis] if name in found else 0

    if scope.startswith("encoder/"):
        # A bidirectional layer has two vectors; its last outputs go to mu or to the level above.
        return size("encoder/mu/kernel", 0) // 2, 1
    units = size(f"{scope}output_projection/kernel", 0)
    return units, size(f"{scope}z_to_initial_state/bias", 0) // (2 * units) if units else 0


def unpack(vector: np.ndarray, inputs: int, units: int, layers: int, scope: str = "") -> dict[str, np.ndarray]:
    """Converts the weights of layers trained by cuDNN to Magenta's variables.

    Args:
      vector: cuDNN's vector, float32.
      inputs: input size of the first layer.
      units: units of each layer.
      layers: number of layers.
      scope: prefix of the names.

    Returns:
      `SCOPEmulti_rnn_cell/cell_I/lstm_cell/kernel` `[inputs + units, 4 * units]` and `.../bias` `[4 * units]`.
    """
    at, kernels, weights = 0, [], {}

    def taken(rows: int, columns: int) -> np.ndarray:
        nonlocal at
        at += rows * columns
        return vector[at - rows * columns : at].reshape(rows, columns)

    for layer in range(layers):
        sizes: Iterable[int] = (units if layer else inputs, units)
        kernels.append(np.concatenate([_ordered([taken(units, n) for _ in range(4)]) for n in sizes]))
    for layer, kernel in enumerate(kernels):
        own, recurrent = ([taken(units, 1) for _ in range(4)] for _ in range(2))
        weights[f"{scope}{_CELL % layer}/kernel"] = kernel
        weights[f"{scope}{_CELL % layer}/bias"] = _less_one((_ordered(own) + _ordered(recurrent))[0])
    return weights


def _ordered(gates: list[np.ndarray]) -> np.ndarray:
    """The matrices of cuDNN's gates, side by side in Magenta's order."""
    entry, forget, candidate, output = (gate.T for gate in gates)
    return np.concatenate([entry, candidate, forget, output], axis=1)
