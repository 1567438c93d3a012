"""A consumer's process: `python -I exporters/checks SHARE`.

It reads jobs from its standard input, one JSON object a line, makes its share
of the checks, "shared" or "alone", writes the results to a file and answers
with a line. It refuses to import `official` and `exporters`, the wheel's too:
what passes here needs neither. So this package is loaded under another name,
and its modules import each other relatively, and nothing else of this
repository.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import sys


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
  sys.meta_path.insert(0, _Refused())
  # Running a directory puts it first: `numbers` is not this folder's here.
  sys.path.remove(str(pathlib.Path(__file__).parent))
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  (share,) = sys.argv[1:]
  # What every job needs is imported while the export goes on.
  import numpy as np
  import tensorflow as tf
  import tensorflow_hub  # noqa: F401

  checks = _load_checks()
  # A second CPU device, for a strategy with two replicas.
  (cpu,) = tf.config.list_physical_devices("CPU")
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  for line in sys.stdin:
    job = json.loads(line)
    if job["needs_text"]:
      import tensorflow_text  # noqa: F401
    with np.load(job["arrays"], allow_pickle=False) as arrays:
      subject = checks.Subject(
        path=job["path"],
        scratch=job["scratch"],
        source=job["source"],
        private=job["private"],
        arrays=[arrays[f"arr_{i}"] for i in range(len(arrays.files))],
      )
    results = checks.run(subject, job["level"], alone=share == "alone")
    with open(f"{job['results']}.{share}", "w") as f:
      json.dump([dataclasses.asdict(result) for result in results], f)
    print("done", flush=True)


if __name__ == "__main__":
  main()
