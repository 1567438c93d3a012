"""SavedModels from anywhere, before they are loaded."""

from collections.abc import Collection
import os

from exporters.bounds import special_files
from exporters.errors import ExportError


def refuse_hostile(path: str) -> Collection[str]:
  """Looks through a SavedModel's graph; returns the names of its inputs.

  Raises:
    ExportError: There is none, it has no signature to serve by, or an operation
      that reaches beyond a model.
  """
  from exporters.companions import source
  from exporters.release import graph

  special_files.refuse(path)
  file = os.path.join(path, "saved_model.pb")
  if not os.path.exists(file):
    raise ExportError(
      f"There is no SavedModel at '{path}': it has no saved_model.pb."
    )
  special_files.refuse_linked_folders(path)
  with open(file, "rb") as f:
    content = f.read()
  graph.refuse_hostile(content)
  return [*source.stated_signature(content).inputs]
