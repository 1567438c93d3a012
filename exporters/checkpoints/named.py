"""Checkpoints that hold tensors by names, with no objects behind them."""

import abc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from exporters.checkpoints import weight_maps
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.mismatch import shape_difference
from exporters.saved_model.variables import each_once
from exporters.saved_model.variables import variable_name

# What is restored under these names is the whole of what a checkpoint has;
# under others, say `next_sentence.pooler_dense`, a part.
_WHOLE = frozenset({"encoder", "model"})


class Named(Checkpoint):
  """Tensors by name; a subclass says which one is which variable."""

  @abc.abstractmethod
  def tensor(self, variable: str) -> str | None:
    """Returns the name of the tensor for a variable; None without one."""

  @abc.abstractmethod
  def is_missed(self, tensor: str) -> bool:
    """Whether a model that does not take `tensor` is another one."""

  def constant(self, variable: str) -> Callable | None:
    """Returns what makes the value of a variable that has no tensor."""
    del variable
    return None

  def match(self, items: Mapping[str, Any]) -> Match:
    pairs, missing, shapes, used = [], [], [], set()
    for variable in variables(items):
      name, shape = variable_name(variable), tuple(variable.shape)
      source = self.tensor(name)
      tensor = self.tensors.get(source)
      if tensor is None:
        make = self.constant(name)
        if make:
          pairs.append((variable, lambda make=make, shape=shape: make(shape)))
        else:
          missing.append(name.removeprefix("bert/"))
        continue
      used.add(source)
      tensor = self._laid_out(tensor, name)
      if _fits(tensor.shape, shape):
        pairs.append((variable, _reshaped(tensor, shape)))
      else:
        shapes.append(shape_difference(name, tensor.shape, shape))
    rest = [name for name in self.tensors if name not in used]
    unexpected = [name for name in rest if self.is_missed(name)]
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
    del variable
    return tensor


class Mapped(Named):
  """Tensors by the names of another implementation; a table translates."""

  weight_map: weight_maps.WeightMap

  def tensor(self, variable: str) -> str | None:
    return self.weight_map.tensor(variable)

  def is_missed(self, tensor: str) -> bool:
    return self.weight_map.is_ours(tensor)

  def constant(self, variable: str) -> Callable | None:
    return self.weight_map.constant(variable)

  def _laid_out(self, tensor: Tensor, variable: str) -> Tensor:
    if self.weight_map.is_transposed(variable):
      return tensor.transposed
    return tensor


def variables(items: Mapping[str, Any]) -> list[tf.Variable]:
  """Returns the variables of layers and models, each once."""
  return each_once(v for item in items.values() for v in item.variables)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether `shape` is `wanted`, or that with the axes of the heads joined."""
  if shape == wanted:
    return True
  if len(shape) >= len(wanted) or np.prod(shape) != np.prod(wanted):
    return False
  return shape[0] == wanted[0] or shape[-1] == wanted[-1] or len(shape) == 1


def _reshaped(tensor: Tensor, shape: tuple[int, ...]) -> Callable[[], Any]:
  return lambda: tensor.read().reshape(shape)
