"""Makes the companions of a SavedModel, each of them proved or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import json
import math
import os
import shutil
import sys
import tempfile
from typing import Any

import numpy as np

from exporters.companions import calibration
from exporters.companions import kinds
from exporters.companions import runtime
from exporters.companions.arrays import save
from exporters.companions.kinds import KINDS
from exporters.companions.settings import Companions
from exporters.errors import ExportError

_FOLDER = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
  """How far a companion is from its SavedModel, in its own runtime.

  Attributes:
    differences: For each output, its largest difference in all calls, as a
      share of the largest absolute value that was wanted.
    cosine: The smallest cosine of a row of an output `[batch, n]` and the row
      that was wanted. None: there is no such output.
    top_1: Of how many rows of the output `logits` the largest value is at the
      same place, and how many there are. None: there is no such output.
    calls: How many calls were compared; of a stream, with how many pieces.
    seconds: The median time of a call with the first sample.
    saved_model_seconds: The same of the SavedModel.
  """

  differences: Mapping[str, float]
  cosine: float | None
  top_1: tuple[int, int] | None
  calls: int
  seconds: float
  saved_model_seconds: float

  @property
  def largest(self) -> tuple[str, float]:
    """The output that differs most, and by how much."""
    return max(self.differences.items(), key=lambda item: item[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Companion:
  """A file beside a SavedModel that computes the same.

  Attributes:
    kind: What it is.
    path: The file.
    bound: How far its outputs may be from the SavedModel's.
    parity: How far they are. None: nobody asked.
  """

  kind: kinds.Kind
  path: str
  bound: float
  parity: Parity | None

  @property
  def size(self) -> int:
    """Bytes of the file."""
    return os.path.getsize(self.path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
  """What `make` made.

  Attributes:
    companions: Those that are there.
    remarks: Why an optional one is not.
  """

  companions: Sequence[Companion] = ()
  remarks: Sequence[str] = ()


def make(
  saved_model: str,
  wanted: Companions,
  folder: str,
  *,
  samples: Sequence[Mapping[str, Any]] | None = None,
  stream: Mapping[str, Any] | None = None,
  prove: bool = True,
  lite: Mapping[str, Any] | None = None,
) -> Made:
  """Makes companions of a SavedModel and compares each with it.

  Args:
    saved_model: Its directory.
    wanted: Which ones.
    folder: Where to write their files, KIND.tflite and KIND.onnx.
    samples: Inputs to compare with, by the signature's names. None: they are
      made up, in two batch sizes.
    stream: How it takes a stream. None: it does not, or nothing is known.
    prove: Whether to compare them.
    lite: Further arguments of `lite.convert`, by name.

  Raises:
    ExportError: One cannot be made or differs too much, and is not optional;
      or what ONNX needs is not installed.
  """
  kinds.refuse_absent(wanted.kinds)
  made: list[Companion] = []
  remarks = []
  with tempfile.TemporaryDirectory() as work:
    _convert(saved_model, wanted, work, samples, stream, lite)
    # What is required and has failed is told before the rest takes its time.
    for name in sorted(wanted.kinds, key=lambda name: not _failed(work, name)):
      try:
        made.append(_proved(name, wanted, work, prove))
      except ExportError as e:
        message = f"There is no companion '{name}': {e.message}"
        if name not in wanted.optional:
          raise ExportError(
            f"{message} Leave it out, or say that it is optional, to go on "
            "without it."
          ) from e
        remarks.append(message)
    made.sort(key=lambda one: wanted.kinds.index(one.kind.name))
    return Made(
      companions=[
        dataclasses.replace(one, path=shutil.move(one.path, folder))
        for one in made
      ],
      remarks=remarks,
    )


def _proved(name: str, wanted: Companions, work: str, prove: bool) -> Companion:
  """Returns the companion that is in `work`; raises `ExportError` if none is.

  Or if it differs by more than its bound.
  """
  _refuse_failed(work, name)
  kind, bound = KINDS[name], wanted.bound(name)
  path = os.path.join(work, name + kind.suffix)
  parity = measured(path, work) if prove else None
  if parity:
    refuse_different(parity, bound)
  return Companion(kind=kind, path=path, bound=bound, parity=parity)


def reference(
  saved_model: str,
  folder: str,
  *,
  input_shapes: Mapping[str, Sequence[int | None]] | None = None,
) -> None:
  """Writes what `measured` compares a companion with.

  Args:
    saved_model: The SavedModel that the companion is said to equal.
    folder: Where to write.
    input_shapes: The shapes that the companion's inputs have fixed, by name.

  Raises:
    ExportError: The SavedModel cannot be called.
  """
  _convert(saved_model, Companions(input_shapes=input_shapes or {}), folder)
  _refuse_failed(folder)


def measured(companion: str, folder: str) -> Parity:
  """Compares a companion with what `folder` has of its SavedModel.

  Raises:
    ExportError: It does not run, or its inputs or outputs are other ones.
  """
  return Parity(**runtime.measure(companion, folder))


def refuse_different(parity: Parity, bound: float) -> None:
  """Raises `ExportError` if a companion differs by more than `bound`."""
  output, largest = parity.largest
  if largest <= bound:
    return
  by = f"{largest:.2g} of its scale" if math.isfinite(largest) else "everything"
  raise ExportError(
    f"Its output '{output}' differs from the SavedModel's by {by}"
    f"{_in_words(parity)}; the bound is {bound:.2g}."
  )


def _in_words(parity: Parity) -> str:
  """Returns what else is known of outputs [batch, n], to follow a figure."""
  if parity.cosine is None:
    return ""
  return f" (smallest cosine {parity.cosine:.4f})"


def _convert(
  saved_model: str,
  wanted: Companions,
  folder: str,
  samples: Sequence[Mapping[str, Any]] | None = None,
  stream: Mapping[str, Any] | None = None,
  lite: Mapping[str, Any] | None = None,
) -> None:
  """Has a process of its own write the reference and all companions."""
  calibration_file = wanted.calibration
  if wanted.calibration_data:
    calibration_file = os.path.join(folder, "calibration.npz")
    calibration.write(wanted.calibration_data, calibration_file)
  if samples is not None:
    arrays = {
      f"{i}/{name}": np.asarray(value)
      for i, sample in enumerate(samples)
      for name, value in sample.items()
    }
    save(os.path.join(folder, "samples.npz"), arrays)
  job = {
    "saved_model": os.path.abspath(saved_model),
    "folder": folder,
    "kinds": list(wanted.kinds),
    "optional": list(wanted.optional),
    "samples": None if samples is None else len(samples),
    "stream": stream,
    "input_shapes": {n: list(s) for n, s in wanted.input_shapes.items()},
    "calibration": calibration_file and os.path.abspath(calibration_file),
    "lite": lite or {},
  }
  path = os.path.join(folder, "job.json")
  with open(path, "w", encoding="utf-8") as f:
    json.dump(job, f)
  # As by -I, but for the seed of hashes, by which tf2onnx orders what it does.
  kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
  done = runtime.ended(
    [sys.executable, "-s", "-P", os.path.join(_FOLDER, "conversion.py"), path],
    environment={**kept, "PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
  )
  if done.returncode:
    last = done.stderr.strip().rpartition("\n")[2]
    raise ExportError(
      f"The process that makes companions ended early: {last}. It writes to "
      f"'{tempfile.gettempdir()}', which TMPDIR may change."
    )


def _failed(folder: str, name: str) -> bool:
  """Whether the process wrote an error in place of a companion."""
  return os.path.exists(os.path.join(folder, f"{name}.error"))


def _refuse_failed(folder: str, name: str | None = None) -> None:
  """Raises the error that the process wrote in place of a file.

  Args:
    folder: The job's.
    name: The kind of a companion. None: the reference, which all need.
  """
  for file in filter(None, ("reference", name)):
    path = os.path.join(folder, f"{file}.error")
    if os.path.exists(path):
      with open(path, encoding="utf-8") as f:
        raise ExportError(f.read())
