"""Reads the samples that a quantization chooses its integers' ranges by."""

from collections.abc import Callable, Iterable, Iterator, Mapping
import itertools
from typing import Any
import zipfile
import zlib

import numpy as np

from exporters.companions.arrays import save
from exporters.companions.source import Arrays
from exporters.companions.source import Source
from exporters.companions.source import fitted
from exporters.errors import ExportError

# More would take longer and hardly move a range.
_MOST = 500


def read(path: str, source: Source) -> Iterator[Arrays]:
  """Yields the inputs of calls, with a batch of one, from a file.

  Args:
    path: A `.npz` with an array for each input, whose first axis counts the
      samples. Of a stream, each is a whole one, and its states are computed.
    source: The model that takes the inputs.

  Raises:
    ExportError: The file is not like that.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name][:_MOST] for name in file.files}
  except (
    OSError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    AttributeError,
    RuntimeError,
  ) as e:
    raise ExportError(
      f"'{path}' is not a file of arrays: {e}. Write one with "
      "numpy.savez(PATH, INPUT=array), with the name of each input."
    ) from e
  names = source.shapes.keys() - set(source.initial_states())
  if arrays.keys() != names:
    raise ExportError(
      f"'{path}' has arrays called {', '.join(sorted(arrays))}, but the "
      f"model's inputs are {', '.join(sorted(names))}."
    )
  for name, array in arrays.items():
    shape = source.shapes[name]
    if array.ndim != len(shape):
      raise ExportError(
        f"'{path}' has '{name}' of shape {list(array.shape)}; it needs "
        f"{len(shape)} dimensions, of which the first counts the samples."
      )
  (count, *others) = {len(array) for array in arrays.values()}
  if others or not count:
    raise ExportError(
      f"'{path}' must have as many samples of each input, at least one."
    )
  for i in range(count):
    sample = {name: array[i : i + 1] for name, array in arrays.items()}
    if source.stream:
      for inputs, _ in source.steps(sample[source.stream["piece"]]):
        yield inputs
    else:
      yield {n: fitted(sample[n], shape) for n, shape in source.shapes.items()}


def write(data: Callable[[], Iterable[Mapping[str, Any]]], path: str) -> None:
  """Writes the samples of a recipe's function to such a file.

  Raises:
    ExportError: It returns no dicts of arrays, or of different shapes.
  """
  samples = [*itertools.islice(data(), _MOST)]
  if not samples or not all(isinstance(s, Mapping) for s in samples):
    raise ExportError(
      "Companions.calibration_data must return at least one sample, each a "
      "dict of arrays by the names of the model's inputs."
    )
  try:
    stacked = {
      name: np.stack([np.asarray(sample[name]) for sample in samples])
      for name in samples[0]
    }
  except (KeyError, ValueError) as e:
    raise ExportError(
      "The samples of Companions.calibration_data differ in their inputs or "
      f"shapes: {e}. Pad or cut them to one shape."
    ) from e
  save(path, stacked)
