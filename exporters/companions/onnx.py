"""Converts a SavedModel to ONNX, by tf2onnx (scripts/install_extra.sh onnx).

https://github.com/onnx/tensorflow-onnx. Inputs and outputs keep the names that
the signature has for them. In an ONNX graph, a name stands for one value; so an
output called like an input, as the states of a stream are, is NAME.next.
"""

from collections.abc import Sequence
import logging
import string
from typing import Any

import numpy as np
import tensorflow as tf
from tf2onnx import graph as tf2onnx_graph
from tf2onnx import handler
from tf2onnx import optimizer
from tf2onnx import tf_loader
from tf2onnx import tfonnx
from tf2onnx import utils
from tf2onnx.optimizer import einsum_optimizer

from exporters.companions import onnx_file
from exporters.companions import onnx_order
from exporters.companions.source import SIGNATURE
from exporters.errors import ExportError
from exporters.errors import first_line

# The newest that tf2onnx writes; onnxruntime 1.14 (2023) and later read it.
OPSET = 18
# The limit of protocol buffers, in which weights lie in the same file.
_LARGEST = 2 << 30
# `parity` has it too.
_NEXT = ".next"


def convert(saved_model: str, target: str) -> None:
  """Writes the `.onnx` of a SavedModel's signature.

  Args:
    saved_model: Its directory.
    target: The file to write.

  Raises:
    ExportError: It has an operation that ONNX does not have, or is too large.
  """
  loaded = tf.saved_model.load(saved_model)
  signature = loaded.signatures[SIGNATURE]
  size = sum(v.dtype.size * v.shape.num_elements() for v in signature.variables)
  if size >= _LARGEST:
    raise ExportError(
      f"Its weights are {size / 1e9:.1f} GB, and an ONNX file holds less than "
      "2.1 GB."
    )
  said = _Said()
  logger = logging.getLogger("tf2onnx")
  logger.addHandler(said)
  try:
    model = _converted(loaded, signature)
  # It raises errors of many types.
  except Exception as e:
    reason = f"{type(e).__name__}: {first_line(e)[:300]}"
    where = f"{said.first[:300]}: " if said.first else ""
    raise ExportError(f"tf2onnx cannot convert it: {where}{reason}.") from e
  finally:
    logger.removeHandler(said)
  onnx_file.refuse_foreign(model)  # While nodes have TensorFlow's names.
  onnx_order.put(model.graph)
  with open(target, "wb") as f:
    f.write(model.SerializeToString(deterministic=True))


_numbers: dict[int, tuple[int, Any]] = {}


def _number(thing: Any) -> int:
  """Returns what stands for an object, the same in every process.

  tf2onnx puts nodes into sets, whose order follows addresses, and addresses
  into names.
  """
  # Kept, so that its address does not become another one's.
  return _numbers.setdefault(id(thing), (len(_numbers), thing))[0]


# This is a process of its own.
tf2onnx_graph.Node.__hash__ = _number
einsum_optimizer.id = _number


@handler.tf_op("Erfc")
class _Erfc:
  """The one operation of exact GELU that tf2onnx does not know: 1 - erf(x)."""

  @classmethod
  def version_9(cls, graph: Any, node: Any, **unused: Any) -> None:
    """Replaces a node, for opset 9 and later."""
    kind = graph.get_dtype(node.output[0])
    one = graph.make_const(
      utils.make_name(node.name),
      np.ones([], utils.map_onnx_to_numpy_type(kind)),
    )
    erf = graph.insert_new_node_on_input(node, "Erf", node.input[0])
    node.type = "Sub"
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _spell_out_einsums(graph: Any) -> None:
  """Replaces the "..." in equations, which tf2onnx does not take, by letters.

  Args:
    graph: A GraphDef.
  """
  nodes = [
    node
    for node in graph.node
    if node.op == "Einsum" and b"..." in node.attr["equation"].s
  ]
  if not nodes:
    return
  with tf.Graph().as_default() as tf_graph:
    tf.import_graph_def(graph, name="")
  for node in nodes:
    operands = tf_graph.get_operation_by_name(node.name).inputs
    node.attr["equation"].s = spelled_out(
      node.attr["equation"].s.decode(), [t.shape.rank for t in operands]
    ).encode()


def spelled_out(equation: str, ranks: Sequence[int]) -> str:
  """Returns an equation of Einsum with letters in place of "...".

  Args:
    equation: Such as "...x,xy->...y".
    ranks: Those of its operands.
  """
  operands, _, result = equation.partition("->")
  free = [c for c in string.ascii_letters if c not in equation]
  counts = [
    rank - len(term.replace("...", ""))
    for term, rank in zip(operands.split(","), ranks, strict=True)
    if "..." in term
  ]
  letters = "".join(free[: max(counts)])
  # The last dimensions go with each other, as in broadcasting.
  left = iter(counts)
  terms = [
    term.replace("...", letters[len(letters) - next(left) :])
    if "..." in term
    else term
    for term in operands.split(",")
  ]
  return f"{','.join(terms)}->{result.replace('...', letters)}"


class _Said(logging.Handler):
  """Keeps the first error of a log: it names the node that the others don't."""

  def __init__(self):
    super().__init__(logging.ERROR)
    self.first = ""

  def emit(self, record: logging.LogRecord) -> None:
    self.first = self.first or record.getMessage().partition("\n")[0]


def _converted(loaded: Any, signature: Any) -> Any:
  """Returns the ONNX model of a loaded SavedModel's signature."""
  # Both in the order in which TensorFlow flattens a dict.
  inputs = sorted(signature.structured_input_signature[1])
  outputs = sorted(signature.structured_outputs)
  tensors = [tensor.name for tensor in signature.inputs[: len(inputs)]]
  results = [tensor.name for tensor in signature.outputs]
  shown = [f"{n}{_NEXT}" if n in inputs else n for n in outputs]
  names = dict(zip(tensors + results, inputs + shown, strict=True))
  with tf.device("/cpu:0"):
    graph, tables = tf_loader.from_trackable(
      loaded, signature, tensors, results, large_model=False
    )
  _spell_out_einsums(graph)
  # TensorFlow's optimizer leaves them in any order, which tf2onnx would follow.
  nodes = sorted(graph.node, key=lambda node: node.name)
  del graph.node[:]
  graph.node.extend(nodes)
  with tf.Graph().as_default() as tf_graph:
    tf.import_graph_def(graph, name="")
    converted = tfonnx.process_tf_graph(
      tf_graph,
      opset=OPSET,
      input_names=tensors,
      output_names=results,
      tensors_to_rename=names,
      initialized_tables=tables,
    )
    # A pass that fails, as some do on scalars, is left out.
    model = optimizer.optimize_graph(converted).make_model("")
  for value in (*model.graph.input, *model.graph.output):
    for axis, size in enumerate(value.type.tensor_type.shape.dim):
      if size.dim_param:  # As tf2onnx calls it: "unk__12".
        size.dim_param = f"{value.name}_{axis}"
  return model
