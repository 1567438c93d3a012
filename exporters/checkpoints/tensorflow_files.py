"""The files of a TensorFlow checkpoint, of TF1 or TF2: tensors by their keys.

A TF2 checkpoint and a SavedModel also hold a graph of objects, which says which
tensor is which attribute of which object.
"""

from collections.abc import Iterable, Sequence
import fnmatch
import os
import re
from typing import Any

from google.protobuf.message import DecodeError
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporters.checkpoints import tensorflow_index
from exporters.checkpoints.checkpoint import readable
from exporters.errors import ExportError

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The steps that an optimizer has taken: of tf_keras, and of its legacy ones.
_COUNTERS = ("_iterations", "iter")


class Files:
  """The files of a TensorFlow checkpoint.

  Attributes:
    path: The path that the user gave, for messages.
    shapes: The dimensions of each tensor, by its key.
    dtypes: The `tf.DType` of each tensor, by its key.
  """

  def __init__(self, path: str, prefix: str):
    self.path = path
    self._prefix = prefix
    if re.search(r"[\[\\]", prefix):
      raise ExportError(
        f"The checkpoint '{path}' has a '[' or a '\\' in its path, which "
        "TensorFlow takes for a pattern. Rename the folder or the files."
      )
    try:
      # Not `tf.train.load_checkpoint`, which takes some remote prefixes for
      # directories.
      with readable(path):
        with tf.io.gfile.GFile(f"{prefix}.index", "rb") as f:
          tensorflow_index.refuse_damaged(f.read())
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        self.shapes = reader.get_variable_to_shape_map()
        self.dtypes = reader.get_variable_to_dtype_map()
    # Also what TensorFlow's binding raises for an index with wrong bytes.
    except (IndexError, TypeError, ValueError) as e:
      raise damaged(path, f"{prefix}.index", e) from e
    refuse_incomplete(path, prefix)

  @property
  def is_object_based(self) -> bool:
    """Whether there is a graph of objects; TF1 checkpoints have only names."""
    return OBJECT_GRAPH_KEY in self.shapes

  @property
  def names(self) -> Sequence[str]:
    """The paths of the files, in order."""
    return [f"{self._prefix}.index", *listed(f"{self._prefix}.data-*")]

  def read(self, key: str) -> tf.Tensor:
    """Reads one tensor.

    Raises:
      ExportError: A file is missing, truncated or damaged.
    """
    # Not by the reader, which raises an IndexError for a truncated file.
    with readable(self.path):
      (value,) = tf.raw_ops.RestoreV2(
        prefix=self._prefix,
        tensor_names=[key],
        shape_and_slices=[""],
        dtypes=[self.dtypes[key]],
      )
    return value

  def array(self, key: str) -> np.ndarray:
    """Reads one tensor as an array; see `read`."""
    return self.read(key).numpy()

  def nodes(self) -> Sequence[Any]:
    """Returns the nodes of the graph of objects.

    Raises:
      ExportError: There is no graph of objects, or it is damaged.
    """
    found = self.shapes.get(OBJECT_GRAPH_KEY), self.dtypes.get(OBJECT_GRAPH_KEY)
    if found != ([], tf.string):
      raise damaged(self.path, self._prefix, "it has no graph of objects")
    graph = parsed(
      self.path,
      self._prefix,
      trackable_object_graph_pb2.TrackableObjectGraph,
      self.read(OBJECT_GRAPH_KEY).numpy(),
    )
    return nodes(self.path, self._prefix, graph)


def refuse_incomplete(path: str, prefix: str) -> None:
  """Raises `ExportError` if a file with tensors is missing.

  Args:
    path: The path that the user gave, for messages.
    prefix: That of the files. What has no index has no tensors.
  """
  index = f"{prefix}.index"
  if not tf.io.gfile.exists(index):
    return
  try:
    with readable(path), tf.io.gfile.GFile(index, "rb") as f:
      shards = tensorflow_index.shards(f.read())
  except (IndexError, ValueError) as e:
    raise damaged(path, index, e) from e
  there = set(listed(f"{prefix}.data-*"))
  for name in (f"{prefix}.data-{i:05}-of-{shards:05}" for i in range(shards)):
    if name not in there:
      raise ExportError(
        f"'{path}' lacks its file '{name}'. Copy all of its files: the "
        "`.index` and every `.data-*-of-*`."
      )


def parsed(path: str, file: str, message: Any, data: bytes) -> Any:
  """Parses a protocol buffer.

  Args:
    path: The path that the user gave, for messages.
    file: The file that holds the data, for messages.
    message: The class of the protocol buffer.
    data: The serialized protocol buffer.

  Raises:
    ExportError: The data is not such a message.
  """
  try:
    return message.FromString(data)
  except DecodeError as e:
    raise damaged(path, file, e) from e


def nodes(path: str, file: str, graph: Any) -> Sequence[Any]:
  """Returns the nodes of a graph of objects, in which every id has its node.

  Args:
    path: The path that the user gave, for messages.
    file: The file that holds the graph, for messages.
    graph: A `TrackableObjectGraph` or a `SavedObjectGraph`.

  Raises:
    ExportError: The graph is empty, or has the id of a node that it lacks.
  """
  if not graph.nodes:
    raise damaged(path, file, "its graph of objects is empty")
  known = range(len(graph.nodes))
  for node in graph.nodes:
    ids = [child.node_id for child in node.children]
    ids += [slot.slot_variable_node_id for slot in node.slot_variables]
    for node_id in ids:
      # A negative id would count from the end.
      if node_id not in known:
        raise damaged(path, file, f"it has no object {node_id}")
  return graph.nodes


def of_model(nodes: Sequence[Any], roots: Iterable[int]) -> set[int]:
  """Returns the ids of the objects at and below `roots` but training's.

  Those are an optimizer, by its attribute's name or by its counter of steps,
  and what Keras keeps below a compiled model, but does not compute with.
  """
  seen: set[int] = set()
  pending = list(roots)
  while pending:
    node_id = pending.pop()
    if node_id not in seen:
      seen.add(node_id)
      pending += [
        child.node_id
        for child in nodes[node_id].children
        if child.local_name not in ("optimizer", "keras_api")
        and not any(
          attribute.local_name in _COUNTERS
          for attribute in nodes[child.node_id].children
        )
      ]
  return seen


def damaged(path: str, file: str, reason: Any) -> ExportError:
  """Returns the error for a file that does not hold what it should.

  Args:
    path: The path that the user gave.
    file: The file.
    reason: What is wrong with it.
  """
  return ExportError(
    f"Cannot read the checkpoint '{path}': '{file}' is truncated or damaged. "
    f"({reason}) Copy it again, and compare the sizes of its files."
  )


def listed(pattern: str) -> list[str]:
  """Returns the files whose last part matches a pattern, sorted.

  Unlike `tf.io.gfile.glob`, it works in folders with a `[` in their name.
  """
  folder, name = os.path.split(pattern)
  if not tf.io.gfile.isdir(folder or "."):
    return []
  return [
    os.path.join(folder, found)
    for found in sorted(tf.io.gfile.listdir(folder or "."))
    if fnmatch.fnmatchcase(found, name)
  ]
