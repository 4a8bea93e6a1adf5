"""Run stock Magenta on a spec, tokens and a checkpoint: the other side of every comparison with calmvae.

Runs inside the environment of `stock_env.sh` (Python 3.8, Magenta 2.1.4 with its own pins) and imports nothing of
calmvae, so what it writes is Magenta's own answer. With `.stock/venv/bin/python` as PY:

    PY benchmarks/stock_worker.py train --spec S.json --tokens T.npy --steps 20 --out DIR/model --seed 1
    PY benchmarks/stock_worker.py encode --spec S.json --checkpoint DIR/model --tokens T.npy --out Z.npz
    PY benchmarks/stock_worker.py decode --spec S.json --checkpoint DIR/model --z Z.npy <questions

Spec (JSON): `{"encoder": "bidirectional" | "hierarchical", "encoder_lengths": [16, 16] | null,
"decoder": "categorical" | "hierarchical", "level_lengths": [16, 16] | null, "hparams": {...}, "slice_bars": 2}`;
`hparams` go over Magenta's `lstm_models.get_default_hparams()`.
Tokens (.npy): integers `[n, steps]`, steps = `slice_bars` x 16 = `max_seq_len`; 0 hold, 1 note-off, 2..89 MIDI pitch
- 19.

The last line on stdout is one JSON object. A mistake in the input is one sentence on stderr and exit code 2.
"""

import argparse
import json
import os
import sys
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # no effect on stock's TensorFlow 2.9; needed from 2.16 on

import numpy as np

DEPTH = 90
STEPS_PER_BAR = 16
# Sampling at this temperature is argmax: a power of two divides float32 logits exactly, so their order is kept, and
# logits one rounding step apart end up thousands apart or more. Only exactly equal logits are still drawn at random.
ARGMAX_TEMPERATURE = 2.0**-40


class WorkerError(Exception):
    """What was found, what was expected, what to do."""


def read_spec(path):
    """The spec as a dict, checked for unknown and missing keys."""
    try:
        with open(path) as f:
            spec = json.load(f)
    except (OSError, ValueError) as e:
        raise WorkerError("%s is not a readable JSON spec: %s" % (path, e))
    known = {"encoder", "encoder_lengths", "decoder", "level_lengths", "hparams", "slice_bars"}
    if not isinstance(spec, dict) or set(spec) - known or known - {"level_lengths", "encoder_lengths"} - set(spec):
        raise WorkerError("%s: expected an object with the keys %s" % (path, ", ".join(sorted(known))))
    if spec["encoder"] not in ("bidirectional", "hierarchical"):
        raise WorkerError("%s: encoder is %r, expected 'bidirectional' or 'hierarchical'" % (path, spec["encoder"]))
    if bool(spec.get("encoder_lengths")) != (spec["encoder"] == "hierarchical"):
        raise WorkerError("%s: encoder_lengths go with a hierarchical encoder and only with one" % path)
    if spec["decoder"] not in ("categorical", "hierarchical"):
        raise WorkerError("%s: decoder is %r, expected 'categorical' or 'hierarchical'" % (path, spec["decoder"]))
    if bool(spec.get("level_lengths")) != (spec["decoder"] == "hierarchical"):
        raise WorkerError("%s: level_lengths go with a hierarchical decoder and only with one" % path)
    return spec


def read_tokens(path, steps):
    """Int tokens `[n, steps]` as written by the caller."""
    try:
        tokens = np.load(path)
    except (OSError, ValueError) as e:
        raise WorkerError("%s is not a readable .npy file: %s" % (path, e))
    if tokens.ndim != 2 or not len(tokens) or tokens.shape[1] != steps or tokens.dtype.kind not in "iu":
        raise WorkerError("%s holds %s %s, expected integers [n, %d]" % (path, tokens.dtype, tokens.shape, steps))
    if tokens.min() < 0 or tokens.max() >= DEPTH:
        raise WorkerError("%s holds tokens %d..%d, expected 0..%d" % (path, tokens.min(), tokens.max(), DEPTH - 1))
    return tokens


def one_hot(tokens):
    """Tokens `[..., steps]` as float32 `[..., steps, 90]`."""
    return np.eye(DEPTH, dtype=np.float32)[tokens]


def load_tensorflow():
    """TensorFlow in version 1 behaviour, as Magenta's own commands run it, without its deprecation notices."""
    warnings.simplefilter("ignore")
    import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_behavior()
    return tf


