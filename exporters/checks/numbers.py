"""Measures how far two nests of tensors are apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from .results import Finding
from .results import NotApplicableError

# As a share of an output's scale. The same computation in two graphs differs,
# because the graph optimizer fuses different operations: 9e-7 for BERT-base.
TOLERANCE = 1e-5
# Rounding moves the outputs as rounding the inputs does, but in every operation
# of the model; see `tolerance`.
_ROUNDINGS = 4
# So far apart, nobody would call two outputs the same.
_FAR = 1e-2
# An output of the likeliest class of each pixel. Where two are about as likely,
# rounding decides: so it may at one pixel in a thousand.
MASKS = "predicted_masks"
_UNDECIDED = 1e-3
_SMALLEST = float(np.finfo(np.float32).tiny)


def tolerance(sensitivity: float) -> float:
  """Returns how far two computations of an output may be apart.

  An algorithm that is backward stable gives what it would give, computed
  exactly, for inputs that are rounded a little. So its error is about the
  distance that the outputs move by that: N. J. Higham, "Accuracy and Stability
  of Numerical Algorithms", 2nd edition, section 1.6.

  Args:
    sensitivity: How far they move when the last bit of each input does, as a
      share of their scale.
  """
  return min(max(TOLERANCE, _ROUNDINGS * sensitivity), _FAR)


def flatten(nest: Any, prefix: str = "") -> dict[str, Any]:
  """Returns a nest's tensors, by paths of keys; composite ones part by part."""
  items: list[tuple[Any, Any]]
  if isinstance(nest, Mapping):
    items = list(nest.items())
  elif isinstance(nest, (list, tuple)):
    items = list(enumerate(nest))
  elif isinstance(nest, tf.RaggedTensor):
    items = [("values", nest.flat_values)]
    items += [(f"splits_{i}", s) for i, s in enumerate(nest.nested_row_splits)]
  elif isinstance(nest, tf.SparseTensor):
    items = [("indices", nest.indices), ("values", nest.values)]
    items += [("dense_shape", nest.dense_shape)]
  else:
    return {prefix: nest}
  flat: dict[str, Any] = {}
  for key, value in items:
    flat |= flatten(value, f"{prefix}_{key}" if prefix else str(key))
  return flat


def named(outputs: Any, names: Sequence[str]) -> dict[str, Any]:
  """Returns a call's outputs by the names that a signature gives them.

  Args:
    outputs: What the call returned.
    names: Names for a tensor, which gets all of them, or for what is in a list.
  """
  if isinstance(outputs, (list, tuple)):
    outputs = dict(zip(names, outputs, strict=True))
  elif not isinstance(outputs, Mapping):
    outputs = dict.fromkeys(names, outputs)
  flat: dict[str, Any] = {}
  for name, value in outputs.items():
    # The tensors of a dict have names of their own.
    flat |= flatten(value, "" if isinstance(value, Mapping) else name)
  return flat


def difference(got: Any, want: Any) -> tuple[float, str]:
  """Returns the largest difference of two nests, relative to the scale.

  The scale of an output is its largest absolute value. The difference is
  infinite if names, shapes, dtypes, strings or integers differ, or for NaN. Of
  masks, few pixels may differ.
  """
  got, want = flatten(got), flatten(want)
  if got.keys() != want.keys():
    return float("inf"), f"outputs {sorted(got)}, not {sorted(want)}"
  worst, where = 0.0, ""
  for name in want:
    error = _difference(got[name], want[name], masks=name == MASKS)
    if error > worst:
      worst, where = error, f"in {name or 'the output'}"
  return worst, where


def _difference(got: Any, want: Any, *, masks: bool) -> float:
  got, want = np.asarray(got), np.asarray(want)
  if got.shape != want.shape or got.dtype != want.dtype:
    return float("inf")
  if not got.size:
    return 0.0
  got, want = _widened(got), _widened(want)
  if masks:
    return 0.0 if np.mean(got != want) <= _UNDECIDED else float("inf")
  if got.dtype.kind != "f":
    return 0.0 if np.array_equal(got, want) else float("inf")
  scale = max(float(np.max(np.abs(want))), _SMALLEST)
  error = float(np.max(np.abs(got - want))) / scale
  # NaN is neither smaller nor larger than any figure, so it would get lost.
  return float("inf") if math.isnan(error) else error


def _widened(array: np.ndarray) -> np.ndarray:
  """Returns numbers of bfloat16, of which NumPy knows nothing, as float32."""
  if array.dtype == tf.bfloat16.as_numpy_dtype:
    return array.astype(np.float32)
  return array


def worst(
  differences: Iterable[tuple[str, tuple[float, str]]],
  bound: float = TOLERANCE,
) -> Finding:
  """Returns the largest of several differences, with its place.

  Args:
    differences: What was compared, with what `difference` returns for it.
    bound: How far two may be apart.
  """
  largest, place, count = 0.0, "", 0
  for name, (error, where) in differences:
    count += 1
    if error > largest:
      largest, place = error, f"{name or 'the model'}: {where}"
  if not count:
    raise NotApplicableError("no call of it is known")
  calls = "1 call" if count == 1 else f"{count} calls"
  return Finding(largest, bound, place or f"in {calls}")


# Where the ranges of a histogram meet, as shares of an output's scale.
_EDGES = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


def histogram(pairs: Iterable[tuple[Any, Any]]) -> dict[str, int]:
  """Counts the floating-point numbers in nests by their differences.

  Args:
    pairs: Nests of the same structure: outputs, and the outputs wanted.

  Returns:
    How many numbers differ by how much, as ranges of shares of the scale.
  """
  names = ["equal", f"less than {_EDGES[0]:.0e}"]
  names += [f"{a:.0e} to {b:.0e}" for a, b in itertools.pairwise(_EDGES)]
  names += [f"{_EDGES[-1]:.0e} and more"]
  counts = dict.fromkeys(names, 0)
  for got, want in pairs:
    got, want = flatten(got), flatten(want)
    for key in got.keys() & want.keys():
      one = _widened(np.asarray(got[key]))
      other = _widened(np.asarray(want[key]))
      if one.shape != other.shape or one.dtype.kind != "f" or not one.size:
        continue
      scale = max(float(np.max(np.abs(other))), _SMALLEST)
      errors = np.abs(one - other) / scale
      places = np.where(errors == 0, 0, 1 + np.digitize(errors, _EDGES))
      for place, count in zip(
        *np.unique(places, return_counts=True), strict=True
      ):
        counts[names[place]] += int(count)
  return counts if any(counts.values()) else {}
