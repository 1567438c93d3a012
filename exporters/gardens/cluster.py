"""Has the releases of a garden made on several machines, by Dask distributed.

https://distributed.dask.org. Each machine runs one worker, `serve`; each
release is made there in processes of its own, as on one machine. All machines
see the same release directory, and the same paths to checkpoints. What travels
is a job, and an outcome with digests and paths.

A worker that is killed leaves no half version. Dask gives what it was making to
another, which makes it anew, or finds it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent import futures
import functools
import logging
import os
import queue
import socket
import tempfile
import threading
import time
from typing import Any

import distributed

from exporters.errors import ExportError
from exporters.gardens import estimates as estimates_lib
from exporters.gardens import processes as processes_lib
from exporters.gardens import schedule
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome
from exporters.gardens.jobs import Terms
from exporters.gin_files import imports
from exporters.life_cycle import version
from exporters.release import git_commit

# A person who waits for models does not need its messages on connections.
logging.getLogger("distributed").setLevel(logging.ERROR)
# Nor its tracebacks when a scheduler ends, which is told below.
logging.getLogger("distributed.client").setLevel(logging.CRITICAL)

_MEMORY = "memory"
_TOPIC = "garden"
# How long nobody may be there to work, in seconds.
_NO_WORKERS = 300.0
_LOST = "The scheduler has ended, or cannot be reached any more."


class _Worker(distributed.Worker):
  """One whose end stops what it is making, which would take up to an hour."""

  async def close(self, *args, **kwargs):
    _STOP.set()
    return await super().close(*args, **kwargs)


async def serve(
  scheduler: str, limits: schedule.Limits, *, wait: float
) -> None:
  """Makes releases on this machine for a scheduler, until it ends.

  Args:
    scheduler: Its address, such as tcp://10.0.0.1:8786.
    limits: What the releases may take of this machine.
    wait: How many seconds to wait for a scheduler that does not answer.
  """
  async with _Worker(
    scheduler,
    nthreads=limits.releases,
    resources={_MEMORY: limits.memory},
    # The processes that hold memory are not the worker's own.
    memory_limit=0,
    # There, workers remove what killed ones have left.
    local_directory=tempfile.gettempdir(),
    death_timeout=wait,
  ) as worker:
    await worker.finished()


def run(
  jobs: Sequence[Job],
  terms: Terms,
  client: distributed.Client,
  estimates: estimates_lib.Estimates,
  listener: schedule.Listener,
  *,
  no_workers: float = _NO_WORKERS,
) -> list[Outcome]:
  """Makes releases on the workers of a cluster; returns what became of each.

  Those that take most memory come first; a preprocessor is there before the
  encoders that name it.

  Args:
    jobs: What to make.
    terms: What the releases have in common.
    client: It is connected to the cluster.
    estimates: They say how many fit into a worker's memory.
    listener: Is told of progress.
    no_workers: How many seconds the cluster may be without any worker.

  Raises:
    ExportError: The workers do not suit, or there is none.
  """
  try:
    largest = refuse_unsuitable(client, terms, no_workers)
  except OSError as e:
    raise ExportError(
      f"The scheduler or a worker of the cluster has ended: {e}"
    ) from e
  by_name = {job.leaf.name: job for job in jobs}
  begun: set[str] = set()

  def hear(event: tuple[float, Mapping[str, Any]]) -> None:
    _, message = event
    job = by_name.get(message["leaf"])
    if job is None:
      return
    if job.leaf.name not in begun:
      begun.add(job.leaf.name)
      listener.begins(job)
    listener.stage(job, message["stage"])

  client.subscribe_topic(_TOPIC, hear)
  # Those that others wait for come first.
  names = {job.preprocessor for job in jobs}
  ordered = sorted(jobs, key=lambda job: (job.handle not in names, -job.size))
  ended: queue.Queue[distributed.Future] = queue.Queue()
  by_handle: dict[str, distributed.Future] = {}
  running: dict[distributed.Future, Job] = {}
  for job in ordered:
    future = client.submit(
      _make,
      job,
      terms,
      by_handle.get(job.preprocessor),
      # What is larger than any worker is made alone on one.
      resources={_MEMORY: min(estimates.of(job).memory, largest)},
      priority=job.size,
      # Of a job and its files, not of the function's arguments.
      pure=False,
    )
    by_handle[job.handle] = future
    running[future] = job
    future.add_done_callback(ended.put)
  try:
    return _awaited(
      running, ended, client, estimates, listener, begun, no_workers
    )
  finally:
    client.unsubscribe_topic(_TOPIC)


def _awaited(
  running: dict[distributed.Future, Job],
  ended: queue.Queue[distributed.Future],
  client: distributed.Client,
  estimates: estimates_lib.Estimates,
  listener: schedule.Listener,
  begun: set[str],
  no_workers: float,
) -> list[Outcome]:
  """Returns the outcomes, as they come."""
  outcomes: list[Outcome] = []
  alone_since: float | None = None
  while running:
    try:
      future = ended.get(timeout=1)
    except queue.Empty:
      slots = _slots(client)
      alone_since = None if slots else alone_since or time.monotonic()
      if alone_since is None or time.monotonic() - alone_since < no_workers:
        continue
      client.cancel(list(running))
      error = f"The cluster had no worker for {no_workers:g} s."
      return [*outcomes, *(_failed(job, error) for job in running.values())]
    if future.cancelled():  # Nobody here does so.
      return [*outcomes, *(_failed(job, _LOST) for job in running.values())]
    job = running.pop(future)
    outcome = _outcome(future, job)
    if outcome.state != FAILED and outcome.memory:
      estimates.learn(job, outcome)
    outcomes.append(outcome)
    if job.leaf.name not in begun:
      begun.add(job.leaf.name)
      listener.begins(job)
    limits = schedule.Limits(releases=max(_slots(client), 1), memory=0)
    left = schedule.seconds_left([*running.values()], [], limits, estimates)
    listener.ends(job, outcome, left)
  return outcomes


def _outcome(future: distributed.Future, job: Job) -> Outcome:
  try:
    error = future.exception()
    if error is None:
      return future.result()
  except (futures.CancelledError, OSError):
    return _failed(job, _LOST)
  if isinstance(error, distributed.KilledWorker):
    error = (
      "Each worker that tried to make it was killed, perhaps because memory "
      "ran out."
    )
  return _failed(job, str(error))


def _failed(job: Job, error: str) -> Outcome:
  return Outcome(leaf=job.leaf.name, state=FAILED, error=error)


def _slots(client: distributed.Client) -> int:
  """Returns how many releases the cluster makes at the same time."""
  workers = client.scheduler_info(n_workers=-1)["workers"]
  return sum(worker["nthreads"] for worker in workers.values())


def refuse_unsuitable(
  client: distributed.Client, terms: Terms, no_workers: float
) -> int:
  """Returns the memory of the largest worker, in bytes.

  Raises:
    ExportError: There is no worker; or one runs other code, would write to
      another directory or was not started by `serve`.
  """
  try:
    client.wait_for_workers(1, timeout=no_workers)
  except TimeoutError as e:
    raise ExportError(
      f"The cluster has no worker after {no_workers:g} s. Start one on each "
      "machine: python -m scripts.garden_worker ADDRESS."
    ) from e
  workers = client.scheduler_info(n_workers=-1)["workers"]
  memories = [
    worker["resources"].get(_MEMORY, 0) for worker in workers.values()
  ]
  if not all(memories):
    raise ExportError(
      "A worker of the cluster does not say how much memory it has for "
      "releases. Start each by python -m scripts.garden_worker ADDRESS."
    )
  parent = os.path.dirname(os.path.abspath(terms.release_dir))
  if "://" in terms.release_dir:
    # An address is the same everywhere.
    found = client.run(_seen, os.curdir)
  else:
    os.makedirs(parent, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=parent, prefix=".garden-") as token:
      found = client.run(_seen, token.name)
  here = _place()
  for address, (host, running, there, place) in found.items():
    if running != _code(terms.commit, terms.changed):
      raise ExportError(
        f"The worker {address} on {host} runs {running}, this command "
        f"{_code(terms.commit, terms.changed)}. Have both run the same "
        "checkout, and start the worker again."
      )
    if not there:
      raise ExportError(
        f"The worker {address} on {host} does not see '{parent}'. Release to a "
        "directory that all machines have at the same path."
      )
    if place != here:
      raise ExportError(
        f"The worker {address} on {host} was started in the folder '{place}' "
        f"of the checkout, this command in '{here}'. Start both in the same, "
        "so that relative paths mean the same."
      )
  try:
    client.run_on_scheduler(_own_code)
  except Exception as e:
    raise ExportError(
      "The scheduler cannot import this repository. Start it in the checkout: "
      "python -m distributed.cli.dask_scheduler."
    ) from e
  return int(max(memories))


def _seen(path: str) -> tuple[str, str, bool, str]:
  """Returns a worker's host, code and folder, and whether it sees a file."""
  return socket.gethostname(), _own_code(), os.path.exists(path), _place()