def build_config(spec):
    """A stock Magenta Config from a spec."""
    from magenta.common import merge_hparams
    from magenta.contrib.training import HParams
    from magenta.models.music_vae import configs, data, lstm_models
    from magenta.models.music_vae.base_model import MusicVAE

    defaults = lstm_models.get_default_hparams()
    unknown = sorted(set(spec["hparams"]) - set(defaults.values()))
    if unknown:
        raise WorkerError("unknown hparams %s, expected names from Magenta's defaults" % ", ".join(unknown))
    hparams = merge_hparams(defaults, HParams(**spec["hparams"]))
    if hparams.max_seq_len != spec["slice_bars"] * STEPS_PER_BAR:
        raise WorkerError(
            "max_seq_len is %d, expected slice_bars x %d = %d; set it in hparams"
            % (hparams.max_seq_len, STEPS_PER_BAR, spec["slice_bars"] * STEPS_PER_BAR)
        )
    decoder = lstm_models.CategoricalLstmDecoder()
    if spec["decoder"] == "hierarchical":
        levels = list(spec["level_lengths"])
        if np.prod(levels) != hparams.max_seq_len:
            raise WorkerError("level_lengths %s do not multiply to max_seq_len %d" % (levels, hparams.max_seq_len))
        decoder = lstm_models.HierarchicalLstmDecoder(decoder, level_lengths=levels, disable_autoregression=True)
    encoder = lstm_models.BidirectionalLstmEncoder()
    if spec["encoder"] == "hierarchical":
        encoder = lstm_models.HierarchicalLstmEncoder(
            lstm_models.BidirectionalLstmEncoder, level_lengths=list(spec["encoder_lengths"])
        )
    return configs.Config(
        model=MusicVAE(encoder, decoder),
        hparams=hparams,
        data_converter=data.OneHotMelodyConverter(
            skip_polyphony=False, max_bars=100, slice_bars=spec["slice_bars"], steps_per_quarter=4
        ),
    )


def check_checkpoint(path, tar):
    """Fail early, in words, where Magenta would raise a bare TypeError."""
    found = os.path.isfile(path + ".index") or os.path.isfile(os.path.join(path, "checkpoint"))
    if not found and not (tar and os.path.isfile(path)):
        raise WorkerError(
            "no checkpoint at %s; expected a prefix (PREFIX.index)%s or a folder of one"
            % (path, ", a tar" if tar else "")
        )


def encode(args):
    """Write mu, sigma `[n, z]` and the argmax decodes of mu, `tokens` `[n, steps]`."""
    spec = read_spec(args.spec)
    steps = spec["slice_bars"] * STEPS_PER_BAR
    tokens = read_tokens(args.tokens, steps)
    check_checkpoint(args.checkpoint, tar=True)

    started = time.time()
    load_tensorflow()
    config = build_config(spec)
    from magenta.models.music_vae.trained_model import TrainedModel

    imported = time.time()
    model = TrainedModel(config, batch_size=min(args.batch_size, len(tokens)), checkpoint_dir_or_path=args.checkpoint)
    opened = time.time()
    _, mu, sigma = model.encode_tensors(list(one_hot(tokens)), [steps] * len(tokens))
    encoded = time.time()
    decoded = np.stack(model.decode_to_tensors(mu, length=steps, temperature=args.temperature)).argmax(axis=-1)
    done = time.time()
    with open(args.out, "wb") as f:
        np.savez(f, mu=mu, sigma=sigma, tokens=decoded.astype(np.int32))
    return {
        "n": len(tokens),
        "steps": steps,
        "reconstruction_accuracy": float((decoded == tokens).mean()),
        "import_s": imported - started,
        "open_s": opened - imported,
        "encode_s": encoded - opened,
        "decode_s": done - encoded,
    }


def decode(args):
    """Answer questions, a JSON object a line, until stdin ends: `{"batch_size": 64, "temperature": 0.5}` or 0, argmax.

    The answer to each has the seconds that decoding all of z (or the first "n") took and, if asked for with "tokens",
    the tokens. A first line tells that the worker is ready, so that a benchmark can let it and calmvae take turns.
    """
    spec = read_spec(args.spec)
    steps = spec["slice_bars"] * STEPS_PER_BAR
    check_checkpoint(args.checkpoint, tar=True)
    z = np.load(args.z)
    load_tensorflow()
    config = build_config(spec)
    from magenta.models.music_vae.trained_model import TrainedModel

    models = {}
    print(json.dumps({"n": len(z), "steps": steps}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        size = question["batch_size"]
        if size not in models:
            models[size] = TrainedModel(config, batch_size=size, checkpoint_dir_or_path=args.checkpoint)
        temperature = question["temperature"] or ARGMAX_TEMPERATURE
        started = time.time()
        decoded = models[size].decode_to_tensors(z[: question.get("n")], length=steps, temperature=temperature)
        answer = {"seconds": time.time() - started}
        if question.get("tokens"):
            answer["tokens"] = np.stack(decoded).argmax(axis=-1).tolist()
        print(json.dumps(answer), flush=True)
    return {"ended": True}


def batches(n, size, seed):
    """Endless row indices `[size]`: one shuffle of `range(n)` after another, cut without regard to where one ends."""
    rng = np.random.RandomState(seed)
    queue = np.zeros(0, np.int64)
    while True:
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(n)])
        yield queue[:size]
        queue = queue[size:]


