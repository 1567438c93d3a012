"""The memory that checks take, and the memory that there is.

Whoever starts checks asks `choose` how to run them here. A scheduler of many
exports asks `plans` what it could give them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import ctypes
import dataclasses
import gc
import os
import pathlib
import re

from .results import ALL

_PROC = pathlib.Path("/proc")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")


@dataclasses.dataclass(frozen=True)
class Plan:
  """A way to run the checks of a model.

  Attributes:
    processes: How many run checks side by side, each with the model loaded.
    keeps: Whether a process keeps the model for its next checks, with all that
      TensorFlow has built for it.
    bytes: How much all processes take at their peak, without the exporter.
  """

  processes: int
  keeps: bool
  bytes: int


def plans(variables: int, level: str) -> list[Plan]:
  """Returns the ways to run the checks of a model, the fastest first.

  Args:
    variables: The bytes of its variables.
    level: The level of checks.
  """
  raise NotImplementedError


def choose(
  variables: int, level: str, *, cores: int, free: int | None
) -> Plan | None:
  """Returns the fastest plan that fits. None: none does.

  Args:
    variables: The bytes of the model's variables.
    level: The level of checks.
    cores: How many there are. More processes than cores are of no use.
    free: The bytes that are available. None: nobody knows.
  """
  useful = [p for p in plans(variables, level) if p.processes <= cores]
  fitting = (p for p in useful if free is None or p.bytes <= free)
  return next(fitting, None)


def available() -> int | None:
  """Returns how many bytes this process and its children may still take.

  That is what the machine has left, swap included, or less, where a cgroup of
  this process has a limit. None: it is not Linux that this runs on.
  """
  try:
    lines = (_PROC / "meminfo").read_text().splitlines()
  except OSError:
    return None
  kilobytes = {
    name: int(rest.split()[0])
    for name, _, rest in (line.partition(":") for line in lines)
  }
  machine = 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
  return min([machine, *_left_by_cgroups()])


def _left_by_cgroups() -> Iterator[int]:
  """Yields what each cgroup around this process leaves to it."""
  for folder, limit, usage in _cgroups():
    try:
      # Without a limit, it is "max", or larger than any machine.
      most = int((folder / limit).read_text())
      used = int((folder / usage).read_text())
      statistics = (folder / "memory.stat").read_text()
    except (OSError, ValueError):
      continue
    # Files that were read, which the kernel forgets first.
    cached = re.search(r"^(?:total_)?inactive_file (\d+)", statistics, re.M)
    yield max(0, most - used + (int(cached[1]) if cached else 0))


def _cgroups() -> Iterator[tuple[pathlib.Path, str, str]]:
  """Yields the folders of cgroups that count memory, and their files' names."""
  try:
    lines = (_PROC / "self/cgroup").read_text().splitlines()
  except OSError:
    return
  for line in lines:
    _, controllers, path = line.split(":", 2)
    if not controllers:
      root, names = _CGROUPS, ("memory.max", "memory.current")
    elif "memory" in controllers.split(","):
      root = _CGROUPS / "memory"
      names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    else:
      continue
    # In a container, the path may be the host's: then the root is its own.
    folder = root / path.lstrip("/")
    for parent in (folder, *folder.parents):
      if parent == root or root in parent.parents:
        yield (parent, *names)


def collect() -> None:
  """Frees what nobody refers to any more."""
  # TensorFlow's objects refer to each other in circles, and the processes that
  # check don't search for these on their own.
  gc.collect()
  trim()


def trim() -> None:
  """Gives memory that is free back to the system."""
  # Only glibc has it, and only glibc needs it.
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).malloc_trim(0)
