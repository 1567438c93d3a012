#!/usr/bin/env bash
# Adds to .venv what an extra needs, which quickstart.sh and test.sh keep from
# then on:
#   bash scripts/install_extra.sh onnx   companions in ONNX (100 MB)
#   bash scripts/install_extra.sh dask   gardens on several machines (20 MB)
#   bash scripts/install_extra.sh atheris   fuzzing guided by edges (130 MB)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

case "${1:-}" in
onnx | dask | atheris) ;;
*) fail "Name an extra: bash scripts/install_extra.sh onnx, dask or atheris." ;;
esac
add_extra "scripts/$1.txt"
make_venv
ready
