"""Checks any SavedModel, wherever it comes from, as a consumer would.

  python -m scripts.check /path/to/saved_model
  python -m scripts.check --checks=basic --table /path/to/one /path/to/another

There is no reference to compare it with, so each model is checked against its
own description and against TF Hub's specifications; what breaks one is shown
with the sentence that it breaks. The exit code is 1 if a check fails.

  python -m scripts.check /path/to/saved_model /path/to/model.tflite

says how far a companion, a `.tflite` or `.onnx`, agrees with its SavedModel, in
place of that. The exit code is 1 if it differs by more than --bound.
"""

from collections.abc import Mapping, Sequence
import os
import shlex
import sys
import tempfile

from absl import flags

from exporters.bounds import confinement
from exporters.bounds import special_files
from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import printable
from exporters.errors import refuse_all

_CHECKS = flags.DEFINE_enum(
  "checks", "all", ["all", "basic"], "Which checks to run, in a fresh process."
)
_LIMITS = program.define_limits()
_TABLE = flags.DEFINE_bool(
  "table",
  False,
  "Print a Markdown table: one row per check, one column per model.",
)
_BOUND = flags.DEFINE_float(
  "bound",
  None,
  "How far the outputs of a companion may be from the SavedModel's, as a share "
  "of an output's largest absolute value. By default, the bound of its kind.",
  lower_bound=0.0,
)

# How companions' files end. (`kinds` imports TensorFlow.)
_COMPANIONS = (".tflite", ".onnx")
# How a table shows a result's status.
_SIGNS = {
  "passed": "yes",
  "failed": "**no**",
  "does not follow": "(differs)",
  "not applicable": "-",
  "blocked": "(blocked)",
}


def main(*given: str) -> None:
  """Checks the models at the paths that are given."""
  if confinement.repeated("scripts.check", _LIMITS):
    return
  companions = [path for path in given if path.endswith(_COMPANIONS)]
  if companions and len(companions) < len(given):
    _compare([path for path in given if path not in companions], companions)
    return
  paths = [os.path.normpath(path) for path in given]
  for path in paths:
    _refuse_other_kinds(path)
  program.prepare_tensorflow()
  results = {path: _check(path) for path in paths}
  if _TABLE.value:
    _print_table(results)
  else:
    _print_lines(results)
  if any(r.status == "failed" for found in results.values() for r in found):
    sys.exit(1)


def _refuse_other_kinds(path: str) -> None:
  """Raises `ExportError` unless a path is a SavedModel's."""
  special_files.refuse(path)
  if os.path.exists(os.path.join(path, "saved_model.pb")):
    special_files.refuse_linked_folders(path)
    return
  if not os.path.exists(path):
    raise ExportError(f"There is nothing at '{path}'.")
  if os.path.isdir(path):
    raise ExportError(
      f"'{path}' is not a SavedModel: it has no saved_model.pb."
    )
  program.prepare_tensorflow()
  from exporters.checkpoints import file_kinds

  kind = file_kinds.kind_of(path)
  if kind:
    raise ExportError(f"'{path}' is not a SavedModel, but {kind}")
  raise ExportError(
    f"'{path}' is a file, but a SavedModel is a folder with a saved_model.pb. "
    f"`python -m scripts.inspect {shlex.quote(path)}` says what the file is."
  )


def _check(path: str) -> list:
  """Returns the results for one model, from processes of its own."""
  from exporters.checkpoints import tensorflow_files
  from exporters.life_cycle import checker

  tensorflow_files.refuse_incomplete(
    path, os.path.join(path, "variables", "variables")
  )

  with (
    tempfile.TemporaryDirectory() as scratch,
    checker.Checker(_CHECKS.value) as processes,
    program.status(f"checking {path}"),
  ):
    return processes.check(None, path, scratch=scratch, private=[])


def _compare(paths: Sequence[str], companions: Sequence[str]) -> None:
  """Compares companions with their SavedModel."""
  (saved_model, *others) = paths
  if others:
    raise ExportError(
      "Companions are compared with one SavedModel; there are "
      f"{len(paths)}: {', '.join(paths)}."
    )
  program.prepare_tensorflow()
  from exporters.command_line import companion_rows

  compared = [_compared(saved_model, companion) for companion in companions]
  companion_rows.show(compared)
  refuse_all(
    f"'{one.path}': {error.message}"
    for one in compared
    if (error := _difference(one))
  )


def _difference(companion) -> ExportError | None:
  """Returns what a companion differs by, if that is more than its bound."""
  from exporters.companions import making

  try:
    making.refuse_different(companion.parity, companion.bound)
  except ExportError as e:
    return e
  return None


def _compared(saved_model: str, path: str):
  """Returns a companion with how far it is from its SavedModel."""
  from exporters.companions import inspection
  from exporters.companions import making
  from exporters.companions.kinds import KINDS
  from scripts import saved_models

  names = saved_models.refuse_hostile(saved_model)
  found = inspection.inspect(path)
  kind = KINDS[found.kind]
  with (
    tempfile.TemporaryDirectory() as folder,
    program.status(f"comparing {path}"),
  ):
    making.reference(
      saved_model,
      folder,
      input_shapes={n: s for n, s in found.inputs.items() if n in names},
    )
    parity = making.measured(os.path.abspath(path), folder)
  bound = kind.bound if _BOUND.value is None else _BOUND.value
  return making.Companion(kind=kind, path=path, bound=bound, parity=parity)


def _print_lines(results: Mapping[str, list]) -> None:
  for path, found in results.items():
    print(path)
    for result in found:
      mark = "!" if result.status == "failed" else " "
      print(f"  {mark} {printable(str(result))}")


def _print_table(results: Mapping[str, list]) -> None:
  print(f"| check | {' | '.join(map(os.path.basename, results))} |")
  print("|---" * (len(results) + 1) + "|")
  for row in zip(*results.values(), strict=True):
    # Some need a reference, which no model has here.
    if all(r.status in ("not applicable", "blocked") for r in row):
      continue
    signs = " | ".join(_SIGNS[result.status] for result in row)
    print(f"| {row[0].check} | {signs} |")


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["SAVED_MODEL..."])
