"""Gives each call of a function a function of its own.

LiteRT's converter copies a function that is called twice, in an order that
differs from run to run, and the bytes of what it writes with it.
"""

from __future__ import annotations

import collections
import os
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from exporters.checks.scopes import functions_of


def write(saved_model: str, folder: str) -> str:
  """Writes a SavedModel in which no function calls another one twice.

  Args:
    saved_model: The directory of a SavedModel.
    folder: Where to write, if it has to be written.

  Returns:
    The directory of the SavedModel that computes the same and is like that.
  """
  with open(os.path.join(saved_model, "saved_model.pb"), "rb") as f:
    proto = saved_model_pb2.SavedModel.FromString(f.read())
  if not _separate(proto.meta_graphs[0].graph_def.library):
    return saved_model
  os.mkdir(folder)
  for name in os.listdir(saved_model):
    if name != "saved_model.pb":
      os.symlink(
        os.path.abspath(os.path.join(saved_model, name)),
        os.path.join(folder, name),
      )
  with open(os.path.join(folder, "saved_model.pb"), "wb") as f:
    f.write(proto.SerializeToString(deterministic=True))
  return folder


def _separate(library: Any) -> bool:
  """Copies functions for all their calls but the first of each function.

  Returns:
    Whether there was any.
  """
  originals = {f.signature.name: f for f in library.function}
  waiting = list(library.function)
  copies = 0
  while waiting:
    calls: collections.Counter[str] = collections.Counter()
    for node in waiting.pop(0).node_def:
      for reference in functions_of(node):
        original = originals.get(reference.name)
        calls[reference.name] += 1
        if original is None or calls[reference.name] == 1:
          continue
        copy = library.function.add()
        copy.CopyFrom(original)
        copies += 1
        copy.signature.name = reference.name = f"{reference.name}_{copies}_copy"
        waiting.append(copy)
  return bool(copies)
