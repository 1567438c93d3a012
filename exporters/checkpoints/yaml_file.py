"""Reads the YAML of trainings with Model Garden; anyone may have written it."""

from __future__ import annotations

from typing import Any

import yaml

from exporters.errors import ExportError
from exporters.saved_model import assets

# How deep a nest may be, and how many values it may have where each alias
# stands for a copy; a training's has a few hundred.
_DEEPEST, _MOST_VALUES = 100, 100_000
# What PyYAML raises for values that are not of the type that they are tagged.
_ERRORS = (
  yaml.YAMLError,
  ArithmeticError,
  AttributeError,
  LookupError,
  RecursionError,
  TypeError,
  ValueError,
)


class _Loader(yaml.SafeLoader):
  """Also reads tuples, as Model Garden writes them."""

  def sequence(self, node: yaml.SequenceNode) -> list[Any]:
    """Returns the elements of a list or a tuple."""
    return self.construct_sequence(node, deep=True)

  def fetch_flow_collection_start(self, token_class: Any) -> None:
    """Reads a bracket; PyYAML's time grows by the square of their number."""
    if self.flow_level >= _DEEPEST:
      raise ValueError("its brackets are nested too deep")
    super().fetch_flow_collection_start(token_class)

  def get_single_node(self) -> yaml.Node | None:
    """Returns the document, which a few aliases can't make a large one."""
    node = super().get_single_node()
    if node is not None:
      _refuse_expanding(node)
    return node


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _Loader.sequence)


def read(path: str, what: str) -> Any:
  """Returns what a file holds.

  Args:
    path: A local or remote file, which exists.
    what: What the user calls it, for the error.

  Raises:
    ExportError: It is damaged.
  """
  _, text = assets.read(path, what, encoding="utf-8")
  try:
    return yaml.load(text, Loader=_Loader)
  except _ERRORS as e:
    message = str(e).replace("\n", " ")
    if not isinstance(e, (yaml.YAMLError, ValueError)):
      message = f"{type(e).__name__}: {message}"
    raise ExportError(
      f"Cannot parse the {what} '{path}': {message}. Fix it, or move it away."
    ) from e


def _refuse_expanding(root: yaml.Node) -> None:
  """Raises `ValueError` if copies in place of aliases would be without end."""
  # Of each node: how many values it would be, and how deep.
  known: dict[int, tuple[int, int]] = {}
  opened = set()
  pending = [root]
  while pending:
    node = pending[-1]
    inner = _inner(node)
    unknown = [part for part in inner if id(part) not in known]
    if id(node) in known or not unknown:
      found = [known[id(part)] for part in inner]
      size = 1 + sum(size for size, _ in found)
      depth = 1 + max((depth for _, depth in found), default=0)
      if size > _MOST_VALUES or depth > _DEEPEST:
        raise ValueError(
          "it is nested too deep, or its aliases stand for too much"
        )
      known[id(node)] = size, depth
      pending.pop()
    elif id(node) in opened:
      raise ValueError("it has an alias within what the alias stands for")
    else:
      opened.add(id(node))
      pending += unknown


def _inner(node: yaml.Node) -> list[yaml.Node]:
  if isinstance(node, yaml.MappingNode):
    return [part for pair in node.value for part in pair]
  return node.value if isinstance(node, yaml.SequenceNode) else []
