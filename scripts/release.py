r"""Exports a model, checks it and adds it to a release directory.

  python -m scripts.release --gin_file=configs/low_level/multiply.gin \
    --release_dir=/tmp/release

writes, below the release directory: the page for tfhub.dev, the archive, a
folder for Kaggle Models, the provenance and a report. Nothing is uploaded.
"""

from exporters.command_line import program
from exporters.command_line import progress
from exporters.command_line import recipe_flags
from scripts import release_flags

_TIME_LIMIT = program.define_time_limit()


def main() -> None:
  """Makes one release."""
  commit = release_flags.commit()
  with progress.Progress() as shown:
    done, released = _release(commit, shown.announce)
  rows = [
    [
      ("archive", one.archive),
      ("sha256", one.digests[f"{one.page.handle}.tar.gz"]),
      *(("companion", _told(one, c)) for c in one.companions),
      ("report", one.report),
    ]
    for one in released
  ]
  from exporters.command_line import summary

  summary.show(done, verbose=recipe_flags.VERBOSE.value, more=rows)


def _told(one, companion) -> str:
  """Returns where a companion is, and how far from its SavedModel."""
  path, parity = one.path(companion), companion.parity
  if parity is None:
    return f"{path} (not compared)"
  return (
    f"{path} ({parity.largest[1]:.2g} of scale from the SavedModel, at most "
    f"{companion.bound:.2g})"
  )


def _release(commit, announce):
  # TensorFlow is imported here, while the clock is shown.
  program.prepare_tensorflow()
  from exporters.life_cycle import exporting
  from exporters.release import complete

  return complete.release(
    recipe_flags.load(release_flags.COMPANIONS.value),
    commit,
    release_dir=release_flags.RELEASE_DIR.value,
    level=recipe_flags.CHECKS.value,
    stages=exporting.Stages(announce),
    time_limit=_TIME_LIMIT.value,
    sign_key=release_flags.SIGN_KEY.value,
  )


if __name__ == "__main__":
  program.run(main, modules=[recipe_flags.__name__, release_flags.__name__])
