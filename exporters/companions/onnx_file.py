"""Reads an ONNX file without running it, by the `onnx` package.

https://onnx.ai/onnx/repo-docs/IR.html. Weights in other files ("external data")
are refused wherever they may stand: the file would be read from any path.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from exporters.companions import inspected
from exporters.companions.inspected import Inspected
from exporters.companions.inspected import shown
from exporters.errors import ExportError
from exporters.errors import first_line

# As a node says it; the first two are the same.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def read(content: bytes) -> Inspected:
  """Returns what an ONNX model says of itself.

  Raises:
    ExportError: It is damaged, or needs more than this file and the standard
      operators.
  """
  from google.protobuf import message
  import onnx

  try:
    model = onnx.ModelProto.FromString(content)
  except message.DecodeError as e:
    raise ExportError("The ONNX model is damaged: it does not parse.") from e
  _refuse_external_data(model)
  try:
    refuse_foreign(model)
    onnx.checker.check_model(content)
  except ExportError:
    raise
  # The checker, which is C++, raises errors of many types.
  except Exception as e:
    raise ExportError(
      f"The ONNX model is damaged: {shown(first_line(e))}."
    ) from e
  inputs = {
    value.name: [
      # Paddle writes -1 for a dimension that is open.
      size.dim_value
      if size.HasField("dim_value") and size.dim_value != -1
      else None
      for size in value.type.tensor_type.shape.dim
    ]
    for value in model.graph.input
    # Up to IR version 3, weights are inputs too.
    if value.name not in {tensor.name for tensor in model.graph.initializer}
  }
  for name, shape in inputs.items():
    if not inspected.is_bounded(shape):
      raise ExportError(f"The input '{shown(name)}' has shape {shape}.")
  outputs = [value.name for value in model.graph.output]
  # What is not UTF-8 comes as bytes.
  if any(isinstance(name, bytes) for name in (*inputs, *outputs)):
    raise ExportError("The ONNX model is damaged: a name is not UTF-8.")
  return Inspected(
    kind="onnx",
    operators=Counter(node.op_type for node in _nodes(model)),
    inputs=inputs,
    outputs=outputs,
  )


def refuse_foreign(model: Any) -> None:
  """Raises `ExportError` for operators that are not ONNX's own."""
  import onnx

  versions = {_domain(o.domain): o.version for o in model.opset_import}
  functions = {(f.domain, f.name) for f in model.functions}
  found: dict[str, str] = {}
  for node in _nodes(model):
    domain = _domain(node.domain)
    if (node.domain, node.op_type) in functions:
      continue
    if domain not in _DOMAINS or not onnx.defs.has(
      node.op_type, _version(versions.get(domain, 1)), domain
    ):
      found.setdefault(f"{domain}.{node.op_type}".lstrip("."), node.name)
  if not found:
    return
  (name, node_name), *others = found.items()
  also = ", ".join(shown(other) for other, _ in others[:10])
  needs = f", which '{shown(node_name)}' needs" if node_name else ""
  raise ExportError(
    f"ONNX has no operation {shown(name)}{f' (also {also})' if also else ''}"
    f"{needs}."
  )


def _domain(name: str) -> str:
  return "" if name == "ai.onnx" else name


def _version(stated: int) -> int:
  """Returns a version of operators as an int of C."""
  return max(0, min(stated, 1 << 30))


def _refuse_external_data(model: Any) -> None:
  for tensor in _tensors(model):
    # 1: TensorProto.EXTERNAL.
    if tensor.data_location == 1 or tensor.external_data:
      raise ExportError(
        f"The ONNX model reads the tensor '{shown(tensor.name)}' from another "
        "file, which could be any. Its author can save all weights in one file."
      )


def _graphs(model: Any) -> Iterator[Any]:
  """Yields all that has nodes: graphs, those in nodes, and functions."""
  # Protocol buffers nest a hundred deep at most.
  left = [model.graph, *model.functions]
  for training in model.training_info:
    left += [training.initialization, training.algorithm]
  while left:
    graph = left.pop()
    yield graph
    for attribute in _attributes(graph):
      left += attribute.graphs
      if attribute.HasField("g"):
        left.append(attribute.g)


def _attributes(graph: Any) -> Iterator[Any]:
  for node in graph.node:
    yield from node.attribute
  # Those of a function have defaults.
  yield from getattr(graph, "attribute_proto", ())


def _nodes(model: Any) -> Iterator[Any]:
  for graph in _graphs(model):
    yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
  for graph in _graphs(model):
    sparse = [*getattr(graph, "sparse_initializer", ())]
    yield from getattr(graph, "initializer", ())
    for attribute in _attributes(graph):
      yield attribute.t
      yield from attribute.tensors
      sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
      yield from (tensor.values, tensor.indices)
