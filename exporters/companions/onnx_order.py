"""Gives an ONNX graph one order and one set of names.

tf2onnx puts addresses of objects and running numbers into names, and its order
follows the hashes of texts: both differ from process to process.
"""

from collections import Counter
from collections.abc import Iterator
import re
from typing import Any

import numpy as np
import onnx

# What tf2onnx appends to names, or puts into them.
_CHANCE = re.compile(r"(?<=einsum)\d+|__\d+")


def put(graph: Any) -> None:
  """Orders the nodes and weights of a graph, and names them.

  Nodes and weights that no output needs are left out.
  """
  _fold_shapes(graph)
  taken: Counter[str] = Counter()
  # These stay as they are.
  names = {value.name: value.name for value in (*graph.input, *graph.output)}
  taken.update(names)
  _sort(graph)
  _rename(graph, names, taken)


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


def _sort(graph: Any) -> None:
  """Puts each node before those that need it, from the outputs backwards."""
  for node in graph.node:
    for inner in _inner(node):
      _sort(inner)
  makers = {name: node for node in graph.node for name in node.output if name}
  weights = {tensor.name: tensor for tensor in graph.initializer}
  nodes: dict[int, Any] = {}
  used: dict[str, Any] = {}
  left = [(value.name, False) for value in reversed(graph.output)]
  while left:
    name, ready = left.pop()
    if name in weights:
      used[name] = weights[name]
    node = makers.get(name)
    if node is None or id(node) in nodes:
      continue
    if ready:
      nodes[id(node)] = node
    else:
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
    yield from (value.name for value in graph.output)
    for inner in graph.node:
      yield from _needs(inner)


def _rename(graph: Any, names: dict[str, str], taken: Counter[str]) -> None:
  """Renames the values and nodes of a graph, and of those inside."""

  def unique(name: str) -> str:
    plain = _CHANCE.sub("", name)
    taken[plain] += 1
    return plain if taken[plain] == 1 else f"{plain}__{taken[plain]}"

  def renamed(name: str) -> str:
    if name and name not in names:
      names[name] = unique(name)
    return names.get(name, name)

  for value in graph.input:
    value.name = renamed(value.name)
  for tensor in graph.initializer:
    tensor.name = renamed(tensor.name)
  for node in graph.node:
    node.name = unique(node.name)
    for side in (node.input, node.output):
      for i, name in enumerate(side):
        side[i] = renamed(name)
    for inner in _inner(node):
      _rename(inner, names, taken)
  for value in graph.output:
    value.name = renamed(value.name)
