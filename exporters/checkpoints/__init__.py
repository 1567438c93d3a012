"""Opens the checkpoint that a user has, of whatever kind, by its path alone."""

import os
import re

import tensorflow as tf

from exporters.checkpoints import hugging_face
from exporters.checkpoints import keras_h5
from exporters.checkpoints.checkpoint import Checkpoint as Checkpoint
from exporters.checkpoints.checkpoint import readable
from exporters.checkpoints.checkpoint import restore as restore
from exporters.checkpoints.checkpoint import (
  zeros_to_restore as zeros_to_restore,
)
from exporters.checkpoints.object_based import ObjectBased
from exporters.errors import ExportError

_SUFFIX = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def open_checkpoint(path: str, *, averages: bool | None = None) -> Checkpoint:
  """Returns the checkpoint at `path`.

  Args:
    path: Local or remote, as `tf.io.gfile` reads it: the prefix of a TF2
      checkpoint's files, a directory of such checkpoints (the newest is
      taken), a Keras `.h5` file, or a Hugging Face folder.
    averages: Whether to take a TF2 checkpoint's averaged weights; see
      `ObjectBased`.

  Raises:
    ExportError: There is nothing at `path`, or nothing known, or it is damaged.
  """
  if tf.io.gfile.exists(os.path.join(path, hugging_face.CONFIG)):
    return hugging_face.HuggingFace(path)
  if keras_h5.is_h5(path):
    return keras_h5.KerasH5(path)
  prefix = _prefix(path)
  with readable(path):
    return ObjectBased(path, prefix, averages=averages)


def _prefix(path: str) -> str:
  """Returns the prefix of a TF2 checkpoint's files."""
  prefix = _SUFFIX.sub("", path)
  if tf.io.gfile.exists(f"{prefix}.index"):
    return prefix
  if tf.io.gfile.isdir(path):
    return _newest(path)
  if tf.io.gfile.glob(f"{prefix}.data-*"):
    raise ExportError(
      f"The checkpoint '{prefix}' lacks its file '{prefix}.index'. Copy all of "
      "its files: the `.index` and every `.data-*-of-*`."
    )
  raise ExportError(f"There is no checkpoint at '{path}'. {_looked_for(path)}")


def _newest(directory: str) -> str:
  # The `checkpoint` file knows, unless the directory was moved or trimmed.
  latest = tf.train.latest_checkpoint(directory)
  if latest:
    return latest
  prefixes = [
    name.removesuffix(".index")
    for name in tf.io.gfile.glob(os.path.join(directory, "*.index"))
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
    f"Looked for '{path}.index' (TF2 checkpoint), '{path}/checkpoint' and "
    f"'{path}/*.index' (directory of them), '{path}' as a Keras .h5 file, "
    f"'{path}/config.json' with 'model.safetensors' (Hugging Face)."
  )
