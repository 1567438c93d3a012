"""The kinds of checkpoints that a path alone shows, in the order to try them.

TensorFlow's own are not here: their path is a prefix of several files.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import os

import tensorflow as tf

from exporters.checkpoints import hugging_face
from exporters.checkpoints import keras_archive
from exporters.checkpoints import keras_h5
from exporters.checkpoints import saved_models
from exporters.checkpoints import weights_h5
from exporters.checkpoints.checkpoint import Checkpoint
from exporters.checkpoints.checkpoint import readable


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of checkpoints.

  Attributes:
    recognizes: Tells whether a local or remote path is one, by little of it.
    opened: Returns the checkpoint at a path; also takes whether to restore
      averages, as `open_checkpoint` does.
  """

  recognizes: Callable[[str], bool]
  opened: Callable[[str, bool | None], Checkpoint]


def of(path: str) -> Kind | None:
  """Returns the kind of what is at a path; None if it is of none of these."""
  return next((kind for kind in _KINDS if kind.recognizes(path)), None)


def _is_saved_model(path: str) -> bool:
  return tf.io.gfile.exists(os.path.join(path, saved_models.FILE))


def _saved_model(path: str, averages: bool | None) -> Checkpoint:
  with readable(path):
    return saved_models.SavedModel(path, averages=averages)


def _hugging_face_weights(path: str, averages: bool | None) -> Checkpoint:
  del averages
  # The architecture is in the folder's config.json, not in this file.
  folder, name = os.path.split(path)
  with readable(path):
    return hugging_face.HuggingFace(folder or ".", weights=name)


def _hugging_face_folder(path: str, averages: bool | None) -> Checkpoint:
  del averages
  with readable(path):
    return hugging_face.HuggingFace(path)


def _keras_archive(path: str, averages: bool | None) -> Checkpoint:
  return keras_archive.KerasArchive(path, averages=averages)


def _h5(path: str, averages: bool | None) -> Checkpoint:
  by_attributes = weights_h5.WeightsH5(path, averages=averages)
  if by_attributes.is_of_this_kind:
    return by_attributes
  return keras_h5.KerasH5(path, averages=averages)


_KINDS = (
  Kind(_is_saved_model, _saved_model),
  Kind(hugging_face.is_weights, _hugging_face_weights),
  Kind(hugging_face.is_folder, _hugging_face_folder),
  Kind(keras_archive.is_archive, _keras_archive),
  Kind(keras_h5.is_h5, _h5),
)
