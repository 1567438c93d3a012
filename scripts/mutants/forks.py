"""Runs pytest in forks of a process that has TensorFlow imported.

In a fork, the checks run in the test's own process, not in a consumer's: what
is looked for is whether the tests notice, and a consumer's process takes longer
to start than most checks.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from scripts.mutants import changes

# None of it starts TensorFlow's threads.
_IMPORTED = (
  "pytest",
  "gin",
  "hypothesis",
  "keras",
  "tensorflow_hub",
  "tensorflow_text",
  "official.nlp.configs.encoders",
  "official.nlp.modeling.models",
  "official.vision.serving.detection",
  "official.vision.serving.semantic_segmentation",
)
# In place of a mark: every check may go past it.
ANYTHING = "anything"


class Forks:
  """A process that is asked for one fork after another.

  Args:
    tree: A copy of the repository, from which all is imported.
    folder: Where to write.

  Attributes:
    log: What pytest printed last.
  """

  def __init__(self, tree: pathlib.Path, folder: pathlib.Path):
    # Compiled files are told apart by the second: a mutant may come sooner.
    own = {
      "PYTHONDONTWRITEBYTECODE": "1",
      "TF_USE_LEGACY_KERAS": "1",
      "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    environment = {**os.environ, **own}
    environment.pop("PYTHONPATH", None)
    self._known, self.log = folder / "known.json", folder / "log"
    self._process = subprocess.Popen(
      [sys.executable, "-m", __name__],
      cwd=tree,
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def __enter__(self) -> Forks:
    return self

  def __exit__(self, *unused_exception) -> None:
    self._process.kill()
    self._process.wait()

  def pytest(
    self,
    tests: Sequence[str],
    *,
    seconds: float,
    mark: str | None = None,
    in_process: bool = True,
  ) -> bool:
    """Returns whether all tests pass.

    Args:
      tests: The ids of tests, or files of them, in order. After the first that
        fails, no other is run.
      seconds: After how many they have failed.
      mark: Of what was changed since a run of all tests without a mark. In each
        test, checks that do not go past it are not made again.
      in_process: Whether the checks run in the test's own process.
    """
    found = self._known.with_name("found.json") if mark else self._known
    job = {
      "tests": list(tests),
      "seconds": seconds,
      "log": str(self.log),
      "found": str(found),
      "mark": mark,
      "known": str(self._known),
      "in_process": in_process,
    }
    assert self._process.stdin
    assert self._process.stdout
    self._process.stdin.write(json.dumps(job) + "\n")
    self._process.stdin.flush()
    return self._process.stdout.readline() == "0\n"

  @property
  def known(self) -> Mapping[str, Any]:
    """By the ids of tests, what was found when they were run without a mark.

    The seconds that each took, and which marks it went past; under "", those
    that were passed before the first test.
    """
    return json.loads(self._known.read_text())


class _Plugin:
  """Has the test's own process check, and notes what each test does.

  Args:
    mark: Of what was changed: units of checks that do not go past it give what
      they gave before. None: nothing was, and all are run.
    known: What was found without any change.
  """

  def __init__(self, mark: str | None, known: Mapping[str, Any]):
    self.found: dict[str, dict[str, Any]] = {}
    self._mark, self._known = mark, known
    self._test = ""
    self._all: set[str] = set()
    self._of_unit: set[str] = set()
    setattr(builtins, changes.MARK, self._pass)

  def _pass(self, mark: str) -> None:
    self._all.add(mark)
    self._of_unit.add(mark)

  def pytest_configure(self) -> None:
    import pytest
    import tensorflow as tf

    # As in a consumer's process.
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from exporters.life_cycle import checker
    from exporters.life_cycle import consumer

    def check(started, published, path, **fields):
      return self._check(started._level, published, path, **fields)

    patch = pytest.MonkeyPatch()
    patch.setattr(checker.Checker, "check", check)
    patch.setattr(consumer, "started", contextlib.nullcontext)
    # It would put forks in the place of nothing.
    patch.setattr(
      "tests.forked_consumers.ForkedConsumers.use", lambda consumers: None
    )

  def pytest_runtest_logstart(self, nodeid: str) -> None:
    if not self.found:
      # What every test imports.
      self.found[""] = {"seconds": 0.0, "marks": sorted(self._all)}
    self._test, self._begin = nodeid, time.monotonic()
    self._all.clear()
    self.found[nodeid] = {"calls": []}

  def pytest_runtest_logfinish(self, nodeid: str) -> None:
    self.found[nodeid] |= {
      "seconds": time.monotonic() - self._begin,
      "marks": sorted(self._all),
    }

  def _check(
    self, level, published, path, *, scratch, private, keras=False
  ) -> list[Any]:
    """Does what `Checker.check` has a consumer's process do."""
    from exporters import checks
    from exporters.life_cycle import checker
    from exporters.life_cycle import reference as reference_lib

    if level == checks.NONE:
      return []
    checker._plan(path, level, 2)
    arrays: list[Any] = []

    def ask() -> Any:
      reference = published and {
        name: reference_lib.stated(callable_, arrays)
        for name, callable_ in published.callables().items()
      }
      return json.loads(json.dumps(reference)), arrays

    candidate = checks.Candidate(
      path=path,
      scratch=scratch,
      private=[*private, *checker.private_strings()],
      level=level,
      keras=keras,
      stranger=published is None,
      ask=ask,
    )
    calls = self.found[self._test]["calls"]
    before = self._known.get(self._test, {}).get("calls", [])[len(calls) :]
    calls.append({})
    made: dict[str, Any] = {}
    pending = [checks.OPERATIONS, checks.FILES]
    for unit in pending:
      known = before[0].get(unit) if before else None
      if known and self._mark not in (ANYTHING, *known["marks"]):
        made |= {n: checks.Result(**r) for n, r in known["results"].items()}
      else:
        self._of_unit.clear()
        made = checks.run(candidate, level, unit, made)
        names = [
          e.name for e in checks.CHECKS if e.unit == unit and e.name in made
        ]
        calls[-1][unit] = {
          "marks": sorted(self._of_unit),
          "results": {n: dataclasses.asdict(made[n]) for n in names},
        }
      # What is refused for its operations is not even loaded.
      if unit == checks.FILES and (
        made[checks.OPERATIONS].status == checks.PASSED
      ):
        pending += checks.units(level)
    return checks.complete(level, made, candidate.stranger)


