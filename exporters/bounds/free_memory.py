"""Finds out how much memory there is left, of the machine and of a container.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

from collections.abc import Iterator
import pathlib

_PROC = pathlib.Path("/proc")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")


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
  for folder, limit, usage in cgroups():
    try:
      # Without a limit, it is "max", or larger than any machine.
      most = int((folder / limit).read_text())
      used = int((folder / usage).read_text())
      lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
      continue
    # Files that were read, which the kernel forgets first. In the first kind of
    # cgroups, only the total counts those of the cgroups inside.
    known = dict(line.split() for line in lines)
    cached = known.get("total_inactive_file", known.get("inactive_file", 0))
    yield max(0, most - used + int(cached))


def cgroups() -> Iterator[tuple[pathlib.Path, str, str]]:
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
