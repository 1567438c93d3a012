"""What a SavedModel says of itself, read from its files without loading it.

Everything that a page, a report or a person wants to know of an artifact and
that stands in it is read here, so that nobody has to type it: signatures,
callables, shapes, hyperparameters, variables, operations, sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import functools
import os
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

# Function specs and traces are stored as `StructuredValue`; TensorFlow's own
# reader of them has no public name.
from tensorflow.python.saved_model import nested_structure_coder

from exporters.errors import ExportError

# `tf.train.Checkpoint` adds it to whatever it saves.
_COUNTER = "save_counter"
# For Keras 3 and for signatures; what they compute is what the model computes.
_ENDPOINTS = ("serve", "signatures")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
  """A named tensor of a call or of a signature.

  Attributes:
    name: Its key, or its place in a nest.
    shape: Its dimensions, None for one that varies; None for any rank.
    dtype: Such as "float32".
    ragged: Whether its rows vary in length.
  """

  name: str
  shape: tuple[int | None, ...] | None
  dtype: str
  ragged: bool = False

  def __str__(self) -> str:
    if self.shape is None:
      dimensions = "any shape"
    else:
      sizes = ("?" if size is None else str(size) for size in self.shape)
      dimensions = f"[{', '.join(sizes)}]"
    return f"{dimensions} {'ragged ' if self.ragged else ''}{self.dtype}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
  """A variable of the model.

  Attributes:
    name: Without the `:0` of graphs.
    shape: Its dimensions.
    dtype: Such as "float32".
    trainable: Whether a consumer may train it.
  """

  name: str
  shape: tuple[int, ...]
  dtype: str
  trainable: bool

  @property
  def parameters(self) -> int:
    return tf.TensorShape(self.shape).num_elements()

  @property
  def size(self) -> int:
    """Bytes."""
    return self.parameters * tf.as_dtype(self.dtype).size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callable:
  """The model itself, or a sub-object that can be called.

  Attributes:
    name: Its dotted attribute path; "" for the model.
    inputs: For each nest that a call accepts, its tensors.
    outputs: The tensors of the first nest's result.
    training: Whether a call takes the Python bool `training`.
    hyperparameters: The tensor-valued arguments, with their defaults.
    variables: All that any call uses.
    regularization_losses: How many.
  """

  name: str
  inputs: Sequence[Sequence[Tensor]]
  outputs: Sequence[Tensor]
  training: bool
  hyperparameters: Mapping[str, float | int]
  variables: Sequence[Variable]
  regularization_losses: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
  """What is in a SavedModel's directory.

  Attributes:
    files: Sizes in bytes, by path below the directory.
    signatures: By name, the tensors that go in and those that come out.
    callables: By dotted attribute path, the model first.
    constants: Facts for the consumer, such as `do_lower_case`, by attribute.
    assets: Names of files that travel with the model, by attribute.
    operations: All that its graphs use.
  """

  files: Mapping[str, int]
  signatures: Mapping[str, tuple[Sequence[Tensor], Sequence[Tensor]]]
  callables: Mapping[str, Callable]
  constants: Mapping[str, Any]
  assets: Mapping[str, str]
  operations: Sequence[str]

  @property
  def model(self) -> Callable:
    return self.callables[""]

  @property
  def size(self) -> int:
    return sum(self.files.values())

  @functools.cached_property
  def variables(self) -> Sequence[Variable]:
    """Those of all callables, each once."""
    found = {}
    for callable_ in self.callables.values():
      found |= {variable.name: variable for variable in callable_.variables}
    return list(found.values())

  @property
  def parameters(self) -> int:
    return sum(variable.parameters for variable in self.variables)

  @property
  def trainable_parameters(self) -> int:
    return sum(v.parameters for v in self.variables if v.trainable)

  @property
  def custom_operations(self) -> Sequence[str]:
    """Those that TensorFlow lacks, so that another package must bring them."""
    return [o for o in self.operations if not hasattr(tf.raw_ops, o)]


def describe(path: str) -> Description:
  """Reads the SavedModel at `path`.

  Raises:
    ExportError: There is none, or it has no `__call__` of TF2.
  """
  file = os.path.join(path, "saved_model.pb")
  try:
    with open(file, "rb") as f:
      proto = saved_model_pb2.SavedModel.FromString(f.read())
  except OSError as e:
    raise ExportError(f"There is no SavedModel at '{path}'.") from e
  graph = proto.meta_graphs[0]
  objects = _Objects(graph.object_graph_def)
  callables = dict(objects.callables())
  if "" not in callables:
    raise ExportError(f"The SavedModel at '{path}' can't be called.")
  return Description(
    files={
      name: os.path.getsize(os.path.join(path, name)) for name in files(path)
    },
    signatures={
      name: (_tensors(signature.inputs), _tensors(signature.outputs))
      for name, signature in sorted(graph.signature_def.items())
      if not name.startswith("__")
    },
    callables=callables,
    constants=dict(_constants(objects, path)),
    assets={
      name: graph.asset_file_def[node.asset.asset_file_def_index].filename
      for name, node in objects.children(0)
      if node.WhichOneof("kind") == "asset"
    },
    operations=sorted(_operations(graph.graph_def)),
  )


class _Objects:
  """The objects of a SavedModel, each with its attributes."""

  def __init__(self, proto: Any):
    self._proto = proto

  def children(self, node_id: int) -> Iterator[tuple[str, Any]]:
    for child in self._proto.nodes[node_id].children:
      yield child.local_name, self._proto.nodes[child.node_id]

  def child(self, node_id: int, name: str) -> int | None:
    for child in self._proto.nodes[node_id].children:
      if child.local_name == name:
        return child.node_id
    return None

  def callables(
    self, node_id: int = 0, name: str = ""
  ) -> Iterator[tuple[str, Callable]]:
    call = self.child(node_id, "__call__")
    # Without a trace, it is a Keras layer that a function uses.
    if call is None or not self._traces(call):
      return
    yield name, self._callable(node_id, call, name)
    for child in self._proto.nodes[node_id].children:
      kind = self._proto.nodes[child.node_id].WhichOneof("kind")
      if kind == "user_object" and child.local_name not in _ENDPOINTS:
        path = f"{name}.{child.local_name}".lstrip(".")
        yield from self.callables(child.node_id, path)

  def variables(self, node_id: int, attribute: str) -> list[Any]:
    """Returns the protocol buffers of a callable's list of variables."""
    list_id = self.child(node_id, attribute)
    if list_id is None:
      return []
    return [node.variable for _, node in self.children(list_id)]

  def _traces(self, call: int) -> list[Any]:
    names = self._proto.nodes[call].function.concrete_functions
    return [self._proto.concrete_functions[name] for name in names]

  def _callable(self, node_id: int, call: int, name: str) -> Callable:
    spec = nested_structure_coder.decode_proto(
      self._proto.nodes[call].function.function_spec.fullargspec
    )
    defaults = spec.defaults or ()
    optional = dict(zip(reversed(spec.args), reversed(defaults), strict=False))
    optional = dict(reversed(optional.items()))
    training = optional.pop("training", None) is not None
    traces = self._traces(call)
    trained = {v.name for v in self.variables(node_id, "trainable_variables")}
    losses = self.child(node_id, "regularization_losses")
    return Callable(
      name=name,
      inputs=list(_inputs(traces)) if "inputs" in spec.args else [],
      outputs=_nest(
        nested_structure_coder.decode_proto(traces[0].output_signature)
      ),
      training=training,
      hyperparameters=optional,
      variables=[
        Variable(
          name=variable.name,
          shape=tuple(tf.TensorShape(variable.shape)),
          dtype=tf.as_dtype(variable.dtype).name,
          trainable=variable.name in trained,
        )
        for variable in self.variables(node_id, "variables")
      ],
      regularization_losses=0 if losses is None else _count(self, losses),
    )


