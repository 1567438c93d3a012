"""Checkpoints that hold tensors by name, without a graph of objects."""

import abc
from collections.abc import Callable, Iterable, Mapping
import functools
from typing import Any

import numpy as np
import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import averages
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.mismatch import shape_difference
from exporters.checkpoints.weight_map import Constant
from exporters.checkpoints.weight_map import WeightMap
from exporters.errors import ExportError
from exporters.saved_model.variables import each_once
from exporters.saved_model.variables import variable_name

# A model restored under one of these names takes a whole checkpoint; one under
# another name, such as `next_sentence.pooler_dense`, takes a part of it.
_WHOLE = frozenset({"encoder", "model"})


class Named(Checkpoint):
  """Tensors by name; a subclass says which one is which variable."""

  # The name of each average to restore, by its weight's; None if that is open.
  _averages: Mapping[str, str | None] = {}

  @property
  @override
  def averages(self) -> bool:
    return bool(self._averages)

  @abc.abstractmethod
  def tensor(self, variable: str) -> str | None:
    """Returns the name of a variable's tensor; None if it has none."""

  @abc.abstractmethod
  def must_be_used(self, tensor: str) -> bool:
    """Tells whether a model without `tensor` is not the checkpoint's model."""

  def constant(self, variable: str) -> Constant | None:
    """Returns what computes the value of a variable that has no tensor."""
    del variable
    return None

  @override
  def match(self, items: Mapping[str, Any]) -> Match:
    pairs: list[tuple[tf.Variable, Callable[[], Any]]] = []
    missing, shapes, used = [], [], set()
    for variable in variables(items):
      name, shape = variable_name(variable), tuple(variable.shape)
      key = self.tensor(name)
      if key is None or key not in self.tensors:
        compute = self.constant(name)
        if compute:
          pairs.append((variable, functools.partial(compute, shape)))
        else:
          missing.append(name.removeprefix("bert/"))
        continue
      source = self._averages.get(key, key)
      if source is None:
        raise averages.ambiguous(self.path, key)
      used |= {key, source}
      tensor = self._laid_out(self.tensors[source], name)
      if _fits(tensor.shape, shape):
        pairs.append((variable, _reshaped(tensor, shape)))
      else:
        shapes.append(shape_difference(name, tensor.shape, shape))
    rest = [name for name in self.tensors if name not in used]
    unexpected = [name for name in rest if self.must_be_used(name)]
    if not items.keys() & _WHOLE:
      unexpected = []
    return Match.of(
      pairs,
      missing=missing,
      unexpected=unexpected,
      shapes=shapes,
      ignored=sorted(set(rest) - set(unexpected)),
    )

  def _laid_out(self, tensor: Tensor, variable: str) -> Tensor:
    """Returns a tensor with its axes in the order of the variable's."""
    del variable
    return tensor


class Mapped(Named):
  """Tensors by the names of another implementation; a table translates."""

  weight_map: WeightMap

  def _scope(self, tensors: Iterable[str]) -> str:
    """Returns what stands before the names of the encoder's tensors.

    Raises:
      ExportError: There are several encoders.
    """
    scopes = self.weight_map.scopes(tensors)
    if len(scopes) > 1:
      raise ExportError(
        f"The checkpoint '{self.path}' has several encoders, below "
        f"'{scopes[0]}' and '{scopes[1]}'. Save the one to export alone."
      )
    return scopes[0]

  @override
  def tensor(self, variable: str) -> str | None:
    return self.weight_map.tensor(variable)

  @override
  def shape_of(self, variable: str) -> tuple[int, ...] | None:
    key = self.tensor(variable)
    tensor = key and self.tensors.get(key)
    return tensor.shape if tensor else None

  @functools.cached_property
  @override
  def training(self) -> frozenset[str]:
    slots = filter(self.weight_map.is_slot, self.tensors)
    return super().training.union(slots)

  @override
  def must_be_used(self, tensor: str) -> bool:
    of_encoder = self.weight_map.is_of_encoder(tensor)
    return of_encoder and tensor not in self.training

  @override
  def constant(self, variable: str) -> Constant | None:
    return self.weight_map.constant(variable)

  @override
  def _laid_out(self, tensor: Tensor, variable: str) -> Tensor:
    if self.weight_map.is_transposed(variable):
      return tensor.transposed
    return tensor


def variables(items: Mapping[str, Any]) -> list[tf.Variable]:
  """Returns the variables of layers and models, each once."""
  return each_once(v for item in items.values() for v in item.variables)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Tells whether `shape` is `wanted`, up to joined axes of the heads."""
  if shape == wanted:
    return True
  if len(shape) >= len(wanted) or np.prod(shape) != np.prod(wanted):
    return False
  return shape[0] == wanted[0] or shape[-1] == wanted[-1] or len(shape) == 1


def _reshaped(tensor: Tensor, shape: tuple[int, ...]) -> Callable[[], Any]:
  return lambda: tensor.read().reshape(shape)
