"""Loads a tf_keras model from a file."""

from __future__ import annotations

import json
import re
from typing import Any
import zipfile
import zlib

import h5py
import tensorflow as tf
import tf_keras
from tf_keras.src.saving import serialization_lib

from exporters import checkpoints
from exporters.checkpoints import file_kinds
from exporters.checkpoints import tensorflow_files
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.keras_models import application_layers

_LONGEST_METADATA = 1 << 20


def load(path: str, *, safe_mode: bool) -> tf_keras.Model:
  """Returns the model in a `.keras` or `.h5` file or a Keras SavedModel.

  Args:
    path: The file or folder.
    safe_mode: Whether to refuse code in the file (a Lambda layer of a Python
      lambda), as `tf_keras.models.load_model` does for `.keras` files.

  Raises:
    ExportError: It is not there, of Keras 3, holds code in safe mode, or
      tf_keras cannot load it.
  """
  kind = file_kinds.kind_of(path)
  if kind and kind.name != file_kinds.KERAS:
    raise ExportError(
      f"Cannot load a tf_keras model from '{path}': it is {kind}"
    )
  if tf.io.gfile.isdir(path):
    tensorflow_files.refuse_incomplete(path, f"{path}/variables/variables")
  version = _keras_version(path)
  if version and version.partition(".")[0] not in ("1", "2"):
    raise ExportError(
      f"'{path}' was saved by Keras {version}; what is exported here is a "
      "tf_keras model (Keras 2). Build the same model with tf_keras and give "
      "it the weights (new.set_weights(old.get_weights())), or publish what "
      "Keras 3 exports itself (model.export)."
    )
  try:
    # For .h5 files too, which Keras would run code of unasked.
    with serialization_lib.SafeModeScope(safe_mode):
      return tf_keras.models.load_model(
        path,
        custom_objects=_custom_objects(path),
        compile=False,
        safe_mode=safe_mode,
      )
  # Files of people raise errors of all types.
  except Exception as e:
    if "safe_mode=False" in str(e) or "Lambda" in str(e):
      raise ExportError(
        f"'{path}' holds code: a Lambda layer of a Python lambda, which runs "
        "when it is loaded. If you trust its author, set "
        "keras_model.KerasModelExporter.safe_mode = False."
      ) from e
    raise ExportError(
      f"Cannot load a tf_keras model from '{path}'. ({_cause(e)[:200]}) It "
      "must hold a whole model, not only weights. Import in the gin file a "
      "module that registers classes and functions of its own, each by its "
      "name in the file: tf_keras.utils.get_custom_objects()['NAME'] = NAME."
    ) from e


def _cause(error: Exception) -> str:
  """Returns what is wrong, which Keras says after the whole configuration."""
  _, _, cause = str(error).partition("Exception encountered: ")
  cause = first_line(ValueError(cause)) if cause else first_line(error)
  # Without what an object looks like to Python, such as an open file.
  return re.sub(r" at <[^>]*>", "", cause.partition(". Please ensure")[0])


def _custom_objects(path: str) -> dict[str, Any]:
  """Returns what tf_keras does not find by name, but for what is registered."""
  known = tf_keras.utils.get_custom_objects()
  found = {
    name: layer
    for name, layer in application_layers.classes().items()
    if name not in known
  }
  return found | (_OF_BEFORE if _is_h5(path) else {})


def _is_h5(path: str) -> bool:
  return not tf.io.gfile.isdir(path) and h5py.is_hdf5(path)


def _old_gru(**config: Any) -> tf_keras.layers.GRU:
  """Returns a GRU as files describe it that were written before Keras 2.1.3.

  They don't say `reset_after`, for it was always false; now it is true unless a
  file says otherwise.
  """
  return tf_keras.layers.GRU(**{"reset_after": False} | config)


_OF_BEFORE = {"GRU": _old_gru}


def take_averages(
  model: tf_keras.Model, path: str, *, wanted: bool | None
) -> None:
  """Puts the averages that an optimizer kept in the place of the weights.

  As `optimizer.finalize_variable_values` would.

  Args:
    model: The model, loaded from `path`.
    path: The file or folder.
    wanted: Whether to. None: if the file has averages.

  Raises:
    ExportError: Averages are wanted and there are none, or the file does not
      tell which weight one is of.
  """
  if wanted is False:
    return
  try:
    checkpoint = checkpoints.open_checkpoint(path, averages=wanted)
  except ExportError:
    if wanted:
      raise
    # Keras took it; a checkpoint holds only numbers, and no averages of text.
    return
  if checkpoint.averages:
    checkpoints.restore(checkpoint, {"model": model})


def _keras_version(path: str) -> str | None:
  """Returns the version of Keras that wrote a file, if the file says so."""
  try:
    if zipfile.is_zipfile(path):
      with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as f:
        version = json.loads(f.read(_LONGEST_METADATA)).get("keras_version")
    elif _is_h5(path):
      with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version")
    else:
      return None
  except (
    OSError,
    KeyError,
    ValueError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
  ):
    return None  # Keras will say what is wrong with it.
  if isinstance(version, bytes):
    version = version.decode(errors="replace")
  return version if isinstance(version, str) else None
