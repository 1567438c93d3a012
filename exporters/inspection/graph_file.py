"""Describes SavedModels, of TF1 and TF2, without loading them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
import os
from typing import Any

from google.protobuf.message import DecodeError
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tf_keras.protobuf import saved_metadata_pb2

from exporters.checkpoints import saved_models
from exporters.checkpoints import tensorflow_files
from exporters.checkpoints.tensorflow_files import damaged
from exporters.checkpoints.tensorflow_files import nodes
from exporters.checkpoints.tensorflow_files import of_model
from exporters.inspection import keras_config
from exporters.saved_model.object_graph import tensor

_KERAS_METADATA = "keras_metadata.pb"
_HUB_MODULE = "tfhub_module.pb"
_KERAS = "_tf_keras_"
# What `Model.export` of Keras 2 and 3 keeps, and that of Keras 2 alone.
_EXPORT, _EXPORT_2 = "_all_variables", "_endpoint_names"
_LARGEST = 2 << 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
  """What `saved_model.pb` says.

  Attributes:
    kind: Such as "TF1 SavedModel".
    version: The version of TensorFlow that wrote it.
    tags: Those of each graph in it.
    signatures: By name, the inputs and the outputs.
    variables: By name, the shapes and types of the model's own.
    keras: What it says of a Keras model; None if it is none.
    is_tf1: Whether it has no objects, only a graph.
    is_keras: Whether `tf_keras.models.load_model` could read it.
  """

  kind: str
  version: str
  tags: Sequence[str]
  signatures: Mapping[str, tuple[Sequence[str], Sequence[str]]]
  variables: Sequence[tuple[str, tuple[int, ...], str]]
  keras: keras_config.KerasConfig | None
  is_tf1: bool
  is_keras: bool


def read(path: str) -> Graph | None:
  """Reads a folder; None if it is not a SavedModel.

  Raises:
    ExportError: It is one, and damaged.
  """
  file = os.path.join(path, saved_models.FILE)
  if not tf.io.gfile.exists(file):
    return None
  tensorflow_files.refuse_incomplete(
    path, os.path.join(path, "variables", "variables")
  )
  if tf.io.gfile.stat(file).length > _LARGEST:
    raise damaged(path, file, "it is larger than 2 GB")
  with tf.io.gfile.GFile(file, "rb") as f:
    content = f.read()
  try:
    proto = saved_model_pb2.SavedModel.FromString(content)
  except DecodeError as e:
    raise damaged(path, file, e) from e
  if not proto.meta_graphs:
    raise damaged(path, file, "it has no graph")
  graph = proto.meta_graphs[0]
  is_tf1 = not graph.object_graph_def.nodes
  names = _root(graph)
  return Graph(
    kind=_kind(path, graph, names),
    version=graph.meta_info_def.tensorflow_version,
    tags=[", ".join(g.meta_info_def.tags) or "none" for g in proto.meta_graphs],
    signatures={
      name: (
        [*_tensors(signature.inputs)],
        [*_tensors(signature.outputs)],
      )
      for name, signature in sorted(graph.signature_def.items())
      if signature.outputs and not name.startswith("__saved_model")
    },
    variables=[*(_of_graph(graph) if is_tf1 else _of_objects(path, graph))],
    keras=_keras(path, graph),
    is_tf1=is_tf1,
    is_keras=_is_keras(graph),
  )


def _root(graph: Any) -> set[str]:
  objects = graph.object_graph_def.nodes
  return {c.local_name for c in objects[0].children} if objects else set()


def _is_keras(graph: Any) -> bool:
  objects = graph.object_graph_def.nodes
  return bool(objects) and objects[0].user_object.identifier.startswith(_KERAS)


def _kind(path: str, graph: Any, names: set[str]) -> str:
  if not graph.object_graph_def.nodes:
    hub = tf.io.gfile.exists(os.path.join(path, _HUB_MODULE))
    return "TF1 Hub module" if hub else "TF1 SavedModel"
  if _is_keras(graph):
    return "Keras SavedModel (Keras 2)"
  if _EXPORT in names:
    return f"SavedModel that Keras {2 if _EXPORT_2 in names else 3} exported"
  return "SavedModel"


def _tensors(infos: Mapping[str, Any]) -> Iterator[str]:
  for name, info in sorted(infos.items()):
    try:
      dtype = tf.as_dtype(info.dtype)
      shape = tf.TensorShape(info.tensor_shape)
    except (TypeError, ValueError):
      yield f"{name} (damaged)"
      continue
    yield f"{name} {tensor(tf.TensorSpec(shape, dtype), name)}"


def _of_objects(
  path: str, graph: Any
) -> Iterator[tuple[str, tuple[int, ...], str]]:
  """Yields the variables that functions use; Keras 3 saves copies of them."""
  objects = nodes(path, saved_models.FILE, graph.object_graph_def)
  variables = {
    node_id
    for node_id in of_model(objects, {0})
    if objects[node_id].WhichOneof("kind") == "variable"
  }
  used = {
    node_id
    for function in graph.object_graph_def.concrete_functions.values()
    for node_id in function.bound_inputs
  }
  for node_id in sorted(variables & used or variables):
    yield from _variable(objects[node_id].variable)


def _variable(variable: Any) -> Iterator[tuple[str, tuple[int, ...], str]]:
  try:
    shape = tuple(tf.TensorShape(variable.shape).as_list())
    dtype = tf.as_dtype(variable.dtype).name
  except (TypeError, ValueError):
    return
  if None not in shape:
    yield variable.name.removesuffix(":0"), shape, dtype


def _of_graph(graph: Any) -> Iterator[tuple[str, tuple[int, ...], str]]:
  """Yields TF1's variables, those of an optimizer and its counters left out.

  They are what the outputs of signatures depend on; all, without a signature.
  """
  found = {node.name: node for node in graph.graph_def.node}
  pending = [
    info.name
    for signature in graph.signature_def.values()
    for info in signature.outputs.values()
  ] or list(found)
  reached: set[str] = set()
  while pending:
    name = pending.pop().removeprefix("^").partition(":")[0]
    if name in found and name not in reached:
      reached.add(name)
      pending += found[name].input
  for name in sorted(reached):
    node = found[name]
    if node.op in ("VariableV2", "Variable", "VarHandleOp"):
      shape, dtype = node.attr["shape"].shape, node.attr["dtype"].type
      yield from _variable(_Named(name, shape, dtype))


@dataclasses.dataclass(frozen=True)
class _Named:
  name: str
  shape: Any
  dtype: int


def _keras(path: str, graph: Any) -> keras_config.KerasConfig | None:
  """Returns what the metadata of a Keras model says."""
  if not _is_keras(graph):
    return None
  # Before Keras 2.5 it stood in the graph of objects.
  text = graph.object_graph_def.nodes[0].user_object.metadata
  file = os.path.join(path, "saved_model.pb")
  beside = os.path.join(path, _KERAS_METADATA)
  if tf.io.gfile.exists(beside):
    file = beside
    with tf.io.gfile.GFile(file, "rb") as f:
      content = f.read()
    try:
      metadata = saved_metadata_pb2.SavedMetadata.FromString(content)
    except DecodeError as e:
      raise damaged(path, file, e) from e
    text = next((n.metadata for n in metadata.nodes if not n.node_id), text)
  try:
    stated = json.loads(text or "{}")
  except (ValueError, RecursionError) as e:
    raise damaged(path, file, e) from e
  if not isinstance(stated, dict):
    return None
  model = stated.get("model_config") or stated
  if not isinstance(model, dict):
    return None
  return keras_config.read(model, stated.get("training_config"))
