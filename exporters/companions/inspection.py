"""Looks through a companion from someone else before it is run."""

import os

from exporters.companions import kinds
from exporters.companions import lite_file
from exporters.companions import onnx_file
from exporters.companions.inspected import Inspected
from exporters.errors import ExportError

_READERS = dict(
  zip(kinds.SUFFIXES, (lite_file.read, onnx_file.read), strict=True)
)
# The limit of both formats.
_LARGEST = (2 << 30) - 1


def inspect(path: str) -> Inspected:
  """Returns what a companion's file says of itself.

  Args:
    path: A `.tflite` or a `.onnx`.

  Raises:
    ExportError: It is damaged, or needs more than this file and the operators
      of its runtime.
  """
  suffix = os.path.splitext(path)[1]
  if not os.path.isfile(path):
    raise ExportError(f"There is no file at '{path}'.")
  if os.path.getsize(path) > _LARGEST:
    raise ExportError(f"'{path}' is larger than 2 GB.")
  if suffix == ".onnx":
    kinds.refuse_absent([kinds.ONNX])
  with open(path, "rb") as f:
    return _READERS[suffix](f.read())
