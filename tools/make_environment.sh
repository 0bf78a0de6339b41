#!/bin/sh
# Make a virtual environment with the first Python on PATH that tridet supports, else with one that
# uv brings: tools/make_environment.sh FOLDER [PYTHON]
set -eu

folder=$1
python=${2:-}

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

fail() {
    rm -rf "$folder"
    echo "make: error: $1" >&2
    exit 1
}

if [ -n "$python" ]; then
    supported "$python" || fail "expected Python 3.10 to 3.13, found PYTHON=$python"
else
    for found in python3 python3.13 python3.12 python3.11 python3.10; do
        if supported "$found"; then
            python=$found
            break
        fi
    done
fi

if [ -n "$python" ]; then
    echo "Making $folder with $("$python" --version)"
    "$python" -m venv "$folder" >/dev/null 2>&1 ||
        fail "$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
    exit
fi

uv=uv
if ! command -v uv >/dev/null; then
    echo "Found no Python 3.10 to 3.13 on PATH; installing uv from PyPI, which brings one"
    helper=$(mktemp -d)
    trap 'rm -rf "$helper"' EXIT
    {
        python3 -m venv "$helper" && "$helper/bin/python" -m pip install --quiet uv
    } >/dev/null 2>&1 || fail "expected Python 3.10 to 3.13 or uv on PATH, found neither"
    uv=$helper/bin/uv
fi
echo "Making $folder with a Python that uv downloads"
if ! said=$("$uv" venv --quiet --seed --python-preference only-managed --python '>=3.10,<3.14' \
    "$folder" 2>&1); then
    said=$(printf '%s' "$said" | tr -s '\n ' ' ')
    fail "expected Python 3.10 to 3.13 on PATH, found none, and uv cannot bring one: $said"
fi
