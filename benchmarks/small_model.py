"""A `cat-mel_2bar_small` with the same weights for both sides: a checkpoint by stock, exported for calmvae.

Trained for a few steps only: how long decoding takes does not depend on what the weights say. Kept in
`.stock/small_model`, so that it is made once.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks import checkpoint_exchange, pairs
from calmvae.checkpoints import model_folder, tf_checkpoint
from calmvae.model import config_catalog, model_spec

NAME = "cat-mel_2bar_small"
STEPS, BATCH = 20, 64


def make(stock: Path, folder: Path = pairs.ROOT / ".stock" / "small_model") -> tuple[Path, Path]:
    """The checkpoint's prefix, as stock takes it, and the model folder, as calmvae does.

    Args:
      stock: the Python of stock's environment.
      folder: where to keep them.
    """
    prefix, model = folder / "model.ckpt", folder / "calmvae"
    if not (model / model_folder.SPEC_FILE).exists():
        spec = spec_of_batch(BATCH)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "tokens.npy", tokens(spec.steps))
        (folder / "spec.json").write_text(json.dumps(checkpoint_exchange.worker_spec(spec)))
        arguments = ("--spec", "spec.json", "--tokens", "tokens.npy", "--steps", STEPS, "--out", prefix, "--seed", 0)
        checkpoint_exchange.stock(stock, folder, "train", *arguments)
        model_folder.write(model, spec, tf_checkpoint.read(str(prefix)), {})
    return prefix, model


def spec_of_batch(batch: int) -> model_spec.ModelSpec:
    """The published config with another batch size."""
    return model_spec.with_hparams(config_catalog.get_spec(NAME), {"batch_size": batch})


def tokens(steps: int) -> np.ndarray:
    """All different windows of the embedded pieces, in every key; uint8 `[n, steps]`."""
    from calmvae.data import training_windows
    from calmvae.midi import read_music
    from calmvae.music import melody_tokens

    files = sorted((pairs.ROOT / "resources" / "pieces").glob("*.mid"))
    windows = np.concatenate([training_windows.piece_windows(read_music.read_piece(file), steps)[0] for file in files])
    return np.unique(np.concatenate([melody_tokens.transpose(windows, k) for k in range(-5, 7)]), axis=0)
