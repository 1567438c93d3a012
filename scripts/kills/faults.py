"""What strikes a command: signals, and the loss of memory, disk or power."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import pathlib
import random
import signal
import threading
import time

import psutil

from exporters.bounds import free_memory
from exporters.bounds import groups
from exporters.bounds import limits
from exporters.errors import ExportError
from scripts.kills import disks
from scripts.kills import victims

# How long to try to turn a disk read-only, while files are open for writing.
_PATIENCE = 2.0
_STILL = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclasses.dataclass
class Struck:
  """A command that is running, and what it needs.

  Attributes:
    run: Itself.
    disk: Where it writes.
    memory: What bounds its memory, if anything does.
    chance: Chooses.
  """

  run: victims.Run
  disk: disks.Disk
  memory: Memory | None
  chance: random.Random


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
  """A way to disturb a command.

  Attributes:
    name: For people.
    strike: Does it; returns whether it could.
    weight: How often it is chosen.
    of_child: Whether it needs a process that the command has started.
    survived: Whether the command has to say what happened.
    mounts: Whether it needs a disk of its own.
    power: Whether that disk has to be able to lose power.
    memory: Whether it needs a bound of memory.
  """

  name: str
  strike: Callable[[Struck], bool]
  weight: int = 2
  of_child: bool = False
  survived: bool = True
  mounts: bool = False
  power: bool = False
  memory: bool = False


class Memory:
  """A bound of what some processes hold together.

  The kernel's own, by a cgroup, where this process may make one. Otherwise a
  process that watches them; see `exporters.bounds.limits`.

  Args:
    name: That of the cgroup.
  """

  def __init__(self, name: str):
    self._folder: pathlib.Path | None = None
    self._limit = self._usage = ""
    self._met = False
    self._watch = contextlib.ExitStack()
    for parent, limit, usage in free_memory.cgroups():
      folder = parent / name
      try:
        folder.mkdir()
      except OSError:
        continue
      if (folder / limit).exists():
        self._folder, self._limit, self._usage = folder, limit, usage
        return
      folder.rmdir()

  @property
  def of_kernel(self) -> bool:
    """Whether it is a cgroup."""
    return self._folder is not None

  def command(self, arguments: list[str]) -> list[str]:
    """Returns a command that runs another one in it."""
    if not self._folder:
      return arguments
    script = 'echo $$ > "$0" && exec "$@"'
    return ["sh", "-c", script, str(self._folder / "cgroup.procs"), *arguments]

  def exhaust(self, run: victims.Run, free: int) -> None:
    """Leaves so many bytes to a command and all that it has started."""
    if not self._folder:
      leader = run.process.pid
      held = groups.memory(groups.members(leader))
      bound = limits.Limits(memory=held + free)

      def watch():
        try:
          with limits.enforced(bound, leader):
            run.process.wait()
            raise ExportError("It has ended.")
        except ExportError as e:
          self._met = "memory_limit" in e.message

      threading.Thread(target=watch, daemon=True).start()
      return
    for _ in range(100):
      used = int((self._folder / self._usage).read_text())
      with contextlib.suppress(OSError):
        (self._folder / self._limit).write_text(str(used + free))
        return
      free += 1 << 20

  def met(self) -> bool:
    """Returns whether a process was killed for it."""
    if not self._folder:
      return self._met
    for file in ("memory.oom_control", "memory.events"):
      with contextlib.suppress(OSError):
        lines = (self._folder / file).read_text().splitlines()
        return int(dict(map(str.split, lines))["oom_kill"]) > 0
    return False

  def close(self) -> None:
    """Removes it, once its processes have ended."""
    if self._folder:
      for _ in range(100):
        with contextlib.suppress(OSError):
          self._folder.rmdir()
          return
        time.sleep(0.05)


def _signal(*sent: signal.Signals) -> Callable[[Struck], bool]:
  """Returns what sends signals to the command, the second a little later."""

  def strike(struck: Struck) -> bool:
    for position, one in enumerate(sent):
      if position:
        struck.run.wait(struck.chance.choice((0.0, 0.01, 0.1, 0.5)))
      if struck.run.process.poll() is not None:
        return position > 0
      struck.run.process.send_signal(one)
    return True

  return strike


def _signal_child(*choices: signal.Signals) -> Callable[[Struck], bool]:
  """Returns what sends one of some signals to a process of the command."""

  def strike(struck: Struck) -> bool:
    kinds = struck.run.by_kind()
    children = [
      *kinds.get(victims.CHECKER, ()),
      # They are there for a short time only.
      *3 * kinds.get(victims.CHECKER_CHILD, []),
    ]
    if not children:
      return False
    try:
      struck.chance.choice(children).send_signal(struck.chance.choice(choices))
    except psutil.NoSuchProcess:
      return False
    return True

  return strike


def _exhaust_memory(struck: Struck) -> bool:
  assert struck.memory
  struck.memory.exhaust(struck.run, struck.chance.randrange(8 << 20))
  return True


def _fill_disk(struck: Struck) -> bool:
  struck.disk.fill(struck.chance.choice((0, 4 << 10, 16 << 10, 64 << 10)))
  return True


def _turn_read_only(struck: Struck) -> bool:
  return struck.disk.turn_read_only(_PATIENCE)


def _cut_power(struck: Struck) -> bool:
  family = struck.run.family()
  for process in family:
    with contextlib.suppress(psutil.Error):
      process.suspend()
  # What one has asked of the disk comes first.
  for process in family:
    with contextlib.suppress(psutil.Error):
      while process.status() not in _STILL:
        time.sleep(0.01)
  copy = struck.disk.copy_image()
  for process in family:
    with contextlib.suppress(psutil.Error):
      process.kill()
  struck.run.process.wait()
  psutil.wait_procs(family, 10)
  struck.disk.lose_power(copy)
  return True


FAULTS = (
  Fault(name="SIGKILL", strike=_signal(signal.SIGKILL), survived=False),
  Fault(name="SIGTERM", strike=_signal(signal.SIGTERM)),
  Fault(name="SIGINT", strike=_signal(signal.SIGINT)),
  Fault(name="SIGINT twice", strike=_signal(signal.SIGINT, signal.SIGINT)),
  Fault(
    name="SIGKILL to a process that checks",
    strike=_signal_child(signal.SIGKILL),
    of_child=True,
  ),
  Fault(
    name="SIGTERM or SIGINT to a process that checks",
    strike=_signal_child(signal.SIGTERM, signal.SIGINT),
    of_child=True,
    weight=1,
  ),
  Fault(name="out of memory", strike=_exhaust_memory, memory=True, weight=3),
  Fault(name="disk full", strike=_fill_disk, mounts=True, weight=3),
  Fault(
    name="disk turns read-only", strike=_turn_read_only, mounts=True, weight=3
  ),
  Fault(
    name="power cut",
    strike=_cut_power,
    survived=False,
    mounts=True,
    power=True,
    weight=3,
  ),
)


def possible(*, mounts: bool, power: bool) -> Iterator[Fault]:
  """Yields the faults that there can be on this system."""
  for fault in FAULTS:
    if (mounts or not fault.mounts) and (power or not fault.power):
      yield fault
