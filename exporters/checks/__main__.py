"""A consumer's process: `python -I exporters/checks`.

It imports what a consumer has, and reads jobs from its standard input, one JSON
object a line. For each it looks at the operations, forks processes that load
the model, and looks at the files meanwhile. The forks begin with what is
imported here and nothing else, so no job leaves traces for the next one, and
TensorFlow is imported once for all. An empty line says that the reference's own
outputs are on the disk, and a line on standard output that the results are.

It refuses to import `official` and `exporters`, the wheel's too: what passes
here needs neither. So this package is loaded under another name, and its
modules import each other relatively, and nothing else of this repository.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses
import gc
import importlib.util
import json
import multiprocessing
import os
import pathlib
import sys
import types
from typing import Any

# At most two: each loads the model.
_CORES = len(os.sched_getaffinity(0))
_PROCESSES = min(2, _CORES)


class _Refused:
  """Finds nothing, and says so, for what a consumer does not have."""

  NAMES = ("official", "exporters")

  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in self.NAMES:
      raise ModuleNotFoundError(f"a consumer has no {name}", name=name)


def _load_checks():
  folder = pathlib.Path(__file__).parent
  spec = importlib.util.spec_from_file_location(
    "consumer_checks",
    folder / "__init__.py",
    submodule_search_locations=[str(folder)],
  )
  package = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = package
  spec.loader.exec_module(package)
  return package


def main() -> None:
  # What a job leaves ends with its process, and cycles in TensorFlow's objects
  # are looked for in vain, for an eighth of the time.
  gc.disable()
  sys.meta_path.insert(0, _Refused())
  # Running a directory puts it first: `numbers` is not this folder's here.
  sys.path.remove(str(pathlib.Path(__file__).parent))
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  # What every job needs is imported while the export goes on.
  import keras  # noqa: F401
  import tensorflow_hub  # noqa: F401

  checks = _load_checks()
  for line in sys.stdin:
    job = json.loads(line)
    if job["needs_text"]:
      import tensorflow_text  # noqa: F401
    results = _results(checks, job)
    with open(job["results"], "w") as f:
      json.dump([dataclasses.asdict(result) for result in results], f)
    print("done", flush=True)


def _results(checks, job) -> list:
  candidate = _candidate(checks, job, lambda: None)
  made = checks.run(candidate, job["level"], checks.OPERATIONS, {})
  context = multiprocessing.get_context("fork")
  answered = context.Event()
  with futures.ProcessPoolExecutor(
    _PROCESSES,
    mp_context=context,
    initializer=_begin,
    initargs=(checks, job, made, answered.wait),
  ) as pool:
    pending = []
    # What is refused for its operations is not even loaded.
    if made[checks.OPERATIONS].status == checks.PASSED:
      pending = [pool.submit(_make, u) for u in checks.units(job["level"])]
    made = checks.run(candidate, job["level"], checks.FILES, made)
    sys.stdin.readline()
    answered.set()
    for results in pending:
      made = results.result() | made
  return checks.complete(job["level"], made)


@dataclasses.dataclass
class _Worker:
  """What a process of the pool keeps from one unit of checks to the next."""

  checks: types.ModuleType
  candidate: Any
  made: dict


_worker: _Worker


def _begin(checks, job, made, wait) -> None:
  """Prepares a process of the pool, which is forked."""
  global _worker
  import tensorflow as tf

  # A second CPU device, for a strategy with two replicas.
  (cpu,) = tf.config.list_physical_devices("CPU")
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  # Each its share of the cores: threads that wait for work keep others from
  # theirs.
  share = _CORES // _PROCESSES
  tf.config.threading.set_intra_op_parallelism_threads(share)
  tf.config.threading.set_inter_op_parallelism_threads(share)
  _worker = _Worker(checks, _candidate(checks, job, wait), made)


def _make(unit: str) -> dict:
  """Makes the checks of a unit; returns all that this process has made."""
  _worker.made = _worker.checks.run(
    _worker.candidate, _worker.candidate.level, unit, _worker.made
  )
  return _worker.made


def _candidate(checks, job, wait: Callable[[], object]):
  import numpy as np

  def ask():
    wait()
    with open(job["reference"]) as f:
      reference = json.load(f)
    with np.load(job["arrays"], allow_pickle=False) as arrays:
      return reference, [arrays[f"arr_{i}"] for i in range(len(arrays.files))]

  return checks.Candidate(
    path=job["path"],
    scratch=job["scratch"],
    private=job["private"],
    level=job["level"],
    keras=job["keras"],
    ask=ask,
  )


if __name__ == "__main__":
  main()
