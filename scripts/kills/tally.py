"""Counts what was struck, and notes what was wrong afterwards."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import sys
import threading

DAMAGED = "damaged versions"
LOST = "lost versions"
ORPHANS = "orphans"
LEFT = "leftovers after the next run"
HUNG = "runs that hung"
UNEXPLAINED = "failures without a reason"
FOUND = (DAMAGED, LOST, ORPHANS, LEFT, HUNG, UNEXPLAINED)


class Tally:
  """What a campaign has done and found; threads may share it.

  Args:
    head: What the first column of the table has.
    stages: The other columns, in order.
  """

  def __init__(self, head: str, stages: Sequence[str]):
    self._head = head
    self._stages = stages
    self._struck: collections.Counter[tuple[str, str]] = collections.Counter()
    self._found: dict[str, list[str]] = {what: [] for what in FOUND}
    self._lock = threading.Lock()

  @property
  def total(self) -> int:
    """How many times something was struck."""
    return self._struck.total()

  @property
  def faultless(self) -> bool:
    """Whether nothing was wrong."""
    return not any(self._found.values())

  def strike(self, kind: str, stage: str) -> None:
    """Counts one."""
    with self._lock:
      self._struck[kind, stage] += 1

  def note(self, what: str, line: str) -> None:
    """Notes one of `FOUND`."""
    with self._lock:
      self._found[what].append(line)
    say(f"{what.upper()}: {line}")

  def print_tables(self, remark: str) -> None:
    """Prints both tables as Markdown, and a remark between them."""
    struck = self._struck
    stages = [s for s in self._stages if any(s == t for _, t in struck)]
    print(f"| {self._head} |", " | ".join((*stages, "all")), "|")
    print("|---|", "---:|" * (len(stages) + 1), sep="")
    for kind in sorted({kind for kind, _ in struck}):
      counts = [struck[kind, stage] for stage in stages]
      print(f"| {kind} |", " | ".join(map(str, (*counts, sum(counts)))), "|")
    sums = [sum(struck[k] for k in struck if k[1] == s) for s in stages]
    print("| all |", " | ".join(map(str, (*sums, sum(sums)))), "|")
    print(f"\n{remark}\n")
    print("| found | |\n|---|---:|")
    for what, lines in self._found.items():
      print(f"| {what} | {len(lines)} |")


def say(line: str) -> None:
  """Shows progress, apart from the tables on standard output."""
  print(line, file=sys.stderr, flush=True)