def _place() -> str:
  """Returns the working directory, as seen from the checkout's root."""
  return os.path.relpath(os.getcwd(), git_commit.ROOT)


@functools.cache
def _own_code() -> str:
  """Returns what this process runs, as it was when somebody first asked."""
  commit = git_commit.read_commit()
  return _code(commit.commit, commit.changed)


def _code(commit: str | None, changed: Sequence[str]) -> str:
  """Returns in words what code a process runs."""
  running = f"version {version.version()}"
  if commit:
    running += f", commit {commit[:12]}"
  return f"{running} with changes" if changed else running


def _make(job: Job, terms: Terms, preprocessor: Outcome | None) -> Outcome:
  """Makes a release, on a worker.

  Args:
    job: What to make.
    terms: What releases have in common.
    preprocessor: What became of what has to be there before.
  """
  if preprocessor and preprocessor.state == FAILED:
    return schedule.of_failed_preprocessor(job)
  worker = distributed.get_worker()

  def announce(stage: str) -> None:
    worker.log_event(_TOPIC, {"leaf": job.leaf.name, "stage": stage})

  wanted = _code(terms.commit, terms.changed)
  if _own_code() != wanted:  # It has joined since the others were asked.
    return _failed(
      job, f"{socket.gethostname()} runs {_own_code()}, not {wanted}."
    )
  announce("")
  modules = tuple(imports.modules(job.leaf.gin_files))
  with _LOCK:
    processes = _processes(modules, worker.state.nthreads)
  try:
    return schedule.make(job, terms, processes, announce, _STOP)
  except processes_lib.StoppedError as e:  # Another worker has time for it.
    raise distributed.Reschedule from e


_LOCK = threading.Lock()
_STOP = threading.Event()


@functools.cache
def _processes(
  modules: tuple[str, ...], releases: int
) -> processes_lib.Processes:
  """Returns the servers of this worker.

  What is imported beforehand is what the first job needs.
  """
  limits = schedule.Limits(releases=releases, memory=0)
  return processes_lib.Processes(modules, checked=True, cores=limits.cores)
