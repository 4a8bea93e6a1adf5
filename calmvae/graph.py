"""Magenta's training graph with what training needs around it: placeholders, clipping, named tensors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from calmvae import configs, magenta, runtime
from calmvae import cudnn as fast
from calmvae.phrases import DEPTH


class TrainingGraph:
    """One graph and session around Magenta's `model.train` for a spec.

    Gradients are clipped and applied as Magenta's music_vae_train does.

    Args:
      spec: the config.
      seed: of the initial weights and of every random op.
      threads: of TensorFlow within an operation, default all cores.
      cudnn: with the layers of `cudnn.py` instead of Magenta's.
    """

    def __init__(self, spec: configs.ModelSpec, seed: int, threads: int | None = None, cudnn: bool = False) -> None:
        self.tf = tf = magenta.load().tf
        self.spec = spec
        config = configs.magenta_config(spec)
        if cudnn:
            config = config._replace(model=fast.model(spec))
        batch = spec.hparams["batch_size"]
        with tf.Graph().as_default() as graph, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf.set_random_seed(seed)
            self.tokens = tf.placeholder(tf.uint8, [batch, spec.steps], name="tokens")
            one_hot = tf.one_hot(self.tokens, DEPTH)
            config.model.build(config.hparams, DEPTH, is_training=True)
            optimizer = config.model.train(one_hot, one_hot, tf.fill([batch], spec.steps))
            self.step = config.model.global_step
            self.loss = config.model.loss
            self.train_op = self._apply(optimizer, config)
            self.scalars = {op.name: op.inputs[1] for op in graph.get_operations() if op.type == "ScalarSummary"}
            self.variables = {v.op.name: v for v in tf.trainable_variables()}
            self._inputs = {n: tf.placeholder(tf.float32, v.shape) for n, v in self.variables.items()}
            self._assign = tf.group(*(v.assign(self._inputs[n]) for n, v in self.variables.items()))
            self.saver = tf.train.Saver(max_to_keep=3)
            initialize = tf.global_variables_initializer()
        graph.finalize()
        self.session = tf.Session(
            graph=graph,
            config=tf.ConfigProto(
                intra_op_parallelism_threads=threads or os.cpu_count() or 1, inter_op_parallelism_threads=2
            ),
        )
        self.session.run(initialize)

    def _apply(self, optimizer: Any, config: Any) -> Any:
        tf, hparams, loss = self.tf, config.hparams, config.model.loss
        gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
        norm = tf.global_norm(gradients, name="norm")
        tf.summary.scalar("global_norm", norm)
        if hparams.clip_mode == "value":
            limit = hparams.grad_clip
            clipped = [tf.clip_by_value(g, -limit, limit) for g in gradients]
        else:
            # Not `tf.cond`: a scaling factor does the same, and a step to be ignored is scaled to nothing.
            scale = tf.where(
                norm < hparams.grad_norm_clip_to_zero,
                hparams.grad_clip / tf.maximum(norm, hparams.grad_clip),
                tf.zeros_like(norm),
            )
            clipped = [g * scale for g in gradients]
        return optimizer.apply_gradients(
            zip(clipped, variables, strict=True), global_step=config.model.global_step, name="train_step"
        )

    def train(self, tokens: np.ndarray) -> dict[str, float]:
        """One step on a batch uint8 `[batch_size, steps]`. Returns its scalars by Magenta's names, batch means."""
        _, values = self.session.run([self.train_op, self.scalars], {self.tokens: tokens})
        return {name: float(np.mean(value)) for name, value in values.items()}

    def global_step(self) -> int:
        """Steps taken, those of resumed trainings included."""
        return int(self.session.run(self.step))

    def weights(self) -> dict[str, np.ndarray]:
        """The present weights by Magenta's names."""
        return self.session.run(self.variables)

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Sets all weights, leaving step and optimiser fresh.

        Raises:
          ModelError: the shapes do not fit.
        """
        runtime.check_weights(self.spec, weights)
        self.session.run(self._assign, {self._inputs[n]: weights[n] for n in self.variables})

    def save(self, prefix: str) -> str:
        """Writes a checkpoint `prefix-STEP` with optimiser slots; keeps the newest three."""
        return self.saver.save(self.session, prefix, global_step=self.global_step(), write_meta_graph=False)

    def restore(self, checkpoint: str) -> None:
        """Takes weights, optimiser and step from a checkpoint of `save`."""
        self.saver.restore(self.session, checkpoint)

    def close(self) -> None:
        """Frees the session."""
        self.session.close()
