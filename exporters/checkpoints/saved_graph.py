"""What the graphs of a SavedModel show of the encoder that was traced."""

from collections.abc import Iterator
import re
from typing import Any

from exporters.checkpoints.checkpoint import EXACT_GELU

# By the end of an operation's name, the activation that it belongs to. The
# operations of `tf.nn.gelu` are an encoder's; only without them are others
# looked at, which heads have too.
_GELUS = {
  "Gelu/Erf": EXACT_GELU,
  "Gelu/Erfc": EXACT_GELU,
  "Gelu/Tanh": "gelu",
}
_OTHERS = {
  "activation/Relu": "relu",
  # MobileBERT's.
  "intermediate_dense/Relu": "relu",
  "activation/IdentityN": "swish",
}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def activation(graph: Any) -> str | None:
  """Returns the one activation that shows, by the name in `declared`.

  Args:
    graph: A `GraphDef`.
  """
  ends = set(_ends(graph))
  gelus = {_GELUS[end] for end in ends & _GELUS.keys()}
  found = gelus or {_OTHERS[end] for end in ends & _OTHERS.keys()}
  return found.pop() if len(found) == 1 else None


def _ends(graph: Any) -> Iterator[str]:
  """Yields the last two parts of each name in the functions, unnumbered."""
  for function in graph.library.function:
    for node in function.node_def:
      end = "/".join(node.name.rsplit("/", 2)[1:])
      yield re.sub(r"_\d+(?=/|$)", "", end)


def origin(graph: Any, tensor: str) -> tuple[str, str]:
  """Returns the function and the name under which a tensor is computed.

  Args:
    graph: A `GraphDef`.
    tensor: The tensor's name in the graph itself. What only hands it on, calls
      of functions and identities, is passed over.
  """
  functions = {f.signature.name: f for f in graph.library.function}
  function, nodes = "", {node.name: node for node in graph.node}
  seen = set()
  while (function, tensor) not in seen:  # A hostile graph may have a circle.
    seen.add((function, tensor))
    name, _, output = tensor.partition(":")
    node = nodes.get(name)
    if node is None:
      break
    if node.op == "Identity" and node.input:
      tensor = node.input[0]
    elif node.op in _CALLS and node.attr["f"].func.name in functions:
      function = node.attr["f"].func.name
      called = functions[function]
      results = [called.ret[arg.name] for arg in called.signature.output_arg]
      place = output.rpartition(":")[2]
      tensor = dict(enumerate(results)).get(int(place or 0), "")
      nodes = {node.name: node for node in called.node_def}
  return function, tensor
