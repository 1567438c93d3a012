"""What opens a file for good reason: the saver, and tables out of assets.

It passes where the loader names the file: the saver's, or that of an asset. So
a name is followed back from the operation that opens it, through the calls on
the way, to what the loader gives. Whatever else it is made of, it could be any
file.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping
import re
from typing import Any

from .scopes import Scope
from .scopes import data_inputs
from .scopes import node_name

SAVER, ASSET = "saver", "asset"
# The operations, with the inputs that name a file.
OPENERS: Mapping[str, tuple[str, tuple[int, ...]]] = {
  "InitializeTableFromTextFile": (ASSET, (1,)),
  "InitializeTableFromTextFileV2": (ASSET, (1,)),
  "MergeV2Checkpoints": (SAVER, (0, 1)),
  "RestoreV2": (SAVER, (0,)),
  "SaveV2": (SAVER, (0,)),
}
# TensorFlow's names for the functions that the saver runs.
_SAVER_FUNCTIONS = ("__inference__traced_save", "__inference__traced_restore")
# What the saver appends to the name that it is given.
_SUFFIX = re.compile(rb"\.part|_temp(_[0-9a-f]{32})?/part")


class Opened:
  """Where the nodes of a graph open files, and how these get their names.

  Attributes:
    faults: Scopes, nodes and kinds where a file has a name that is not given.
    functions: By function and kind, the arguments that name a file.
    nodes: By kind, the nodes around all functions that open one.
  """

  def __init__(self, scopes: list[Scope], given: Mapping[str, Collection[str]]):
    """Follows the names of files back.

    Args:
      scopes: Of the graph.
      given: By kind, the nodes around all functions whose value is the name
        of a file that the loader gives.
    """
    self._given = given
    self._scopes = scopes
    self.faults: list[tuple[Scope, Any, str]] = []
    self.functions: dict[str, dict[str, set[str]]] = {}
    self.nodes: dict[str, set[str]] = {SAVER: set(), ASSET: set()}
    for scope in scopes:
      for node in scope.nodes:
        if node.op in OPENERS:
          kind, indices = OPENERS[node.op]
          self._open(scope, node, kind, indices)
    if self.functions:
      self._follow_calls()

  def _open(
    self, scope: Scope, node: Any, kind: str, indices: Iterable[int]
  ) -> bool:
    """Notes that a node opens a file; returns whether a caller names it."""
    names = self._sources(scope, node, kind, indices)
    if names is None:
      self.faults.append((scope, node, kind))
      return False
    if not scope.name:
      self.nodes[kind].add(node.name)
      return False
    before = self.functions.setdefault(scope.name, {}).setdefault(kind, set())
    new = not names <= before
    before |= names
    return new

  def _follow_calls(self) -> None:
    arguments = {scope.name: scope.arguments for scope in self._scopes}
    callers = collections.defaultdict(list)
    for scope in self._scopes:
      for call in scope.calls:
        for name in call.names:
          callers[name].append((scope, call.node, call.hands_on()))
      # A function may be called like an operation.
      for node in scope.nodes:
        if node.op in arguments:
          callers[node.op].append((scope, node, True))
    pending = [*self.functions]
    while pending:
      function = pending.pop()
      for scope, node, hands_on in callers[function]:
        for kind, names in [*self.functions[function].items()]:
          # Whatever the names, the saver is nobody else's to call.
          if not hands_on or (kind == SAVER and scope.name):
            self.faults.append((scope, node, kind))
            continue
          indices = [arguments[function].index(name) for name in names]
          if self._open(scope, node, kind, indices):
            pending.append(scope.name)

  def _sources(
    self, scope: Scope, node: Any, kind: str, indices: Iterable[int]
  ) -> set[str] | None:
    """Returns what is given and makes a file's name; None: something else."""
    given = self._given[kind] if not scope.name else scope.arguments
    if scope.name and kind == SAVER:
      given = given if scope.name.startswith(_SAVER_FUNCTIONS) else ()
    inputs = data_inputs(node)
    if max(indices, default=0) >= len(inputs):
      return None
    pending = [node_name(inputs[index]) for index in indices]
    found: set[str] = set()
    seen: set[str] = set()
    while pending:
      name = pending.pop()
      if name in given:
        found.add(name)
      elif name not in seen:
        seen.add(name)
        further = self._further(scope, scope.by_name.get(name), kind)
        if not further:
          return None
        pending += map(node_name, further)
    return found or None

  def _further(self, scope: Scope, node: Any, kind: str) -> list[str]:
    """Returns what a node makes its name of, if it leaves it as it is."""
    inputs = data_inputs(node) if node else []
    if not inputs:
      return []
    if node.op == "Identity":
      return inputs[:1]
    if kind == ASSET:
      if node.op == "ReadVariableOp" and not scope.name:
        return self._assigned(scope, node_name(inputs[0]))
      return []
    if node.op == "Pack":
      return inputs
    if node.op == "StringJoin" and len(inputs) == 2:
      separator = node.attr.get("separator")
      plain = not separator or not separator.s
      return inputs[:1] if plain and _is_suffix(scope, inputs[1]) else []
    return inputs[:1] if node.op == "ShardedFilename" else []

  def _assigned(self, scope: Scope, handle: str) -> list[str]:
    """Returns what is assigned to a variable, if nothing else can change it."""
    node = scope.by_name.get(handle)
    if node is None or node.op != "VarHandleOp":
      return []
    if _handles(self._scopes)[_shared_name(node)] > 1:
      return []
    assigned = []
    for user in scope.nodes:
      inputs = [node_name(name) for name in data_inputs(user)]
      if handle not in inputs:
        continue
      if user.op == "AssignVariableOp" and inputs.index(handle) == 0:
        assigned.append(inputs[1])
      elif user.op not in ("ReadVariableOp", "VarIsInitializedOp"):
        return []
    return assigned


def _handles(scopes: list[Scope]) -> collections.Counter:
  """Returns how many handles in a graph lead to a variable, by its name."""
  found: collections.Counter = collections.Counter()
  for scope in scopes:
    for node in scope.nodes:
      if node.op == "VarHandleOp":
        found[_shared_name(node)] += 1
      elif node.op == "_VarHandlesOp":
        names = node.attr.get("shared_names")
        found.update(names.list.s if names else ())
  return found


def _shared_name(node: Any) -> bytes:
  name = node.attr.get("shared_name")
  return (name.s if name else b"") or node.name.encode()


def _is_suffix(scope: Scope, tensor: str) -> bool:
  """Says whether a text is one of those that the saver appends."""
  node = scope.by_name.get(node_name(tensor))
  if node is not None and node.op in ("Select", "SelectV2"):
    nodes = [scope.by_name.get(node_name(i)) for i in data_inputs(node)[1:]]
  else:
    nodes = [node]
  return all(
    node is not None and node.op == "Const" and _is_suffix_text(node)
    for node in nodes
  )


def _is_suffix_text(constant: Any) -> bool:
  value = constant.attr.get("value")
  texts = list(value.tensor.string_val) if value else []
  return (
    len(texts) == 1
    and _SUFFIX.fullmatch(texts[0]) is not None
    and not value.tensor.tensor_content
  )


def misplaced(scopes: list[Scope]) -> set[str]:
  """Returns the operations that open a file which nobody can be asked for.

  Around the functions of a lone graph, no loader gives anything.
  """
  opened = Opened(scopes, {SAVER: (), ASSET: ()})
  return {node.op for _, node, _ in opened.faults if node.op in OPENERS}
