"""Copies a finished SavedModel to where `tf.io.gfile` writes."""

from collections.abc import Iterator
import contextlib
import os

import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model import files


@contextlib.contextmanager
def reworded(path: str) -> Iterator[None]:
  """Rewords what TensorFlow raises where `path` cannot be written."""
  try:
    yield
  except tf.errors.OpError as e:
    raise ExportError(f"Cannot write to '{path}': {e.message}") from e


def copy(local: str, remote: str) -> None:
  """Copies a directory; `saved_model.pb`, which makes it a model, last.

  First to a directory beside the target, from where it is moved: what is
  replaced stays until all of the new one has arrived.
  """
  parent, name = os.path.split(remote.rstrip("/"))
  incoming = os.path.join(parent, f".{name}.incoming")
  names = sorted(
    files.listed(local),
    key=lambda file: (file.endswith("saved_model.pb"), file),
  )
  for file in names:
    target = _with_parent(os.path.join(incoming, file))
    tf.io.gfile.copy(os.path.join(local, file), target, overwrite=True)
  if tf.io.gfile.exists(remote):
    tf.io.gfile.rmtree(remote)
  # File by file: object stores know no directories to rename.
  for file in names:
    target = _with_parent(os.path.join(remote, file))
    tf.io.gfile.rename(os.path.join(incoming, file), target)
  tf.io.gfile.rmtree(incoming)


def _with_parent(path: str) -> str:
  tf.io.gfile.makedirs(os.path.dirname(path))
  return path
