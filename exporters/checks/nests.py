"""Stores nests of tensors as JSON, with their arrays apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# What is put after every string.
_END = b"."


def encode(nest: Any, arrays: list[Any]) -> Any:
  """Returns a nest's structure for JSON; appends its arrays to `arrays`."""
  if isinstance(nest, Mapping):
    return {"dict": {key: encode(nest[key], arrays) for key in sorted(nest)}}
  if isinstance(nest, (list, tuple)):
    return {"list": [encode(element, arrays) for element in nest]}
  if isinstance(nest, tf.RaggedTensor):
    parts = [nest.flat_values, *nest.nested_row_splits]
    return {"ragged": [encode(part, arrays) for part in parts]}
  if isinstance(nest, tf.SparseTensor):
    parts = [nest.indices, nest.values, nest.dense_shape]
    return {"sparse": [encode(part, arrays) for part in parts]}
  array = np.asarray(nest)
  structure: dict[str, Any] = {"array": len(arrays)}
  if array.dtype == object:
    # Strings without pickle: bytes of a fixed length, which lose NULs at their
    # end, as an example may have some, unless something follows.
    structure["view"] = "string"
    array = np.array([s + _END for s in array.flat], "S").reshape(array.shape)
  elif array.dtype == tf.bfloat16.as_numpy_dtype:
    # A type that NumPy's files do not know.
    structure["view"] = "bfloat16"
    array = array.view(np.uint16)
  arrays.append(array)
  return structure


def decode(structure: Any, arrays: Sequence[Any]) -> Any:
  """Returns the nest that `encode` stored, with tensors for its arrays."""
  if "dict" in structure:
    return {k: decode(v, arrays) for k, v in structure["dict"].items()}
  if "list" in structure:
    return [decode(element, arrays) for element in structure["list"]]
  if "ragged" in structure:
    values, *splits = (decode(part, arrays) for part in structure["ragged"])
    return tf.RaggedTensor.from_nested_row_splits(values, splits)
  if "sparse" in structure:
    return tf.SparseTensor(*(decode(p, arrays) for p in structure["sparse"]))
  array = arrays[structure["array"]]
  if structure.get("view") == "bfloat16":
    array = array.view(tf.bfloat16.as_numpy_dtype)
  elif structure.get("view") == "string":
    strings = [s.removesuffix(_END) for s in array.flat]
    array = np.array(strings, object).reshape(array.shape)
  return tf.constant(array)
