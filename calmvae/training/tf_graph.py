"""Magenta's training graphs: `model.train` with its inputs, clipping, checkpoints and, for some, an evaluation."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calmvae.common import magenta_import, thread_pool
from calmvae.model import magenta_config, magenta_seeds, model_spec, numpy_engine


class Graph:
    """One graph and session around Magenta's `model.train`; a subclass makes the inputs.

    Gradients are clipped and applied as in Magenta's music_vae_train.

    Args:
      name: of the config.
      config: Magenta's Config, with a model that is not built yet.
      seed: of the initial weights and of every random op.
      threads: of TensorFlow within an operation, default one per core.
    """

    def __init__(self, name: str, config: Any, seed: int, threads: int | None = None) -> None:
        self.tf = tf = magenta_import.load().tf
        self.name, self.config, self._seed = name, config, seed
        # Keras seeds the initial weights of the dense layers from the global random state.
        with tf.Graph().as_default() as graph, warnings.catch_warnings(), magenta_import.seeded([seed]):
            warnings.simplefilter("ignore")
            tf.set_random_seed(seed)
            self._make_inputs()
            config.model.build(config.hparams, config.data_converter.output_depth, is_training=True)
            optimizer = self._build_training()
            self.step = config.model.global_step
            self.loss = config.model.loss
            self.train_op = self._apply(optimizer)
            self.scalars = {op.name: op.inputs[1] for op in graph.get_operations() if op.type == "ScalarSummary"}
            self.variables = {v.op.name: v for v in tf.trainable_variables()}
            self._values = {n: tf.placeholder(tf.float32, v.shape) for n, v in self.variables.items()}
            self._assign = tf.group(*(v.assign(self._values[n]) for n, v in self.variables.items()))
            self._build_more()
            self.saver = tf.train.Saver(max_to_keep=3)
            initialize = tf.global_variables_initializer()
        graph.finalize()
        self.session = tf.Session(
            graph=graph,
            config=tf.ConfigProto(
                intra_op_parallelism_threads=threads or thread_pool.cores(), inter_op_parallelism_threads=2
            ),
        )
        self.session.run(initialize)

    def _make_inputs(self) -> None:
        """Makes the placeholders, before the model is built."""
        raise NotImplementedError

    def _build_training(self) -> Any:
        """Calls `model.train` on them; returns the optimizer."""
        raise NotImplementedError

    def _build_more(self) -> None:
        """Adds to the graph, if a subclass needs more."""

    def _apply(self, optimizer: Any) -> Any:
        tf, hparams = self.tf, self.config.hparams
        gradients, variables = zip(*optimizer.compute_gradients(self.loss), strict=True)
        norm = tf.global_norm(gradients, name="norm")
        tf.summary.scalar("global_norm", norm)
        if hparams.clip_mode == "value":
            limit = hparams.grad_clip
            clipped = [tf.clip_by_value(g, -limit, limit) for g in gradients]
        else:
            # Instead of a `tf.cond`: a gradient that is too large is scaled to 0.
            scale = tf.where(
                norm < hparams.grad_norm_clip_to_zero,
                hparams.grad_clip / tf.maximum(norm, hparams.grad_clip),
                tf.zeros_like(norm),
            )
            clipped = [g * scale for g in gradients]
        return optimizer.apply_gradients(zip(clipped, variables, strict=True), global_step=self.step, name="train_step")

    def _feed(self, batch: Any) -> dict[Any, np.ndarray]:
        """A batch by placeholder."""
        raise NotImplementedError

    def train(self, batch: Any) -> dict[str, float]:
        """One step; returns its scalars by Magenta's names, means over the batch."""
        _, values = self.session.run([self.train_op, self.scalars], self._feed(batch))
        return {name: float(np.mean(value)) for name, value in values.items()}

    def global_step(self) -> int:
        """The number of steps taken, also before a resumption."""
        return int(self.session.run(self.step))

    def weights(self) -> dict[str, np.ndarray]:
        """The present weights by Magenta's names."""
        return self.session.run(self.variables)

    def load_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Sets all weights, and leaves step and optimiser fresh.

        Raises:
          ModelError: the shapes do not fit.
        """
        wanted = {name: tuple(v.shape.as_list()) for name, v in self.variables.items()}
        numpy_engine.check_shapes(self.name, wanted, weights)
        self.session.run(self._assign, {self._values[n]: weights[n] for n in self.variables})

    def save(self, prefix: str) -> str:
        """Writes a checkpoint `prefix-STEP` with optimiser slots, and keeps the newest three."""
        return self.saver.save(self.session, prefix, global_step=self.global_step(), write_meta_graph=False)

    def restore(self, checkpoint: str) -> None:
        """Reads weights, optimiser and step from a checkpoint of `save`."""
        self.saver.restore(self.session, checkpoint)

    def close(self) -> None:
        """Frees the session."""
        self.session.close()


class TrainingGraph(Graph):
    """The graph for melodies and voices. A batch is uint8 `[batch_size, steps]`, or `[batch_size, steps, voices]`.

    Args:
      spec: the config.
      seed, threads: see `Graph`.
    """

    def __init__(self, spec: model_spec.ModelSpec, seed: int, threads: int | None = None) -> None:
        self.spec = spec
        super().__init__(spec.name, magenta_config.magenta_config(spec), seed, threads)

    def _make_inputs(self) -> None:
        tf, spec = self.tf, self.spec
        shape = [spec.hparams["batch_size"], spec.steps] + ([spec.voices] if spec.voices > 1 else [])
        self.tokens = tf.placeholder(tf.uint8, shape, name="tokens")
        self._one_hot = tf.reshape(tf.one_hot(self.tokens, spec.depth), [*shape[:2], spec.width])

    def _build_training(self) -> Any:
        lengths = self.tf.fill([self.spec.hparams["batch_size"]], self.spec.steps)
        return self.config.model.train(self._one_hot, self._one_hot, lengths)

    def _feed(self, batch: np.ndarray) -> dict[Any, np.ndarray]:
        return {self.tokens: batch}


class ExampleGraph(Graph):
    """The graph for any config of Magenta's. It evaluates too, teacher-forced and without dropout.

    A batch is inputs, outputs and controls, float32 `[batch_size, length, depth]`, and lengths, int32 `[batch_size]` or
    in the shape of the converter.
    """

    def _make_inputs(self) -> None:
        tf, converter, batch = self.tf, self.config.data_converter, self.config.hparams.batch_size
        depths = (converter.input_depth, converter.output_depth, int(converter.control_depth or 0))
        self._sequences = [tf.placeholder(tf.float32, [batch, None, depth]) for depth in depths]
        self._lengths = tf.placeholder(tf.int32, [batch, *map(int, converter.length_shape)])
        self._controls = self._sequences[2] if converter.control_depth else None
        # A built model cannot be copied.
        self._measuring = copy.deepcopy(self.config.model)

    def _build_training(self) -> Any:
        # Without this, the draws of a step (dropout, the decoder's own output) would come in any order.
        with magenta_seeds.seeded_training(self._seed):
            return self.config.model.train(*self._sequences[:2], self._lengths, self._controls)

    def _build_more(self) -> None:
        """A second model with the same variables, for `measure`."""
        tf, model = self.tf, self._measuring
        # A model that is not trained would feed the decoder its own output, and would say so in the hparams.
        hparams = magenta_import.load().HParams(
            **{**self.config.hparams.values(), "sampling_schedule": "constant", "sampling_rate": 0.0}
        )
        inputs, outputs, _ = self._sequences
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            model.build(hparams, self.config.data_converter.output_depth, is_training=False)
            z = mu = sigma = self._noise = tf.zeros([hparams.batch_size, 0])
            if hparams.z_size:
                posterior = model.encode(inputs, self._lengths, self._controls)
                mu, sigma = posterior.loc, posterior.scale.diag
                self._noise = tf.placeholder(tf.float32, [hparams.batch_size, hparams.z_size])
                z = mu + sigma * self._noise
            before = tf.pad(outputs[:, :-1], [(0, 0), (1, 0), (0, 0)])
            given = z if hparams.z_size else None
            nats = model.decoder.reconstruction_loss(before, outputs, self._lengths, given, self._controls)[0]
        self._measured = nats, mu, sigma

    def _feed(self, batch: Sequence[np.ndarray]) -> dict[Any, np.ndarray]:
        return dict(zip([*self._sequences, self._lengths], batch, strict=True))

    def measure(self, batch: Sequence[np.ndarray], noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each example's reconstruction loss in nats `[batch_size]`, and mu and sigma of its posterior.

        Args:
          batch: as for `train`.
          noise: of the draw from the posterior, `[batch_size, z_size]`.
        """
        return self.session.run(self._measured, {**self._feed(batch), self._noise: noise})
