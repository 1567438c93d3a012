"""The SavedModel of an earlier export, whose weights are published again.

A consumer may have loaded, fine-tuned and saved it since. Its variables are
found by their names, which survive loading and saving.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
import functools
import os
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints import saved_graph
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.named import Named
from exporters.checkpoints.named import variables
from exporters.checkpoints.sentence_embedding import CONSTANTS
from exporters.checkpoints.sentence_embedding import SentenceEmbedding
from exporters.checkpoints.tensorflow_files import Files
from exporters.checkpoints.tensorflow_files import damaged
from exporters.checkpoints.tensorflow_files import nodes
from exporters.checkpoints.tensorflow_files import of_model
from exporters.checkpoints.tensorflow_files import parsed
from exporters.errors import ExportError
from exporters.saved_model.variables import variable_name

FILE = "saved_model.pb"
_LOWER_CASE = "do_lower_case"


class SavedModel(Named):
  """A folder with `saved_model.pb` and `variables/`."""

  kind = "SavedModel"

  def __init__(self, path: str, *, averages: bool | None = None):
    super().__init__(path)
    self._files = Files(path, os.path.join(path, "variables", "variables"))
    self._graph = self._meta_graph()
    self._keyed = self._files.nodes()
    self._named = nodes(
      path, os.path.join(path, FILE), self._graph.object_graph_def
    )
    self._averages_of: Mapping[int, int | None] = {}
    if averages is not False:
      self._averages_of = averages_lib.of_objects(self._keyed)
    found = list(self._variables())
    counts = Counter(name for name, _ in found)
    self._ambiguous = {name for name, count in counts.items() if count > 1}
    self._tensors: dict[str, Tensor] = {}
    self._training = set()
    weights = of_model(self._keyed, {0})
    for name, node_id in found:
      source = self._averages_of.get(node_id, node_id)
      if source is None:
        self._ambiguous.add(name)
      elif counts[name] == 1:
        for tensor in self._tensors_of(self._keyed[source]):
          self._tensors[name] = tensor
      if node_id not in weights:
        self._training.add(name)
    # The name of each variable's tensor, for the items that are matched.
    self._names: Mapping[str, str] = {}

  @property
  @override
  def averages(self) -> bool:
    return bool(self._averages_of)

  @functools.cached_property
  @override
  def training(self) -> frozenset[str]:
    return super().training | self._training

  @property
  @override
  def tensors(self) -> Mapping[str, Tensor]:
    return self._tensors

  @override
  def match(self, items: Mapping[str, Any]) -> Match:
    names = [variable_name(variable) for variable in variables(items)]
    ambiguous = sorted(self._ambiguous & {_plain(name) for name in names})
    if ambiguous:
      raise ExportError(
        f"The SavedModel '{self.path}' has several variables named "
        f"'{ambiguous[0]}', so its weights can't be told apart. Use a TF2 "
        "checkpoint from the training instead."
      )
    self._names = {name: _plain(name) for name in names}
    if not set(self._names.values()) <= self._tensors.keys():
      theirs = dict(
        zip(_renumbered(list(self._tensors)), self._tensors, strict=True)
      )
      ours = _renumbered([_plain(name) for name in names])
      if set(ours) <= theirs.keys():
        self._names = {
          name: theirs[key] for name, key in zip(names, ours, strict=True)
        }
    return super().match(items)

  @override
  def tensor(self, variable: str) -> str | None:
    return self._names[variable]

  @override
  def must_be_used(self, tensor: str) -> bool:
    # One more layer beside those that are restored, not a head or an optimizer.
    scope = tensor.partition("/")[0]
    return any(name.startswith(f"{scope}/") for name in self._names.values())

  @property
  @override
  def files(self) -> Sequence[str]:
    return [os.path.join(self.path, FILE), *self._files.names]

  @property
  @override
  def vocab_file(self) -> str | None:
    return self._asset("vocab_file")

  @functools.cached_property
  @override
  def declared(self) -> dict[str, Any]:
    found = {
      _LOWER_CASE: self._constant(_LOWER_CASE),
      "hidden_activation": saved_graph.activation(self._graph.graph_def),
    }
    return {name: value for name, value in found.items() if value is not None}

  @property
  @override
  def sentence_embedding(self) -> SentenceEmbedding | None:
    mean, normalize = map(self._constant, CONSTANTS)
    if mean is not None and normalize is not None:
      return SentenceEmbedding.from_constants(mean, normalize)
    if self._is_pooled_output("default"):
      return None
    raise ExportError(
      f"The output 'default' of the SavedModel '{self.path}' is not its "
      f"pooled_output, and it has no .{CONSTANTS[0]}, which says how to "
      "compute a sentence's vector. Use the checkpoint that it was made from."
    )

  def _asset(self, attribute: str) -> str | None:
    """Returns the path of the file that an attribute holds, if it is one."""
    assets = dict(enumerate(self._graph.asset_file_def))
    found = {
      assets[held.asset.asset_file_def_index].filename
      for node in self._named
      for child in node.children
      for held in [self._named[child.node_id]]
      if child.local_name == attribute
      and held.WhichOneof("kind") == "asset"
      and held.asset.asset_file_def_index in assets
    }
    if len(found) != 1:
      return None
    # Only its name: what lies elsewhere is not the SavedModel's.
    name = os.path.basename(found.pop())
    path = os.path.join(self.path, "assets", name)
    return path if name and tf.io.gfile.exists(path) else None

  def _is_pooled_output(self, name: str) -> bool:
    """Whether an output of the signature, if it has that, is pooled_output."""
    signature = self._graph.signature_def.get("serving_default")
    outputs = signature.outputs if signature else {}
    if not {name, "pooled_output"} <= outputs.keys():
      return True
    one, other = (
      saved_graph.origin(self._graph.graph_def, outputs[output].name)
      for output in (name, "pooled_output")
    )
    return one == other

  def _constant(self, attribute: str) -> bool | None:
    """Returns the bool that an attribute holds; None if there is none.

    A consumer may have put the model into another object before saving it.

    Raises:
      ExportError: There are several, which differ.
    """
    keys = {
      value.checkpoint_key
      for node in self._keyed
      for child in node.children
      if child.local_name == attribute
      for value in self._keyed[child.node_id].attributes
    }
    found = {
      bool(self._files.array(key))
      for key in keys
      if self._files.shapes.get(key) == []
      and self._files.dtypes[key] == tf.bool
    }
    if len(found) > 1:
      raise ExportError(
        f"The SavedModel '{self.path}' has several models with different "
        f"{attribute}. Save the one to export alone."
      )
    return found.pop() if found else None

  def _meta_graph(self) -> Any:
    path = os.path.join(self.path, FILE)
    with tf.io.gfile.GFile(path, "rb") as f:
      content = f.read()
    proto = parsed(self.path, path, saved_model_pb2.SavedModel, content)
    if not proto.meta_graphs:
      raise damaged(self.path, path, "it has no graph")
    return proto.meta_graphs[0]

  def _tensors_of(self, node: Any) -> Iterator[Tensor]:
    """Yields the tensor of a node in the files of weights, if it has one."""
    for attribute in node.attributes:
      key = attribute.checkpoint_key
      if key in self._files.shapes:
        yield Tensor(
          shape=tuple(self._files.shapes[key]),
          dtype=self._files.dtypes[key].name,
          read=functools.partial(self._files.array, key),
        )

  def _variables(self) -> Iterator[tuple[str, int]]:
    """Yields each variable's name and its node in the files of weights.

    The graph in `saved_model.pb` has the names, the graph in the files of
    weights has the keys; the same attributes lead through both.
    """
    named, keyed = self._named, self._keyed
    seen, pending = {0}, [(0, 0)]
    while pending:
      name_id, key_id = pending.pop()
      is_variable = named[name_id].WhichOneof("kind") == "variable"
      if is_variable and keyed[key_id].attributes:
        name = named[name_id].variable.name.removesuffix(":0")
        yield _plain(name), key_id
      keys = {c.local_name: c.node_id for c in keyed[key_id].children}
      for child in named[name_id].children:
        if child.local_name in keys and child.node_id not in seen:
          seen.add(child.node_id)
          pending.append((child.node_id, keys[child.local_name]))


def _plain(name: str) -> str:
  """Returns a name without the scope that a pretrainer puts around its head."""
  return name.removeprefix("bert/")


def _renumbered(names: Sequence[str]) -> list[str]:
  """Returns names in which the layers of each kind are numbered from 0.

  Keras numbers the layers of a process: `conv2d_7/kernel` and `conv2d_9/kernel`
  become `conv2d 0/kernel` and `conv2d 1/kernel`.
  """
  parts = [_kind_and_number(name.partition("/")[0]) for name in names]
  numbers: dict[str, set[int]] = {}
  for kind, number in parts:
    numbers.setdefault(kind, set()).add(number)
  places = {kind: sorted(found) for kind, found in numbers.items()}
  return [
    f"{kind} {places[kind].index(number)}/{name.partition('/')[2]}"
    for name, (kind, number) in zip(names, parts, strict=True)
  ]


def _kind_and_number(layer: str) -> tuple[str, int]:
  """Splits a layer's name: `conv2d_7` is ("conv2d", 7), `conv2d` has 0."""
  kind, underscore, number = layer.rpartition("_")
  if underscore and number.isdecimal():
    return kind, int(number)
  return layer, 0
