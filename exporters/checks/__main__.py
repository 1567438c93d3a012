"""A consumer's process: `python -I exporters/checks`.

It imports what a consumer has, and reads jobs from standard input, one JSON
object per line. For each job it checks the operations, then forks processes
that load the model, and checks the files meanwhile. TensorFlow is imported once
for all jobs; the forks start from there, so no job affects the next.

After each job, an empty line on standard input says that the reference's
outputs are on the disk. A line on standard output says that the results are.

With the argument `serve`, standard input is a socket, and for each three file
descriptors that it receives there, standard input, output and error, the
process forks one that does the same. It answers with the fork's process id.

It refuses to import `official` (the wheel's too) and `exporters`: what passes
here needs neither. So this package is loaded under another name.
"""

from collections.abc import Callable
from concurrent import futures
from concurrent.futures import process
import dataclasses
import faulthandler
import gc
import importlib.util
import json
import multiprocessing
import os
import pathlib
import select
import signal
import socket
import sys
import threading
import types
from typing import Any


class _Refused:
  """Refuses to import what a consumer does not have."""

  NAMES = ("official", "exporters")

  def find_spec(self, name, path=None, target=None):
    if name.partition(".")[0] in self.NAMES:
      raise ModuleNotFoundError(f"a consumer does not have {name}", name=name)


def _load_checks():
  folder = pathlib.Path(__file__).parent
  spec = importlib.util.spec_from_file_location(
    "consumer_checks",
    folder / "__init__.py",
    submodule_search_locations=[str(folder)],
  )
  # Not None: the file exists.
  assert spec
  assert spec.loader
  package = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = package
  spec.loader.exec_module(package)
  return package


def main() -> None:
  """Does jobs, or has forks do them, until standard input is closed."""
  # TensorFlow itself may crash on a model; then this says where.
  faulthandler.enable(all_threads=False)
  # What a job leaves behind goes with its process, and searching TensorFlow's
  # objects for cycles takes an eighth of the time.
  gc.disable()
  sys.meta_path.insert(0, _Refused())
  # Running a directory puts it first on the path, but `numbers` is Python's.
  sys.path.remove(str(pathlib.Path(__file__).parent))
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  # TensorFlow's own allocator keeps what is freed: gradients, for example.
  os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
  # Every job needs these. The export goes on meanwhile.
  import keras  # noqa: F401
  import tensorflow_hub  # noqa: F401

  checks = _load_checks()
  # Whoever searches for circles need not look at what is shared with the forks.
  gc.freeze()
  if sys.argv[1:] == ["serve"]:
    _serve(checks)
  else:
    _do_jobs(checks)


def _serve(checks) -> None:
  """Forks a consumer's process for each request."""
  requests = socket.socket(fileno=0)
  # Nobody waits for the forks here.
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)
  while True:
    message, streams, *_ = socket.recv_fds(requests, 1, 3)
    if not message:
      return
    pid = os.fork()
    if not pid:
      signal.signal(signal.SIGCHLD, signal.SIG_DFL)
      os.setsid()
      for standard, stream in enumerate(streams):
        os.dup2(stream, standard)
        os.close(stream)
      _do_jobs(checks)
      os._exit(0)  # Without a search for what could be freed.
    for stream in streams:
      os.close(stream)
    requests.sendall(pid.to_bytes(8, "big"))


def _do_jobs(checks) -> None:
  """Does the jobs on standard input until it is closed."""
  threading.Thread(target=_end_with_reader, daemon=True).start()
  for line in sys.stdin:
    job = json.loads(line)
    if job["needs_text"]:
      import tensorflow_text  # noqa: F401
    results = _results(checks, job)
    with open(job["results"], "w") as f:
      json.dump([dataclasses.asdict(result) for result in results], f)
    print("done", flush=True)


def _results(checks, job) -> list:
  job["path"] = checks.snapshot(job["path"], job["scratch"])
  candidate = _candidate(checks, job, lambda: None)
  made = checks.run(candidate, job["level"], checks.OPERATIONS, {})
  context = multiprocessing.get_context("fork")
  # Each who passes lets the next one in. Not an Event: `set` would wait for
  # ever for a process that was killed while it waited.
  answered = context.Semaphore(0)

  def wait():
    with answered:
      pass

  with futures.ProcessPoolExecutor(
    job["processes"],
    mp_context=context,
    initializer=_begin,
    initargs=(checks, job, made, wait),
  ) as pool:
    try:
      pending = []
      # What is refused for its operations is not even loaded.
      if made[checks.OPERATIONS].status == checks.PASSED:
        pending = [pool.submit(_make, u) for u in checks.units(job["level"])]
        # What is submitted while a process is found dead may be forgotten, and
        # waited for without end. But nothing can be submitted from then on.
        pool.submit(int)
      made = checks.run(candidate, job["level"], checks.FILES, made)
      sys.stdin.readline()
      answered.release()
      for results in pending:
        made = results.result() | made
    except process.BrokenProcessPool as e:
      # Leaving the block would wait for a pool that may be in any state.
      print(f"{type(e).__name__}: {e}", file=sys.stderr, flush=True)
      os._exit(1)
  return checks.complete(job["level"], made, candidate.stranger)


@dataclasses.dataclass
class _Worker:
  """What a process of the pool keeps between units of checks."""

  checks: types.ModuleType
  candidate: Any
  keeps: bool
  made: dict


_worker: _Worker


def _begin(checks, job, made, wait) -> None:
  """Prepares a forked process of the pool."""
  global _worker
  import tensorflow as tf

  threading.Thread(target=_end_with_parent, daemon=True).start()

  # Two CPU devices, for a strategy with two replicas.
  (cpu,) = tf.config.list_physical_devices("CPU")
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  # Each process gets its share of the cores, since threads that wait for work
  # slow down the others.
  share = max(1, job["cores"] // job["processes"])
  tf.config.threading.set_intra_op_parallelism_threads(share)
  tf.config.threading.set_inter_op_parallelism_threads(share)
  candidate = _candidate(checks, job, wait)
  _worker = _Worker(checks, candidate, job["keeps"], made)


def _end_with_parent() -> None:
  """Ends this process when the one that forked it is killed.

  Otherwise it would wait for work forever, and the process that waits for its
  results would wait too.
  """
  parent = multiprocessing.parent_process()
  assert parent
  parent.join()
  os._exit(1)


def _end_with_reader() -> None:
  """Ends this process, hence its children, when nobody waits for the results.

  The process that exports may have been killed in the middle of a long check.
  """
  reader = select.poll()
  reader.register(1, 0)  # Only for the error: nobody has the other end.
  reader.poll()
  os._exit(1)


def _make(unit: str) -> dict:
  """Runs the checks of a unit; returns all results of this process so far."""
  _worker.made = _worker.checks.run(
    _worker.candidate, _worker.candidate.level, unit, _worker.made
  )
  if not _worker.keeps:
    _worker.candidate.drop()
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
    stranger=job["stranger"],
    tolerance=job["tolerance"],
    ask=ask,
  )


if __name__ == "__main__":
  main()
