#!/usr/bin/env bash
# Build the virtualenv FOLDER from locked REQUIREMENTS, in one piece or not at all.
#
#   tools/make_venv.sh FOLDER REQUIREMENTS
#
# The first environment (.venv) gets pip and uv; the others are then a matter of seconds. Where uv
# cannot reach an index that pip can, pip does the work.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$1
requirements=$2

find_python() {
    # A pyenv shim can be on PATH without a Python behind it, so each candidate has to run.
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "Headroom needs Python 3.11 or newer. On Debian: apt-get install python3 python3-venv" >&2
    return 1
}

use_pips_index() {
    # uv does not read pip's configuration; a machine with a mirror has it there.
    if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        local index
        index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
        if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi
    fi
    export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NO_PROGRESS=1
}

install() {
    if [ -x .venv/bin/uv ] && .venv/bin/uv pip install --quiet --no-config --require-hashes \
        --python "$folder/bin/python" -r "$requirements"; then
        return
    fi
    .venv/bin/python -m pip --python "$folder/bin/python" install --quiet --require-hashes \
        -r "$requirements"
}

say() { printf '%s\n' "$*" >&2; }

python=$(find_python)
say "Building $folder with $("$python" -V) ..."
started=$SECONDS
rm -rf "$folder"
trap 'rm -rf "$folder"' ERR INT TERM
if [ "$folder" = .venv ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "This Python has no venv module. On Debian: apt-get install python3-venv"
        exit 1
    fi
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements/uv.txt || say "uv is not to be had here; pip does it alone."
else
    "$python" -m venv --without-pip "$folder"
fi
use_pips_index
install
touch "$folder/.stamp"
say "Built $folder in $((SECONDS - started)) s."
