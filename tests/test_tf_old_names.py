"""Older layouts of checkpoints: what cuDNN packed, other names, slots."""

from __future__ import annotations

import numpy as np
import pytest

from calmvae.checkpoints import tf_checkpoint, tf_old_names
from calmvae.common.errors import ModelError
from calmvae.model import numpy_engine
from tests.conftest import random_weights, tiny_spec


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cudnn_run(x: np.ndarray, layers: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Outputs of cuDNN's LSTM as NVIDIA states it (cudnnRNNMode_t): W, R, and both biases for i, f, g, o."""
    for layer in layers:
        h = c = np.zeros(layer["Ri"].shape[0])
        outputs = []
        for step in x:
            gate = {g: layer[f"W{g}"] @ step + layer[f"R{g}"] @ h + layer[f"bW{g}"] + layer[f"bR{g}"] for g in "ifgo"}
            c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
            h = sigmoid(gate["o"]) * np.tanh(c)
            outputs.append(h)
        x = np.stack(outputs)
    return x


def cudnn_vector(layers: list[dict[str, np.ndarray]]) -> np.ndarray:
    """The same weights as cuDNN lays them out in memory: matrices of all layers, then biases of all layers."""
    matrices = [layer[f"{kind}{g}"].ravel() for layer in layers for kind in "WR" for g in "ifgo"]
    biases = [layer[f"b{kind}{g}"] for layer in layers for kind in "WR" for g in "ifgo"]
    return np.concatenate([*matrices, *biases]).astype(np.float32)


def magenta_run(x: np.ndarray, weights: dict[str, np.ndarray], scope: str = "") -> np.ndarray:
    """Outputs of Magenta's LSTMBlockCell in layers: gates i, g, f, o in one kernel, 1 added to f."""
    for layer in range(len(weights) // 2):
        kernel = weights[f"{scope}multi_rnn_cell/cell_{layer}/lstm_cell/kernel"]
        bias = weights[f"{scope}multi_rnn_cell/cell_{layer}/lstm_cell/bias"]
        h = c = np.zeros(len(bias) // 4)
        outputs = []
        for step in x:
            i, g, f, o = np.split(np.concatenate([step, h]) @ kernel + bias, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        x = np.stack(outputs)
    return x


def random_layers(inputs: int, units: int, n: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    layers = []
    for k in range(n):
        sizes = {"W": (units, units if k else inputs), "R": (units, units), "bW": (units,), "bR": (units,)}
        layers.append({f"{kind}{g}": rng.normal(0, 0.5, size) for kind, size in sizes.items() for g in "ifgo"})
    return layers


@pytest.mark.parametrize("n", [1, 3])
def test_what_cudnn_packed_computes_the_same(n):
    layers = random_layers(5, 7, n)
    x = np.random.default_rng(4).normal(size=(6, 5))
    unpacked = tf_old_names.unpack(cudnn_vector(layers), 5, 7, n)
    np.testing.assert_allclose(magenta_run(x, unpacked), cudnn_run(x, layers), atol=1e-6)


def packed(weights: dict[str, np.ndarray], scope: str) -> np.ndarray:
    """Magenta's matrices below a scope as cuDNN's vector: the reverse of what calmvae does, written by its own rule."""
    matrices, biases, layer = [], [], 0
    while f"{scope}multi_rnn_cell/cell_{layer}/lstm_cell/kernel" in weights:
        kernel = weights[f"{scope}multi_rnn_cell/cell_{layer}/lstm_cell/kernel"]
        bias = weights[f"{scope}multi_rnn_cell/cell_{layer}/lstm_cell/bias"]
        units = len(bias) // 4
        columns = [slice(k * units, (k + 1) * units) for k in (0, 2, 1, 3)]
        for rows in (slice(0, -units), slice(-units, None)):
            matrices += [kernel[rows, c].T.ravel() for c in columns]
        whole = bias + np.repeat([0, 0, 1, 0], units)
        # Split unevenly: only the sum of the two counts.
        biases += [0.25 * whole[c] for c in columns] + [0.75 * whole[c] for c in columns]
        layer += 1
    return np.concatenate([*matrices, *biases]).astype(np.float32)


def as_trained_by_cudnn(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All of its layers in cuDNN's vectors, but those of conductors, which Magenta never had there."""
    marks = [name.partition("multi_rnn_cell/")[0] for name in weights if "multi_rnn_cell/" in name]
    out = {name: value for name, value in weights.items() if "multi_rnn_cell/" not in name}
    return out | {f"{scope}opaque_kernel": packed(weights, scope) for scope in dict.fromkeys(marks)}


@pytest.mark.parametrize("name", ["calm-mel_2bar-big", "calm-mel_2bar", "calm-mel_16bar-big"])
def test_a_checkpoint_of_vectors_opens(tmp_path, name):
    """Flat and hierarchical, with decoders of two layers: the same latents and the same notes."""
    spec = tiny_spec(name)
    spec.hparams["dec_rnn_size"] = [28, 28]
    weights = random_weights(spec)
    slots = {f"{n}/Adam": v for n, v in as_trained_by_cudnn(weights).items()}
    prefix = tf_checkpoint.write(tmp_path / "old.ckpt", as_trained_by_cudnn(weights) | slots | {"global_step": 3})
    read = tf_checkpoint.read(prefix)
    assert {n: v.shape for n, v in read.items()} == numpy_engine.weight_shapes(spec)
    for variable, value in weights.items():
        np.testing.assert_allclose(read[variable], value, atol=1e-6, err_msg=variable)
    z = np.random.default_rng(0).normal(size=(3, spec.z_size))
    ours, theirs = numpy_engine.Engine(spec, read), numpy_engine.Engine(spec, weights)
    assert np.array_equal(ours.decode(z), theirs.decode(z))


def test_matrices_beside_a_vector_win(tmp_path):
    """Magenta's converter wrote both; the vector of a device may be of another size than ours."""
    weights = random_weights(tiny_spec("calm-mel_2bar-big"))
    extra = {"decoder/opaque_kernel": np.zeros(11, np.float32), "decoder/opaque_kernel/Adam": np.zeros(11, np.float32)}
    read = tf_checkpoint.read(tf_checkpoint.write(tmp_path / "both.ckpt", weights | extra))
    assert read.keys() == weights.keys()


def test_a_vector_of_another_size_is_refused(tmp_path):
    old = as_trained_by_cudnn(random_weights(tiny_spec("calm-mel_2bar-big")))
    old["decoder/opaque_kernel"] = old["decoder/opaque_kernel"][:-3]
    with pytest.raises(ModelError, match=r"holds decoder/opaque_kernel of \d+ numbers"):
        tf_checkpoint.read(tf_checkpoint.write(tmp_path / "odd.ckpt", old))


def test_older_names(tmp_path):
    spec = tiny_spec("calm-mel_2bar-big")
    weights = random_weights(spec)
    plain = {n.replace("lstm_cell", "basic_lstm_cell"): v for n, v in weights.items()}
    plain = {n.replace("/kernel", "/weights").replace("/bias", "/biases"): v for n, v in plain.items()}
    read = tf_checkpoint.read(tf_checkpoint.write(tmp_path / "plain.ckpt", plain))
    assert read.keys() == weights.keys() and all(np.array_equal(read[n], weights[n]) for n in weights)


def test_a_cell_without_the_added_one(tmp_path):
    """`cudnn_compatible_lstm_cell` has its forget bias whole; today's cell adds 1 to it."""
    weights = random_weights(tiny_spec("calm-mel_2bar-big"))
    old = {}
    for name, value in weights.items():
        if name.endswith("lstm_cell/bias"):
            value = value + np.repeat([0, 0, 1, 0], len(value) // 4)
        old[name.replace("lstm_cell", "cudnn_compatible_lstm_cell")] = value.astype(np.float32)
    read = tf_checkpoint.read(tf_checkpoint.write(tmp_path / "compatible.ckpt", old))
    for name, value in weights.items():
        np.testing.assert_allclose(read[name], value, atol=1e-6)
