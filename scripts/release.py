r"""Exports a model, checks it and adds it to a release directory.

  python -m scripts.release --gin_file=configs/low_level/multiply.gin \
    --release_dir=/tmp/release

writes, below the release directory: the page for tfhub.dev, the archive, a
folder for Kaggle Models, the provenance and a report. Nothing is uploaded.
"""

from absl import flags

from exporters.command_line import program
from exporters.command_line import progress
from exporters.command_line import recipe_flags
from exporters.errors import ExportError

_RELEASE_DIR = flags.DEFINE(
  program.PathParser(),
  "release_dir",
  None,
  "The directory to add the release to. A version appears complete, or not at "
  "all.",
)
_STRICT = flags.DEFINE_bool(
  "strict",
  False,
  "Release only from a clean git checkout.",
)
_DRAFT = flags.DEFINE_bool(
  "draft",
  False,
  "Allow --checks=basic and --checks=none, to try out a recipe. Do not publish "
  "the result.",
)
_COMPANIONS = flags.DEFINE_list(
  "companions",
  None,
  "Files for other runtimes to make from each SavedModel: any of lite, "
  "lite_float16, lite_dynamic, lite_int8 and onnx, in place of those of the "
  "gin file. --companions= leaves out those as well.",
)
_SIGN_KEY = flags.DEFINE(
  program.PathParser(),
  "sign_key",
  None,
  "A private elliptic-curve key (PEM) to sign the archive, the companions and "
  "the provenance with.",
)


def main() -> None:
  """Makes one release."""
  if not _RELEASE_DIR.value:
    raise ExportError("Say where to write: --release_dir=DIRECTORY.")
  if "://" in _RELEASE_DIR.value:
    raise ExportError(
      f"Cannot release to '{_RELEASE_DIR.value}': a release is made on the "
      "local disk. Copy its files from there; they never change."
    )
  if recipe_flags.CHECKS.value != "all" and not _DRAFT.value:
    raise ExportError(
      f"A release needs all checks, not --checks={recipe_flags.CHECKS.value}. "
      "Leave out the flag; or add --draft, and do not publish the result."
    )
  from exporters.release import git_commit
  from exporters.release import signing

  commit = git_commit.read_commit()
  if _STRICT.value:
    commit.refuse_dirty()
  if _SIGN_KEY.value:
    signing.refuse_unusable(_SIGN_KEY.value)
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
  from exporters.release import provenance
  from exporters.release import publish
  from exporters.release import report
  from exporters.release import signing

  recipe = recipe_flags.load(_COMPANIONS.value)
  record = provenance.Recorder(recipe, commit)
  stages = exporting.Stages(announce)

  def prove(one):
    report.write(one, record(one), stages.seconds)
    if _SIGN_KEY.value:
      companions = [one.path(companion) for companion in one.companions]
      for file in (one.archive, *companions, one.provenance):
        signing.sign(file, _SIGN_KEY.value)

  return publish.release(
    recipe,
    release_dir=_RELEASE_DIR.value,
    level=recipe_flags.CHECKS.value,
    stages=stages,
    prove=prove,
  )


if __name__ == "__main__":
  program.run(main, modules=[recipe_flags.__name__])
