"""Names for the tensors of a call, as a signature needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def named_specs(specs: Any) -> dict[str, tf.TensorSpec]:
  """Returns the specs of a call's tensors by name.

  A ragged or a sparse tensor is several: `ids_values` and `ids_row_splits` of
  `ids`, or `ids_indices`, `ids_values` and `ids_dense_shape`.

  Args:
    specs: A dict, whose keys are names; or a nest of specs that have names,
      among which one without a name is `inputs`.
  """
  found: dict[str, tf.TensorSpec] = {}
  for name, spec in _by_name(specs).items():
    found |= dict(zip(_parts(name, spec), _tensors(spec), strict=True))
  return found


def named_tensors(specs: Any, inputs: Any) -> dict[str, tf.Tensor]:
  """Returns the tensors of a call's inputs by the names of `named_specs`."""
  values = inputs
  if not isinstance(specs, Mapping):
    flat = tf.nest.flatten(inputs)
    values = dict(zip(_by_name(specs), flat, strict=True))
  found: dict[str, tf.Tensor] = {}
  for name, spec in _by_name(specs).items():
    tensors = _tensors(values[name])
    found |= dict(zip(_parts(name, spec), tensors, strict=True))
  return found


def packed(specs: Any, tensors: Mapping[str, tf.Tensor]) -> Any:
  """Returns a call's inputs: the reverse of `named_tensors`."""
  values = {
    name: tf.nest.pack_sequence_as(
      spec, [tensors[part] for part in _parts(name, spec)], True
    )
    for name, spec in _by_name(specs).items()
  }
  if isinstance(specs, Mapping):
    return values
  return tf.nest.pack_sequence_as(specs, list(values.values()))


def parts(name: str, value: Any) -> dict[str, tf.Tensor]:
  """Returns a tensor by its name, or those that a composite one consists of."""
  if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)):
    spec = tf.type_spec_from_value(value)
    return dict(zip(_parts(name, spec), _tensors(value), strict=True))
  return {name: value}


def _by_name(specs: Any) -> Mapping[str, tf.TypeSpec]:
  if isinstance(specs, Mapping):
    return specs
  return {
    getattr(spec, "name", None) or "inputs": spec
    for spec in tf.nest.flatten(specs)
  }


def _tensors(value: Any) -> list[Any]:
  return tf.nest.flatten(value, expand_composites=True)


def _parts(name: str, spec: tf.TypeSpec) -> list[str]:
  """Returns the names of the tensors that a value of `spec` consists of."""
  if isinstance(spec, tf.RaggedTensorSpec):
    splits = [f"{name}_row_splits"]
    if spec.ragged_rank > 1:
      splits = [f"{name}_row_splits_{i}" for i in range(spec.ragged_rank)]
    return [f"{name}_values", *splits]
  if isinstance(spec, tf.SparseTensorSpec):
    return [f"{name}_{part}" for part in ("indices", "values", "dense_shape")]
  return [name]
