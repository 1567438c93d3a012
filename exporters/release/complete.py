"""Makes a release with all that proves it: provenance, report, signatures."""

from __future__ import annotations

from collections.abc import Sequence

from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import exporting
from exporters.recipe import Recipe
from exporters.release import provenance
from exporters.release import publish
from exporters.release import report
from exporters.release import signing
from exporters.release.git_commit import Commit
from exporters.release.released import Released


def release(
  recipe: Recipe,
  commit: Commit,
  *,
  release_dir: str,
  level: str,
  stages: exporting.Stages,
  sign_key: str | None = None,
  consumer: consumer_lib.Consumer | None = None,
  time_limit: float | None = None,
) -> tuple[exporting.Export, Sequence[Released]]:
  """Exports what gin has just read as a recipe, and releases it.

  Args:
    recipe: It needs a page.
    commit: The code that does it.
    release_dir: A local directory; it may hold other models and versions.
    level: Which checks to run.
    stages: Times and announces the stages.
    sign_key: A private key to sign with. None: nothing is signed.
    consumer: The process that checks the model. None: one is started.
    time_limit: How many seconds the checks of one artifact may take. None: any.

  Returns:
    What was exported and what was released, with paths below `release_dir`.

  Raises:
    ExportError: The page breaks a rule, the export fails, or the directory
      holds this version with other bytes.
  """
  record = provenance.Recorder(recipe, commit, level)

  def prove(one: Released) -> None:
    report.write(one, record(one), stages.seconds)
    if sign_key:
      companions = [one.path(companion) for companion in one.companions]
      for file in (one.archive, *companions, one.provenance):
        signing.sign(file, sign_key)

  return publish.release(
    recipe,
    release_dir=release_dir,
    level=level,
    stages=stages,
    prove=prove,
    consumer=consumer,
    time_limit=time_limit,
  )
