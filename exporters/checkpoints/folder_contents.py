"""Says what lies in a folder that is no checkpoint itself, for a message.

A folder that was downloaded often holds the model one level below, or a model
of another format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import os

import tensorflow as tf

from exporters.checkpoints import file_kinds
from exporters.checkpoints import kinds
from exporters.checkpoints.tensorflow_files import listed

# How many are looked at, and how many are named.
_MOST = 1000
_NAMED = 5


def advice(folder: str) -> str:
  """Returns what a folder holds instead of a checkpoint, and how to go on.

  Args:
    folder: A local or remote path.

  Returns:
    A sentence or two; "" if nothing in it is known.
  """
  names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))
  paths = [
    path
    for path in (os.path.join(folder, name) for name in names[:_MOST])
    if _is_readable(path)
  ]
  found = [path for path in paths if _can_be_opened(path)]
  if len(found) == 1:
    return f"Did you mean '{found[0]}'?"
  if found:
    texts = [f"'{os.path.basename(path)}'" for path in found]
    return f"Did you mean one of those in it: {_enumerated(texts)}?"
  others = list(_others(paths))
  if others:
    texts = [f"{kind.name} ('{os.path.basename(p)}')" for p, kind in others]
    return f"It holds {_enumerated(texts)}. {others[0][1].advice}"
  return ""


def _is_readable(path: str) -> bool:
  try:
    if tf.io.gfile.isdir(path):
      tf.io.gfile.listdir(path)
    else:
      with tf.io.gfile.GFile(path, "rb") as file:
        file.read(1)
  except tf.errors.OpError:
    return False
  return True


def _can_be_opened(path: str) -> bool:
  return kinds.of(path) is not None or (
    tf.io.gfile.isdir(path) and bool(listed(os.path.join(path, "*.index")))
  )


def _others(paths: Sequence[str]) -> Iterator[tuple[str, file_kinds.FileKind]]:
  """Yields models of other formats, the first of each."""
  known = set()
  for path in paths:
    kind = file_kinds.kind_of(path)
    if kind and kind.is_model and kind.name not in known:
      known.add(kind.name)
      yield path, kind


def _enumerated(texts: Sequence[str]) -> str:
  if len(texts) > _NAMED:
    return f"{', '.join(texts[:_NAMED])} and {len(texts) - _NAMED:,} more"
  return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
