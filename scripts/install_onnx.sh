#!/usr/bin/env bash
# Adds to .venv what companions in ONNX need (100 MB). quickstart.sh and test.sh
# keep it from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

add_extra scripts/onnx.txt
make_venv
ready