def main() -> None:
  """Forks for each job on standard input, and answers with the exit code."""
  # From wheels alone: what is in the tree may be changed between forks.
  path = sys.path[:]
  sys.path.remove(os.getcwd())
  for name in _IMPORTED:
    importlib.import_module(name)
  sys.path[:] = path
  for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
      _become(job)
    print(_ended(child, job["seconds"]), flush=True)


def _ended(child: int, seconds: float) -> int:
  """Waits for a fork; returns its exit code, 1 if it takes too long."""
  end = time.monotonic() + seconds
  while True:
    pid, status = os.waitpid(child, os.WNOHANG)
    late = time.monotonic() > end
    if pid or late:
      # With what it started.
      with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if pid:
      return os.waitstatus_to_exitcode(status)
    if late:
      os.waitpid(child, 0)
      return 1
    time.sleep(0.02)


def _become(job: Mapping[str, Any]) -> None:
  """Goes on as pytest, and ends."""
  code = 1
  try:
    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import pytest

    known = pathlib.Path(job["known"])
    plugin = _Plugin(
      job["mark"], json.loads(known.read_text()) if job["mark"] else {}
    )
    arguments = ["-qx", "-p", "no:cacheprovider", *job["tests"]]
    plugins = [plugin] if job["in_process"] else []
    code = int(pytest.main(arguments, plugins=plugins))
    pathlib.Path(job["found"]).write_text(json.dumps(plugin.found))
  finally:
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
  main()
