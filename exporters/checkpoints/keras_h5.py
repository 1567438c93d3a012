"""Keras `.h5` files, of `save_weights` or of a whole model.

A group for each layer holds the layer's weights. Layers are paired by their
order, as Keras itself pairs them, because many have generated names. Nothing is
restored unless everything fits.
"""

from collections.abc import Iterator, Mapping
import contextlib
import functools
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import Match
from exporters.checkpoints.checkpoint import Tensor
from exporters.checkpoints.mismatch import shape_difference
from exporters.errors import ExportError
from exporters.saved_model.variables import variable_name

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUFFIXES = (".h5", ".hdf5")
_WHOLE_MODEL = "model_weights"
_OPTIMIZER = "optimizer_weights/"
# How deep groups may be nested; Keras needs only a few.
_DEEPEST = 64
# Weights hardly shrink, but those of a layer may all be zero.
_LARGEST_RATIO, _SMALL = 100, 1 << 20


def is_h5(path: str) -> bool:
  """Tells whether a file is HDF5 by its first bytes or by its name."""
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    return False
  with tf.io.gfile.GFile(path, "rb") as f:
    return f.read(len(_SIGNATURE)) == _SIGNATURE or path.endswith(_SUFFIXES)


class H5File(Checkpoint):
  """An HDF5 file of any of Keras's kinds.

  Args:
    path: The path that the user gave.
    local: The file on the local disk. None: as `path` says.

  Attributes:
    file: The file, open.
  """

  kind = "Keras .h5 file"

  def __init__(self, path: str, *, local: str | None = None):
    super().__init__(path)
    local = local or self._local(path)
    with self.readable():
      self.file = h5py.File(local, "r")

  @functools.cached_property
  @override
  def tensors(self) -> Mapping[str, Tensor]:
    with self.readable():
      return {name: self.tensor(item) for name, item in _datasets(self.file)}

  def require_one_model(self, items: Mapping[str, Any]) -> None:
    """Raises `ExportError` unless one model alone is to be restored."""
    if "model" not in items or items.keys() & {"masked_lm"}:
      raise ExportError(
        f"'{self.path}' holds the weights of one model by layer, so parts such "
        f"as {', '.join(sorted(items.keys() - {'model'}))} can't be told "
        "apart. Use a TF2 checkpoint from the training instead."
      )

  def tensor(self, dataset: h5py.Dataset) -> Tensor:
    """Returns a dataset as a tensor."""

    def read() -> np.ndarray:
      with self.readable():
        return dataset[()]

    return Tensor(shape=dataset.shape, dtype=dataset.dtype.name, read=read)

  @contextlib.contextmanager
  def readable(self) -> Iterator[None]:
    """Rewords what h5py raises for files that are truncated or damaged.

    Raises:
      ExportError: The block could not read the file.
    """
    try:
      yield
    # h5py raises all of these, hostile files included.
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as e:
      raise ExportError(
        f"Cannot read the checkpoint '{self.path}': as a Keras .h5 file it is "
        f"truncated or damaged. ({_first_line(e)}) Copy it again, and compare "
        "its size."
      ) from e


