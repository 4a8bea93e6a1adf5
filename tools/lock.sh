#!/bin/sh
# Write the locks anew from setup.cfg: every package with every file's hash, for Python 3.10 to 3.13.
# requirements.lock holds everything, requirements-light.lock the part of it that a plain install needs.
#
#     tools/lock.sh              keep the versions already locked where they still fit
#     tools/lock.sh --upgrade    take the newest of everything that is not held below
#
# Two passes a file. The first resolves what setup.cfg asks for. The second adds, without their dependencies,
# the packages that no resolver can install (setup.cfg says why). The results are installed with
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
echo "tinysoundfont>=0.3.7,<0.4" >"$work/alone-light.txt"
cat "$work/alone-light.txt" - >"$work/alone.txt" <<'EOF'
magenta==2.1.4
EOF
# tinysoundfont has no wheel for these, and is compiled there: it needs a C++ compiler and what its sources build with.
source="python_version >= '3.13' or (sys_platform == 'linux' and platform_machine != 'x86_64')"
# setuptools installs calmvae itself.
cat >"$work/build.txt" <<EOF
setuptools>=77
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
compile setup.cfg "$work/build.txt" --extra train --extra notebooks --extra dev --constraint "$work/held.txt" \
    --excludes "$work/unwanted.txt" --output-file "$work/all.lock" "$@"
compile "$work/alone.txt" --no-deps --output-file "$work/alone.lock" "$@"
# The light lock takes its versions from the full one.
sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\)\( ;[^\\]*\)\{0,1\} *\\\{0,1\}$/\1\2/p' "$work/all.lock" "$work/alone.lock" >"$work/same.txt"
compile setup.cfg "$work/build.txt" --constraint "$work/same.txt" --excludes "$work/unwanted.txt" \
    --output-file "$work/light.lock"
compile "$work/alone-light.txt" --no-deps --constraint "$work/same.txt" --output-file "$work/alone-light.lock"

write() {
    {
        echo "# Made by tools/lock.sh from setup.cfg; do not edit."
        echo "# Install with: pip install --require-hashes --no-deps -r $1"
        echo "# --no-deps matters: magenta and tinysoundfont (last) declare dependencies that cannot be met."
        cat "$2" "$3"
    } >"$work/$1"
    mv "$work/$1" "$1"
    grep -c '==' "$1" | sed "s/$/ pinned versions in $1/"
}
write requirements.lock "$work/all.lock" "$work/alone.lock"
write requirements-light.lock "$work/light.lock" "$work/alone-light.lock"
