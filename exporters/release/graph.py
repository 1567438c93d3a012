"""Inspects a graph from someone else before it is loaded."""

from collections.abc import Iterator
from typing import Any

from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from exporters.checks import files
from exporters.errors import ExportError


def refuse_hostile(content: bytes) -> None:
  """Raises `ExportError` unless a saved_model.pb is safe to load and call.

  An operation that is not on the list could read or write files, or run code.
  The operations that save and restore variables are in every model, but only in
  functions that nothing except the saver calls. A lookup table may be filled
  from an asset, not from a path in the graph.
  """
  try:
    proto = saved_model_pb2.SavedModel.FromString(content)
  except message.DecodeError as e:
    raise ExportError("saved_model.pb is damaged: it does not parse.") from e
  if len(proto.meta_graphs) != 1:
    raise ExportError(
      f"saved_model.pb has {len(proto.meta_graphs)} graphs, not one."
    )
  (meta_graph,) = proto.meta_graphs
  graph = meta_graph.graph_def
  refused = files.refused_operations(graph)
  refused |= {n.op for n in graph.node} & files.SAVER_OPERATIONS
  if refused:
    raise ExportError(
      "The graph has operations that no model needs: "
      f"{', '.join(sorted(refused))}. They could read or write files, or run "
      "code."
    )
  for caller in _callers_of_the_saver(meta_graph):
    raise ExportError(
      f"The graph's {caller} calls what saves or restores variables. That "
      "reads and writes files, so only the saver may."
    )
  for function in graph.library.function:
    arguments = {argument.name for argument in function.signature.input_arg}
    for node in function.node_def:
      # The second input names the file.
      if node.op.startswith("InitializeTable") and (
        len(node.input) < 2 or node.input[1] not in arguments
      ):
        raise ExportError(
          f"The graph's {function.signature.name} fills a table from a path "
          "that is not an asset's."
        )


def _callers_of_the_saver(meta_graph: Any) -> Iterator[str]:
  graph, saver = meta_graph.graph_def, meta_graph.saver_def
  own = {
    name.partition(":")[0]
    for name in (saver.save_tensor_name, saver.restore_op_name)
  }
  functions = {
    f.signature.name
    for f in graph.library.function
    if f.signature.name.startswith(files.SAVER_FUNCTIONS)
  }
  for name in meta_graph.object_graph_def.concrete_functions:
    if name in functions:
      yield f"object of the function {name}"
  for node in graph.node:
    if node.name not in own and functions & {*_called(node)}:
      yield f"node {node.name}"
  for function in graph.library.function:
    for node in function.node_def:
      if functions & {*_called(node)}:
        yield f"function {function.signature.name}"
  initializers = {
    tensor.name.partition(":")[0]
    for signature in meta_graph.signature_def.values()
    for tensor in signature.outputs.values()
  }
  for name in initializers & own:
    yield f"signature of {name}"


def _called(node: Any) -> Iterator[str]:
  yield node.op
  for attribute in node.attr.values():
    yield attribute.func.name
    for function in attribute.list.func:
      yield function.name
