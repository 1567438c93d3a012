#!/usr/bin/env bash
# Runs the tests, on what quickstart.sh would install. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_venv
fetch_weights
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --check --quiet .
.venv/bin/python -m pytest --numprocesses=2 --dist=loadscope "$@"
