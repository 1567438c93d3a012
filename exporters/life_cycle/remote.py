"""Copies a finished SavedModel to a remote path, by `tf.io.gfile`."""

from collections.abc import Iterator
import contextlib
import os

import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model import files


@contextlib.contextmanager
def reworded(path: str) -> Iterator[None]:
  """Rewords TensorFlow's errors about a `path` that cannot be written."""
  try:
    yield
  except tf.errors.OpError as e:
    raise ExportError(f"Cannot write to '{path}': {e.message}") from e


def copy(local: str, remote: str) -> None:
  """Copies a directory; `saved_model.pb`, which makes it a model, comes last.

  It is copied beside the target first and then moved, so that what it replaces
  stays until all of it has arrived.
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
  # File by file: an object store has no directories that could be renamed.
  for file in names:
    target = _with_parent(os.path.join(remote, file))
    tf.io.gfile.rename(os.path.join(incoming, file), target)
  tf.io.gfile.rmtree(incoming)


def _with_parent(path: str) -> str:
  tf.io.gfile.makedirs(os.path.dirname(path))
  return path
