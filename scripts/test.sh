#!/usr/bin/env bash
# Runs the tests, on what quickstart.sh and install_extra.sh would install.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

add_extra scripts/onnx.txt
add_extra scripts/dask.txt
make_venv
fetch_weights
ready
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --check --quiet .
.venv/bin/mypy --no-error-summary
.venv/bin/lint-imports --no-logo >.cache/import-linter.log ||
  fail "$(cat .cache/import-linter.log)"
.venv/bin/python -m pytest --numprocesses=2 --dist=loadscope \
  --no-loadscope-reorder "$@"
