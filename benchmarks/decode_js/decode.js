// magenta-js in Node: decodes as asked on stdin, a JSON object a line, in the manner of `stock_worker.py decode`.
//
//     node decode.js FOLDER cpu|wasm    FOLDER: what calmvae.magenta_js exports, z.bin (float32 [n, z])
//
// magenta-js fetches its checkpoints, so the folder is served on a port of this machine's own.
const fs = require('fs');
const http = require('http');
const path = require('path');
const readline = require('readline');

// The library tells the console what it does; stdout is for answers.
console.log = console.info = console.warn = (...words) => process.stderr.write(words.join(' ') + '\n');
// This old wasm backend takes Node's own fetch for a browser's, which reads no files; without it, it reads the file.
delete globalThis.fetch;
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm');
const {MusicVAE} = require('@magenta/music/node/music_vae');

async function main(folder, backend) {
  await tf.setBackend(backend);
  const server = http.createServer((request, response) => {
    const file = path.join(folder, path.basename(request.url));
    fs.createReadStream(file).on('error', () => response.writeHead(404).end()).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const model = await open(folder, `http://127.0.0.1:${server.address().port}`);
  server.close();
  const bytes = fs.readFileSync(path.join(folder, 'z.bin'));
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const size = model.decoder.zDims;
  say({backend: tf.getBackend(), tfjs: tf.version.tfjs, node: process.version});
  for await (const line of readline.createInterface({input: process.stdin})) {
    const question = JSON.parse(line);
    const n = question.n || values.length / size;
    const began = performance();
    const z = tf.tensor2d(values.slice(0, n * size), [n, size]);
    // No temperature: argmax.
    const decoded = await model.decodeTensors(z, question.temperature || undefined);
    const labels = tf.tidy(() => decoded.argMax(2));
    const tokens = await labels.array();
    const seconds = performance() - began;
    tf.dispose([z, decoded, labels]);
    say(question.tokens ? {seconds, tokens} : {seconds});
  }
}

async function open(folder, url) {
  const adapter = path.resolve(folder, 'levels.js');
  if (fs.existsSync(adapter)) {
    return require(adapter).load(MusicVAE, tf, url);
  }
  const model = new MusicVAE(url);
  await model.initialize();
  return model;
}

function performance() {
  return Number(process.hrtime.bigint()) / 1e9;
}

function say(answer) {
  process.stdout.write(JSON.stringify(answer) + '\n');
}

main(process.argv[2], process.argv[3]).catch((error) => {
  process.stderr.write(String((error && error.stack) || error) + '\n');
  process.exit(2);
});
