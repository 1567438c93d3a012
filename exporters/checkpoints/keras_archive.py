"""Keras `.keras` files: a zip archive of `model.weights.h5` and its JSON.

`config.json` describes the model, with its optimizer if it was compiled. Here
it only tells whether the optimizer averaged weights; nothing is built from it.
"""

from collections.abc import Iterator, Mapping
import json
import os
import tempfile
from typing import Any
import zipfile
import zlib

import tensorflow as tf
import tf_keras
from typing_extensions import override

from exporters.checkpoints import averages as averages_lib
from exporters.checkpoints.weights_h5 import WeightsH5
from exporters.errors import ExportError

_WEIGHTS = "model.weights.h5"
# Bytes of a JSON file; those of large models have a few hundred thousand.
_LONGEST = 1 << 26


def is_archive(path: str) -> bool:
  """Tells whether a path is that of a `.keras` file."""
  return (
    path.endswith(".keras")
    and tf.io.gfile.exists(path)
    and not tf.io.gfile.isdir(path)
  )


class KerasArchive(WeightsH5):
  """A file of `model.save` under a name that ends in `.keras`."""

  kind = "Keras .keras file"

  @property
  @override
  def averages(self) -> bool:
    compiled = _items(self._config.get("compile_config"))
    return ("use_ema", True) in compiled and self._wanted is not False

  @override
  def _local(self, path: str) -> str:
    local = super()._local(path)
    folder = self._copies.enter_context(tempfile.TemporaryDirectory())
    try:
      with zipfile.ZipFile(local) as archive:
        version = _json(archive, "metadata.json").get("keras_version")
        self._config = _json(archive, "config.json")
        weights = archive.getinfo(_WEIGHTS)
        # What was compressed may be any number of times as large.
        if weights.compress_type != zipfile.ZIP_STORED:
          raise ValueError(f"Keras does not compress {_WEIGHTS}")
        archive.extract(weights, folder)
    except (
      OSError,
      KeyError,
      ValueError,
      RecursionError,
      NotImplementedError,
      zipfile.BadZipFile,
      zlib.error,
    ) as e:
      raise ExportError(
        f"Cannot read the checkpoint '{path}': as a .keras file it is "
        f"truncated or damaged. ({e}) Copy it again, and compare its size."
      ) from e
    if str(version).partition(".")[0] not in ("1", "2"):
      raise ExportError(
        f"'{path}' was saved by Keras {version}, whose layers keep their "
        "weights otherwise than those of tf_keras (Keras 2). Build the same "
        "model with tf_keras, give it the weights "
        "(new.set_weights(old.get_weights())) and save that."
      )
    return os.path.join(folder, _WEIGHTS)

  @override
  def _averages(
    self, model: tf_keras.Model, ours: Mapping[str, tf.Variable]
  ) -> Mapping[str, str]:
    places = self._first_of_optimizer(model, ours)
    # It has no averages of frozen weights, which changes the order.
    if not places or ("trainable", False) in _items(self._config.get("config")):
      raise averages_lib.uncertain(
        self.path,
        "has averages of weights, but does not tell which weights, because it "
        "has frozen layers, or its optimizer does not fit this model",
      )
    return places


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
  with archive.open(name) as file:
    value = json.loads(file.read(_LONGEST))
  if not isinstance(value, dict):
    raise ValueError(f"{name} holds no object")
  return value


def _items(root: Any) -> Iterator[tuple[str, Any]]:
  """Yields the items of all dicts in a nest."""
  pending = [root]
  while pending:
    value = pending.pop()
    if isinstance(value, dict):
      yield from value.items()
      pending += value.values()
    elif isinstance(value, list):
      pending += value
