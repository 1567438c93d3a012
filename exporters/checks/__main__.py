"""A consumer's process: `python -I exporters/checks`.

It imports what a consumer has, and reads jobs from its standard input, one JSON
object a line. For each it looks at the operations, forks processes that load
the model, and looks at the files meanwhile. The forks begin with what is
imported here and nothing else, so no job leaves traces for the next one, and
TensorFlow is imported once for all. An empty line says that the source's own
outputs are on the disk, and a line on standard output that the results are.

It refuses to import `official` and `exporters`, the wheel's too: what passes
here needs neither. So this package is loaded under another name, and its
modules import each other relatively, and nothing else of this repository.
"""

import dataclasses
import gc
import importlib.util
import json
import os
import pathlib
import sys
import traceback

# As many as share the memory of a large model; fewer if there are fewer cores.
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
  subject = _subject(checks, job, None)
  made = checks.run(subject, job["level"], checks.OPERATIONS, {})
  ready, told = os.pipe()
  processes = []
  # What is made of operations outside the list is not even loaded.
  if made[checks.OPERATIONS].status == checks.PASSED:
    # From a pipe, for whichever process is free to take the next one.
    queue, units = os.pipe()
    os.write(units, bytes(range(len(checks.units(job["level"])))))
    os.close(units)
    for i in range(_PROCESSES):
      process = os.fork()
      if not process:
        os.close(told)
        _work(checks, job, made, f"{job['results']}.{i}", queue, ready)
      processes.append(process)
    os.close(queue)
  made = checks.run(subject, job["level"], checks.FILES, made)
  sys.stdin.readline()
  # The end of this pipe is what all of them wait for.
  os.close(told)
  os.close(ready)
  for i, process in enumerate(processes):
    _, status = os.waitpid(process, 0)
    if status:
      sys.exit(f"exit code {os.waitstatus_to_exitcode(status)}")
    with open(f"{job['results']}.{i}") as f:
      for result in json.load(f):
        made.setdefault(result["check"], checks.Result(**result))
  return checks.complete(job["level"], made)


def _work(checks, job, made, path: str, queue: int, ready: int) -> None:
  """Makes the checks of units from the queue, and ends this process."""
  try:
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
    subject = _subject(checks, job, ready)
    while unit := os.read(queue, 1):
      name = checks.units(job["level"])[ord(unit)]
      made = checks.run(subject, job["level"], name, made)
    with open(path, "w") as f:
      json.dump([dataclasses.asdict(result) for result in made.values()], f)
  except BaseException:  # noqa: BLE001 - what is forked must end here.
    traceback.print_exc()
    os._exit(1)
  os._exit(0)


def _subject(checks, job, ready: int | None):
  import numpy as np

  def ask():
    os.read(ready, 1)
    with open(job["source"]) as f:
      source = json.load(f)
    with np.load(job["arrays"], allow_pickle=False) as arrays:
      return source, [arrays[f"arr_{i}"] for i in range(len(arrays.files))]

  return checks.Subject(
    path=job["path"],
    scratch=job["scratch"],
    private=job["private"],
    level=job["level"],
    keras=job["keras"],
    ask=ask,
  )


if __name__ == "__main__":
  main()
