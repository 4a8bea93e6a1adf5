#!/usr/bin/env bash
# Build the reference peer: stock Magenta with its own pins, in its own Python 3.8 environment.
#
#   benchmarks/stock_env.sh [DIR]        DIR defaults to .stock/venv in the checkout
#   STOCK_PYTHON=/path/to/python3.8      the interpreter to build from, if none is found on PATH
#
# Doing it twice is free: DIR/stock-env.stamp says what was built and whether the build came to its end.
# Exit code 0: the environment is ready. 2: something is missing; one sentence on stderr says what to do.
set -euo pipefail
export PYTHONNOUSERSITE=1
unset PYTHONHOME PYTHONPATH

magenta=2.1.4
if [ $# -gt 1 ]; then
    echo "stock_env.sh: found $# arguments, expected at most one, the folder of the environment." >&2
    exit 2
fi
if [ -n "${1:-}" ]; then
    dir=$1
else
    dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.stock/venv
fi
stamp=$dir/stock-env.stamp
constraints=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/stock_constraints.txt

die() { echo "stock_env.sh: $*" >&2; exit 2; }

is_38() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' >/dev/null 2>&1; }

if [ "$(head -n 1 "$stamp" 2>/dev/null)" = "complete magenta==$magenta" ] && is_38 "$dir/bin/python"; then
    echo "$dir: magenta $magenta is already there"
    exit 0
fi
if [ ! -f "$stamp" ] && [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then
    die "$dir is not empty and was not made by this script; name another folder or empty it."
fi

python=
if [ -n "${STOCK_PYTHON:-}" ]; then
    is_38 "$STOCK_PYTHON" || die "STOCK_PYTHON=$STOCK_PYTHON does not run as Python 3.8; point it at a Python 3.8."
    python=$STOCK_PYTHON
else
    for name in python3.8 python3 python; do    # a pyenv shim may be there and not run, so each is tried
        if is_38 "$name"; then python=$name; break; fi
    done
    [ -n "$python" ] || die "found no Python 3.8 on PATH; install one or set STOCK_PYTHON to its path."
fi

# python-rtmidi 1.1.2, pinned by Magenta, has no wheel: it is compiled against ALSA and JACK.
command -v "${CXX:-c++}" >/dev/null || die "found no C++ compiler; install the Debian package g++."
has_header() { echo "#include <$1>" | "${CXX:-c++}" -x c++ -E - >/dev/null 2>&1; }
missing=
has_header alsa/asoundlib.h || missing="$missing libasound2-dev"
has_header jack/jack.h || missing="$missing libjack-jackd2-dev"
[ -z "$missing" ] || die "headers that python-rtmidi needs were not found; install the Debian package(s)$missing."

started=$SECONDS
mkdir -p "$dir"
echo "building" >"$stamp"
"$python" -m venv --clear "$dir"
echo "building" >"$stamp"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" "magenta==$magenta"
TF_CPP_MIN_LOG_LEVEL=3 "$dir/bin/python" -W ignore -c 'import magenta.models.music_vae.configs'
{
    echo "complete magenta==$magenta"
    "$dir/bin/python" -V
    "$dir/bin/python" -m pip --disable-pip-version-check freeze
} >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "$dir: magenta $magenta built in $((SECONDS - started)) s"
