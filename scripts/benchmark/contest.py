"""Commands that take turns, and the time and memory that each takes."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Run:
  """What one process takes: seconds of wall time, peak resident bytes."""

  seconds: float
  peak: float


@dataclasses.dataclass(frozen=True)
class Contestant:
  """A command that writes something.

  Attributes:
    command: Its arguments.
    path: The file or directory that it writes.
    cwd: The directory to run it in, which comes first on its Python path.
    model: The pattern of the SavedModel to compare, below `path`.
    failure: What it prints when it fails, if it is known to fail.
  """

  command: Sequence[str]
  path: pathlib.Path
  cwd: pathlib.Path = ROOT
  model: str = ""
  failure: str | None = None

  @property
  def saved_model(self) -> pathlib.Path:
    """The SavedModel to compare."""
    if not self.model:
      return self.path
    (found,) = self.path.glob(self.model)
    return found


def take_turns(
  contestants: Mapping[str, Contestant], rounds: int
) -> dict[str, Run]:
  """Runs the commands in turn, for some rounds; returns the medians."""
  runs: dict[str, list[Run]] = {name: [] for name in contestants}
  for i in range(rounds):
    for name, contestant in contestants.items():
      say(f"round {i + 1} of {rounds}: {name}")
      if contestant.path.is_dir():
        shutil.rmtree(contestant.path)
      runs[name].append(_run(contestant))
  return {
    name: Run(
      statistics.median(run.seconds for run in made),
      statistics.median(run.peak for run in made),
    )
    for name, made in runs.items()
  }


def _run(contestant: Contestant) -> Run:
  with tempfile.TemporaryFile() as output:
    started = time.monotonic()
    process = subprocess.Popen(
      contestant.command,
      cwd=contestant.cwd,
      stdout=output,
      stderr=subprocess.STDOUT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    said = output.read().decode()
  failure = contestant.failure
  as_expected = failure in said if failure else not process.returncode
  if not as_expected:
    sys.exit(f"{' '.join(contestant.command)}\n{said}")
  return Run(seconds, usage.ru_maxrss * 1024)


def program(name: str) -> list[str]:
  """Returns the start of a command that runs one of `programs/`."""
  return [sys.executable, "-m", f"scripts.benchmark.programs.{name}"]


def said_by(command: Sequence[str]) -> str:
  """Runs a command; returns the last line that it prints, if any."""
  done = subprocess.run(
    command, cwd=ROOT, check=True, capture_output=True, text=True
  )
  return done.stdout.strip().rpartition("\n")[2]


def say(text: str) -> None:
  """Shows progress, apart from the results on standard output."""
  print(text, file=sys.stderr)
