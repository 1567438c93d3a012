"""The SavedModel that companions are made from, and compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import functools
import os
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import convert_to_constants

from exporters.checks import self_description
from exporters.errors import ExportError

SIGNATURE = "serving_default"

Arrays = dict[str, np.ndarray]


class Source:
  """A SavedModel's signature, with the shapes that its companions have.

  Attributes:
    stream: How it takes a stream: "piece", "axis" and "initial", as
      `saved_model.published.Stream` has them. None: it does not.
    shapes: The shape of each input of a companion, None where it is open.
  """

  def __init__(
    self,
    path: str,
    *,
    samples: Sequence[Arrays] | None,
    stream: Mapping[str, Any] | None,
    input_shapes: Mapping[str, Sequence[int | None]],
  ):
    """Loads the SavedModel at `path`.

    Args:
      path: Its directory.
      samples: Inputs by name. None: nothing is known, so they are made up.
      stream: How it takes a stream. None: it does not, or nothing is known.
      input_shapes: Shapes to fix, by input.

    Raises:
      ExportError: It has no signature to convert, or other inputs.
    """
    _refuse_unsuitable(path)
    self._loaded = tf.saved_model.load(path)
    self._signature = self._loaded.signatures[SIGNATURE]
    _, self._specs = self._signature.structured_input_signature
    self.stream = stream or self_description.stream(self._loaded, self._specs)
    self._given = samples
    self.shapes = self._own_shapes() | {
      name: list(shape) for name, shape in input_shapes.items()
    }
    self._refuse_other_shapes()
    self._fix_stream()

  @functools.cached_property
  def _samples(self) -> Sequence[Arrays]:
    """Inputs by name. To make them up takes many calls, so only if asked."""
    return self._given or [
      _numpy(self_description.sample(self._loaded, batch=1)),
      _numpy(self_description.sample(self._loaded, batch=3, larger=True)),
    ]

  def _own_shapes(self) -> dict[str, list[int | None]]:
    """Returns the shapes of the signature's inputs whose rank is known."""
    return {
      name: list(spec.shape)
      for name, spec in self._specs.items()
      if spec.shape.rank is not None
    }

  def _refuse_other_shapes(self) -> None:
    """Refuses shapes that are not of the signature's inputs, or missing."""
    for name, shape in self.shapes.items():
      if name not in self._specs:
        raise ExportError(
          f"Companions.input_shapes names '{name}', but the model's inputs are "
          f"{', '.join(self._specs)}."
        )
      smallest = min((size for size in shape if size is not None), default=1)
      own = self._specs[name].shape
      if smallest < 1 or not own.is_compatible_with(shape):
        raise ExportError(
          f"Companions.input_shapes has {shape} for '{name}', but the model "
          f"takes {own}."
        )
    for name in self._specs.keys() - self.shapes.keys():
      raise ExportError(
        f"The model's input '{name}' may have any number of dimensions, a "
        "companion's may not. Choose a shape for it: "
        f"Companions.input_shapes = {{'{name}': [1, 16]}}."
      )

  def _fix_stream(self) -> None:
    """Fixes the shapes of a stream: one piece, as large as the first sample."""
    if not self.stream:
      return
    piece, axis = self.stream["piece"], self.stream["axis"]
    sizes = list(self._samples[0][piece].shape)
    sizes[0] = sizes[axis] = 1
    self.shapes[piece] = [
      fixed or size
      for fixed, size in zip(self.shapes[piece], sizes, strict=True)
    ]
    states = self.initial_states()
    self.shapes |= {name: list(state.shape) for name, state in states.items()}

  def initial_states(self) -> Arrays:
    """Returns the states before the first piece; {} if it takes no stream."""
    if not self.stream:
      return {}
    initial = self._loaded.signatures[self.stream["initial"]]
    (spec,) = initial.structured_input_signature[1].values()
    shape = tf.constant(self.shapes[self.stream["piece"]], spec.dtype)
    return _numpy(initial(shape))

  def call(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Returns the outputs of the signature."""
    tensors = {
      name: tf.constant(inputs[name], spec.dtype)
      for name, spec in self._specs.items()
    }
    return _numpy(self._signature(**tensors))

  def cases(self) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields inputs, and what the SavedModel returns for them.

    Of a stream, the calls for all pieces of the first sample.
    """
    if self.stream:
      yield from self.steps(self._samples[0][self.stream["piece"]])
      return
    for sample in self._samples:
      inputs = {
        name: fitted(sample[name], shape) for name, shape in self.shapes.items()
      }
      yield inputs, self.call(inputs)

  def steps(self, whole: np.ndarray) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields the calls for a stream, piece by piece."""
    assert self.stream
    piece, axis = self.stream["piece"], self.stream["axis"]
    shape = list(self.shapes[piece])
    length = shape[axis] or 1
    shape[axis] = None
    whole = fitted(whole, shape)
    states = self.initial_states()
    for start in range(0, whole.shape[axis] - length + 1, length):
      part = np.take(whole, np.arange(start, start + length), axis)
      inputs = {**states, piece: part}
      outputs = self.call(inputs)
      yield inputs, outputs
      states = {name: outputs[name] for name in states}

  def save_fixed(self, path: str) -> bool:
    """Writes a SavedModel with these shapes, unless it would be the same."""
    if self.shapes == self._own_shapes():
      return False
    specs = {
      name: tf.TensorSpec(self.shapes[name], spec.dtype, name)
      for name, spec in self._specs.items()
    }
    names = sorted(self._signature.structured_outputs)
    # Both flattened as TensorFlow flattens a dict.
    fixed = _with_constant_shapes(
      tf.function(
        lambda inputs: tf.nest.flatten(self._signature(**inputs)),
        input_signature=[specs],
        autograph=False,
      ).get_concrete_function()
    )
    module = tf.Module()
    module.call = tf.function(
      lambda inputs: dict(
        zip(names, fixed(*tf.nest.flatten(inputs)), strict=True)
      ),
      input_signature=[specs],
      autograph=False,
    )
    tf.saved_model.save(module, path, signatures={SIGNATURE: module.call})
    return True


def _with_constant_shapes(function: Any) -> Any:
  """Returns a function with constants for variables and for fixed shapes.

  Converters follow fewer shapes through a graph than TensorFlow does, and where
  they lose one, they refuse operations that they have for known shapes.

  Args:
    function: A concrete function.
  """
  frozen = convert_to_constants.convert_variables_to_constants_v2(
    function, lower_control_flow=False
  )
  graph = frozen.graph.as_graph_def()
  for node in graph.node:
    operation = frozen.graph.get_operation_by_name(node.name)
    if node.op != "Shape" or not operation.inputs[0].shape.is_fully_defined():
      continue
    value = tf.make_tensor_proto(
      operation.inputs[0].shape.as_list(), operation.outputs[0].dtype
    )
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = value.dtype
    node.attr["value"].tensor.CopyFrom(value)
  imported = tf.compat.v1.wrap_function(
    lambda: tf.import_graph_def(graph, name=""), []
  )
  return imported.prune(
    [imported.graph.get_tensor_by_name(t.name) for t in frozen.inputs],
    [imported.graph.get_tensor_by_name(t.name) for t in frozen.outputs],
  )


def stated_signature(content: bytes) -> Any:
  """Returns the signature in a saved_model.pb that companions are made from.

  Raises:
    ExportError: There is none.
  """
  proto = saved_model_pb2.SavedModel.FromString(content)
  signatures = proto.meta_graphs[0].signature_def
  if SIGNATURE not in signatures:
    raise ExportError(
      f"The SavedModel has no signature '{SIGNATURE}', which companions are "
      "made from."
    )
  return signatures[SIGNATURE]


def _refuse_unsuitable(path: str) -> None:
  """Refuses a SavedModel whose signature no companion could have.

  Its files say so. To load it might take operations that are not here.
  """
  with open(os.path.join(path, "saved_model.pb"), "rb") as f:
    signature = stated_signature(f.read())
  if not signature.inputs:
    raise ExportError(
      "The model takes no input, so a companion would compute nothing."
    )
  for name, tensor in [*signature.inputs.items(), *signature.outputs.items()]:
    if tensor.dtype == types_pb2.DT_STRING:
      raise ExportError(
        f"'{name}' of the model is text, which companions don't work on: the "
        "operations that split it are not in their runtimes. Call the "
        "SavedModel for that, and a companion with its ids."
      )


def fitted(array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
  """Returns an array cut or repeated to a shape; None keeps a dimension."""
  for axis, size in enumerate(shape):
    if size is not None and size != array.shape[axis]:
      array = np.take(array, np.arange(size), axis, mode="wrap")
  return array


def _numpy(tensors: Mapping[str, Any]) -> Arrays:
  return {name: tensor.numpy() for name, tensor in tensors.items()}
