#!/usr/bin/env bash
# Exports a sentence encoder and its preprocessor from real weights, then uses
# them as a stranger would. Needs Python 3.11 or 3.12; all else is installed
# into .venv. Run it again and it starts where things are missing.
#
#   bash scripts/quickstart.sh [DIRECTORY]   # default: ./quickstart
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

target=${1:-quickstart}
make_venv
fetch_weights
ready

export_once() { # MODULE LEAF
  if [ ! -e "$target/$2" ]; then
    .venv/bin/python -m "exporters.$1" --gin_file="configs/bert/$2.gin" \
      --gin_bindings="CHECKPOINT = '$WEIGHTS'" --export_path="$target/$2"
  fi
}
echo "Exporting the encoder and its preprocessor to $target ..."
# Beside each other; what the second one says comes after the first.
said=$(mktemp)
trap 'rm -f "$said"; jobs -p | xargs -r kill' EXIT
export_once bert_preprocessor all_minilm_l6_v2_preprocess >"$said" 2>&1 &
export_once bert all_minilm_l6_v2
failed=0
wait "$!" || failed=1
cat "$said"
[ "$failed" = 0 ]
rm "$said"
trap - EXIT

# A consumer: `-I` keeps this repository off the path, in another directory.
python=$PWD/.venv/bin/python
consumer=$PWD/scripts/quickstart_consumer.py
target=$(cd "$target" && pwd)
cd /
echo Loading both with TensorFlow Hub ...
exec "$python" -I -W ignore "$consumer" "$target/all_minilm_l6_v2_preprocess" \
  "$target/all_minilm_l6_v2"
