"""Puts layers that repeat into a graph once.

The twelve layers of a BERT-base are one layer with twelve sets of weights.
Traced as they are, they stand in the graph twelve times, and every consumer's
TensorFlow imports, differentiates and optimizes each. Here the first becomes a
function that takes its weights as arguments, and the others call it too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
import contextlib
import functools
from typing import Any
from unittest import mock

import tensorflow as tf
import tf_keras
from tf_keras.src.engine import base_layer
from tf_keras.src.engine import base_layer_utils

from exporters.saved_model.likeness import Likeness
from exporters.saved_model.likeness import repeated


@contextlib.contextmanager
def shared() -> Iterator[None]:
  """Calls repeated layers by one function, where a block traces a graph.

  Layers count as repeated below one layer or model that the block calls.
  """
  tracing = _Tracing(base_layer.Layer.__call__)

  @functools.wraps(tracing.plain)
  def call(layer, *args, **kwargs):
    return tracing.call(layer, args, kwargs)

  with mock.patch.object(base_layer.Layer, "__call__", call):
    yield


class _Tracing:
  """Calls layers while a graph is traced.

  Args:
    plain: Keras's way of calling a layer.
  """

  def __init__(self, plain: Callable[..., Any]):
    self.plain = plain
    # By the id of the layer, below the outermost one that is being called.
    self._repeated: Mapping[int, Likeness] | None = None
    self._functions: dict[Hashable, _Function | None] = {}

  def call(
    self, layer: tf_keras.layers.Layer, args: Any, kwargs: Mapping[str, Any]
  ) -> Any:
    """Calls a layer, by the function of those like it if they have one."""
    if tf.executing_eagerly():
      return self.plain(layer, *args, **kwargs)
    if self._repeated is None:
      with self._among(repeated(layer)):
        return self.plain(layer, *args, **kwargs)
    likeness = self._repeated.get(id(layer))
    form = None if likeness is None else _form(args, kwargs)
    if likeness is None or form is None:
      return self.plain(layer, *args, **kwargs)
    # Layers take it from each other.
    training = base_layer_utils.call_context().training
    key = (likeness, form, training)
    if key not in self._functions:
      self._functions[key] = self._function(layer, likeness, args, kwargs)
    function = self._functions[key]
    if function is None:
      return self.plain(layer, *args, **kwargs)
    return function(_tensors(args, kwargs), likeness.variables)

  @contextlib.contextmanager
  def _among(self, layers: Mapping[int, Likeness]) -> Iterator[None]:
    before, self._repeated = self._repeated, layers
    try:
      yield
    finally:
      self._repeated = before

  def _function(
    self,
    layer: tf_keras.layers.Layer,
    likeness: Likeness,
    args: Any,
    kwargs: Mapping[str, Any],
  ) -> _Function | None:
    """Returns a function for all layers like this one, if there can be one."""
    results: list[Any] = []

    def compute(*tensors):
      given = iter(tensors)
      taken, named = tf.nest.map_structure(
        lambda v: next(given) if isinstance(v, tf.Tensor) else v,
        (args, kwargs),
        expand_composites=True,
      )
      result = self.plain(layer, *taken, **named)
      results.extend(tf.nest.flatten(result, expand_composites=True))
      return result

    # The graph's function is called after it.
    compute.__name__ = type(layer).__name__
    with self._among({}):
      concrete = tf.function(compute, autograph=False).get_concrete_function(
        *(tf.TensorSpec(t.shape, t.dtype) for t in _tensors(args, kwargs))
      )
    known = {id(variable.handle) for variable in likeness.variables}
    known |= {id(tensor) for tensor in likeness.tensors}
    if (
      # The call must not read what the comparison of layers has not seen,
      any(id(tensor) not in known for tensor in concrete.captured_inputs)
      # nor leave anything behind on the layer,
      or Likeness(layer) != likeness
      # nor return what only a tensor of Python's side has,
      or not all(_is_plain(result) for result in results)
      # nor draw the same random numbers for all layers.
      or any(_is_seeded(op) for op in concrete.graph.get_operations())
    ):
      return None
    return _Function(concrete, likeness.variables)


class _Function:
  """Computes the calls of layers that differ by their variables alone.

  Args:
    concrete: Takes the tensors in a layer's arguments.
    variables: The variables of the layer that it was traced with.
  """

  def __init__(self, concrete: Any, variables: Sequence[tf.Variable]):
    self._concrete = concrete
    self._variables = variables

  def __call__(
    self, tensors: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
  ) -> Any:
    """Calls it with the variables of another such layer."""
    others = {
      id(own.handle): other
      for own, other in zip(self._variables, variables, strict=True)
    }
    captured = []
    for tensor in self._concrete.captured_inputs:
      other = others.get(id(tensor))
      captured.append(tensor if other is None else other.handle)
      if other is not None:
        tf.compat.v1.get_default_graph().watch_variable(other)
    return self._concrete._call_flat(list(tensors), captured)


def _tensors(args: Any, kwargs: Mapping[str, Any]) -> list[tf.Tensor]:
  flat = tf.nest.flatten((args, kwargs), expand_composites=True)
  return [value for value in flat if isinstance(value, tf.Tensor)]


def _form(args: Any, kwargs: Mapping[str, Any]) -> str | None:
  """Returns the arguments without the numbers in tensors.

  None: they have something else that may differ.
  """
  forms = tf.nest.map_structure(_form_of, (args, kwargs))
  return None if "" in tf.nest.flatten(forms) else str(forms)


def _form_of(value: Any) -> str:
  if isinstance(value, (bool, int, float, str)):
    return f"{type(value)} {value!r}"
  if value is None:
    return "None"
  tensors = tf.nest.flatten(value, expand_composites=True)
  if not all(map(_is_plain, [value, *tensors])):
    return ""
  return str(tf.type_spec_from_value(value))


def _is_plain(value: Any) -> bool:
  """Whether a value is nothing, or a tensor without one of Keras's masks."""
  return value is None or (
    isinstance(value, (tf.Tensor, tf.RaggedTensor, tf.SparseTensor))
    and getattr(value, "_keras_mask", None) is None
  )


def _is_seeded(op: tf.Operation) -> bool:
  return any(op.node_def.attr[name].i for name in ("seed", "seed2"))
