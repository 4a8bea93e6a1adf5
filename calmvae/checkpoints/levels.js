// Runs a calmvae MusicVAE of any levels and layers in magenta-js, which by itself runs but two structures.
//
//     <script src="levels.js"></script>                         // a browser, after magenta-js and tfjs
//     const model = await calmvae.load(mm, tf, 'https://…/folder');
//
//     const {load} = require('./levels.js');                    // Node; `import {load} from './levels.js'` works too
//     const model = await load(require('@magenta/music/node/music_vae'), tf, url);
//
// What comes back is a MusicVAE of magenta-js with all of its methods; only its encoder and its decoder are from here.
// `tf` must be the TensorFlow.js that magenta-js uses (`mm.tf` of its bundle).
(function (root) {
  'use strict';

  // One LSTM or dense layer.
  function layer(vars, scope) {
    for (const name of [`${scope}/kernel`, `${scope}/bias`]) {
      if (!(name in vars)) {
        throw new Error(`The weight ${name} is missing; export the model again.`);
      }
    }
    return {kernel: vars[`${scope}/kernel`], bias: vars[`${scope}/bias`]};
  }

  // The layers whose scopes count up from 0.
  function layers(vars, scopeOf) {
    const found = [layer(vars, scopeOf(0))];
    while (`${scopeOf(found.length)}/kernel` in vars) {
      found.push(layer(vars, scopeOf(found.length)));
    }
    return found;
  }

  function units(cell) {
    return cell.bias.shape[0] / 4;
  }

  class Encoder {
    // lengths: of each level, the lowest first; null for a flat encoder.
    constructor(tf, vars, lengths, steps) {
      const scopes = lengths ? lengths.map((_, i) => `encoder/hierarchical_level_${i}`) : ['encoder'];
      const cell = (scope, i, way) => `${scope}/cell_${i}/bidirectional_rnn/${way}/multi_rnn_cell/cell_0/lstm_cell`;
      this.tf = tf;
      this.steps = steps;
      this.levels = scopes.map((scope, i) => ({
        length: lengths ? lengths[i] : steps,
        forward: layers(vars, (k) => cell(scope, k, 'fw')),
        backward: layers(vars, (k) => cell(scope, k, 'bw')),
      }));
      this.mu = layer(vars, 'encoder/mu');
      this.zDims = this.mu.bias.shape[0];
    }

    encode(sequence, segmentLengths) {
      const tf = this.tf;
      const [n, steps, depth] = sequence.shape;
      if (segmentLengths || steps !== this.steps) {
        throw new Error(`This model takes windows of ${this.steps} steps and no variable-length segments.`);
      }
      return tf.tidy(() => {
        let given = tf.cast(sequence, 'float32');
        let size = depth;
        for (const level of this.levels) {
          // Segments become rows of their own, and their embeddings the steps of the level above.
          const top = this.embed(level, tf.reshape(given, [-1, level.length, size]));
          size = top.shape[1];
          given = tf.reshape(top, [n, -1, size]);
        }
        return tf.add(tf.matMul(tf.reshape(given, [n, size]), this.mu.kernel), this.mu.bias);
      });
    }

    // [n, steps, depth] to [n, units of both ways].
    embed(level, given) {
      let inputs = this.tf.unstack(given, 1);
      let last;
      level.forward.forEach((cell, i) => {
        const forth = this.run(cell, inputs);
        const back = this.run(level.backward[i], inputs.slice().reverse());
        last = this.tf.concat([forth[forth.length - 1], back[back.length - 1]], 1);
        inputs = forth.map((h, t) => this.tf.concat([h, back[back.length - 1 - t]], 1));
      });
      return last;
    }

    run(cell, inputs) {
      let c = this.tf.zeros([inputs[0].shape[0], units(cell)]);
      let h = c;
      return inputs.map((x) => {
        [c, h] = this.tf.basicLSTMCell(1, cell.kernel, cell.bias, x, c, h);
        return h;
      });
    }
  }

  class Decoder {
    // lengths: of each level, the highest first; null for a flat decoder.
    constructor(tf, vars, lengths, steps) {
      const core = lengths ? 'core_decoder/decoder' : 'decoder';
      this.tf = tf;
      this.levels = (lengths || [steps]).map((length, i, all) => {
        const scope = i === all.length - 1 ? core : `decoder/hierarchical_level_${i}`;
        return {
          length,
          initial: layer(vars, scope + (scope === core ? '/z_to_initial_state' : '/initial_state')),
          cells: layers(vars, (k) => `${scope}${scope === core ? '/multi_rnn_cell' : ''}/cell_${k}/lstm_cell`),
        };
      });
      this.projection = layer(vars, `${core}/output_projection`);
      this.steps = steps;
      this.outputDims = this.projection.bias.shape[0];
      this.zDims = this.levels[0].initial.kernel.shape[0];
    }

    decode(z, length, initialInput, temperature, controls) {
      if (controls || length !== this.steps) {
        throw new Error(`This model gives windows of ${this.steps} steps and takes no controls.`);
      }
      const tf = this.tf;
      return tf.tidy(() => this.segment(0, z, initialInput || tf.zeros([z.shape[0], this.outputDims]), temperature));
    }

    // What an embedding stands for, after the token `previous`: one-hot [n, steps of the segment, depth].
    segment(index, embedding, previous, temperature) {
      const tf = this.tf;
      const level = this.levels[index];
      const isCore = index === this.levels.length - 1;
      return tf.tidy(() => {
        // A conductor hears nothing: its input is one zero a segment.
        const nothing = tf.zeros([embedding.shape[0], 1]);
        const parts = [];
        let state = this.initialState(level, embedding);
        for (let i = 0; i < level.length; i++) {
          state = this.step(level, isCore ? tf.concat([previous, embedding], 1) : nothing, state);
          const top = state[state.length - 1];
          if (isCore) {
            previous = this.choose(top, temperature);
            parts.push(previous);
          } else {
            const part = this.segment(index + 1, top, previous, temperature);
            previous = tf.squeeze(tf.slice(part, [0, part.shape[1] - 1, 0], [-1, 1, -1]), [1]);
            parts.push(part);
          }
        }
        return isCore ? tf.stack(parts, 1) : tf.concat(parts, 1);
      });
    }

    // c and h of the first layer, then of the next.
    initialState(level, embedding) {
      const tf = this.tf;
      const state = tf.tanh(tf.add(tf.matMul(embedding, level.initial.kernel), level.initial.bias));
      return tf.split(state, level.cells.flatMap((cell) => [units(cell), units(cell)]), 1);
    }

    step(level, input, state) {
      const found = [];
      level.cells.forEach((cell, i) => {
        const x = i ? found[2 * i - 1] : input;
        found.push(...this.tf.basicLSTMCell(1, cell.kernel, cell.bias, x, state[2 * i], state[2 * i + 1]));
      });
      return found;
    }

    choose(h, temperature) {
      const tf = this.tf;
      return tf.tidy(() => {
        let logits = tf.add(tf.matMul(h, this.projection.kernel), this.projection.bias);
        if (temperature) {
          // The largest of logits with Gumbel noise is a draw from them. tf.multinomial draws with one number for all
          // rows on the cpu backend, and wasm has none.
          const uniform = tf.randomUniform(logits.shape, 1e-7, 1 - 1e-7);
          logits = tf.sub(tf.div(logits, temperature), tf.log(tf.neg(tf.log(uniform))));
        }
        return tf.cast(tf.oneHot(tf.argMax(logits, 1), this.outputDims), 'float32');
      });
    }
  }

  async function fetchJson(tf, url) {
    const response = await tf.util.fetch(url);
    if (!response.ok) {
      throw new Error(`${url} cannot be fetched (HTTP ${response.status}).`);
    }
    return response.json();
  }

  // A second TensorFlow.js would multiply with tensors it does not have.
  function checkSameTf(tf, converter) {
    const before = tf.memory().numTensors;
    const probe = converter.tensorSteps({shape: [0]});
    const same = tf.memory().numTensors > before;
    probe.dispose();
    if (!same) {
      throw new Error('magenta-js uses another TensorFlow.js than the one given; give mm.tf, or install it once only.');
    }
  }

  // mm: magenta-js, or its MusicVAE. url: of the folder that holds config.json.
  async function load(mm, tf, url) {
    const MusicVAE = mm.MusicVAE || mm;
    url = url.replace(/\/+$/, '');
    const spec = await fetchJson(tf, `${url}/config.json`);

    class LevelsVAE extends MusicVAE {
      async initialize() {
        this.dispose();
        this.instantiateFromSpec();
        checkSameTf(tf, this.dataConverter);
        const steps = this.dataConverter.numSteps;
        const {encoderLengths, levelLengths} = spec.calmvae;
        const vars = await tf.io.loadWeights(await fetchJson(tf, `${url}/weights_manifest.json`), url);
        this.rawVars = vars;
        this.encoder = new Encoder(tf, vars, encoderLengths, steps);
        this.decoder = new Decoder(tf, vars, levelLengths, steps);
        this.zDims = this.decoder.zDims;
        this.initialized = true;
      }
    }

    const model = spec.calmvae ? new LevelsVAE(url, spec) : new MusicVAE(url);
    await model.initialize();
    return model;
  }

  if (typeof exports === 'object') {
    exports.load = load;
  } else {
    root.calmvae = {load};
  }
})(globalThis);
