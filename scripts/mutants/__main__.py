r"""Runs the tests on mutants of the checks, and prints what survived.

  python -m scripts.mutants --minutes=60
  python -m scripts.mutants --minutes=10 --modules=privacy,numbers --seed=1

A mutant is a copy of the repository in which one thing of `exporters/checks/`
is another: a comparison, a condition, a number, a statement that is left out.
First all tests run on a copy that notes which of them reach which statement. On
a mutant then run those that reach its statement, the quickest first, up to the
first that fails. Mutants come in random order until the time is over. What
survived is printed: write a test that kills it, or say in docs/checks.md why
nobody could.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError
from scripts.mutants import changes
from scripts.mutants import forks

_MINUTES = flags.DEFINE_float(
  "minutes", 60.0, "How long to go on, after the first run of all tests."
)
_SEED = flags.DEFINE_integer("seed", 0, "Chooses the mutants.")
_MODULES = flags.DEFINE_list(
  "modules", [], "Modules of exporters/checks. Default: all."
)
_SECONDS = flags.DEFINE_float(
  "seconds",
  60.0,
  "Of the tests that reach a mutant, the quickest run: as many as take so long "
  "without a change.",
)
_ROOT = pathlib.Path(__file__).parents[2]
_CHECKS = pathlib.PurePath("exporters/checks")
# What breaks an artifact in just the way that a check looks for.
TESTS = (
  "tests/test_candidate.py",
  "tests/test_check_memory.py",
  "tests/test_check_outputs.py",
  "tests/test_check_parts.py",
  "tests/test_checks.py",
  "tests/test_detection.py::test_check_of_detections",
  "tests/test_loaded_checks.py",
  "tests/test_opened_files.py",
  "tests/test_operations.py",
  "tests/test_privacy.py",
  "tests/test_segmentation.py::test_masks_that_are_wrong",
  "tests/test_self_description.py",
  "tests/test_specification.py",
)
# It runs in a consumer's process only, which these tests start.
_PROCESS = "__main__"
_OF_PROCESS = (
  "tests/test_checks.py::test_nothing_fails_on_a_good_one[good_low_level]",
  "tests/test_check_memory.py",
  "tests/test_killed_servers.py",
)
# A mutant may go on for ever. So many seconds are for the slowest tests.
_HANGS_AFTER = 400.0
_ALL_HANG_AFTER = 3600.0
_KILLED, _SURVIVED = "killed", "survived"


def main() -> None:
  """Runs the tests on mutants, and prints what survived."""
  sources = {
    path.stem: path.read_text("utf-8")
    for path in sorted((_ROOT / _CHECKS).glob("*.py"))
  }
  wanted = _MODULES.value or list(sources)
  if unknown := set(wanted) - sources.keys():
    raise ExportError(f"There are no modules {sorted(unknown)} of checks.")
  mutants = [m for n in wanted for m in changes.mutants_of(n, sources[n])]
  random.Random(_SEED.value).shuffle(mutants)
  found = collections.defaultdict(list)
  with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
    tree = _copied(pathlib.Path(folder))
    with forks.Forks(tree, pathlib.Path(folder)) as forked:
      known = _run_all(forked, tree, sources)
      end = time.monotonic() + _MINUTES.value * 60
      for mutant in mutants:
        if time.monotonic() > end:
          break
        file = tree / _CHECKS / f"{mutant.module}.py"
        file.write_text(mutant.source, "utf-8")
        source = sources[mutant.module]
        passed, tests = _passed(forked, mutant, source, known)
        file.write_text(source, "utf-8")
        state = _SURVIVED if passed else _KILLED
        found[mutant.module, state].append(mutant)
        text = f"{state}  {mutant}  ({tests})"
        print(text, file=sys.stderr, flush=True)
  _tell(wanted, mutants, found)


def _copied(folder: pathlib.Path) -> pathlib.Path:
  """Copies what git tracks; links the rest that the tests need."""
  tree = folder / "repository"
  names = subprocess.run(
    ["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True
  ).stdout
  for name in names.decode().split("\0"):
    if name and (_ROOT / name).is_file():
      (tree / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(_ROOT / name, tree / name)
  for name in (".venv", ".cache"):
    if (_ROOT / name).exists():
      (tree / name).symlink_to((_ROOT / name).resolve())
  return tree


def _run_all(
  forked: forks.Forks,
  tree: pathlib.Path,
  sources: Mapping[str, str],
) -> Mapping[str, Any]:
  """Returns what is known of each test, which all must pass."""
  for name, source in sources.items():
    text = changes.marked(name, source)
    (tree / _CHECKS / f"{name}.py").write_text(text, "utf-8")
  passed = forked.pytest(TESTS, seconds=_ALL_HANG_AFTER)
  for name, source in sources.items():
    (tree / _CHECKS / f"{name}.py").write_text(source, "utf-8")
  if not passed:
    said = forked.log.read_text("utf-8", errors="replace")
    raise ExportError(f"A test fails without any change: {said[-2000:]}")
  return forked.known


def _passed(
  forked: forks.Forks,
  mutant: changes.Mutant,
  source: str,
  known: Mapping[str, Any],
) -> tuple[bool, str]:
  """Returns whether a mutant passes the tests, and which these are."""
  module = mutant.module
  if module == _PROCESS:
    passed = forked.pytest(
      _OF_PROCESS, seconds=_HANGS_AFTER, mark=module, in_process=False
    )
    return passed, f"{len(_OF_PROCESS)} files"
  line = changes.statements(source).get(mutant.line)
  mark = f"{module}:{line}"
  # Outside of functions, or in what is run while tests are read.
  everywhere = line is None or mark in known[""]["marks"]
  tests = [
    name
    for name, of_test in known.items()
    if name
    and any(
      m == mark or (everywhere and m.startswith(f"{module}:"))
      for m in of_test["marks"]
    )
  ]
  tests.sort(key=lambda name: known[name]["seconds"])
  usual, run = 0.0, list[str]()
  for name in tests:
    usual += known[name]["seconds"]
    if run and usual > _SECONDS.value:
      break
    run.append(name)
  passed = not run or forked.pytest(
    run,
    seconds=120 + 5 * usual,
    mark=forks.ANYTHING if everywhere else mark,
  )
  return passed, f"{len(run)} of {len(tests)} tests"


def _tell(wanted: list[str], mutants: list[changes.Mutant], found: Any) -> None:
  print("| module | mutants | tried | killed |\n|---|---|---|---|")
  survivors = []
  for name in wanted:
    number = sum(mutant.module == name for mutant in mutants)
    killed, survived = found[name, _KILLED], found[name, _SURVIVED]
    survivors += survived
    print(
      f"| `{name}` | {number} | {len(killed) + len(survived)} | {len(killed)} |"
    )
  for mutant in survivors:
    print(f"- {mutant}")


if __name__ == "__main__":
  program.run(main, modules=[])
