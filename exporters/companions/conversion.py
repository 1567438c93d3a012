"""The process that makes companions: `python -sP conversion.py JOB.json`.

It calls the SavedModel with samples, so that there is something to compare the
companions with, and converts it. Each step is a process of its own, forked once
TensorFlow is imported: a converter never gives its memory back, and may crash.

To the job's folder, the process writes

  reference.npz, reference.json   what `parity` compares companions with
  KIND.tflite, KIND.onnx          the companions
  KIND.error                      in place of one: why there is none
"""

if __name__ == "__main__":
  import pathlib
  import sys

  sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import errno
import functools
import json
import multiprocessing
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from exporters.companions import calibration
from exporters.companions import kinds
from exporters.companions import lite
from exporters.companions.arrays import save
from exporters.companions.source import Arrays
from exporters.companions.source import Source
from exporters.errors import ExportError
from exporters.errors import explained

# How often the SavedModel is called to say how long a call takes.
_TIMED_CALLS = 5
REFERENCE = "reference"
_CALIBRATED = "lite_int8"
# What any library says of a full disk.
_FULL = "No space left on device"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """What the process has to do.

  Attributes:
    saved_model: The SavedModel's directory.
    folder: Where to write, and where `samples.npz` is.
    kinds: Names of kinds of companions.
    optional: Those of them that the others do not wait for.
    samples: How many inputs `samples.npz` has, as arrays called INDEX/NAME.
      None: nothing is known of them.
    stream: How the model takes a stream. None: it does not, or nothing is
      known.
    input_shapes: Shapes to fix, by input.
    calibration: A file of samples for quantization, as a recipe names it.
    lite: Further arguments of `lite.convert`, by name.
  """

  saved_model: str
  folder: str
  kinds: Sequence[str]
  optional: Sequence[str]
  samples: int | None
  stream: Mapping[str, Any] | None
  input_shapes: Mapping[str, Sequence[int | None]]
  calibration: str | None
  lite: Mapping[str, Any]

  def path(self, name: str) -> str:
    """Returns the path of one of the job's files."""
    return os.path.join(self.folder, name)

  def source(self) -> Source:
    """Loads the SavedModel."""
    return Source(
      self.saved_model,
      samples=self._samples(),
      stream=self.stream,
      input_shapes=self.input_shapes,
    )

  def _samples(self) -> list[Arrays] | None:
    if self.samples is None:
      return None
    samples: list[Arrays] = [{} for _ in range(self.samples)]
    with np.load(self.path("samples.npz"), allow_pickle=False) as arrays:
      for key in arrays.files:
        index, _, name = key.partition("/")
        samples[int(index)][name] = arrays[key]
    return samples


def main(path: str) -> None:
  """Does one job."""
  with open(path, encoding="utf-8") as f:
    job = Job(**json.load(f))
  if not _succeeds(REFERENCE, _write_reference, job):
    return
  # What is calibrated comes first: a mistake there is told before the others
  # take their time.
  for kind in sorted(job.kinds, key=lambda kind: kind != _CALIBRATED):
    if not _succeeds(kind, _convert, job, kind) and kind not in job.optional:
      return


def _succeeds(
  name: str, step: Callable[..., None], job: Job, *arguments: str
) -> bool:
  """Runs a step in a forked process; writes NAME.error if it fails."""
  process = multiprocessing.get_context("fork").Process(
    target=_run, args=(name, step, job, *arguments)
  )
  process.start()
  process.join()
  if process.exitcode == errno.ENOSPC:
    sys.exit(_FULL)
  failed = os.path.exists(job.path(f"{name}.error"))
  if process.exitcode and not failed:
    _write_error(
      job,
      name,
      "The process that made it was killed, perhaps because memory ran out "
      f"(exit code {process.exitcode}).",
    )
  return not process.exitcode and not failed


def _run(
  name: str, step: Callable[..., None], job: Job, *arguments: str
) -> None:
  try:
    with explained("call the model or convert it"):
      step(job, *arguments)
  except ExportError as e:
    if _FULL in e.message:
      sys.exit(errno.ENOSPC)
    _write_error(job, name, e.message)


def _write_error(job: Job, name: str, message: str) -> None:
  with open(job.path(f"{name}.error"), "w", encoding="utf-8") as f:
    f.write(message)


def _write_reference(job: Job) -> None:
  source = job.source()
  arrays: Arrays = {}
  cases = [*source.cases()]
  for i, (inputs, outputs) in enumerate(cases):
    arrays |= {f"{i}/input/{name}": a for name, a in inputs.items()}
    arrays |= {f"{i}/output/{name}": a for name, a in outputs.items()}
  save(job.path(f"{REFERENCE}.npz"), arrays)
  with open(job.path(f"{REFERENCE}.json"), "w", encoding="utf-8") as f:
    json.dump(
      {
        "cases": len(cases),
        "states": [*source.initial_states()],
        "seconds": _seconds(lambda: source.call(cases[0][0])),
      },
      f,
    )


def _seconds(call: Callable[[], object]) -> float:
  """Returns the median time of a call."""
  times = []
  for _ in range(_TIMED_CALLS):
    started = time.monotonic()
    call()
    times.append(time.monotonic() - started)
  return statistics.median(times)


def _convert(job: Job, name: str) -> None:
  kind = kinds.KINDS[name]
  source = job.source()
  folder = job.path(f"{name}.saved_model")
  path = folder if source.save_fixed(folder) else job.saved_model
  target = job.path(name + kind.suffix)
  if kind.runtime == kinds.ONNX:
    from exporters.companions import onnx

    onnx.convert(path, target)
    return
  samples = None
  if name == _CALIBRATED:
    assert job.calibration  # The settings ask for it.
    next(calibration.read(job.calibration, source))  # It raises, if at all.
    samples = functools.partial(calibration.read, job.calibration, source)
  lite.convert(path, target, kind.precision, samples, **job.lite)


if __name__ == "__main__":
  main(sys.argv[1])
