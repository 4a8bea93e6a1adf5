"""Magenta's melody models with Keras' LSTM kernel, which is cuDNN's on a GPU and TensorFlow's own elsewhere.

Magenta's loops compute a sequence step by step; cuDNN computes all its steps at once. Variables keep Magenta's names
and layout, so that checkpoints fit both. With scheduled sampling the decoder needs its own output at each step, and
keeps Magenta's loop.
"""

from __future__ import annotations

from typing import Any

from calmvae.common import magenta_import
from calmvae.model import magenta_config, model_spec


def model(spec: model_spec.ModelSpec) -> Any:
    """Magenta's `MusicVAE` for a spec without dropout and residual connections, with the faster layers in it."""
    door = magenta_import.load()
    lstm_models: Any = door.lstm_models

    class Encoder(lstm_models.BidirectionalLstmEncoder):
        def encode(self, sequence, sequence_length):
            """All windows of a batch have full length, so `sequence_length` is not needed."""
            tf = door.tf
            inputs, lasts = tf.transpose(sequence, [1, 0, 2]), []
            # It is a name in a flat encoder, and a scope in a level of a hierarchical one.
            level = getattr(self._name_or_scope, "name", self._name_or_scope)
            for layer, units in enumerate(spec.hparams["enc_rnn_size"]):
                outputs, lasts = [], []
                for way in ("fw", "bw"):
                    scope = f"{level}/cell_{layer}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell"
                    ordered = tf.reverse(inputs, [0]) if way == "bw" else inputs
                    out, _, h = _lstm(tf, scope, ordered, units)
                    outputs.append(tf.reverse(out, [0]) if way == "bw" else out)
                    lasts.append(h)
                inputs = tf.concat(outputs, axis=2)
            return tf.concat(lasts, axis=1)

    class Decoder(lstm_models.CategoricalLstmDecoder):
        def _decode(self, z, helper, input_shape, max_length=None):
            if type(helper) is not lstm_models.contrib_seq2seq.TrainingHelper:
                return super()._decode(z, helper, input_shape, max_length)
            tf, utils = door.tf, lstm_models.lstm_utils
            states = utils.initial_cell_state_from_embedding(self._dec_cell, z, name="decoder/z_to_initial_state")
            outputs, finals = tf.transpose(helper.inputs, [1, 0, 2]), []
            for layer, (units, state) in enumerate(zip(spec.hparams["dec_rnn_size"], states, strict=True)):
                scope = f"decoder/multi_rnn_cell/cell_{layer}/lstm_cell"
                outputs, c, h = _lstm(tf, scope, outputs, units, state.c, state.h)
                finals.append(type(state)(c, h))
            with tf.variable_scope("decoder", reuse=tf.AUTO_REUSE):
                logits = self._output_layer(tf.transpose(outputs, [1, 0, 2]))
            return utils.LstmDecodeResults(
                rnn_input=helper.inputs[:, :, : self._output_depth],
                rnn_output=logits,
                samples=tf.zeros_like(logits),
                final_state=tuple(finals),
                final_sequence_lengths=helper.sequence_length,
            )

    return magenta_config.magenta_model(spec, Encoder, Decoder)


def _lstm(tf: Any, scope: str, inputs: Any, units: int, c: Any = None, h: Any = None) -> tuple[Any, Any, Any]:
    """One layer over `[steps, n, depth]` from Magenta's variables: outputs `[steps, n, units]`, last c, last h."""
    from tf_keras.src.layers.rnn.lstm import lstm_with_backend_selection

    depth = int(inputs.shape[2])
    # The segments of a level share their variables.
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        kernel = tf.get_variable(f"{scope}/kernel", [depth + units, 4 * units])
        bias = tf.get_variable(f"{scope}/bias", [4 * units], initializer=tf.zeros_initializer())
    # Magenta's gates are input, candidate, forget (1 is added), output; Keras' input, forget, candidate, output.
    i, candidate, f, o = tf.split(kernel, 4, axis=1)
    ordered = tf.concat([i, f, candidate, o], axis=1)
    i, candidate, f, o = tf.split(bias, 4)
    nothing = tf.zeros([tf.shape(inputs)[1], units])
    _, outputs, last_h, last_c, _ = lstm_with_backend_selection(
        inputs=inputs,
        init_h=nothing if h is None else h,
        init_c=nothing if c is None else c,
        kernel=ordered[:depth],
        recurrent_kernel=ordered[depth:],
        bias=tf.concat([i, f + 1, candidate, o], axis=0),
        mask=None,
        time_major=True,
        go_backwards=False,
        sequence_lengths=None,
        zero_output_for_mask=False,
        return_sequences=True,
    )
    return outputs, last_c, last_h
