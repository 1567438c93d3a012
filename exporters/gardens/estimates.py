"""Estimates what a release takes, and learns from those that are done."""

from __future__ import annotations

import dataclasses
import statistics

from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome

_MB, _GB = 10**6, 10**9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """What a release takes.

  Attributes:
    seconds: Time, with the cores that it gets beside others.
    memory: Bytes that its processes hold together at most.
    disk: Bytes that it leaves in the release directory.
  """

  seconds: float
  memory: int
  disk: int


# What a fork takes by itself, and for each byte of the checkpoint, by the level
# of checks: seconds, seconds for each gigabyte, bytes, bytes for each byte.
# Measured with small BERTs and BERT-base on two cores.
_COSTS = {
  "none": (2.0, 12.0, 200 * _MB, 1.5),
  "basic": (5.0, 25.0, 600 * _MB, 2.5),
  "all": (12.0, 60.0, 800 * _MB, 3.0),
}
# The SavedModel, and its archive.
_COPIES = 1.93
# Graphs, pages and reports.
_DISK = _MB
# Of an estimate that nothing has confirmed, or of the part of it.
_MARGIN = 1.25


class Estimates:
  """Estimates of a garden's releases, all with the same checks."""

  def __init__(self, level: str):
    self._costs = _COSTS[level]
    self._slower: list[float] = []
    # What was estimated at first, and how much more it was.
    self._larger: list[tuple[int, int]] = []

  def of(self, job: Job) -> Estimate:
    """Returns what a release will probably take."""
    first = self._first(job)
    slower = statistics.median(self._slower) if self._slower else 1.0
    return dataclasses.replace(
      first, seconds=first.seconds * slower, memory=self._memory(first.memory)
    )

  def _memory(self, first: int) -> int:
    """Returns an estimate of memory, from the first one.

    Memory that is not there ends a process, so this is on the safe side. What
    one took beyond its estimate, others may take; smaller ones in proportion.
    """
    confirmed = max((other for other, _ in self._larger), default=0)
    more = max(
      (more * min(1, first / other) for other, more in self._larger), default=0
    )
    margin = (_MARGIN - 1) * max(first - confirmed, 0)
    return int(first + more + margin)

  def learn(self, job: Job, outcome: Outcome) -> None:
    """Takes in what a release that was made has taken."""
    first = self._first(job)
    self._slower.append(outcome.seconds / first.seconds)
    self._larger.append((first.memory, outcome.memory - first.memory))

  def _first(self, job: Job) -> Estimate:
    seconds, seconds_per_gb, memory, memory_per_byte = self._costs
    return Estimate(
      seconds=seconds + seconds_per_gb * job.size / _GB,
      memory=int(memory + memory_per_byte * job.size),
      disk=int(_COPIES * job.size) + _DISK,
    )
