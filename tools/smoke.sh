#!/bin/sh
# A fresh environment with PYTHON; in it a served detector, every transport and a streamed file:
# TRITON=nvidia-pytriton==... tools/smoke.sh [PYTHON], which `make smoke` runs.
set -eu
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tools/make_environment.sh "$folder/venv" "${1:-}"
bin=$folder/venv/bin
install="$bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt"
$install --upgrade 'pip>=25.1'
$install './client[track]'
$install ./build
$install --no-deps "$TRITON"
"$bin/python" -c 'import cv2' 2>/dev/null || $install --no-deps --force-reinstall opencv-python-headless
"$bin/python" tools/smoke.py
