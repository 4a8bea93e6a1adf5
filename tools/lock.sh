#!/bin/sh
# Write requirements.lock anew from setup.cfg: every package with every file's hash, for Python 3.10 to 3.13.
#
#     tools/lock.sh              keep the versions already locked where they still fit
#     tools/lock.sh --upgrade    take the newest of everything that is not held below
#
# Two passes, one file. The first resolves what setup.cfg asks for. The second adds, without their dependencies,
# the two packages that no resolver can install (setup.cfg says why). The result is installed with
#     pip install --require-hashes --no-deps -r requirements.lock
# and `make test` does that. Uses uv, from the path or from a temporary environment.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v uv >/dev/null; then
    "${PYTHON:-python3}" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install -q uv
    PATH="$work/venv/bin:$PATH"
fi

# Held on purpose. The first five are what calmvae is proved on; tf-keras must be of TensorFlow's own version.
# The others keep Python 3.11, 3.12 and 3.13 on one set of versions (their next releases left 3.11); 3.10 has an older one.
cat >"$work/held.txt" <<'EOF'
tensorflow==2.21.0
tf-keras==2.21.0
tensorflow-probability==0.25.0
tf-slim==1.1.0
note-seq==0.0.5
bokeh<3.10
contourpy<1.4
librosa<1
numpy<2.5
scipy<1.18
EOF
cat >"$work/alone.txt" <<'EOF'
magenta==2.1.4
tinysoundfont>=0.3.7,<0.4
EOF
# tinysoundfont has no wheel for these, and is compiled there: it needs a C++ compiler and what its sources build with.
source="python_version >= '3.13' or (sys_platform == 'linux' and platform_machine != 'x86_64')"
cat >"$work/build.txt" <<EOF
cmake; $source
pybind11; $source
scikit-build-core; $source
EOF
# Windows only.
cat >"$work/unwanted.txt" <<'EOF'
colorama
pywin32
EOF

compile() {
    uv pip compile --quiet --no-config --universal --python-version 3.10 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}

old=requirements.lock
for pass in all alone; do
    if [ -f "$old" ]; then cp "$old" "$work/$pass.lock"; fi
done
compile setup.cfg "$work/build.txt" --extra dev --constraint "$work/held.txt" --excludes "$work/unwanted.txt" \
    --output-file "$work/all.lock" "$@"
compile "$work/alone.txt" --no-deps --output-file "$work/alone.lock" "$@"

{
    echo "# Made by tools/lock.sh from setup.cfg; do not edit."
    echo "# Install with: pip install --require-hashes --no-deps -r requirements.lock"
    echo "# --no-deps matters: magenta and tinysoundfont (last) declare dependencies that cannot be met."
    cat "$work/all.lock" "$work/alone.lock"
} >"$work/requirements.lock"
mv "$work/requirements.lock" requirements.lock
grep -c '==' requirements.lock | sed 's/$/ pinned versions in requirements.lock/'
