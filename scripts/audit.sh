#!/usr/bin/env bash
# Asks OSV (https://osv.dev) for known vulnerabilities of what requirements.txt
# and the extras pin; the exit code is 1 if there is one. Where OSV can't be
# reached it says NOT RUN, and the exit code is 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

make_venv
ready
if ! .venv/bin/python -c 'import urllib.request
query = b"{\"package\": {\"name\": \"pip\", \"ecosystem\": \"PyPI\"}}"
urllib.request.urlopen("https://api.osv.dev/v1/query", query, timeout=20)
' 2>/dev/null; then
  echo "NOT RUN: the audit of requirements.txt; api.osv.dev can't be reached." >&2
  exit
fi
# Not in .venv: it would bring versions of its own.
[ -x .cache/audit/bin/python ] || .venv/bin/uv venv --quiet .cache/audit
VIRTUAL_ENV=$PWD/.cache/audit .venv/bin/uv pip sync --quiet --require-hashes \
  scripts/pip_audit.txt
found=0
for requirements in requirements.txt scripts/{onnx,dask,atheris}.txt; do
  .cache/audit/bin/pip-audit --vulnerability-service=osv --disable-pip \
    --require-hashes --requirement="$requirements" || found=1
done
exit $found