def _count(objects: _Objects, node_id: int) -> int:
  return sum(1 for _ in objects.children(node_id))


def _inputs(traces: Sequence[Any]) -> Iterator[list[Tensor]]:
  """Yields the nests that a callable accepts, each once."""
  seen = []
  for trace in traces:
    (inputs, *_), _ = nested_structure_coder.decode_proto(
      trace.canonicalized_input_signature
    )
    nest = _nest(inputs)
    if nest not in seen:
      seen.append(nest)
      yield nest


def _nest(nest: Any, name: str = "") -> list[Tensor]:
  """Returns the tensors of a nest of specs; a list's are `name_0`, ...."""
  if isinstance(nest, Mapping):
    pairs = sorted(nest.items())
  elif isinstance(nest, (list, tuple)):
    pairs = [(f"{name}_{i}".lstrip("_"), x) for i, x in enumerate(nest)]
  else:
    return [_tensor(nest, name)]
  return [tensor for key, value in pairs for tensor in _nest(value, str(key))]


def _tensor(spec: Any, name: str) -> Tensor:
  shape = spec.shape
  return Tensor(
    name=name or (getattr(spec, "name", None) or "").replace("unknown", ""),
    shape=None if shape.rank is None else tuple(shape.as_list()),
    dtype=spec.dtype.name,
    ragged=isinstance(spec, tf.RaggedTensorSpec),
  )


def _tensors(infos: Mapping[str, Any]) -> list[Tensor]:
  return [
    _tensor(tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype), name)
    for name, info in sorted(infos.items(), key=lambda i: _natural(i[0]))
  ]


def _natural(name: str) -> tuple[str, int]:
  """Sorts `encoder_outputs_10` after `encoder_outputs_9`."""
  prefix, _, number = name.rpartition("_")
  return (prefix, int(number)) if number.isdigit() else (name, -1)


def _constants(objects: _Objects, path: str) -> Iterator[tuple[str, Any]]:
  prefix = os.path.join(path, "variables", "variables")
  reader = None
  for name, node in objects.children(0):
    if node.WhichOneof("kind") == "variable" and name != _COUNTER:
      reader = reader or tf.train.load_checkpoint(prefix)
      yield name, reader.get_tensor(f"{name}{_VALUE}").item()


def _operations(graph: Any) -> set[str]:
  functions = {function.signature.name for function in graph.library.function}
  found = {node.op for node in graph.node}
  for function in graph.library.function:
    found |= {node.op for node in function.node_def}
  return found - functions


def files(path: str) -> list[str]:
  """Returns the paths of the files below a directory, in order."""
  return sorted(
    os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/")
    for folder, _, names in os.walk(path)
    for name in names
  )
