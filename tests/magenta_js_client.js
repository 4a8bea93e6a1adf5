// magenta-js in Node, one job and one answer, as JSON on stdin and stdout (see test_magenta_js.py).
//
// A job: {folder, backend: "wasm" or "cpu", style: how to load the folder's levels.js, "stock" for magenta-js alone,
// z: latent vectors, temperature, windows: lists of [pitch, start, end], methods: whether to try the others}.
// It lies beside node_modules when it runs. magenta-js fetches its models, so the folder is served on a local port.
const fs = require('fs');
const http = require('http');
const path = require('path');
const vm = require('vm');

// The libraries tell the console what they do; stdout is for the answer.
console.log = console.info = console.warn = (...words) => process.stderr.write(words.join(' ') + '\n');
// The wasm backend takes Node's own fetch for a browser's, which reads no files; without it, it reads the file.
delete globalThis.fetch;
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm');
const mm = require('@magenta/music/node/music_vae');

async function open(style, folder, url) {
  const file = path.join(folder, 'levels.js');
  if (style === 'stock') {
    const model = new mm.MusicVAE(url);
    await model.initialize();
    return model;
  }
  if (style === 'script') {
    vm.runInThisContext(fs.readFileSync(file, 'utf8'));
    return globalThis.calmvae.load(mm, tf, url);
  }
  const {load} = style === 'import' ? await import(file) : require(file);
  return load(style === 'class' ? mm.MusicVAE : mm, style === 'other tf' ? strangeTf() : tf, url);
}

// As a second copy of TensorFlow.js: it has not the tensors that magenta-js makes.
function strangeTf() {
  return {...tf, memory: () => ({numTensors: 0})};
}

function sequenceOf(notes, steps) {
  return {
    notes: notes.map(([pitch, start, end]) => ({pitch, quantizedStartStep: start, quantizedEndStep: end})),
    quantizationInfo: {stepsPerQuarter: 4},
    totalQuantizedSteps: steps,
  };
}

function notesOf(sequence) {
  return sequence.notes.map((note) => [note.pitch, note.quantizedStartStep || 0, note.quantizedEndStep]);
}

async function tokensOf(model, z, temperature) {
  const decoded = await model.decodeTensors(z, temperature);
  return tf.tidy(() => decoded.argMax(2)).array();
}

async function answerTo(job, model) {
  const answer = {};
  if (job.z) {
    const z = tf.tensor2d(job.z);
    answer.tokens = await tokensOf(model, z, job.temperature || undefined);
    if (!job.temperature) {
      answer.notes = (await model.decode(z)).map(notesOf);
    }
  }
  if (job.windows) {
    const windows = job.windows.map((notes) => sequenceOf(notes, model.dataConverter.numSteps));
    const mu = await model.encode(windows);
    answer.mu = await mu.array();
    answer.decoded = (await model.decode(mu)).map(notesOf);
    if (job.methods) {
      answer.interpolated = (await model.interpolate(windows.slice(0, 2), 3)).map(notesOf);
      answer.similar = (await model.similar(windows[0], 2, 1)).map(notesOf);
      answer.sampled = (await model.sample(2, 0)).map((sequence) => sequence.totalQuantizedSteps);
      const before = tf.memory().numTensors;
      (await model.decodeTensors(mu)).dispose();
      answer.leaked = tf.memory().numTensors - before;
      model.dispose();
      answer.again = (await model.decode(mu)).map(notesOf);
    }
  }
  return answer;
}

async function main() {
  const job = JSON.parse(fs.readFileSync(0, 'utf8'));
  await tf.setBackend(job.backend);
  const server = http.createServer((request, response) => {
    const file = path.join(job.folder, path.basename(request.url));
    fs.createReadStream(file).on('error', () => response.writeHead(404).end()).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  let answer;
  try {
    answer = await answerTo(job, await open(job.style, job.folder, `http://127.0.0.1:${server.address().port}/`));
  } catch (error) {
    answer = {error: String(error && error.message)};
  }
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

main();
