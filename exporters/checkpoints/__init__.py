"""Opens the checkpoint that a user has, of whatever kind, by its path alone."""

import os
import re

import tensorflow as tf

from exporters.checkpoints import hugging_face
from exporters.checkpoints import keras_h5
from exporters.checkpoints import saved_models
from exporters.checkpoints import weights_h5
from exporters.checkpoints.checkpoint import Checkpoint as Checkpoint
from exporters.checkpoints.checkpoint import readable
from exporters.checkpoints.checkpoint import restore as restore
from exporters.checkpoints.checkpoint import uninitialized as uninitialized
from exporters.checkpoints.object_based import Files
from exporters.checkpoints.object_based import ObjectBased
from exporters.checkpoints.object_based import listed
from exporters.checkpoints.tf1 import Tf1
from exporters.errors import ExportError

_SUFFIX = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def open_checkpoint(path: str, *, averages: bool | None = None) -> Checkpoint:
  """Returns the checkpoint at `path`.

  Args:
    path: Local or remote, as `tf.io.gfile` reads it: the prefix of a TF2 or TF1
      checkpoint's files, a directory of such checkpoints (the newest is
      taken), a Keras `.h5` or `.weights.h5` file, a Hugging Face folder, or
      the SavedModel of an earlier export.
    averages: Whether to take a TF2 checkpoint's averaged weights; see
      `ObjectBased`.

  Raises:
    ExportError: There is nothing at `path`, or nothing known, or it is damaged,
      or it has no averaged weights although they are wanted.
  """
  checkpoint = _opened(path, averages)
  if averages and not isinstance(checkpoint, ObjectBased):
    raise ExportError(
      f"The checkpoint '{path}' is a {checkpoint.kind}, which has no averaged "
      "weights that are known here. Leave average_weights out."
    )
  return checkpoint


def _opened(path: str, averages: bool | None) -> Checkpoint:
  if tf.io.gfile.exists(os.path.join(path, saved_models.FILE)):
    with readable(path):
      return saved_models.SavedModel(path)
  folder, name = os.path.split(path)
  weights = None
  if name in hugging_face.WEIGHTS:
    # The file by itself does not say of which architecture it is.
    path, weights = folder or ".", name
  if tf.io.gfile.exists(os.path.join(path, hugging_face.CONFIG)):
    with readable(path):
      return hugging_face.HuggingFace(path, weights=weights)
  if keras_h5.is_h5(path):
    by_attributes = weights_h5.WeightsH5(path)
    if by_attributes.is_of_this_kind:
      return by_attributes
    return keras_h5.KerasH5(path)
  prefix = _prefix(path)
  files = Files(path, prefix)
  if files.is_object_based:
    return ObjectBased(path, prefix, files, averages=averages)
  return Tf1(path, prefix, files)


def _prefix(path: str) -> str:
  """Returns the prefix of a TF2 checkpoint's files."""
  prefix = _SUFFIX.sub("", path)
  if tf.io.gfile.exists(f"{prefix}.index"):
    return prefix
  if tf.io.gfile.isdir(path):
    return _newest(path)
  if listed(f"{prefix}.data-*"):
    raise ExportError(
      f"The checkpoint '{prefix}' lacks its file '{prefix}.index'. Copy all of "
      "its files: the `.index` and every `.data-*-of-*`."
    )
  raise ExportError(f"There is no checkpoint at '{path}'. {_looked_for(path)}")


def _newest(directory: str) -> str:
  # The `checkpoint` file knows, unless the directory was trimmed. Of what it
  # says, the name alone: the directory may have been moved, and nothing outside
  # of it is read, whoever wrote the file.
  try:
    state = tf.train.get_checkpoint_state(directory)
  except ValueError:  # It is no text, or empty.
    state = None
  latest = os.path.basename(state.model_checkpoint_path) if state else ""
  if latest and f"{latest}.index" in tf.io.gfile.listdir(directory):
    return os.path.join(directory, latest)
  prefixes = [
    name.removesuffix(".index")
    for name in listed(os.path.join(directory, "*.index"))
  ]
  if not prefixes:
    raise ExportError(
      f"There is no checkpoint in '{directory}'. {_looked_for(directory)}"
    )
  return max(prefixes, key=_step)


def _step(prefix: str) -> tuple[int, str]:
  numbers = re.findall(r"\d+", os.path.basename(prefix))
  return (int(numbers[-1]) if numbers else -1, prefix)


def _looked_for(path: str) -> str:
  return (
    f"Looked for '{path}.index' (TF2 or TF1 checkpoint), '{path}/checkpoint' "
    f"and '{path}/*.index' (directory of them), '{path}' as a Keras .h5 or "
    f".weights.h5 file, '{path}/{saved_models.FILE}' (SavedModel), "
    f"'{path}/{hugging_face.CONFIG}' with {' or '.join(hugging_face.WEIGHTS)} "
    "(Hugging Face)."
  )
