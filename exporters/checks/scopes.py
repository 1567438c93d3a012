"""The nodes of a graph, function by function, and which of them calls which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
import functools
from typing import Any

# They hand their inputs to one function, in its own order.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class Scope:
  """The nodes of one function, or those around all functions.

  Attributes:
    name: That of the function, "" around all.
    arguments: What the function takes, in order.
    nodes: A list.
  """

  def __init__(self, nodes: Any, function: Any = None):
    self.name = function.signature.name if function else ""
    arguments = function.signature.input_arg if function else ()
    self.arguments = [argument.name for argument in arguments]
    self.nodes = nodes

  @functools.cached_property
  def by_name(self) -> Mapping[str, Any]:
    """The nodes by name; None for one that is there twice."""
    found: dict[str, Any] = {}
    for node in self.nodes:
      found[node.name] = None if node.name in found else node
    return found

  def where(self, node: Any) -> str:
    """Returns what to call the place of a node in a message."""
    return f"function {self.name}" if self.name else f"node {node.name}"

  @functools.cached_property
  def calls(self) -> list[Call]:
    """The nodes that name functions in their attributes."""
    found = []
    for node in self.nodes:
      names = [reference.name for reference in functions_of(node)]
      if names:
        found.append(Call(self, node, names))
    return found


@dataclasses.dataclass(frozen=True)
class Call:
  """A node of a scope, and the functions that its attributes name."""

  scope: Scope
  node: Any
  names: list[str]

  def hands_on(self) -> bool:
    """Says whether it calls one function, and hands its own inputs on."""
    return self.node.op in _CALLS and len(self.names) == 1


def scopes(graph: Any) -> list[Scope]:
  """Returns the scopes of a GraphDef, the one around all functions first."""
  functions = graph.library.function
  return [Scope(graph.node), *(Scope(f.node_def, f) for f in functions)]


def data_inputs(node: Any) -> list[str]:
  """Returns a node's inputs without those that only order it."""
  return [name for name in node.input if not name.startswith("^")]


def node_name(tensor: str) -> str:
  """Returns the node, or the argument, that an input comes from."""
  return tensor.removeprefix("^").partition(":")[0]


def functions_of(node: Any) -> list[Any]:
  """Returns what a node's attributes name functions by, however deep."""
  # The kind first: to look into each attribute takes long.
  return [
    reference
    for value in node.attr.values()
    if value.WhichOneof("value") in ("func", "list")
    for reference in _named(value)
  ]


def _named(value: Any) -> Iterator[Any]:
  for function in (value.func, *value.list.func):
    if function.name:
      yield function
    for inner in function.attr.values():
      yield from _named(inner)
