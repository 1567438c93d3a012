"""SavedModels from anywhere, before they are loaded."""

from collections.abc import Collection
import os

from exporters.errors import ExportError

_SIGNATURE = "serving_default"


def refuse_hostile(path: str) -> Collection[str]:
  """Looks through a SavedModel's graph; returns the names of its inputs.

  Raises:
    ExportError: There is none, it has no signature to serve by, or an operation
      that reaches beyond a model.
  """
  from tensorflow.core.protobuf import saved_model_pb2

  from exporters.release import graph

  file = os.path.join(path, "saved_model.pb")
  if not os.path.exists(file):
    raise ExportError(
      f"There is no SavedModel at '{path}': it has no saved_model.pb."
    )
  with open(file, "rb") as f:
    content = f.read()
  graph.refuse_hostile(content)
  (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
  if _SIGNATURE not in meta_graph.signature_def:
    raise ExportError(
      f"The SavedModel has no signature '{_SIGNATURE}', which companions are "
      "made from."
    )
  return [*meta_graph.signature_def[_SIGNATURE].inputs]
