"""What a group of processes holds together, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable
import contextlib
import os
import signal

import psutil


def kill(leader: int, known: Iterable[psutil.Process] | None = None) -> None:
  """Ends a process and what it has started, also outside its group.

  Args:
    leader: The process, which leads a group.
    known: What it had started, if it has ended. None: what it has now.
  """
  if known is None:
    known = members(leader) if _leads(leader) else ()
  with contextlib.suppress(ProcessLookupError, PermissionError):
    os.killpg(leader, signal.SIGKILL)
  for one in known:
    with contextlib.suppress(psutil.Error):
      one.kill()


def _leads(pid: int) -> bool:
  """Whether it leads a group; if it has ended, another may have its id."""
  with contextlib.suppress(ProcessLookupError):
    return os.getpgid(pid) == pid
  return False


def members(leader: int) -> list[psutil.Process]:
  """Returns a process, those of its group, and those that it has started."""
  found = []
  with contextlib.suppress(psutil.Error):
    process = psutil.Process(leader)
    found = [process, *process.children(recursive=True)]
  # Its children stay in its group when their parent ends.
  known = {one.pid for one in found}
  for one in psutil.process_iter():
    with contextlib.suppress(ProcessLookupError, PermissionError):
      if one.pid not in known and os.getpgid(one.pid) == leader:
        found.append(one)
  return found


def memory(processes: Iterable[psutil.Process]) -> int:
  """Returns the bytes that processes hold; what several share counts once."""
  total = 0
  for one in processes:
    # Some have ended meanwhile; macOS has no share of what is shared.
    with contextlib.suppress(psutil.Error):
      held = one.memory_full_info()
      total += getattr(held, "pss", held.uss) + getattr(held, "swap", 0)
  return total


def written(processes: Iterable[psutil.Process]) -> dict[psutil.Process, int]:
  """Returns how many bytes each process has written; none where unknown."""
  found = {}
  for one in processes:
    with contextlib.suppress(psutil.Error, AttributeError):
      found[one] = one.io_counters().write_chars
  return found
