"""A SavedModel of an earlier export, whose weights are to be published again.

Say one that was loaded, fine-tuned and saved. Its variables are found by their
names, which go with them through loading and saving.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
import functools
import os
import re
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporters.checkpoints.checkpoint import EXACT_GELU
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.named import Named
from exporters.checkpoints.named import variables
from exporters.checkpoints.object_based import Files
from exporters.checkpoints.object_based import damaged
from exporters.checkpoints.object_based import nodes
from exporters.checkpoints.object_based import parsed
from exporters.errors import ExportError
from exporters.saved_model.variables import variable_name

FILE = "saved_model.pb"
_VOCABULARY = "vocab.txt"
_LOWER_CASE = "do_lower_case"
# Which GELU an encoder was traced with shows in the operations of
# `tf.nn.gelu`, and nowhere else.
_GELUS = {
  "Gelu/Erf": EXACT_GELU,
  "Gelu/Erfc": EXACT_GELU,
  "Gelu/Tanh": "gelu",
}
# Keras numbers the layers of a process: `conv2d_7`.
_NUMBER = re.compile(r"^(.*?)(?:_(\d+))?$")


class SavedModel(Named):
  """A folder with `saved_model.pb` and `variables/`."""

  kind = "SavedModel"

  def __init__(self, path: str):
    super().__init__(path)
    self._files = Files(path, os.path.join(path, "variables", "variables"))
    self._graph = self._meta_graph()
    found = list(self._variables())
    counts = Counter(name for name, _ in found)
    self._doubtful = {name for name, count in counts.items() if count > 1}
    self._tensors = {
      name: Tensor(
        shape=tuple(self._files.shapes[key]),
        dtype=self._files.dtypes[key].name,
        read=functools.partial(self._files.array, key),
      )
      for name, key in found
      if key in self._files.shapes and counts[name] == 1
    }
    self._sources: Mapping[str, str] = {}

  @property
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  def match(self, items: Mapping[str, Any]) -> Match:
    names = [variable_name(variable) for variable in variables(items)]
    doubtful = sorted(self._doubtful & {_plain(name) for name in names})
    if doubtful:
      raise ExportError(
        f"The SavedModel '{self.path}' has several variables of the name "
        f"'{doubtful[0]}', so that its weights can't be told apart. Take a TF2 "
        "checkpoint of the training instead."
      )
    self._sources = {name: _plain(name) for name in names}
    if not set(self._sources.values()) <= self._tensors.keys():
      theirs = dict(zip(_counted(self._tensors), self._tensors, strict=True))
      ours = _counted([_plain(name) for name in names])
      if set(ours) <= theirs.keys():
        self._sources = {
          name: theirs[key] for name, key in zip(names, ours, strict=True)
        }
    return super().match(items)

  def tensor(self, variable: str) -> str | None:
    return self._sources[variable]

  def is_missed(self, tensor: str) -> bool:
    # A layer more, beside those that are restored; no head or optimizer.
    scope = tensor.partition("/")[0]
    return any(
      source.startswith(f"{scope}/") for source in self._sources.values()
    )

  @property
  def files(self) -> Sequence[str]:
    return [os.path.join(self.path, FILE), *self._files.names]

  @property
  def vocab_file(self) -> str | None:
    path = os.path.join(self.path, "assets", _VOCABULARY)
    return path if tf.io.gfile.exists(path) else None

  @functools.cached_property
  def declared(self) -> dict[str, Any]:
    found: dict[str, Any] = {}
    key = f"{_LOWER_CASE}/.ATTRIBUTES/VARIABLE_VALUE"
    if self._files.shapes.get(key) == [] and self._files.dtypes[key] == tf.bool:
      found[_LOWER_CASE] = bool(self._files.array(key))
    kinds = {_GELUS[name] for name in self._operations() if name in _GELUS}
    if len(kinds) == 1:
      (found["hidden_activation"],) = kinds
    return found

  def _meta_graph(self) -> Any:
    path = os.path.join(self.path, FILE)
    with tf.io.gfile.GFile(path, "rb") as f:
      content = f.read()
    proto = parsed(self.path, path, saved_model_pb2.SavedModel, content)
    if not proto.meta_graphs:
      raise damaged(self.path, path, "it has no graph")
    return proto.meta_graphs[0]

  def _operations(self) -> Iterator[str]:
    """Yields the last two parts of the names in the graphs of calls."""
    for function in self._graph.graph_def.library.function:
      for node in function.node_def:
        yield "/".join(node.name.rsplit("/", 2)[1:])

  def _variables(self) -> Iterator[tuple[str, str]]:
    """Yields each variable's name and its key in the files of weights.

    The graph in `saved_model.pb` has the names, the one beside the weights the
    keys; the same attributes lead through both.
    """
    named = nodes(
      self.path,
      os.path.join(self.path, FILE),
      self._graph.object_graph_def,
    )
    keyed = self._files.nodes()
    seen, pending = {0}, [(0, 0)]
    while pending:
      name_id, key_id = pending.pop()
      if named[name_id].WhichOneof("kind") == "variable":
        for attribute in keyed[key_id].attributes:
          name = named[name_id].variable.name.removesuffix(":0")
          yield _plain(name), attribute.checkpoint_key
      keys = {c.local_name: c.node_id for c in keyed[key_id].children}
      for child in named[name_id].children:
        if child.local_name in keys and child.node_id not in seen:
          seen.add(child.node_id)
          pending.append((child.node_id, keys[child.local_name]))


def _plain(name: str) -> str:
  # Without the scope that a pretrainer puts around its head.
  return name.removeprefix("bert/")


def _counted(names: Sequence[str]) -> list[str]:
  """Returns names with the numbers of layers counted from 0, in their order.

  `conv2d_7/kernel` and `conv2d_9/kernel` are then the first and the second.
  """
  parts = [_NUMBER.match(name.partition("/")[0]).groups() for name in names]
  numbers: dict[str, set[int]] = {}
  for base, number in parts:
    numbers.setdefault(base, set()).add(int(number or 0))
  places = {base: sorted(found) for base, found in numbers.items()}
  return [
    f"{base} {places[base].index(int(number or 0))}/{name.partition('/')[2]}"
    for name, (base, number) in zip(names, parts, strict=True)
  ]
