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
import functools
import heapq
import itertools
import os
import re
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.checkpoint import shards
from exporters.checkpoints.mismatch import shape_difference
from exporters.errors import ExportError
from exporters.published import variable_name

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


def open_reader(prefix: str) -> Any:
  """Returns TensorFlow's reader of a checkpoint's files."""
  # Not `tf.train.load_checkpoint`, which takes some remote prefixes for
  # directories.
  return tf.compat.v1.train.NewCheckpointReader(prefix)


def is_object_based(prefix: str) -> bool:
  """Whether a checkpoint has a graph of objects; TF1's have names alone."""
  return open_reader(prefix).has_tensor(OBJECT_GRAPH_KEY)


class ObjectBased(Checkpoint):
  """A TF2 checkpoint, given by the prefix of its files."""

  kind = "TF2 object-based checkpoint"

  def __init__(self, path: str, prefix: str, *, averages: bool | None = None):
    """Opens the checkpoint.

    Args:
      path: What the user gave.
      prefix: That of its files.
      averages: Whether to restore the slots `average` in place of the model's
        own variables. None: if the checkpoint has them, and not swapped.
    """
    super().__init__(path)
    self._prefix = prefix
    reader = open_reader(prefix)
    self._shapes = reader.get_variable_to_shape_map()
    self._dtypes = reader.get_variable_to_dtype_map()
    self._nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
      self._read(OBJECT_GRAPH_KEY).numpy()
    ).nodes
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
          dtype=self._dtypes[key].name,
          read=functools.partial(self._read, key),
        )
    return found

  @property
  def files(self) -> Sequence[str]:
    return shards(self._prefix)

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
          pairs.append((trackable, lambda key=key: self._read(key)))
        else:
          shapes.append(
            shape_difference(
              variable_name(trackable), self._shapes[key], trackable.shape
            )
          )
    below = {
      node_id: attribute.full_name or attribute.checkpoint_key
      for node_id in self._descendants(roots)
      for attribute in self._values(node_id)
    }
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
      ignored=len(self._shapes) - 1 - len(below),
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

  def _read(self, key: str) -> tf.Tensor:
    (value,) = tf.raw_ops.RestoreV2(
      prefix=self._prefix,
      tensor_names=[key],
      shape_and_slices=[""],
      dtypes=[self._dtypes[key]],
    )
    return value


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
