"""Stops processes that take more than they may.

A model from a stranger may loop for ever, ask for all the memory there is or
fill the disk. The kernel's own limits do not fit: `RLIMIT_AS` counts what
TensorFlow merely reserves, `RLIMIT_CPU`, `RLIMIT_DATA` and `RLIMIT_FSIZE` hold
for each process alone, and `RLIMIT_NPROC` counts the user's other processes. So
the parent watches the clock, and what all the processes take together.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import shutil
import signal
import tempfile
import threading
import time

from exporters.bounds import free_memory
from exporters.errors import ExportError

# How often to look, in seconds. Less often where a look, at hundreds of
# processes say, takes long; more often where memory may soon reach its limit.
_INTERVAL = 0.2
_SHARE = 0.05
# Bytes a second at which memory is touched for the first time, at most.
_TOUCHED = 4e9
# The share of a limit of memory at which processes are stopped: until they are
# gone, they may touch more.
_CLOSE = 0.9
# For a model from anyone: half an hour, and far more processes than checks use.
_SECONDS = 1800.0
_PROCESSES = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """What some processes may take.

  Attributes:
    seconds: Of wall-clock time. None: any.
    memory: Bytes that all hold together. None: any.
    disk: Bytes that all write together. None: any.
    processes: How many there may be at once. None: any.
  """

  seconds: float | None = None
  memory: int | None = None
  disk: int | None = None
  processes: int | None = None


NONE = Limits()


def for_strangers(
  *,
  seconds: float | None = None,
  memory: float | None = None,
  disk: float | None = None,
  processes: int | None = None,
) -> Limits:
  """Returns limits for what may come from anyone.

  Of each, 0 is any number.

  Args:
    seconds: Of wall-clock time. None: half an hour.
    memory: Gigabytes of memory. None: nine tenths of what the machine has left.
    disk: Gigabytes to write. None: nine tenths of what is free where temporary
      files are.
    processes: How many at once. None: 500.
  """
  if memory is None:
    memory = 0.9e-9 * (free_memory.available() or 0)
  if disk is None:
    disk = 0.9e-9 * _free_disk()
  return Limits(
    seconds=(_SECONDS if seconds is None else seconds) or None,
    memory=int(memory * 1e9) or None,
    disk=int(disk * 1e9) or None,
    processes=(_PROCESSES if processes is None else processes) or None,
  )


def _free_disk() -> int:
  return shutil.disk_usage(tempfile.gettempdir()).free


@contextlib.contextmanager
def clock(seconds: float | None) -> Iterator[None]:
  """Ends a block of this process's main thread that takes longer.

  Args:
    seconds: Of wall-clock time. None: any.

  Raises:
    ExportError: It took longer.
  """

  def end(*unused: object) -> None:
    raise ExportError(
      f"It took more than {seconds:g} s. --time_limit allows more."
    )

  before = signal.signal(signal.SIGALRM, end)
  signal.setitimer(signal.ITIMER_REAL, seconds or 0.0)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def enforced(limits: Limits, leader: int) -> Iterator[None]:
  """Kills processes that go beyond their limits in a block.

  Args:
    limits: What they may take.
    leader: The id of the process that started them, and of their group.

  Raises:
    ExportError: They were killed; the block's own error is its cause.
  """
  if limits == NONE:
    yield
    return
  met: list[str] = []
  over = threading.Event()
  watcher = threading.Thread(
    target=_watch, args=(limits, leader, over, met), daemon=True
  )
  watcher.start()
  try:
    yield
  except ExportError as e:
    if met:
      raise ExportError(met[0]) from e
    raise
  finally:
    over.set()
    watcher.join()


def _watch(
  limits: Limits, leader: int, over: threading.Event, met: list[str]
) -> None:
  # Only what has limits needs it.
  from exporters.bounds import groups

  # To find them takes a look at all processes of the machine.
  counted = limits.memory or limits.disk or limits.processes
  started = time.monotonic()
  # By process, with those that have ended.
  written: dict[object, int] = {}
  pause = _INTERVAL
  while not over.wait(pause):
    begun = time.monotonic()
    found = groups.members(leader) if counted else []
    written.update(groups.written(found))
    taken = Limits(
      seconds=time.monotonic() - started,
      memory=groups.memory(found) if limits.memory else None,
      disk=sum(written.values()),
      processes=len(found),
    )
    looked = time.monotonic() - begun
    broken = _broken(limits, taken)
    if broken:
      met.append(
        f"The processes that handle the model were stopped: they {broken} "
        "allows more."
      )
      groups.kill(leader)
      return
    pause = max(_INTERVAL, looked / _SHARE)
    if limits.memory and taken.memory is not None:
      room = (_CLOSE * limits.memory - taken.memory) / _TOUCHED
      pause = min(pause, max(room, looked))


def _broken(limits: Limits, taken: Limits) -> str | None:
  """Returns which limit was met, and the flag that raises it."""
  if limits.seconds and taken.seconds and taken.seconds > limits.seconds:
    return f"ran for more than {limits.seconds:g} s. --time_limit"
  if limits.memory and (taken.memory or 0) > _CLOSE * limits.memory:
    most = f"{limits.memory / 1e9:.1f} GB of memory"
    return f"came close to the limit of {most}. --memory_limit"
  if limits.disk and taken.disk and taken.disk > limits.disk:
    return f"wrote more than {limits.disk / 1e9:.1f} GB. --disk_limit"
  if limits.processes and (taken.processes or 0) > limits.processes:
    return f"were more than {limits.processes} at once. --process_limit"
  return None
