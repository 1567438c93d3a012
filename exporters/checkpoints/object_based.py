"""TF2 checkpoints: a graph of objects, by `Checkpoint.save` or `.write`.

A variable is found by the path of attributes that leads to it from the root,
the same way as `tf.train.Checkpoint.restore` finds it, with two differences.
Attributes with a name go before Keras's numbered ones (`layer-7`), so that a
checkpoint of another depth is recognized as such instead of being bound layer
by layer to the wrong ones. And nothing is restored unless everything fits.

Averaged weights: Model Garden's `ExponentialMovingAverage` keeps the average of
a variable in its slot `average`. Where a checkpoint has such slots, they are
what is restored, since the average is the better model and the one that the
training evaluates. One exception is known by its name: `average_weights-*`,
which `EMACheckpointing` writes with the two swapped.
"""

from collections.abc import Iterator, Mapping, Sequence
import fnmatch
import functools
import heapq
import itertools
import os
import re
from typing import Any

from google.protobuf.message import DecodeError
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.checkpoint import readable
from exporters.checkpoints.mismatch import shape_difference
from exporters.errors import ExportError
from exporters.saved_model.variables import variable_name

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Keras's numbered attributes, in the order in which they are trusted: layers
# without weights come and go with the version of the code.
_NUMBERED = (
  re.compile(r"layer_with_weights-\d+"),
  re.compile(r"layer-\d+"),
)
# What Keras keeps below a compiled model that is no part of what it computes.
_TRAINING = ("optimizer", "keras_api")
# The slot in which an optimizer keeps an average, and the checkpoints in which
# the model's own variables hold it.
_AVERAGE = "average"
_SWAPPED = "average_weights-"


class Files:
  """The files of a TensorFlow checkpoint: tensors by their keys.

  Attributes:
    path: What the user gave, for messages.
    shapes: The dimensions of each tensor.
    dtypes: The type of each tensor.
  """

  def __init__(self, path: str, prefix: str):
    self.path = path
    self._prefix = prefix
    if re.search(r"[\[\\]", prefix):
      raise ExportError(
        f"The checkpoint '{path}' has a '[' or a '\\' in its path, which "
        "TensorFlow takes for a pattern of names. Rename the folder or the "
        "files."
      )
    try:
      # Not `tf.train.load_checkpoint`, which takes some remote prefixes for
      # directories.
      with readable(path):
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        self.shapes = reader.get_variable_to_shape_map()
        self.dtypes = reader.get_variable_to_dtype_map()
    # What its binding makes of an index with wrong bytes.
    except (IndexError, TypeError, UnicodeDecodeError) as e:
      raise damaged(path, f"{prefix}.index", e) from e

  @property
  def is_object_based(self) -> bool:
    """Whether there is a graph of objects; TF1's have names alone."""
    return OBJECT_GRAPH_KEY in self.shapes

  @property
  def names(self) -> Sequence[str]:
    """The files, in order."""
    return [f"{self._prefix}.index", *listed(f"{self._prefix}.data-*")]

  def read(self, key: str) -> tf.Tensor:
    # Not by the reader, which raises an IndexError for a file that is short.
    with readable(self.path):
      (value,) = tf.raw_ops.RestoreV2(
        prefix=self._prefix,
        tensor_names=[key],
        shape_and_slices=[""],
        dtypes=[self.dtypes[key]],
      )
    return value

  def array(self, key: str) -> np.ndarray:
    return self.read(key).numpy()

  def nodes(self) -> Sequence[Any]:
    """Returns the nodes of the graph of objects."""
    found = self.shapes.get(OBJECT_GRAPH_KEY), self.dtypes.get(OBJECT_GRAPH_KEY)
    if found != ([], tf.string):
      raise damaged(self.path, self._prefix, "it has no graph of objects")
    graph = parsed(
      self.path,
      self._prefix,
      trackable_object_graph_pb2.TrackableObjectGraph,
      self.array(OBJECT_GRAPH_KEY),
    )
    return nodes(self.path, self._prefix, graph)


