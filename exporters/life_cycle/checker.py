"""Has a fresh process check an artifact, as a consumer would."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import dataclasses
import json
import os
import re
import socket
import sys
from typing import Any

import numpy as np

from exporters import checks
from exporters.bounds import free_memory
from exporters.bounds import limits
from exporters.checks import memory
from exporters.errors import ExportError
from exporters.life_cycle import consumer as consumer_lib
from exporters.life_cycle import reference
from exporters.life_cycle import temporary
from exporters.saved_model.published import Published


class Checker:
  """A process of `exporters.checks` that waits for artifacts to check.

  It is started early, so that it imports TensorFlow while this process builds
  and restores. With `checks.NONE` it is not started.

  Args:
    level: Which checks to run.
    consumer: A process that was started elsewhere. None: one is started.
    limit: What the processes may take.
  """

  def __init__(
    self,
    level: str,
    consumer: consumer_lib.Consumer | None = None,
    limit: limits.Limits | None = None,
  ):
    if level not in checks.LEVELS:
      raise ExportError(
        f"There is no level of checks '{level}'; choose one of "
        f"{', '.join(checks.LEVELS)}."
      )
    self._level = level
    self._consumer = consumer
    self._limit = limit or limits.Limits()
    self._started = contextlib.ExitStack()

  def __enter__(self) -> Checker:
    if self._level != checks.NONE and not self._consumer:
      self._consumer = self._started.enter_context(consumer_lib.started())
    return self

  def __exit__(self, *unused_exception) -> None:
    self._started.close()

  def check(
    self,
    published: Published | None,
    path: str,
    *,
    scratch: str,
    private: Sequence[str],
    keras: bool = False,
  ) -> list[checks.Result]:
    """Returns the results for the SavedModel at `path`.

    Args:
      published: What it was written from, with its reference. None: unknown.
      path: Its directory.
      scratch: A directory for temporary files.
      private: Strings that must not be in it, besides this machine's own paths.
      keras: Whether it is of the form that `tf_keras.models.load_model` reads.

    Raises:
      ExportError: A process died or went beyond its limits, or the checks
        would not fit into memory.
    """
    if self._level == checks.NONE or not self._consumer:
      return []
    consumer = self._consumer
    plan = _plan(path, self._level, consumer.cores)
    job: dict[str, Any] = {
      "path": path,
      "scratch": scratch,
      "reference": os.path.join(scratch, "reference.json"),
      "arrays": os.path.join(scratch, "arrays.npz"),
      "results": os.path.join(scratch, "results.json"),
      "private": [*private, *private_strings()],
      "level": self._level,
      "processes": plan.processes,
      "keeps": plan.keeps,
      "cores": consumer.cores,
      "keras": keras,
      "stranger": published is None,
      "tolerance": checks.TOLERANCE,
      "needs_text": not published or "tensorflow_text" in sys.modules,
    }
    with limits.enforced(self._limit, consumer.pid):
      _send(consumer, json.dumps(job))
      # Meanwhile, the consumer loads the model.
      _write_reference(published, job)
      results = _answer(consumer, job)
      if not published or all(r.status != checks.FAILED for r in results):
        return results
      # Seldom, so only now: what rounding moves far can't agree to the last
      # digits.
      sensitivity = max(
        map(reference.sensitivity, published.callables().values())
      )
      job["tolerance"] = checks.tolerance(sensitivity)
      if job["tolerance"] == checks.TOLERANCE:
        return results
      _send(consumer, json.dumps(job))
      results = _answer(consumer, job)
    return [_explained(result, sensitivity) for result in results]


def _write_reference(published: Published | None, job: dict[str, Any]) -> None:
  """Writes the files that a job's checks compare the model with."""
  arrays: list[np.ndarray] = []
  stated = published and {
    name: reference.stated(callable_, arrays)
    for name, callable_ in published.callables().items()
  }
  np.savez(job["arrays"], *arrays)
  with open(job["reference"], "w") as f:
    json.dump(stated, f)


def _answer(
  consumer: consumer_lib.Consumer, job: dict[str, Any]
) -> list[checks.Result]:
  """Has a job done whose reference is written; returns the results."""
  _send(consumer, "")
  if not consumer.answers.readline():
    raise _died(consumer)
  with open(job["results"]) as f:
    return [checks.Result(**result) for result in json.load(f)]


def _explained(result: checks.Result, sensitivity: float) -> checks.Result:
  """Says in a result why its bound is not the usual one."""
  if result.check != checks.SAME_NUMBERS:
    return result
  return dataclasses.replace(
    result,
    detail=f"{result.detail}; rounding the inputs alone moves the reference's "
    f"outputs by {sensitivity:.1g}",
  )


def _plan(path: str, level: str, cores: int) -> memory.Plan:
  """Returns how to run the checks of a model with the memory that there is."""
  known = memory.plans(*memory.sizes(path), level)
  free = free_memory.available()
  plan = memory.choose(known, cores=cores, free=free)
  if plan:
    return plan
  assert free is not None
  least = min(p.bytes for p in known)
  # Functions that call functions that call functions may need any number.
  gigabytes = f"{least / 1e9:.{'1f' if least < 1e15 else '0e'}}"
  fewer = "--checks=basic or " if level == checks.ALL else ""
  raise ExportError(
    f"The checks of this model need about {gigabytes} GB of memory, but "
    f"{free / 1e9:.1f} GB are available. Free some, or use {fewer}"
    "--checks=none."
  )


def _send(consumer: consumer_lib.Consumer, line: str) -> None:
  try:
    consumer.jobs.write(f"{line}\n".encode())
    consumer.jobs.flush()
  except BrokenPipeError as e:
    raise _died(consumer) from e


def _died(consumer: consumer_lib.Consumer) -> ExportError:
  # It closes its output when it ends, after all else is written.
  consumer.answers.read()
  consumer.stderr.seek(0)
  said = consumer.stderr.read().decode(errors="replace").strip()
  crash = re.search(r"^Fatal Python error: (.+)", said, re.M)
  if crash:
    place = re.search(r'checks/(\w+)\.py", line \d+ in (\w+)', said)
    where = f" in {place[2]} of checks/{place[1]}.py" if place else ""
    return ExportError(
      f"TensorFlow itself crashed{where} ({crash[1]}), as it may for "
      "consumers of this model. Its oneDNN kernels are often the cause: try "
      "again with TF_ENABLE_ONEDNN_OPTS=0 in the environment."
    )
  last = said.rpartition("\n")[2]
  return ExportError(
    "The process that checks the model was killed, perhaps because memory "
    f"ran out. {last}".strip()
  )


def private_strings() -> list[str]:
  """Returns strings that identify this machine: its paths, its name."""
  folders = {os.path.expanduser("~"), os.getcwd(), temporary.shared()}
  host = socket.gethostname()
  # Device names in graphs contain /job:localhost.
  names = [] if host == "localhost" else [host]
  return [os.path.join(f, "") for f in sorted(folders - {os.sep})] + names
