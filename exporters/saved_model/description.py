"""Reads what is in a SavedModel from its files, without loading it.

Signatures, callables, shapes, hyperparameters, variables, operations, sizes: no
page or report repeats by hand what can be read here.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import functools
import os
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporters.errors import ExportError
from exporters.saved_model import files
from exporters.saved_model.object_graph import Callable
from exporters.saved_model.object_graph import Objects
from exporters.saved_model.object_graph import Tensor
from exporters.saved_model.object_graph import Variable
from exporters.saved_model.object_graph import tensor

# `tf.train.Checkpoint` adds it to everything that it saves.
_COUNTER = "save_counter"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
  """What is in a SavedModel's directory.

  Attributes:
    files: Sizes in bytes, by path below the directory.
    signatures: By name, the input tensors and the output tensors.
    callables: By dotted attribute path, the model itself first.
    constants: Facts for the consumer, such as `do_lower_case`, by attribute.
    assets: Names of files that travel with the model, by attribute.
    operations: The operations that its graphs use.
  """

  files: Mapping[str, int]
  signatures: Mapping[str, tuple[Sequence[Tensor], Sequence[Tensor]]]
  callables: Mapping[str, Callable]
  constants: Mapping[str, Any]
  assets: Mapping[str, str]
  operations: Sequence[str]

  @property
  def model(self) -> Callable:
    """The model itself, apart from its sub-objects."""
    return self.callables[""]

  @property
  def size(self) -> int:
    """Bytes of all files."""
    return sum(self.files.values())

  @functools.cached_property
  def variables(self) -> Sequence[Variable]:
    """The variables of all callables, each once; trainable if one trains it."""
    found: dict[int, Variable] = {}
    for callable_ in self.callables.values():
      for variable in callable_.variables:
        # One callable may leave it open to training, another may not.
        if variable.node_id not in found or variable.trainable:
          found[variable.node_id] = variable
    return list(found.values())

  @property
  def parameters(self) -> int:
    """How many numbers the variables hold."""
    return sum(variable.parameters for variable in self.variables)

  @property
  def trainable_parameters(self) -> int:
    """How many of the parameters a consumer may train."""
    return sum(v.parameters for v in self.variables if v.trainable)

  @property
  def custom_operations(self) -> Sequence[str]:
    """Operations that are not TensorFlow's, so need another package."""
    return [o for o in self.operations if not hasattr(tf.raw_ops, o)]


def read(path: str) -> Description:
  """Reads the SavedModel at `path`.

  Raises:
    ExportError: There is none, or it has no TF2 `__call__`.
  """
  file = os.path.join(path, "saved_model.pb")
  try:
    with open(file, "rb") as f:
      proto = saved_model_pb2.SavedModel.FromString(f.read())
  except OSError as e:
    raise ExportError(f"There is no SavedModel at '{path}'.") from e
  graph = proto.meta_graphs[0]
  objects = Objects(graph.object_graph_def)
  callables = dict(objects.callables())
  if "" not in callables:
    raise ExportError(f"The SavedModel at '{path}' has no TF2 `__call__`.")
  return Description(
    files={
      name: os.path.getsize(os.path.join(path, name))
      for name in files.listed(path)
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


def _tensors(infos: Mapping[str, Any]) -> list[Tensor]:
  return [
    tensor(tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype), name)
    for name, info in sorted(infos.items(), key=lambda i: _natural(i[0]))
  ]


def _natural(name: str) -> tuple[str, int]:
  """Sorts `encoder_outputs_10` after `encoder_outputs_9`."""
  prefix, _, number = name.rpartition("_")
  return (prefix, int(number)) if number.isdigit() else (name, -1)


def _constants(objects: Objects, path: str) -> Iterator[tuple[str, Any]]:
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
