"""Finds layers whose calls differ by their variables alone.

Two layers are alike if they are of one class and their attributes are equal:
numbers and texts by value, variables by shape and type, functions and tensors
by identity, and objects, lists and dicts likewise, all the way down. Names
aside, nothing is left by which the same code could compute something else.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable, Mapping
import functools
import threading
import types
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

# How Keras keeps account of a layer. No call depends on it.
_BOOKKEEPING = {
  "_auto_config",
  "_inbound_nodes_value",
  "_metrics_lock",
  "_name",
  "_name_scope_on_declaration",
  "_obj_reference_counts_dict",
  "_outbound_nodes_value",
}
_VALUES = (bool, int, float, complex, str, bytes, type(None))
_DESCRIPTIONS = (tf.DType, tf.TensorShape, tf.TypeSpec, np.dtype, np.generic)


class Likeness:
  """What a layer's call depends on; equal for layers that are alike.

  Args:
    layer: A layer with its variables.

  Attributes:
    variables: The variables that the layer reaches, always in the same order.
    tensors: The tensors that it reaches.
  """

  def __init__(self, layer: tf_keras.layers.Layer):
    self.variables: list[tf.Variable] = []
    self.tensors: list[tf.Tensor] = []
    self._numbers: dict[int, int] = {}
    # A key has the ids of objects, which may be used again once these are gone.
    self._kept: list[Any] = []
    self._whole = self._key(layer)
    self._hash = hash(self._whole)

  def __hash__(self) -> int:
    return self._hash

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Likeness) and self._whole == other._whole

  def _key(self, value: Any) -> Hashable:
    kind = type(value)
    if isinstance(value, _VALUES):
      return kind, repr(value)
    if isinstance(value, _DESCRIPTIONS):
      return kind, str(value)
    if isinstance(value, tf_keras.initializers.Initializer):
      return (kind,)  # It has made its variables; its seed was for them.
    number = self._numbers.setdefault(id(value), len(self._numbers))
    if number < len(self._kept):
      return "again", number
    self._kept.append(value)
    if isinstance(value, tf.Variable):
      self.variables.append(value)
      return kind, value.dtype, str(value.shape), value.trainable
    if isinstance(value, tf.Tensor):
      self.tensors.append(value)
    elif isinstance(value, np.ndarray) and value.dtype != object:
      return kind, value.dtype.str, value.shape, value.tobytes()
    elif isinstance(value, types.MethodType):
      return kind, id(value.__func__), self._key(value.__self__)
    elif isinstance(value, functools.partial):
      return kind, *map(self._key, (value.func, value.args, value.keywords))
    elif isinstance(value, (list, tuple)):
      return kind, *map(self._key, value)
    elif isinstance(value, Mapping):
      return kind, *((self._key(k), self._key(v)) for k, v in value.items())
    elif isinstance(value, (set, frozenset)) and all(
      isinstance(v, _VALUES) for v in value
    ):
      return kind, *sorted(map(repr, value))
    elif isinstance(value, threading.local):
      # Where Keras keeps losses that depend on inputs: a list, or nothing yet.
      return kind, *(self._key(v) for v in vars(value).values() if v)
    elif _has_only_attributes(value):
      return kind, *(
        (name, self._key(attribute))
        for name, attribute in sorted(vars(value).items())
        if not _is_bookkeeping(value, name)
      )
    return kind, id(value)


def repeated(layer: tf_keras.layers.Layer) -> dict[int, Likeness]:
  """Finds the layers made of layers that a layer or model calls repeatedly.

  Returns:
    The likeness of each that is like another, or that a functional model calls
    more than once, by the layer's id.
  """
  found = {
    id(part): Likeness(part)
    for part in layer._flatten_layers(include_self=False)
    if not isinstance(part, tf_keras.Model)
    and part.weights
    and any(part._flatten_layers(include_self=False))
  }
  nodes = getattr(layer, "_nodes_by_depth", {}).values()
  calls = collections.Counter(id(node.layer) for n in nodes for node in n)
  uses = collections.Counter[Likeness]()
  for id_, likeness in found.items():
    uses[likeness] += max(1, calls[id_])
  return {i: likeness for i, likeness in found.items() if uses[likeness] > 1}


def _is_bookkeeping(owner: Any, name: str) -> bool:
  return isinstance(owner, tf.Module) and (
    name in _BOOKKEEPING or name.startswith("_self_")
  )


def _has_only_attributes(value: Any) -> bool:
  """Whether an object's state is in its attributes, as far as Python knows."""
  if isinstance(value, tf_keras.layers.Layer):
    return True
  if isinstance(value, (type, types.ModuleType)):
    return False
  kind: Any = type(value)
  if not hasattr(value, "__dict__") or any(
    getattr(kind, name) is not getattr(object, name)
    for name in ("__reduce__", "__reduce_ex__", "__getstate__")
  ):
    return False
  try:
    state = value.__reduce_ex__(2)[2]
  except TypeError:  # There is more to it.
    return False
  # A tuple, if the class has slots.
  return state is None or isinstance(state, dict)
