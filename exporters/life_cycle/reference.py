"""The reference's side of an export's checks: what is compared with what.

The reference is what a publisher has: the model as its own loader gives it. Its
outputs for samples, and its interface, are what a loaded artifact must show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import functools
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from exporters import checks
from exporters.checks import numbers
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.saved_model import reusable
from exporters.saved_model.published import Published
from exporters.saved_model.variables import variable_name

# The operations that draw random numbers, or the seed of these.
_RANDOM = re.compile(r"Random|Multinomial|^Rng|TruncatedNormal")
# What TensorFlow says of an operation for other devices.
_NO_KERNEL = "No OpKernel was registered"
# How often inputs are moved at random, for the largest effect.
_DRAWS = 4


def stated(published: Published, arrays: list[np.ndarray]) -> dict[str, Any]:
  """Returns what the checks compare a loaded callable with, as JSON.

  Args:
    published: The callable that was written.
    arrays: Gets the samples, and the reference's outputs for them, appended.
  """
  updates: dict[Any, int] = {}
  cases = [
    {
      "arguments": [checks.encode(a, arrays) for a in arguments],
      "outputs": checks.encode(outputs, arrays),
    }
    for arguments, outputs in _reference_calls(published, updates)
  ]
  return {
    "cases": cases,
    "takes_inputs": bool(published.inputs),
    "api": published.api,
    "fixed_batch": any(
      spec.shape.rank and spec.shape[0] is not None
      for inputs in published.inputs
      for name, spec in checks.flatten(inputs).items()
      if name not in published.unbatched
    ),
    "unbatched": sorted(published.unbatched),
    "signature": published.signature,
    "serving": published.serving,
    "stream": published.stream and dataclasses.asdict(published.stream),
    "training": published.training,
    "outputs": list(published.outputs),
    "variables": [variable_name(v) for v in published.variables],
    "trainable": [variable_name(v) for v in published.trainable_variables],
    "regularization_losses": [
      float(loss()) for loss in published.regularization_losses
    ],
    "hyperparameters": {
      name: {"default": h.default, "attribute": h.attribute}
      for name, h in published.hyperparameters.items()
    },
    "updates": [updates.get(v.ref(), 0) for v in published.variables],
  }


@contextlib.contextmanager
def _counted(published: Published, updates: dict[Any, int]) -> Iterator[None]:
  """Counts how often each layer with moving averages is called in a block.

  In training, that is how often its averages are updated.

  Args:
    published: It has the layers.
    updates: Gets the counts, by the references of the layer's variables.
  """
  layers = [
    layer
    for h in published.hyperparameters.values()
    if h.attribute == "momentum"
    for layer in h.layers
    if hasattr(layer, "variables")
  ]
  updates.clear()

  def counting(layer, call):
    def counted(*args, **kwargs):
      for variable in layer.variables:
        updates[variable.ref()] = updates.get(variable.ref(), 0) + 1
      return call(*args, **kwargs)

    return counted

  # As in `keras_models.tap`: Keras looks at the instance first.
  for layer in layers:
    layer.call = counting(layer, layer.call)
  try:
    yield
  finally:
    for layer in layers:
      del layer.call


def _reference_calls(
  published: Published, updates: dict[Any, int]
) -> Iterator[tuple[list[Any], Any]]:
  """Yields each sample, as arguments, with the reference's outputs for it.

  Args:
    published: What to call.
    updates: Gets what `_counted` counts in a call.
  """
  if not published.inputs:
    reference = published.reference or published.function
    yield [], reference(**published.arguments(training=False))
    return
  function_for = _traced(published, updates)
  for sample in published.samples:
    inputs = tensors(sample)
    function = function_for(inputs)
    try:
      outputs = function(inputs)
    except (tf.errors.InvalidArgumentError, ValueError) as e:
      if isinstance(e, tf.errors.InvalidArgumentError) and _NO_KERNEL in str(e):
        raise ExportError(
          "The model cannot be called on this machine's processor, as a "
          f"consumer would: {first_line(e)[:300]}. Build it with an operation "
          "that runs everywhere."
        ) from e
      raise ExportError(
        "The model cannot be called with a sample input of shape "
        f"{_shapes(inputs)}: {first_line(e)[:300]}. If it is too small, choose "
        "a larger one; for a Keras model, bind two sizes, such as "
        "keras_model.KerasModelExporter.sample_sizes = (1024, 1040)."
      ) from e
    if not any(map(tf.size, tf.nest.flatten(outputs, expand_composites=True))):
      raise ExportError(
        f"For a sample input of shape {_shapes(inputs)}, the model's output is "
        f"empty ({_shapes(outputs)}), so there is nothing to compare. Choose a "
        "larger one; for a Keras model, bind two sizes, such as "
        "keras_model.KerasModelExporter.sample_sizes = (1024, 1040)."
      )
    _refuse_random(function, inputs, outputs)
    yield [inputs], outputs


def _traced(
  published: Published, updates: dict[Any, int]
) -> Callable[[Any], Any]:
  """Returns a function that gives the `tf.function` to call with an input.

  Traced, because a graph's numbers differ from eager ones in the last digit;
  once for all samples of the same structure.

  Args:
    published: It has the reference.
    updates: Gets what `_counted` counts in a call.
  """
  reference = published.reference or published.function
  keywords = published.arguments(training=False)

  def call(inputs):
    with _counted(published, updates):
      return reference(inputs, **keywords)

  traced = [
    tf.function(call, input_signature=[specs], autograph=False)
    for specs in published.inputs
  ]

  def function_for(inputs):
    return next(
      function
      for specs, function in zip(published.inputs, traced, strict=True)
      if reusable.accepts(specs, inputs)
    )

  return function_for


def sensitivity(published: Published) -> float:
  """Returns how far rounding its inputs moves a reference's outputs.

  Args:
    published: The callable that was written.

  Returns:
    The largest difference, as a share of an output's scale, that appears when
    the last bit of every floating-point number of a sample changes: of as many
    bits as the coarsest type has that the reference computes in. 0 if there is
    no such number.
  """
  rng = np.random.default_rng(0)
  function_for = _traced(published, {})
  errors = [0.0]
  for inputs in map(tensors, published.samples):
    flat = tf.nest.flatten(inputs, expand_composites=True)
    if not any(tensor.dtype.is_floating for tensor in flat):
      continue
    function = function_for(inputs)
    dtype = _coarsest(function.get_concrete_function().graph)
    outputs = _floats(function(inputs))
    for _ in range(_DRAWS):
      moved = tf.nest.pack_sequence_as(
        inputs, [_moved(t, dtype, rng) for t in flat], expand_composites=True
      )
      got = _floats(function(moved))
      errors += [numbers.difference(got[k], outputs[k])[0] for k in outputs]
  # Of NaN, and of outputs whose size depends on numbers, nothing is known.
  return max(filter(math.isfinite, errors))


def _coarsest(graph: Any) -> tf.DType:
  """Returns the floating-point type of fewest digits in a graph."""
  types = {
    tf.dtypes.as_dtype(value.type)
    for node in _nodes(graph)
    for value in node.attr.values()
    if value.type  # 0 if it is something else.
  }
  return max((t for t in types if t.is_floating), key=_spacing)


def _spacing(dtype: tf.DType) -> float:
  one = np.ones([], dtype.as_numpy_dtype)
  return float(np.nextafter(one, 2 * one) - one)


def _floats(nest: Any) -> dict[str, Any]:
  flat = numbers.flatten(nest)
  return {name: t for name, t in flat.items() if t.dtype.is_floating}


def _moved(
  tensor: tf.Tensor, dtype: tf.DType, rng: np.random.Generator
) -> tf.Tensor:
  """Moves numbers by the last bit that they have in a type, but for zeros.

  None leaves the range of the others, which may be all that the model takes.
  """
  if not tensor.dtype.is_floating or not tf.size(tensor):
    return tensor
  array = tensor.numpy()
  rounded = array.astype(dtype.as_numpy_dtype)
  ends = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf)
  steps = np.nextafter(rounded, ends.astype(rounded.dtype)) - rounded
  moved = np.clip(array + steps.astype(array.dtype), array.min(), array.max())
  return tf.constant(np.where(array == 0, array, moved), tensor.dtype)


def _refuse_random(function: Any, inputs: Any, outputs: Any) -> None:
  """Raises `ExportError` if another inference call gives other numbers."""
  nodes = _nodes(function.get_concrete_function().graph)
  random = [node.name for node in nodes if _RANDOM.search(node.op)]
  if not random:
    return
  flat = functools.partial(tf.nest.flatten, expand_composites=True)
  for one, other in zip(flat(outputs), flat(function(inputs)), strict=True):
    if one.shape == other.shape and bool(tf.reduce_all(tf.equal(one, other))):
      continue
    raise ExportError(
      "The model's outputs are random although training is False: "
      f"'{random[0]}' draws new numbers in each call. Build the model "
      "so that it does so only in training: call its Keras layers without "
      "training=True."
    )


def _nodes(graph: Any) -> Iterator[Any]:
  """Yields all nodes of a graph and of the functions that it calls."""
  proto = graph.as_graph_def()
  yield from proto.node
  for function in proto.library.function:
    yield from function.node_def


def _shapes(nest: Any) -> str:
  return ", ".join(
    str(tuple(tensor.shape))
    for tensor in tf.nest.flatten(nest, expand_composites=True)
  )


def tensors(nest: Any) -> Any:
  """Returns a nest of arrays as one of tensors."""
  return tf.nest.map_structure(
    tf.convert_to_tensor, nest, expand_composites=True
  )
