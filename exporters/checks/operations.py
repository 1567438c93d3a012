"""Which operations a graph may have: one rule, and what it says of each.

Both stand in `operations.toml`. What opens a file for good reason, the saver
and the tables out of assets, `opened_files` and `loader_files` look at.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
import dataclasses
import functools
import graphlib
import pathlib
import tomllib
from typing import Any

from . import loader_files
from . import opened_files
from .scopes import Scope
from .scopes import scopes

# Wherever it stands; nowhere. Between them: `opened_files`.
PASS, REFUSE = "pass", "refuse"
VERDICTS = (PASS, opened_files.ASSET, opened_files.SAVER, REFUSE)
CLASSIFICATION = "exporters/checks/operations.toml"
# As many objections as a reader can make use of.
_TOLD = 5


@dataclasses.dataclass(frozen=True)
class Family:
  """Operations of which the same is said, for the same reason."""

  name: str
  verdict: str
  reason: str
  operations: tuple[str, ...]


@functools.cache
def families() -> list[Family]:
  """Returns the families of the classification."""
  path = pathlib.Path(__file__).with_name("operations.toml")
  stated = tomllib.loads(path.read_text(encoding="utf-8"))
  return [
    Family(
      name=entry["name"],
      verdict=verdict,
      reason=entry["reason"],
      operations=tuple(entry["operations"].split()),
    )
    for verdict in VERDICTS
    for entry in stated[verdict]
  ]


@functools.cache
def classification() -> Mapping[str, Family]:
  """Returns the family of each operation."""
  return {name: family for family in families() for name in family.operations}


def refused_operations(graph: Any) -> set[str]:
  """Returns the operations of a GraphDef that could reach beyond the model."""
  found = scopes(graph)
  return _refused(found) | opened_files.misplaced(found)


def objections(meta_graph: Any) -> list[str]:
  """Returns a sentence for all that a MetaGraphDef could reach, and how."""
  found = scopes(meta_graph.graph_def)
  sentences = [
    *_reasons(_refused(found)),
    *_unknown_functions(found),
    *_recursion(found),
    *loader_files.objections(meta_graph, found),
  ]
  return list(dict.fromkeys(sentences))


def told(found: list[str]) -> str:
  """Returns the first few objections as one text."""
  more = [f"And {len(found) - _TOLD} more."] if len(found) > _TOLD else []
  return " ".join(found[:_TOLD] + more)


def _refused(found: list[Scope]) -> set[str]:
  # A function may be called like an operation: its nodes are looked at too.
  functions = {scope.name for scope in found}
  return {
    operation
    for operation in {node.op for scope in found for node in scope.nodes}
    if _verdict(operation, functions) == REFUSE
  }


def _verdict(operation: str, functions: set[str]) -> str:
  if operation in classification():
    return classification()[operation].verdict
  return PASS if operation in functions else REFUSE


def _reasons(refused: set[str]) -> Iterator[str]:
  for family in families():
    names = sorted(refused.intersection(family.operations))
    if names:
      reason = family.reason[0].lower() + family.reason[1:]
      yield f"{', '.join(names)} {reason}"
  unseen = sorted(refused - classification().keys())
  if unseen:
    yield (
      f"{', '.join(unseen)}: not classified, so refused. The head of "
      f"{CLASSIFICATION} says how to judge a new operation."
    )


def _recursion(found: list[Scope]) -> Iterator[str]:
  """Yields a function that calls itself: nothing bounds how often."""
  calls = {
    scope.name: {name for call in scope.calls for name in call.names}
    for scope in found
  }
  try:
    graphlib.TopologicalSorter(calls).prepare()
  except graphlib.CycleError as e:
    (*names, _) = e.args[1]
    ways = f", by way of '{names[1]}'" if len(names) > 1 else ""
    yield f"The graph's function '{names[0]}' calls itself{ways}."


def _unknown_functions(found: list[Scope]) -> Iterator[str]:
  """Yields what could be any function of the process that loads the graph."""
  counts = collections.Counter(scope.name for scope in found)
  for name, count in counts.items():
    if count > 1:
      yield f"The graph holds the function '{name}' {count} times."
  for scope in found:
    for call in scope.calls:
      for name in call.names:
        if name not in counts:
          yield (
            f"The graph's {scope.where(call.node)} calls '{name}', which the "
            "graph does not hold."
          )
