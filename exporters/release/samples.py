"""Writes an input of a model in Python, for the snippets of its page.

The structure, the shapes and the types are those of an input that the model was
checked with. So are strings and a few integers, since a model may not know any
others; other numbers are drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
import json
from typing import Any

import numpy as np
import tensorflow as tf

# A longer literal is hard to read.
_FEW = 16
_INDENT = 4


def code(nest: Any, indent: int = 0) -> str:
  """Returns a Python expression.

  Args:
    nest: Arrays, or ragged or sparse tensors, in dicts and lists.
    indent: How far the line that it stands in is indented.
  """
  if isinstance(nest, Mapping):
    pairs = ((f"{_text(name)}: ", value) for name, value in nest.items())
    return _block("{", pairs, "}", indent)
  if isinstance(nest, (list, tuple)):
    return _block("[", (("", value) for value in nest), "]", indent)
  if isinstance(nest, tf.RaggedTensor):
    lengths = [_row_lengths(n.numpy()) for n in nest.nested_row_lengths()]
    return (
      "tf.RaggedTensor.from_nested_row_lengths(\n"
      f"{' ' * (indent + _INDENT)}{_dense(nest.flat_values)}, "
      f"[{', '.join(lengths)}])"
    )
  if isinstance(nest, tf.SparseTensor):
    return f"tf.sparse.from_dense({_dense(tf.sparse.to_dense(nest))})"
  return _dense(tf.convert_to_tensor(nest))


def numpy_code(sample: Mapping[str, np.ndarray]) -> str:
  """Returns the same without TensorFlow, for arrays by name."""
  margin = " " * _INDENT
  lines = (f"{margin}{_text(n)}: {_of_numpy(a)},\n" for n, a in sample.items())
  return f"{{\n{''.join(lines)}}}"


def has_other_floats(nest: Any) -> bool:
  """Whether Keras would cast a part of an input to float32."""
  return any(
    tf.as_dtype(value.dtype).is_floating and value.dtype != tf.float32
    for value in tf.nest.flatten(nest)
  )


def _block(
  start: str, items: Iterator[tuple[str, Any]], end: str, indent: int
) -> str:
  margin = " " * (indent + _INDENT)
  lines = "".join(
    f"{margin}{name}{code(value, indent + _INDENT)},\n" for name, value in items
  )
  return f"{start}\n{lines}{' ' * indent}{end}"


def _dense(tensor: tf.Tensor) -> str:
  shape, dtype = tensor.shape.as_list(), tensor.dtype
  few = tensor.shape.num_elements() <= _FEW
  if dtype == tf.string or dtype == tf.bool:
    return _constant(tensor.numpy()) if few else _filled(shape, tensor.numpy())
  if dtype.is_floating:
    return f"tf.random.uniform({shape}{_stated(dtype, tf.float32)})"
  if dtype.is_integer and few:
    return _constant(tensor.numpy())
  if dtype in (tf.int32, tf.int64):
    end = max(int(np.max(tensor)), 0) + 1
    return f"tf.random.uniform({shape}, maxval={end}, dtype=tf.{dtype.name})"
  end = min(max(int(np.max(np.abs(tensor))), 1), 100) + 1
  drawn = f"tf.random.uniform({shape}, maxval={end}, dtype=tf.int32)"
  return f"tf.cast({drawn}, tf.{dtype.name})"


def _of_numpy(array: np.ndarray) -> str:
  shape = list(array.shape)
  dtype = f"np.{array.dtype.name}".replace("np.bool", "np.bool_")
  if array.dtype.kind == "f":
    return f"np.random.random({shape}).astype({dtype})"
  if array.size <= _FEW:
    return f"np.array({array.tolist()}, {dtype})"
  if array.dtype.kind in "iu":
    end = max(int(array.max()), 0) + 1
    return f"np.random.randint(0, {end}, {shape}, {dtype})"
  return f"np.ones({shape}, {dtype})"


def _row_lengths(array: np.ndarray) -> str:
  # A list would be int64.
  return _constant(array) if array.dtype == np.int32 else repr(array.tolist())


def _filled(shape: Sequence[int], array: np.ndarray) -> str:
  return f"tf.fill({shape}, {_literal(array.flat[0])})"


def _constant(array: Any) -> str:
  array = np.asarray(array)
  dtype = tf.as_dtype(array.dtype)
  usual = dtype if dtype in (tf.string, tf.bool) else tf.int32
  return f"tf.constant({_literal(array.tolist())}{_stated(dtype, usual)})"


def _stated(dtype: tf.DType, usual: tf.DType) -> str:
  return "" if dtype == usual else f", dtype=tf.{dtype.name}"


def _literal(value: Any) -> str:
  if isinstance(value, list):
    return f"[{', '.join(map(_literal, value))}]"
  if isinstance(value, bytes):
    try:
      return _text(value.decode())
    except UnicodeDecodeError:
      pass
  return repr(value)


def _text(text: str) -> str:
  return json.dumps(text, ensure_ascii=False)