def parsed(path: str, file: str, message: Any, data: bytes) -> Any:
  """Returns `data` as a protocol buffer.

  Args:
    path: What the user gave, for messages.
    file: Where the data is, for messages.
    message: The class of the protocol buffer.
    data: It, serialized.

  Raises:
    ExportError: It is no such message.
  """
  try:
    return message.FromString(data)
  except DecodeError as e:
    raise damaged(path, file, e) from e


def nodes(path: str, file: str, graph: Any) -> Sequence[Any]:
  """Returns the nodes of a graph of objects, whose references all exist.

  Args:
    path: What the user gave, for messages.
    file: Where the graph is, for messages.
    graph: A `TrackableObjectGraph` or a `SavedObjectGraph`.

  Raises:
    ExportError: It is empty, or refers to nodes that it lacks.
  """
  if not graph.nodes:
    raise damaged(path, file, "its graph of objects is empty")
  known = range(len(graph.nodes))
  for node in graph.nodes:
    ids = [child.node_id for child in node.children]
    ids += [slot.slot_variable_node_id for slot in node.slot_variables]
    for node_id in ids:
      # A negative one would count from the end.
      if node_id not in known:
        raise damaged(path, file, f"it has no object {node_id}")
  return graph.nodes


def damaged(path: str, file: str, reason: Any) -> ExportError:
  return ExportError(
    f"Cannot read the checkpoint '{path}': '{file}' is truncated or damaged. "
    f"({reason}) Copy it again, and compare the sizes of its files."
  )


def listed(pattern: str) -> list[str]:
  """Returns the files whose last part matches, in order.

  Unlike `glob`, which knows no way to say that a folder's name has a `[`.
  """
  folder, name = os.path.split(pattern)
  if not tf.io.gfile.isdir(folder or "."):
    return []
  return [
    os.path.join(folder, found)
    for found in sorted(tf.io.gfile.listdir(folder or "."))
    if fnmatch.fnmatchcase(found, name)
  ]


