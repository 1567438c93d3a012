"""Looks through a graph from someone else before it is loaded."""

from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from exporters.checks import operations
from exporters.errors import ExportError


def refuse_hostile(content: bytes) -> None:
  """Raises `ExportError` unless a saved_model.pb is harmless to load and call.

  By the rule of `exporters.checks.operations`: no operation may reach a file,
  an address, a log, Python or other code, but for those by which TensorFlow
  saves and restores variables, which only the saver may run, and those that
  fill a table from an asset.
  """
  try:
    proto = saved_model_pb2.SavedModel.FromString(content)
  except message.DecodeError as e:
    raise ExportError("saved_model.pb is damaged: it does not parse.") from e
  if len(proto.meta_graphs) != 1:
    raise ExportError(
      f"saved_model.pb holds {len(proto.meta_graphs)} graphs, not one."
    )
  found = operations.objections(proto.meta_graphs[0])
  if found:
    raise ExportError(operations.told(found))
