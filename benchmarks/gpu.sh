#!/bin/sh
# Measures `calmvae train --engine jax` on a GPU in at most eight minutes, and checks it against the CPU.
# Needs a python3 with jax, numba, numpy, safetensors and threadpoolctl, and this checkout; no TensorFlow.
cd "$(dirname "$0")/.." || exit 1
exec "${PYTHON:-python3}" -m benchmarks.gpu "$@"
