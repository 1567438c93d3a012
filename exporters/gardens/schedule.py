"""Has many releases made on this machine, as many at once as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
import dataclasses
import os
import threading
from typing import Protocol

from exporters.gardens import estimates as estimates_lib
from exporters.gardens import processes as processes_lib
from exporters.gardens import work
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome
from exporters.gardens.jobs import Terms


class Listener(Protocol):
  """Is told of progress, from several threads."""

  def begins(self, job: Job) -> None:
    """A release begins."""

  def stage(self, job: Job, stage: str) -> None:
    """A stage of it begins."""

  def ends(self, job: Job, outcome: Outcome, seconds_left: float) -> None:
    """It is done; all others will take so long from now, by the estimate."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
  """What a garden may take of this machine.

  Attributes:
    releases: How many are made at the same time.
    memory: Bytes that their processes hold together.
  """

  releases: int
  memory: int

  @property
  def cores(self) -> int:
    """How many cores each of them has."""
    return max(1, len(os.sched_getaffinity(0)) // self.releases)


def run(
  jobs: Sequence[Job],
  terms: Terms,
  processes: processes_lib.Processes,
  limits: Limits,
  estimates: estimates_lib.Estimates,
  listener: Listener,
) -> list[Outcome]:
  """Makes releases; returns what became of each, in the order they ended.

  Those that take most memory come first, so that small ones fill the gaps; but
  a preprocessor is there before the encoders that name it, which fail if it
  does. One that is larger than the limit is made alone.
  """
  stop = threading.Event()
  waiting = sorted(jobs, key=lambda job: -job.size)
  running: dict[futures.Future[Outcome], Job] = {}
  outcomes: list[Outcome] = []

  def one(job: Job) -> Outcome:
    listener.begins(job)
    return make(
      job,
      terms,
      processes,
      lambda stage: listener.stage(job, stage),
      stop,
    )

  def ended(job: Job, outcome: Outcome) -> None:
    outcomes.append(outcome)
    left = seconds_left(waiting, running.values(), limits, estimates)
    listener.ends(job, outcome, left)
    if outcome.state != FAILED:
      return
    for other in [j for j in waiting if j.preprocessor == job.handle]:
      if other in waiting:
        waiting.remove(other)
        listener.begins(other)
        ended(other, of_failed_preprocessor(other))

  with futures.ThreadPoolExecutor(limits.releases) as pool:
    try:
      while waiting or running:
        for job in startable(
          waiting, list(running.values()), limits, estimates
        ):
          waiting.remove(job)
          running[pool.submit(one, job)] = job
        done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
        for future in done:
          job, outcome = running.pop(future), future.result()
          if outcome.state != FAILED:
            estimates.learn(job, outcome)
          ended(job, outcome)
    finally:
      # What is still running ends; nobody waits for what it makes.
      stop.set()
  return outcomes


def of_failed_preprocessor(job: Job) -> Outcome:
  """Returns the outcome of a release that is not tried."""
  return Outcome(
    leaf=job.leaf.name,
    state=FAILED,
    error=f"its preprocessor {job.preprocessor} failed",
  )


def make(
  job: Job,
  terms: Terms,
  processes: processes_lib.Processes,
  announce: Callable[[str], None],
  stop: threading.Event | None = None,
) -> Outcome:
  """Makes one release, in processes of its own; returns what became of it."""
  done = processes.run(
    work.release,
    [job.leaf, terms],
    seconds=terms.seconds,
    listener=announce,
    stop=stop,
    checked=True,
  )
  error = done.error or ""
  if done.late:
    error += " Allow it more with --time_limit."
  outcome = done.result or Outcome(
    leaf=job.leaf.name, state=FAILED, error=error
  )
  return dataclasses.replace(outcome, seconds=done.seconds, memory=done.memory)


def seconds_left(
  waiting: Sequence[Job],
  running,
  limits: Limits,
  estimates: estimates_lib.Estimates,
) -> float:
  """Returns how long it will take until the last release is made."""
  # Of those that are running, half is still to come.
  seconds = [estimates.of(job).seconds for job in waiting]
  seconds += [estimates.of(job).seconds / 2 for job in running]
  return max(sum(seconds) / limits.releases, *seconds, 0.0)


def startable(
  waiting: Sequence[Job],
  running: Sequence[Job],
  limits: Limits,
  estimates: estimates_lib.Estimates,
) -> list[Job]:
  """Returns which releases to begin now."""
  chosen: list[Job] = []
  pending = {job.handle for job in (*waiting, *running)}
  for job in waiting:
    held = [*running, *chosen]
    if len(held) >= limits.releases:
      break
    memory = sum(estimates.of(j).memory for j in (*held, job))
    if held and memory > limits.memory:
      continue
    if job.preprocessor in pending:
      continue
    chosen.append(job)
  return chosen
