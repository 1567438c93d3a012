"""Checkpoints: opened by their path alone, whatever kind they are of.

`open_checkpoint` and `restore` are what other packages use. `checkpoint` says
what every kind offers, `kinds` how one is recognized, and a module reads each:
TF2 (`object_based`), TF1 (`tf1`), Keras (`keras_h5`, `weights_h5`), SavedModels
of earlier exports (`saved_models`) and Hugging Face folders (`hugging_face`).
What files say about encoders (`encoder_json`, `encoder_fields`,
`sentence_embedding`) lies here too.
`exporters.base` and what lies above it may import this package; it may import
only `saved_model`, `fields` and `errors`.
"""

import os
import re

import tensorflow as tf

from exporters.checkpoints import file_kinds
from exporters.checkpoints import folder_contents
from exporters.checkpoints import hugging_face
from exporters.checkpoints import kinds
from exporters.checkpoints import saved_models
from exporters.checkpoints.checkpoint import Checkpoint as Checkpoint
from exporters.checkpoints.checkpoint import restore as restore
from exporters.checkpoints.checkpoint import uninitialized as uninitialized
from exporters.checkpoints.object_based import ObjectBased
from exporters.checkpoints.tensorflow_files import Files
from exporters.checkpoints.tensorflow_files import listed
from exporters.checkpoints.tf1 import Tf1
from exporters.errors import ExportError
from exporters.errors import unexpanded

_SUFFIX = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def open_checkpoint(path: str, *, averages: bool | None = None) -> Checkpoint:
  """Opens the checkpoint at `path`.

  Args:
    path: A local or remote path, as `tf.io.gfile` reads it: the prefix of a TF2
      or TF1 checkpoint's files, a directory of such checkpoints (the newest is
      opened), a Keras `.h5`, `.weights.h5` or `.keras` file, a Hugging Face
      folder, or the SavedModel of an earlier export.
    averages: Whether to restore averages of weights, as module `averages` finds
      them. None: if the checkpoint has them.

  Raises:
    ExportError: There is no checkpoint of a known kind, it is damaged, or it
      lacks the averaged weights that are asked for.
  """
  checkpoint = _opened(path.rstrip("/") or path, averages)
  if averages and not checkpoint.averages:
    raise ExportError(
      f"The checkpoint '{path}' ({checkpoint.kind}) has no averaged weights "
      "that an export can find: no optimizer keeps them. Leave average_weights "
      "out."
    )
  return checkpoint


def _opened(path: str, averages: bool | None) -> Checkpoint:
  kind = kinds.of(path)
  if kind:
    return kind.opened(path, averages)
  prefix = _prefix(path)
  files = Files(path, prefix)
  if files.is_object_based:
    return ObjectBased(path, prefix, files, averages=averages)
  return Tf1(path, prefix, files, averages=averages)


def _prefix(path: str) -> str:
  """Returns the prefix of a TF2 or TF1 checkpoint's files."""
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
  kind = file_kinds.kind_of(path)
  if kind:
    raise ExportError(f"'{path}' is not a checkpoint, but {kind}")
  if tf.io.gfile.exists(path):
    raise ExportError(
      f"'{path}' is not a checkpoint of a known kind. {_looked_for(path)}"
    )
  raise ExportError(f"There is no checkpoint at '{path}'. {_looked_for(path)}")


def _newest(directory: str) -> str:
  """Returns the prefix of the newest checkpoint in a directory."""
  # The file `checkpoint` names it, unless that one was deleted. Only the last
  # part of its path counts: the directory may have been moved, and the file may
  # be hostile, so nothing outside of the directory is read.
  try:
    state = tf.train.get_checkpoint_state(directory)
  except ValueError:  # It is not text, or empty.
    state = None
  latest = os.path.basename(state.model_checkpoint_path) if state else ""
  if latest and f"{latest}.index" in tf.io.gfile.listdir(directory):
    return os.path.join(directory, latest)
  prefixes = [
    name.removesuffix(".index")
    for name in listed(os.path.join(directory, "*.index"))
  ]
  if not prefixes:
    advice = folder_contents.advice(directory) or _looked_for(directory)
    raise ExportError(f"There is no checkpoint in '{directory}'. {advice}")
  return max(prefixes, key=_step)


def _step(prefix: str) -> tuple[int, str]:
  numbers = re.findall(r"\d+", os.path.basename(prefix))
  return (int(numbers[-1]) if numbers else -1, prefix)


def _looked_for(path: str) -> str:
  return (
    "Looked for a TF2 or TF1 checkpoint (its `.index`), a directory of these, "
    "a Keras .keras, .h5 or .weights.h5 file, a SavedModel "
    f"({saved_models.FILE}) and a Hugging Face folder (config.json with "
    f"{' or '.join(hugging_face.WEIGHTS)}).{unexpanded(path)}"
  )
