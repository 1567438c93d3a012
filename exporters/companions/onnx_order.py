"""Gives an ONNX graph one order and one set of names.

tf2onnx puts addresses of objects and running numbers into names. Its order
follows the hashes of texts. Of nodes that compute the same, it keeps any. All
this differs from process to process. So names say what a node does and where it
stands.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx


def put(graph: Any) -> None:
  """Orders the nodes and weights of a graph, and names them.

  Nodes and weights that no output needs are left out.
  """
  _fold_shapes(graph)
  _copy_to_outputs(graph)
  _sort(graph)
  # Those of inputs and outputs stay.
  names = {value.name: value.name for value in (*graph.input, *graph.output)}
  _rename(graph, names, Counter(), frozenset(names))


def _fold_shapes(graph: Any) -> None:
  """Replaces the shapes of weights by constants.

  Einsum leaves weights behind of which only the shape is used.
  """
  sizes = {tensor.name: tensor.dims for tensor in graph.initializer}
  folded = [
    node
    for node in graph.node
    if node.op_type == "Shape" and node.input[0] in sizes and not node.attribute
  ]
  for node in folded:
    shape = np.array(sizes[node.input[0]], np.int64)
    graph.initializer.append(
      onnx.numpy_helper.from_array(shape, node.output[0])
    )
    graph.node.remove(node)


def _copy_to_outputs(graph: Any) -> None:
  """Has each output be a copy, and no other value.

  Otherwise, of two equal outputs, any may be computed and the other the copy.
  """
  outputs = [value.name for value in graph.output]
  # What stands for a value: what it is a copy of, or another name.
  sources = {
    name: f"{name} itself"
    for name in outputs
    if name not in {value.name for value in graph.input}
  }
  copies = [node for node in graph.node if node.op_type == "Identity"]
  for node in copies:  # Each after what it copies.
    sources[node.output[0]] = sources.get(node.input[0], node.input[0])
    graph.node.remove(node)
  for tensor in graph.initializer:
    tensor.name = sources.get(tensor.name, tensor.name)
  for node in graph.node:
    for i, name in enumerate(node.output):
      node.output[i] = sources.get(name, name)
    _replace_inputs(node, sources)
  for name in outputs:
    copy = graph.node.add(op_type="Identity", output=[name])
    copy.input.append(sources.get(name, name))


def _replace_inputs(node: Any, names: Mapping[str, str]) -> None:
  """Renames what a node takes, also in its inner graphs."""
  for i, name in enumerate(node.input):
    node.input[i] = names.get(name, name)
  for graph in _inner(node):
    for inner in graph.node:
      _replace_inputs(inner, names)


def _sort(graph: Any) -> None:
  """Puts each node before those that need it, from the outputs backwards."""
  for node in graph.node:
    for inner in _inner(node):
      _copy_to_outputs(inner)
      _sort(inner)
  makers = {name: node for node in graph.node for name in node.output if name}
  weights = {tensor.name: tensor for tensor in graph.initializer}
  nodes: dict[int, Any] = {}
  begun: set[int] = set()
  used: dict[str, Any] = {}
  left = [(value.name, False) for value in reversed(graph.output)]
  while left:
    name, ready = left.pop()
    if name in weights:
      used[name] = weights[name]
    node = makers.get(name)
    if node is None:
      continue
    if ready:
      nodes[id(node)] = node
    elif id(node) not in begun:
      begun.add(id(node))
      left.append((name, True))
      left += [(needed, False) for needed in reversed([*_needs(node)])]
  _replace(graph.node, nodes.values())
  _replace(graph.initializer, used.values())
  del graph.value_info[:]  # Shapes that any reader can infer.


def _replace(entries: Any, others: Any) -> None:
  kept = [*others]
  copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
  del entries[:]
  entries.extend(copies)


def _inner(node: Any) -> Iterator[Any]:
  for attribute in node.attribute:
    if attribute.HasField("g"):
      yield attribute.g
    yield from attribute.graphs


def _needs(node: Any) -> Iterator[str]:
  """Yields the names of values that a node needs, also in its inner graphs."""
  yield from node.input
  for graph in _inner(node):
    own = {value.name for value in (*graph.input, *graph.initializer)}
    for inner in graph.node:
      yield from (name for name in _needs(inner) if name not in own)
      own.update(inner.output)


def _rename(
  graph: Any, names: dict[str, str], counts: Counter[str], kept: frozenset[str]
) -> None:
  """Renames the values and nodes of a graph, and of those inside.

  Args:
    graph: What to rename in.
    names: The new names of values. Gets those of this graph added.
    counts: How many nodes of each operation, and weights, have a name already.
    kept: Names that nothing else may get.
  """

  def numbered(what: str) -> str:
    name = f"{what}_{counts[what]}"
    counts[what] += 1
    return numbered(what) if name in kept else name

  # A graph inside may use a name of its own that the outer one has too.
  outermost = not counts
  for value in graph.input:
    if not outermost:
      names[value.name] = numbered("input")
    value.name = names[value.name]
  for tensor in graph.initializer:
    names[tensor.name] = numbered("weight")
    tensor.name = names[tensor.name]
  for node in graph.node:
    node.name = numbered(node.op_type)
    for i, name in enumerate(node.input):
      node.input[i] = names.get(name, name)
    for inner in _inner(node):
      _rename(inner, dict(names), counts, kept)
    for i, name in enumerate(node.output):
      if name and not (outermost and name in kept):
        names[name] = f"{node.name}:{i}"
      node.output[i] = names.get(name, name)
  for value in graph.output:
    value.name = names[value.name]