class KerasH5(H5File):
  """A file of weights, or of a whole model with its weights.

  Attributes:
    layers: By the name of each layer, its weights by name, in the order of the
      file.
  """

  def __init__(
    self,
    path: str,
    *,
    local: str | None = None,
    averages: bool | None = None,
  ):
    super().__init__(path, local=local)
    with self.readable():
      self.layers = self._read_layers()
      self._others = self._names_of_others()
    # The average of each weight that has one, by the weight's path.
    self._averages: Mapping[str, Tensor | None] = {}
    if averages is not False:
      self._averages = self._found_averages()

  @property
  @override
  def averages(self) -> bool:
    return bool(self._averages)

  @functools.cached_property
  @override
  def training(self) -> frozenset[str]:
    return frozenset(self._others)

  @override
  def match(self, items: Mapping[str, Any]) -> Match:
    self.require_one_model(items)
    model = items["model"]
    ours = {
      layer.name: layer.trainable_weights + layer.non_trainable_weights
      for layer in model.layers
      if layer.weights
    }
    pairs, missing, unexpected, shapes = [], [], [], []
    if len(ours) == len(self.layers):
      couples = list(zip(ours.values(), self.layers.values(), strict=True))
    else:
      names = [*ours, *(n for n in self.layers if n not in ours)]
      couples = [(ours.get(n, []), self.layers.get(n, {})) for n in names]
    for variables, tensors in couples:
      names = list(tensors)
      missing += [variable_name(v) for v in variables[len(names) :]]
      unexpected += names[len(variables) :]
      for variable, name in zip(variables, names, strict=False):
        source = self._source(tensors[name])
        if _parameter(name) != _parameter(variable.name):
          # Keras keeps the weights of a frozen layer in another order.
          missing.append(variable_name(variable))
          unexpected.append(name)
        elif source.shape == tuple(variable.shape):
          pairs.append((variable, source.read))
        else:
          shapes.append(
            shape_difference(
              variable_name(variable), source.shape, variable.shape
            )
          )
    return Match.of(
      pairs,
      missing=missing,
      unexpected=unexpected,
      shapes=shapes,
      ignored=self._others,
    )

  def _read_layers(self) -> dict[str, dict[str, h5py.Dataset]]:
    root = self.file
    if "layer_names" not in root.attrs:
      root = item_within(root, _WHOLE_MODEL)
    layers = {}
    for layer in _strings(root, "layer_names"):
      group = item_within(root, layer)
      if not isinstance(group, h5py.Group):
        raise ValueError(f"'{layer}' is not a group")
      tensors = {
        n: _numeric(item_within(group, n), n)
        for n in _strings(group, "weight_names")
      }
      if tensors:
        layers[layer] = tensors
    return layers

  def _source(self, weight: h5py.Dataset) -> Tensor:
    """Returns what to restore for a weight: its average, if it has one."""
    path = weight.name.lstrip("/")
    source = self._averages.get(path, self.tensor(weight))
    if source is None:
      raise averages_lib.ambiguous(self.path, path)
    return source

  def _found_averages(self) -> dict[str, Tensor | None]:
    weights: dict[str, list[str]] = {}
    for tensors in self.layers.values():
      for name, dataset in tensors.items():
        weights.setdefault(name, []).append(dataset.name.lstrip("/"))
    return averages_lib.of_names(
      [
        (name, tensor)
        for name, tensor in self.tensors.items()
        if name.startswith(_OPTIMIZER)
      ],
      weights,
    )

  def _names_of_others(self) -> list[str]:
    """Returns the tensors that belong to no layer, mostly an optimizer's."""
    of_layers = {
      dataset.name.lstrip("/")
      for tensors in self.layers.values()
      for dataset in tensors.values()
    }
    return sorted(self.tensors.keys() - of_layers)


def item_within(group: h5py.Group, name: str) -> Any:
  """Returns an item of a group by its path, never from another file.

  HDF5 can point to other files, by links and by external data. Keras writes
  neither.

  Raises:
    ValueError: There is no such item, or it lies in another file.
  """
  item = group
  for part in filter(None, name.split("/")):
    link = (
      item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
    )
    if link is None:
      raise ValueError(f"it has no '{name}'")
    if not isinstance(link, h5py.HardLink):
      raise ValueError(f"'{part}' is a link")
    item = item[part]
  if _is_dataset(item) and (item.external or item.is_virtual):
    raise ValueError(f"'{name}' lies in another file")
  return item


def _is_dataset(item: Any) -> bool:
  return isinstance(item, h5py.Dataset)


def _numeric(item: Any, name: str) -> h5py.Dataset:
  """Returns `item` if it is an array of numbers; HDF5 has many other types."""
  if (
    not _is_dataset(item)
    or item.shape is None
    or item.dtype.kind not in "biufc"
  ):
    raise ValueError(f"'{name}' is not an array of numbers")
  # HDF5 makes up what is not there, and unpacks zeros to a thousand times.
  stored = item.id.get_storage_size()
  if item.nbytes > max(_SMALL, _LARGEST_RATIO * stored):
    raise ValueError(
      f"'{name}' stands for {item.nbytes:,} bytes, of which {stored:,} are "
      "stored"
    )
  return item


def _datasets(root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
  """Yields each dataset of a file once, with its path.

  `visititems` would take minutes for groups that are nested thousands deep.
  """
  seen = set()
  pending = [("", root)]
  while pending:
    path, item = pending.pop()
    place = h5py.h5o.get_info(item.id).addr
    if place in seen:
      continue
    seen.add(place)
    if _is_dataset(item):
      yield path, _numeric(item, path)
    if not isinstance(item, h5py.Group):
      continue
    if path.count("/") >= _DEEPEST:
      raise ValueError(f"its groups are nested more than {_DEEPEST} deep")
    pending += [
      (f"{path}/{name}".lstrip("/"), item[name])
      for name in reversed(list(item))
      if isinstance(item.get(name, getlink=True), h5py.HardLink)
    ]


def _strings(group: h5py.Group, name: str) -> list[str]:
  """Returns a list of strings; Keras splits one that is too long for HDF5."""
  names = [name] if name in group.attrs else []
  while f"{name}{len(names)}" in group.attrs:
    names.append(f"{name}{len(names)}")
  if not names:
    raise KeyError(f"no attribute {name}")
  return [
    value.decode() if isinstance(value, bytes) else str(value)
    for part in names
    for value in group.attrs[part]
  ]


def _parameter(name: str) -> str:
  """Returns the last part of a weight's name, such as "kernel"."""
  return name.rpartition("/")[2].partition(":")[0]


def _first_line(error: Exception) -> str:
  # The text of a KeyError would be shown with quotes around it.
  is_key = isinstance(error, KeyError) and error.args
  return str(error.args[0] if is_key else error).partition("\n")[0].rstrip(".")
