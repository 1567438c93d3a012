"""The command line of every exporter.

An exporter module calls `run` before it imports anything heavy; see
`exporters.command_line.program`.
"""

import sys

from absl import flags

from exporters.command_line import program
from exporters.command_line import progress
from exporters.command_line import recipe_flags
from exporters.errors import ExportError

_EXPORT_PATH = flags.DEFINE(
  program.PathParser(),
  "export_path",
  None,
  "The directory to write. It appears complete and checked, or not at all.",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite",
  False,
  "Replace what is at --export_path once the new model has passed its checks.",
)
_TIME_LIMIT = program.define_time_limit()


def run() -> None:
  """Runs the module that is `__main__`, and exits."""
  program.run(_export, modules=[recipe_flags.__name__, __name__])


def _export() -> None:
  if not _EXPORT_PATH.value:
    raise ExportError("Say where to write: --export_path=DIRECTORY.")
  with progress.Progress() as shown:
    done = _run(shown.announce)
  from exporters.command_line import summary

  summary.show(done, verbose=recipe_flags.VERBOSE.value)


def _run(announce):
  # TensorFlow is imported here, while the clock is shown.
  program.prepare_tensorflow()
  from exporters.life_cycle import exporting

  exporter = recipe_flags.load().exporter
  _refuse_other_module(type(exporter).__module__)
  return exporting.export(
    exporter,
    export_path=_EXPORT_PATH.value,
    overwrite=_OVERWRITE.value,
    level=recipe_flags.CHECKS.value,
    stages=exporting.Stages(announce),
    time_limit=_TIME_LIMIT.value,
  )


def _refuse_other_module(module: str) -> None:
  """Refuses a gin file of another architecture than the command's."""
  spec = sys.modules["__main__"].__spec__
  if spec and spec.name.startswith("exporters.") and spec.name != module:
    raise ExportError(
      f"This gin file is for `python -m {module}`, not for `{spec.name}`."
    )
