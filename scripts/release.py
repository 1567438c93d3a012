"""Exports a model, checks it and writes what is published.

  python -m scripts.release --gin_file=configs/low_level/multiply.gin \\
    --release_dir=/tmp/release

writes, below the release directory: the page for tfhub.dev, the archive, a
folder for Kaggle Models, the provenance and a report. Nothing is uploaded.
"""

from absl import flags

from exporters import command
from exporters import recipe_flags
from exporters.errors import ExportError

_RELEASE_DIR = flags.DEFINE_string(
  "release_dir",
  None,
  "The directory to add the release to. A version appears whole or not at all.",
)
_STRICT = flags.DEFINE_bool(
  "strict",
  False,
  "Refuse to release from a git tree that is not clean, or from none.",
)


def main() -> None:
  if not _RELEASE_DIR.value:
    raise ExportError("Say where to write: --release_dir=DIRECTORY.")
  from exporters import console

  with console.Console() as shown:
    done, released = _release(shown.announce)
  rows = []
  for one in released:
    archive = f"{one.page.handle}.tar.gz"
    rows.append(("archive", f"{_RELEASE_DIR.value}/{archive}"))
    rows.append(("sha256", one.digests[archive]))
  shown.summarize(done, rows)


def _release(announce):
  # TensorFlow is imported here, below the clock.
  command.prepare_tensorflow()
  from exporters import base
  from exporters.release import provenance
  from exporters.release import publish

  recipe = recipe_flags.load()
  source = provenance.git_source()
  if _STRICT.value:
    source.refuse_dirty()
  return publish.release(
    recipe,
    release_dir=_RELEASE_DIR.value,
    level=recipe_flags.CHECKS.value,
    stages=base.Stages(announce),
  )


if __name__ == "__main__":
  command.run(main, modules=[recipe_flags.__name__])
