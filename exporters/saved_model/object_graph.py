"""The objects of a SavedModel: what can be called, and with which tensors.

They are read from the object graph in saved_model.pb; nothing is loaded.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
from typing import Any

import tensorflow as tf

# Function specs and traces are stored as `StructuredValue`, which TensorFlow
# has no public reader for.
from tensorflow.python.saved_model import nested_structure_coder

# For Keras 3 and for signatures: they compute what the model computes.
_ENDPOINTS = ("serve", "signatures")
_FORMS = {tf.RaggedTensorSpec: "ragged", tf.SparseTensorSpec: "sparse"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
  """A named tensor of a call or of a signature.

  Attributes:
    name: Its key, or its place in a nest.
    shape: Its dimensions, with None for one that varies; None if the rank does.
    dtype: Such as "float32".
    form: "ragged" if its rows vary in length, "sparse", or "" for a dense one.
    place: Where it is in a nest, in Python: `["logits"]`, say.
  """

  name: str
  shape: tuple[int | None, ...] | None
  dtype: str
  form: str = ""
  place: str = ""

  def __str__(self) -> str:
    if self.shape is None:
      dimensions = "any shape"
    else:
      sizes = ("?" if size is None else str(size) for size in self.shape)
      dimensions = f"[{', '.join(sizes)}]"
    return " ".join(filter(None, (dimensions, self.form, self.dtype)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
  """A variable of the model.

  Attributes:
    name: Its name, without the `:0` of graphs.
    shape: Its dimensions.
    dtype: Such as "float32".
    trainable: Whether a consumer may train it.
    node_id: Its place in the object graph. Names may repeat.
  """

  name: str
  shape: tuple[int, ...]
  dtype: str
  trainable: bool
  node_id: int = 0

  @property
  def parameters(self) -> int:
    """How many numbers it holds."""
    return tf.TensorShape(self.shape).num_elements()

  @property
  def size(self) -> int:
    """How many bytes it takes."""
    return self.parameters * tf.as_dtype(self.dtype).size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Callable:
  """The model itself, or a sub-object that can be called.

  Attributes:
    name: Its dotted attribute path; "" for the model.
    inputs: The tensors of each nest that a call accepts.
    outputs: The tensors that a call returns for the first of these nests.
    training: Whether a call takes the Python bool `training`.
    hyperparameters: The tensor-valued arguments, with their defaults.
    variables: The variables that any call uses.
    regularization_losses: The number of them.
  """

  name: str
  inputs: Sequence[Sequence[Tensor]]
  outputs: Sequence[Tensor]
  training: bool
  hyperparameters: Mapping[str, float | int]
  variables: Sequence[Variable]
  regularization_losses: int


class Objects:
  """The object graph of a SavedModel; node 0 is the model itself."""

  def __init__(self, proto: Any):
    self._proto = proto

  def children(self, node_id: int) -> Iterator[tuple[str, Any]]:
    """Yields the attributes of an object: names and nodes."""
    for child in self._proto.nodes[node_id].children:
      yield child.local_name, self._proto.nodes[child.node_id]

  def child(self, node_id: int, name: str) -> int | None:
    """Returns the id of the node that an attribute holds, if there is one."""
    for child in self._proto.nodes[node_id].children:
      if child.local_name == name:
        return child.node_id
    return None

  def callables(
    self, node_id: int = 0, name: str = ""
  ) -> Iterator[tuple[str, Callable]]:
    """Yields what can be called, by dotted attribute path, from a node on."""
    call = self.child(node_id, "__call__")
    # Without a trace, it is only a Keras layer that some function uses.
    if call is None or not self._traces(call):
      return
    yield name, self._callable(node_id, call, name)
    for child in self._proto.nodes[node_id].children:
      kind = self._proto.nodes[child.node_id].WhichOneof("kind")
      if kind == "user_object" and child.local_name not in _ENDPOINTS:
        path = f"{name}.{child.local_name}".lstrip(".")
        yield from self.callables(child.node_id, path)

  def variables(self, node_id: int, attribute: str) -> dict[int, Any]:
    """Returns the protos of the variables in a list that is an attribute.

    They are by the id of their node, in the order of the list.
    """
    list_id = self.child(node_id, attribute)
    if list_id is None:
      return {}
    children = self._proto.nodes[list_id].children
    return {c.node_id: self._proto.nodes[c.node_id].variable for c in children}

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
    trained = self.variables(node_id, "trainable_variables")
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
          trainable=variable_id in trained,
          node_id=variable_id,
        )
        for variable_id, variable in self.variables(
          node_id, "variables"
        ).items()
      ],
      regularization_losses=0 if losses is None else _count(self, losses),
    )


def _count(objects: Objects, node_id: int) -> int:
  return sum(1 for _ in objects.children(node_id))


def _inputs(traces: Sequence[Any]) -> Iterator[list[Tensor]]:
  """Yields the different nests that a callable accepts."""
  seen = []
  for trace in traces:
    (inputs, *_), _ = nested_structure_coder.decode_proto(
      trace.canonicalized_input_signature
    )
    nest = _nest(inputs)
    if nest not in seen:
      seen.append(nest)
      yield nest


def _nest(nest: Any, name: str = "", place: str = "") -> list[Tensor]:
  """Returns the tensors of a nest of specs; in a list they are `name_0`, ..."""
  if isinstance(nest, Mapping):
    parts = [(str(key), json.dumps(key), nest[key]) for key in sorted(nest)]
  elif isinstance(nest, (list, tuple)):
    parts = [(f"{name}_{i}".lstrip("_"), str(i), x) for i, x in enumerate(nest)]
  else:
    return [tensor(nest, name, place)]
  return [t for key, at, x in parts for t in _nest(x, key, f"{place}[{at}]")]


def tensor(spec: Any, name: str, place: str = "") -> Tensor:
  """Returns what the spec of a dense, ragged or sparse tensor describes."""
  shape = spec.shape
  return Tensor(
    name=name or (getattr(spec, "name", None) or "").replace("unknown", ""),
    shape=None if shape.rank is None else tuple(shape.as_list()),
    dtype=spec.dtype.name,
    form=_FORMS.get(type(spec), ""),
    place=place,
  )
