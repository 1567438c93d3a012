"""Describes `.keras` and `.h5` files that hold whole Keras models.

They are read as data, whichever Keras wrote them, and little of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
import dataclasses
import json
import os
import tempfile
from typing import Any
import zipfile
import zlib

import h5py

from exporters.checkpoints import keras_h5
from exporters.checkpoints import weights_h5
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.errors import ExportError
from exporters.inspection import keras_config

_CONFIG, _METADATA = "config.json", "metadata.json"
_WEIGHTS = "model.weights.h5"
_LONGEST = 1 << 26


@dataclasses.dataclass(frozen=True, kw_only=True)
class KerasFile:
  """A file that holds a whole model.

  Attributes:
    version: Of the Keras that wrote it; "" if it does not say.
    form: "keras" or "h5".
    config: What its JSON says; None if the model's class keeps none.
    weights: Its weights, as a checkpoint.
    files: What keeps the weights readable.
  """

  version: str
  form: str
  config: keras_config.KerasConfig | None
  weights: Checkpoint
  files: contextlib.ExitStack = dataclasses.field(
    default_factory=contextlib.ExitStack
  )


def read(path: str) -> KerasFile | None:
  """Reads a file.

  Returns:
    What it holds; None if it is not a whole Keras model.

  Raises:
    ExportError: It is one, and damaged.
  """
  if not os.path.isfile(path):
    return None
  with open(path, "rb") as f:
    magic = f.read(8)
  try:
    if magic.startswith(b"PK\x03\x04") and zipfile.is_zipfile(path):
      return _read_archive(path)
    if magic == b"\x89HDF\r\n\x1a\n":
      return _read_h5(path)
  except (
    OSError,
    KeyError,
    ValueError,
    RecursionError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
  ) as e:
    raise ExportError(
      f"'{path}' looks like a Keras model, but is truncated or damaged: {e}. "
      "Copy it again, and compare its size."
    ) from e
  return None


def _read_archive(path: str) -> KerasFile | None:
  with (
    zipfile.ZipFile(path) as archive,
    contextlib.ExitStack() as stack,
  ):
    if not {_CONFIG, _METADATA, _WEIGHTS} <= set(archive.namelist()):
      return None
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    weights = f"{folder}/{_WEIGHTS}"
    info = archive.getinfo(_WEIGHTS)
    # What was compressed may be any number of times as large.
    if info.compress_type != zipfile.ZIP_STORED:
      raise ValueError(f"Keras does not compress {_WEIGHTS}")
    archive.extract(info, folder)
    config = _json(archive.open(_CONFIG).read(_LONGEST))
    metadata = _json(archive.open(_METADATA).read(_LONGEST))
    return KerasFile(
      version=str(metadata.get("keras_version", "")),
      form="keras",
      config=keras_config.read(config, config.get("compile_config")),
      weights=weights_h5.WeightsH5(weights),
      files=stack.pop_all(),
    )


def _read_h5(path: str) -> KerasFile | None:
  with h5py.File(path, "r") as file:
    attributes = dict(file.attrs)
  if "model_config" not in attributes:
    return None
  training = attributes.get("training_config", "{}")
  return KerasFile(
    version=_string(attributes.get("keras_version", "")),
    form="h5",
    config=keras_config.read(
      _json(attributes["model_config"]), _json(training)
    ),
    weights=keras_h5.KerasH5(path),
  )


def _json(text: Any) -> Mapping[str, Any]:
  if not isinstance(text, (str, bytes)):
    raise ValueError("its JSON is not a text")
  value = json.loads(text)
  if not isinstance(value, dict):
    raise ValueError("its JSON holds no object")
  return value


def _string(value: Any) -> str:
  if isinstance(value, bytes):
    return value.decode(errors="replace")
  return str(value)
