"""Finds the processes of a command that is running, and kills one of them."""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
import dataclasses
import pathlib
import random
import signal
import subprocess
import time

import psutil

from exporters.life_cycle import consumer

# In the environment of each process of a run, however it was started.
MARK = "KILLS_RUN"

COMMAND = "the command"
SCHEDULER = "the scheduler of a cluster"
WORKER = "a worker of a cluster"
CHECKER_CHILD = "a checker's child"
_FORK_SERVER = "the process that exports are forked from"
_EXPORT = "a process that exports"
_CHECK_SERVER = "the process that checkers are forked from"
CHECKER = "a checker"


@dataclasses.dataclass
class Run:
  """A command that is running, with all processes that belong to it.

  Attributes:
    process: The command.
    mark: In the environment of all of them.
    stderr: What they complain of.
  """

  process: subprocess.Popen[bytes]
  mark: str
  stderr: pathlib.Path

  def wait(self, seconds: float) -> bool:
    """Waits so long for the end of the command; returns whether it came."""
    with contextlib.suppress(subprocess.TimeoutExpired):
      self.process.wait(seconds)
    return self.process.returncode is not None

  def said(self) -> str:
    """Returns what the command complained of."""
    return self.stderr.read_text()[-2000:]

  def family(self) -> list[psutil.Process]:
    """Returns all processes of this run, orphans as well."""
    found = []
    for process in psutil.process_iter():
      with contextlib.suppress(psutil.Error):
        if (
          process.environ().get(MARK) == self.mark
          and process.status() != psutil.STATUS_ZOMBIE
        ):
          found.append(process)
    return found

  def by_kind(self) -> dict[str, list[psutil.Process]]:
    """Returns the processes by what they are."""
    found: dict[str, list[psutil.Process]] = {}
    for process in self.family():
      with contextlib.suppress(psutil.Error):
        kind = self._kind(process)
        if kind:
          found.setdefault(kind, []).append(process)
    return found

  def _kind(self, process: psutil.Process) -> str | None:
    if process.pid == self.process.pid:
      return COMMAND
    line = process.cmdline()
    # How many of its ancestors were forked from the same program.
    depth = 0
    for ancestor in process.parents():
      if ancestor.cmdline() != line:
        break
      depth += 1
    if any("multiprocessing.forkserver" in part for part in line):
      return _EXPORT if depth else _FORK_SERVER
    if line[-1:] == ["serve"]:
      return (_CHECK_SERVER, CHECKER, CHECKER_CHILD)[min(depth, 2)]
    if line == [*consumer.PROGRAM]:
      return CHECKER_CHILD if depth else CHECKER
    if "distributed.cli.dask_scheduler" in line:
      return SCHEDULER
    return WORKER if "scripts.garden_worker" in line else None


def await_checkers_child(run: Run, seconds: float) -> None:
  """Waits until a checker has a child; or so long, or for the end."""
  latest = time.monotonic() + seconds
  while time.monotonic() < latest and run.process.poll() is None:
    if CHECKER_CHILD in run.by_kind():
      return
    time.sleep(0.1)


def choose(
  run: Run, chance: random.Random, spared: Mapping[str, int]
) -> tuple[str, psutil.Process, signal.Signals] | None:
  """Returns what a process is, itself, and how to end it; None: there is none.

  Args:
    run: What is running.
    chance: Chooses.
    spared: How many to leave, of some kinds.
  """
  victims = run.by_kind()
  kinds = [k for k in victims if len(victims[k]) > spared.get(k, 0)]
  if run.process.poll() is not None or not kinds:
    return None
  kinds.sort()
  # With the command, a run ends; a checker's child is rarely there.
  weights = {COMMAND: 1, CHECKER_CHILD: 12}
  (kind,) = chance.choices(kinds, [weights.get(kind, 4) for kind in kinds])
  victim = chance.choice(sorted(victims[kind], key=lambda p: p.pid))
  sent = signal.SIGKILL
  if kind == COMMAND and chance.random() < 0.4:
    sent = chance.choice((signal.SIGTERM, signal.SIGINT))
  return kind, victim, sent
