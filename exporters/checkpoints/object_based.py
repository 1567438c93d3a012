"""TF2 checkpoints: a graph of objects, by `Checkpoint.save` or `.write`.

A variable is found by the path of attributes that leads to it from the root, as
`tf.train.Checkpoint.restore` finds it, with two differences. Named attributes
are followed before Keras's numbered ones (`layer-7`); otherwise the layers of a
checkpoint with another depth would be paired with the wrong ones, instead of
being reported. And nothing is restored unless everything fits.

Averages of weights are restored as `averages` says, except from a checkpoint
named `average_weights-*`: Model Garden's `EMACheckpointing` writes it with
weights and averages swapped.
"""

from collections.abc import Iterator, Mapping, Sequence
import functools
import heapq
import itertools
import os
import re
from typing import Any

import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.mismatch import shape_difference
from exporters.checkpoints.tensorflow_files import OBJECT_GRAPH_KEY
from exporters.checkpoints.tensorflow_files import Files
from exporters.checkpoints.tensorflow_files import of_model
from exporters.saved_model.variables import variable_name

# Keras's numbered attributes, the more reliable first: layers without weights
# come and go with the version of the code.
_NUMBERED = (
  re.compile(r"layer_with_weights-\d+"),
  re.compile(r"layer-\d+"),
)
# Checkpoints in which the model's own variables hold the averages.
_SWAPPED = "average_weights-"


class ObjectBased(Checkpoint):
  """A TF2 checkpoint, given by the prefix of its files."""

  kind = "TF2 object-based checkpoint"

  def __init__(
    self, path: str, prefix: str, files: Files, *, averages: bool | None = None
  ):
    """Opens the checkpoint.

    Args:
      path: The path that the user gave.
      prefix: The prefix of the checkpoint's files.
      files: These files, opened.
      averages: Whether to restore averages in place of the model's own
        variables. None: if the checkpoint has them, not swapped.

    Raises:
      ExportError: The files are damaged.
    """
    super().__init__(path)
    self._files = files
    self._shapes = files.shapes
    self._nodes = files.nodes()
    self._averages: Mapping[int, int | None] = {}
    swapped = os.path.basename(prefix).startswith(_SWAPPED)
    if averages or averages is None and not swapped:
      self._averages = averages_lib.of_objects(self._nodes)

  @property
  @override
  def averages(self) -> bool:
    return bool(self._averages)

  @property
  @override
  def parts(self) -> frozenset[str]:
    return frozenset(child.local_name for child in self._nodes[0].children)

  @functools.cached_property
  @override
  def tensors(self) -> Mapping[str, Tensor]:
    found = {}
    weights = of_model(self._nodes, {0})
    for node_id in range(len(self._nodes)):
      for attribute in self._values(node_id):
        key = attribute.checkpoint_key
        name = attribute.full_name or key.partition("/.ATTRIBUTES")[0]
        if node_id not in weights:
          name = f"optimizer/{name}"
        found[name] = Tensor(
          shape=tuple(self._shapes[key]),
          dtype=self._files.dtypes[key].name,
          read=functools.partial(self._files.read, key),
        )
    return found

  @property
  @override
  def files(self) -> Sequence[str]:
    return self._files.names

  @override
  def match(self, items: Mapping[str, Any]) -> Match:
    bound, roots = self._bind(items)
    pairs, shapes, found = [], [], set()
    for node_id, trackable in bound.items():
      if not isinstance(trackable, tf.Variable):
        continue
      source = self._averages.get(node_id, node_id)
      if source is None:
        raise averages_lib.ambiguous(self.path, variable_name(trackable))
      for attribute in self._values(source):
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
      for node_id in of_model(self._nodes, roots)
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
      The object of each node that has one, and the ids of the nodes of `items`.
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
          priority = _priority(child.local_name)
          entry = (child.node_id, children[child.local_name])
          heapq.heappush(pending, (priority, next(order), *entry))
    return bound, {node_id for node_id, _ in found}

  def _values(self, node_id: int) -> Iterator[Any]:
    """Yields the attributes of a node for which there is a tensor."""
    for attribute in self._nodes[node_id].attributes:
      if attribute.checkpoint_key in self._shapes:
        yield attribute


def _priority(attribute: str) -> int:
  """Returns when to follow an attribute: 0, the first, if it has a name."""
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
