"""Stops processes that take more time or memory than they may.

A model from a stranger may loop for ever or ask for all the memory there is.
The kernel's own limits do not fit: `RLIMIT_AS` counts what TensorFlow merely
reserves, and `RLIMIT_CPU` and `RLIMIT_DATA` hold for each process alone. So the
parent watches the clock, and what all the processes hold together.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import threading
import time

from exporters.errors import ExportError
from exporters.life_cycle import consumer
from exporters.life_cycle import free_memory

# How often to look, in seconds: memory is touched at a few GB a second at most.
_INTERVAL = 0.2
_PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """What the processes that load and call a model may take.

  Attributes:
    seconds: Of wall-clock time. None: any.
    memory: Bytes that all hold together. None: any.
  """

  seconds: float | None = None
  memory: int | None = None


def for_strangers(
  seconds: float | None = None, gigabytes: float | None = None
) -> Limits:
  """Returns limits for a model that may come from anyone.

  Args:
    seconds: Of wall-clock time. None: half an hour.
    gigabytes: Of memory. None: nine tenths of what the machine has left.
  """
  memory = free_memory.available()
  if gigabytes:
    memory = int(gigabytes * 1e9)
  elif memory is not None:
    memory = int(0.9 * memory)
  return Limits(seconds=seconds or 1800, memory=memory)


@contextlib.contextmanager
def enforced(limits: Limits, group: int) -> Iterator[None]:
  """Kills a group of processes that goes beyond its limits in a block.

  Args:
    limits: What they may take.
    group: The id of the group.

  Raises:
    ExportError: They were killed; the block's own error is its cause.
  """
  if limits == Limits():
    yield
    return
  met: list[str] = []
  over = threading.Event()
  watcher = threading.Thread(
    target=_watch, args=(limits, group, over, met), daemon=True
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
  limits: Limits, group: int, over: threading.Event, met: list[str]
) -> None:
  started = time.monotonic()
  while not over.wait(_INTERVAL):
    if limits.seconds and time.monotonic() - started > limits.seconds:
      met.append(
        "The processes that load and call the model were stopped: they ran for "
        f"more than {limits.seconds:g} s. --time_limit allows more."
      )
    elif limits.memory and _held(group) > limits.memory:
      met.append(
        "The processes that load and call the model were stopped: they held "
        f"more than {limits.memory / 1e9:.1f} GB of memory. --memory_limit "
        "allows more."
      )
    if met:
      consumer.kill_group(group)
      return


def _held(group: int) -> int:
  """Returns how many bytes of memory a group of processes holds."""
  total = 0
  for folder in _PROC.glob("[0-9]*"):
    try:
      # The name, in brackets, may hold anything.
      fields = (folder / "stat").read_text().rpartition(")")[2].split()
      if int(fields[2]) == group:
        total += _proportional(folder)
    except OSError:  # It has ended.
      continue
  return total


def _proportional(folder: pathlib.Path) -> int:
  """Returns a process's memory; of what several share, its part."""
  lines = (folder / "smaps_rollup").read_text().splitlines()
  return sum(
    1024 * int(line.split()[1])
    for line in lines
    if line.startswith(("Pss:", "SwapPss:"))
  )
