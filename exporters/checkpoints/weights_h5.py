"""Keras `.weights.h5` files, whose groups follow the attributes of a model.

`layers/dense_1/vars/0` is the first variable of the second Dense layer in the
attribute `layers`. Nothing is restored unless everything fits.

An optimizer that averages weights (`use_ema`) has the averages right after its
counter of steps, in the order of the model's trainable variables. But the file
does not say whether it averages; without averages, its slots come there.
"""

from collections.abc import Iterator, Mapping
import functools
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

# Keras's own walk gives Keras's own paths; it has no public name.
from tf_keras.src.saving import saving_lib
from tf_keras.src.utils import generic_utils
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.keras_h5 import H5File
from exporters.checkpoints.keras_h5 import item_within
from exporters.checkpoints.mismatch import shape_difference
from exporters.saved_model.variables import variable_name

# The group of an object's own variables, below the object's path.
_VARIABLES = "vars"
# What a compiled model has beside its weights.
_TRAINING = ("optimizer", "_optimizer", "compiled_metrics", "metrics")
# Its variables are numbered; the first is the counter of steps.
_OPTIMIZER = "optimizer/vars/"


class WeightsH5(H5File):
  """A file of `save_weights` under a name that ends in `.weights.h5`."""

  kind = "Keras .weights.h5 file"

  def __init__(self, path: str, *, averages: bool | None = None):
    super().__init__(path)
    self._wanted = averages
    with self.readable():
      self._paths = set(self.tensors)

  @property
  def is_of_this_kind(self) -> bool:
    """Whether the file has such groups."""
    return any(f"/{path}".split("/")[-2] == _VARIABLES for path in self._paths)

  @property
  @override
  def averages(self) -> bool:
    has_optimizer = any(path.startswith(_OPTIMIZER) for path in self._paths)
    return has_optimizer and self._wanted is not False

  @functools.cached_property
  @override
  def training(self) -> frozenset[str]:
    return frozenset(filter(_is_of_training, self._paths))

  @override
  def match(self, items: Mapping[str, Any]) -> Match:
    self.require_one_model(items)
    ours = dict(_walk(items["model"], "", set()))
    sources = self._averages(items["model"], ours) if self.averages else {}
    pairs, missing, shapes = [], [], []
    for path, variable in ours.items():
      name, shape = variable_name(variable), tuple(variable.shape)
      if path not in self._paths:
        missing.append(name)
        continue
      with self.readable():
        dataset = item_within(self.file, sources.get(path, path))
      if dataset.shape != shape:
        shapes.append(shape_difference(name, dataset.shape, shape))
      else:
        pairs.append((variable, self.tensor(dataset).read))
    rest = self._paths - ours.keys()
    unexpected = [p for p in rest if not _is_of_training(p)]
    return Match.of(
      pairs,
      missing=missing,
      unexpected=unexpected,
      shapes=shapes,
      ignored=sorted(set(rest) - set(unexpected)),
    )

  def _averages(
    self, model: tf_keras.Model, ours: Mapping[str, tf.Variable]
  ) -> Mapping[str, str]:
    """Returns the paths of the averages to restore, by those of their weights.

    Args:
      model: The model that is restored.
      ours: Its variables, by path.

    Raises:
      ExportError: Perhaps there are averages; nothing tells.
    """
    places = self._first_of_optimizer(model, ours)
    # They are equal where the training has put averages in the weights' place.
    equal = all(
      np.array_equal(self.tensors[weight].read(), self.tensors[place].read())
      for weight, place in places.items()
    )
    if not equal or self._wanted and not places:
      raise averages_lib.uncertain(
        self.path,
        f"perhaps has averages of weights; a {self.kind} does not say what "
        "its optimizer's variables are",
      )
    return {}

  def _first_of_optimizer(
    self, model: tf_keras.Model, ours: Mapping[str, tf.Variable]
  ) -> dict[str, str]:
    """Returns the paths where averages would be, by those of their weights.

    Empty if what is there has other shapes than the weights.
    """
    paths = {variable.ref(): path for path, variable in ours.items()}
    places = {
      paths[variable.ref()]: f"{_OPTIMIZER}{i}"
      for i, variable in enumerate(model.trainable_variables, start=1)
    }
    fit = all(
      {weight, place} <= self._paths
      and self.tensors[weight].shape == self.tensors[place].shape
      for weight, place in places.items()
    )
    return places if fit else {}


def _is_of_training(path: str) -> bool:
  return path.partition("/")[0] in _TRAINING


def _walk(
  trackable: Any, path: str, seen: set[int]
) -> Iterator[tuple[str, tf.Variable]]:
  """Yields each variable with the path that Keras gives it in the file."""
  if id(trackable) in seen:
    return
  seen.add(id(trackable))
  own = getattr(trackable, "_trainable_weights", []) + getattr(
    trackable, "_non_trainable_weights", []
  )
  for i, variable in enumerate(own):
    yield _join(path, f"{_VARIABLES}/{i}"), variable
  for name, child in saving_lib._walk_trackable(trackable):
    if saving_lib._is_keras_trackable(child):
      yield from _walk(child, _join(path, name), seen)
    elif isinstance(child, (list, dict, tuple, set)):
      yield from _walk_container(child, _join(path, name), seen)


def _walk_container(
  container: Any, path: str, seen: set[int]
) -> Iterator[tuple[str, tf.Variable]]:
  values = container.values() if isinstance(container, dict) else container
  counts: dict[str, int] = {}
  for child in list(values):
    if not saving_lib._is_keras_trackable(child) or id(child) in seen:
      continue
    name = generic_utils.to_snake_case(type(child).__name__)
    count = counts[name] = counts.get(name, -1) + 1
    yield from _walk(
      child, _join(path, f"{name}_{count}" if count else name), seen
    )


def _join(path: str, name: str) -> str:
  return f"{path}/{name}".lstrip("/")