class ObjectBased(Checkpoint):
  """A TF2 checkpoint, given by the prefix of its files."""

  kind = "TF2 object-based checkpoint"

  def __init__(
    self, path: str, prefix: str, files: Files, *, averages: bool | None = None
  ):
    """Opens the checkpoint.

    Args:
      path: What the user gave.
      prefix: That of its files.
      files: Them.
      averages: Whether to restore the slots `average` in place of the model's
        own variables. None: if the checkpoint has them, and not swapped.
    """
    super().__init__(path)
    self._files = files
    self._shapes = files.shapes
    self._nodes = files.nodes()
    self._averages = {
      slot.original_variable_node_id: slot.slot_variable_node_id
      for node in self._nodes
      for slot in node.slot_variables
      if slot.slot_name == _AVERAGE
    }
    if averages and not self._averages:
      raise ExportError(
        f"The checkpoint '{path}' has no averaged weights (no slots "
        f"'{_AVERAGE}'). Leave average_weights out."
      )
    swapped = os.path.basename(prefix).startswith(_SWAPPED)
    if averages is False or averages is None and swapped:
      self._averages = {}

  @property
  def parts(self) -> frozenset[str]:
    return frozenset(child.local_name for child in self._nodes[0].children)

  @functools.cached_property
  def tensors(self) -> Mapping[str, Tensor]:
    found = {}
    for node_id in range(len(self._nodes)):
      for attribute in self._values(node_id):
        key = attribute.checkpoint_key
        name = attribute.full_name or key.partition("/.ATTRIBUTES")[0]
        if key.startswith("optimizer/") or ".OPTIMIZER_SLOT" in key:
          name = f"optimizer/{name}"
        found[name] = Tensor(
          shape=tuple(self._shapes[key]),
          dtype=self._files.dtypes[key].name,
          read=functools.partial(self._files.read, key),
        )
    return found

  @property
  def files(self) -> Sequence[str]:
    return self._files.names

  def match(self, items: Mapping[str, Any]) -> Match:
    bound, roots = self._bind(items)
    pairs, shapes, found = [], [], set()
    for node_id, trackable in bound.items():
      if not isinstance(trackable, tf.Variable):
        continue
      for attribute in self._values(self._averages.get(node_id, node_id)):
        found.add(trackable.ref())
        key = attribute.checkpoint_key
        if trackable.shape == self._shapes[key]:
          pairs.append((trackable, lambda key=key: self._files.read(key)))
        else:
          shapes.append(
            shape_difference(
              variable_name(trackable), self._shapes[key], trackable.shape
            )
          )
    attributes = {
      node_id: attribute
      for node_id in self._descendants(roots)
      for attribute in self._values(node_id)
    }
    below = {
      node_id: attribute.full_name or attribute.checkpoint_key
      for node_id, attribute in attributes.items()
    }
    restored = {attribute.checkpoint_key for attribute in attributes.values()}
    return Match.of(
      pairs,
      missing=[
        variable_name(variable)
        for variable in _variables(items)
        if variable.ref() not in found
      ],
      unexpected=[n for id_, n in below.items() if id_ not in bound],
      shapes=shapes,
      parts=self.parts & items.keys(),
      ignored=sorted(self._shapes.keys() - restored - {OBJECT_GRAPH_KEY}),
    )

  def _bind(self, items: Mapping[str, Any]) -> tuple[dict[int, Any], set[int]]:
    """Pairs the checkpoint's nodes with the objects below `items`.

    Returns:
      The object for each node that has one, and the nodes of `items`.
    """
    top = {child.local_name: child.node_id for child in self._nodes[0].children}
    found = [(top[name], item) for name, item in items.items() if name in top]
    if not found and items:
      # `model.save_weights()` writes the model itself as the root.
      found = [(0, next(iter(items.values())))]
    order = itertools.count()
    pending = [(0, next(order), node_id, item) for node_id, item in found]
    bound: dict[int, Any] = {}
    taken: set[int] = set()
    while pending:
      _, _, node_id, trackable = heapq.heappop(pending)
      if node_id in bound or id(trackable) in taken:
        continue
      bound[node_id] = trackable
      taken.add(id(trackable))
      children = _children(trackable)
      for child in self._nodes[node_id].children:
        if child.local_name in children:
          trust = _trust(child.local_name)
          entry = (child.node_id, children[child.local_name])
          heapq.heappush(pending, (trust, next(order), *entry))
    return bound, {node_id for node_id, _ in found}

  def _values(self, node_id: int) -> Iterator[Any]:
    for attribute in self._nodes[node_id].attributes:
      if attribute.checkpoint_key in self._shapes:
        yield attribute

  def _descendants(self, roots: set[int]) -> set[int]:
    seen, pending = set(), list(roots)
    while pending:
      node_id = pending.pop()
      if node_id not in seen:
        seen.add(node_id)
        pending += [
          child.node_id
          for child in self._nodes[node_id].children
          if child.local_name not in _TRAINING
        ]
    return seen


def _trust(attribute: str) -> int:
  """Returns how late an attribute is followed: those with a name first."""
  for place, pattern in enumerate(_NUMBERED, start=1):
    if pattern.fullmatch(attribute):
      return place
  return 0


def _children(trackable: Any) -> dict[str, Any]:
  return tf.train.TrackableView(trackable).children(trackable)


def _variables(items: Mapping[str, Any]) -> list[tf.Variable]:
  """Returns the variables below `items`, each once, in a fixed order."""
  root = tf.train.Checkpoint(**items)
  return [
    trackable
    for trackable in tf.train.TrackableView(root).descendants()
    if isinstance(trackable, tf.Variable)
  ]
