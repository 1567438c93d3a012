"""What a functional tf_keras model takes, and samples of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

# What is put where a size is open, and the most numbers of an input.
_SMALLEST = 32
_MOST_NUMBERS = 1 << 24
_WORDS = np.array(["Hello, world!", "red", "", "Angström und naïve Façade"])


def specs(model: tf_keras.Model) -> Any:
  """Returns the spec of a model's one input, or a dict of several by name.

  Ragged and sparse inputs stay what they are.
  """
  if len(model.inputs) == 1:
    return _spec(model.inputs[0], "inputs")
  tensors = model.input
  if not isinstance(tensors, dict):
    tensors = dict(zip(model.input_names, model.inputs, strict=True))
  return {name: _spec(tensor, name) for name, tensor in tensors.items()}


def _spec(tensor: Any, name: str) -> tf.TypeSpec:
  spec = tensor.type_spec
  if isinstance(spec, tf.TensorSpec):
    return tf.TensorSpec(spec.shape, spec.dtype, name)
  return spec


def blank(batch: tf.Tensor, size: int) -> Callable[[tf.TypeSpec], tf.Tensor]:
  """Returns a function that makes an input of zeros, or of empty strings.

  Args:
    batch: The size of the batch.
    size: What any other dimension gets that the spec leaves open.
  """

  def make(spec: tf.TypeSpec) -> tf.Tensor:
    shape = [batch, *(size if n is None else n for n in spec.shape[1:])]
    value = "" if spec.dtype == tf.string else 0
    return tf.fill(shape, tf.cast(value, spec.dtype))

  return make


def sample_sizes(model: tf_keras.Model) -> tuple[int, int]:
  """Returns what to put, in two samples, where a model leaves a size open.

  Args:
    model: A functional model.

  Returns:
    32 and 48, if that is enough for outputs that are not empty. Otherwise, the
    least of 40, 48, 56, 64, 80, 96 and so on that is, and 16 more.
  """
  size = _SMALLEST
  while not _is_enough(model, size):
    size *= 2
    if sum(s.num_elements() for s in _shapes(model, size)) > _MOST_NUMBERS:
      # The reference will say what is wrong.
      return _SMALLEST, _SMALLEST + 16
  if size > _SMALLEST:
    between = (size * eighths // 8 for eighths in (5, 6, 7, 8))
    size = next(s for s in between if _is_enough(model, s))
  return size, size + 16


def _is_enough(model: tf_keras.Model, size: int) -> bool:
  shapes = _shapes(model, size)
  if shapes == _shapes(model, size + 1):  # None is open.
    return True
  # Keras keeps shapes by the ids of objects, which may be gone by now.
  for module in (model, *model.submodules):
    getattr(module, "_output_shape_cache", {}).clear()
  try:
    found = model.compute_output_shape(
      tf.nest.pack_sequence_as(model.input, shapes)
    )
  except Exception:  # noqa: BLE001 - layers of people raise all types.
    return False
  dimensions: list[int | None] = []
  for leaf in tf.nest.flatten(found):  # Shapes, or the numbers of a tuple.
    of_shape = isinstance(leaf, tf.TensorShape)
    dimensions += leaf.as_list() if of_shape else [leaf]
  return all(n is None or n > 0 for n in dimensions)


def _shapes(model: tf_keras.Model, size: int) -> list[tf.TensorShape]:
  return [
    tf.TensorShape([1, *(size if n is None else n for n in tensor.shape[1:])])
    for tensor in tf.nest.flatten(model.input)
  ]


def sampler(batch: int, size: int) -> Callable[[tf.TypeSpec], Any]:
  """Returns a function that draws an input of a spec.

  Floats are in [0, 1), other numbers 0 or 1, and strings words.

  Args:
    batch: The size of the batch, unless the spec fixes it.
    size: What any other dimension gets that the spec leaves open.
  """
  rng = np.random.default_rng(0)

  def numbers(shape: list[int], dtype: tf.DType) -> np.ndarray:
    if dtype == tf.string:
      return np.resize(_WORDS, shape)
    if dtype.is_floating:
      return rng.random(shape).astype(dtype.as_numpy_dtype)
    return rng.integers(2, size=shape).astype(dtype.as_numpy_dtype)

  def sample(spec: tf.TypeSpec) -> Any:
    first, *rest = spec.shape
    shape = [first or batch, *(size if n is None else n for n in rest)]
    if isinstance(spec, tf.RaggedTensorSpec):
      return _ragged(spec, shape, numbers)
    dense = numbers(shape, spec.dtype)
    if isinstance(spec, tf.SparseTensorSpec):
      return tf.sparse.from_dense(dense * (rng.random(shape) < 0.5))
    return dense

  return sample


def _ragged(
  spec: tf.RaggedTensorSpec,
  shape: list[int],
  numbers: Callable[[list[int], tf.DType], np.ndarray],
) -> tf.RaggedTensor:
  """Returns rows of different lengths, none of them longer than `shape` says.

  Every level of a deeper one has rows of one element, but for the innermost.
  """
  rows = shape[0]
  lengths = [
    max(1, shape[spec.ragged_rank] * (i + 1) // rows) for i in range(rows)
  ]
  inner = shape[spec.ragged_rank + 1 :]
  value = tf.RaggedTensor.from_row_lengths(
    numbers([sum(lengths), *inner], spec.dtype),
    np.array(lengths, spec.row_splits_dtype.as_numpy_dtype),
  )
  for _ in range(spec.ragged_rank - 1):
    ones = np.ones([rows], spec.row_splits_dtype.as_numpy_dtype)
    value = tf.RaggedTensor.from_row_lengths(value, ones)
  return value