def clipped_train_op(tf, model, optimizer, hparams):
    """The train step of `music_vae_train.train`, which keeps it inside one function with its input files."""
    grads, variables = zip(*optimizer.compute_gradients(model.loss))
    norm = tf.global_norm(grads)
    if hparams.clip_mode == "value":
        clipped = [tf.clip_by_value(g, -hparams.grad_clip, hparams.grad_clip) for g in grads]
    elif hparams.clip_mode == "global_norm":
        clipped = tf.cond(
            norm < hparams.grad_norm_clip_to_zero,
            lambda: tf.clip_by_global_norm(grads, hparams.grad_clip, use_norm=norm)[0],
            lambda: [tf.zeros(tf.shape(g)) for g in grads],
        )
    else:
        raise WorkerError("clip_mode is %r, expected 'value' or 'global_norm'" % hparams.clip_mode)
    return optimizer.apply_gradients(list(zip(clipped, variables)), global_step=model.global_step, name="train_step")


def train(args):
    """Train `--steps` steps and save every variable, Adam's slots and the global step included."""
    if args.steps < 1:
        raise WorkerError("--steps is %d, expected 1 or more" % args.steps)
    spec = read_spec(args.spec)
    steps = spec["slice_bars"] * STEPS_PER_BAR
    tokens = read_tokens(args.tokens, steps)
    if args.start:
        check_checkpoint(args.start, tar=False)

    tf = load_tensorflow()
    config = build_config(spec)
    hparams = config.hparams
    folder = os.path.dirname(os.path.abspath(args.out))
    os.makedirs(folder, exist_ok=True)
    with tf.Graph().as_default():
        tf.set_random_seed(args.seed)
        config.model.build(hparams, config.data_converter.output_depth, is_training=True)
        sequence = tf.placeholder(tf.float32, [hparams.batch_size, None, DEPTH])
        length = tf.placeholder(tf.int32, [hparams.batch_size])
        optimizer = config.model.train(sequence, sequence, length)
        train_op = clipped_train_op(tf, config.model, optimizer, hparams)
        saver = tf.train.Saver()
        losses, times = [], []
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            if args.start:
                saver.restore(sess, tf.train.latest_checkpoint(args.start) or args.start)
            started = time.time()
            times.append(started)
            for _, rows in zip(range(args.steps), batches(len(tokens), hparams.batch_size, args.seed)):
                feed = {sequence: one_hot(tokens[rows]), length: np.full(hparams.batch_size, steps)}
                losses.append(float(sess.run([config.model.loss, train_op], feed)[0]))
                times.append(time.time())
            seconds = time.time() - started
            saver.save(sess, os.path.join(folder, os.path.basename(args.out)))
            global_step = int(sess.run(config.model.global_step))
    return {
        "steps": args.steps,
        "global_step": global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "train_s": seconds,
        "step_s": np.diff(times).tolist(),
        "losses": losses,
    }


def main():
    """Parse, run one subcommand, print its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("encode", help="mu, sigma and argmax decodes of mu")
    p.add_argument("--spec", required=True)
    p.add_argument("--checkpoint", required=True, help="prefix, tar or folder, as TrainedModel takes it")
    p.add_argument("--tokens", required=True)
    p.add_argument("--out", required=True, help=".npz with mu, sigma, tokens")
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--temperature", type=float, default=ARGMAX_TEMPERATURE, help="default: argmax")
    p.set_defaults(run=encode)
    p = commands.add_parser("decode", help="decode the same z again and again, as asked on stdin")
    p.add_argument("--spec", required=True)
    p.add_argument("--checkpoint", required=True, help="prefix, tar or folder, as TrainedModel takes it")
    p.add_argument("--z", required=True, help=".npy with the latent vectors, float32 [n, z]")
    p.set_defaults(run=decode)
    p = commands.add_parser("train", help="a few steps of stock training, saved as a checkpoint")
    p.add_argument("--spec", required=True)
    p.add_argument("--tokens", required=True)
    p.add_argument("--steps", type=int, required=True)
    p.add_argument("--out", required=True, help="prefix of the checkpoint to write")
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--start", help="prefix or folder of a checkpoint to go on from, Adam's slots included")
    p.set_defaults(run=train)
    args = parser.parse_args()
    try:
        result = args.run(args)
    except WorkerError as e:
        print("stock_worker.py: %s" % e, file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
