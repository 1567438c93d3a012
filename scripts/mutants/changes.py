"""The changes that make a mutant out of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
import copy
import dataclasses
from typing import Any

# What `marked` calls, in processes that know it.
MARK = "_mutants_mark"

_OPERATORS: dict[type, type] = {
  ast.Lt: ast.LtE,
  ast.LtE: ast.Lt,
  ast.Gt: ast.GtE,
  ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq,
  ast.NotEq: ast.Eq,
  ast.In: ast.NotIn,
  ast.NotIn: ast.In,
  ast.Is: ast.IsNot,
  ast.IsNot: ast.Is,
  ast.And: ast.Or,
  ast.Or: ast.And,
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
  ast.BitOr: ast.BitAnd,
  ast.BitAnd: ast.BitOr,
}
_FUNCTIONS = {"any": "all", "all": "any", "max": "min", "min": "max"}
# What can be left out, so that the rest still runs.
_STATEMENTS = (
  ast.Expr,
  ast.AugAssign,
  ast.Raise,
  ast.If,
  ast.For,
  ast.Continue,
)


@dataclasses.dataclass(frozen=True)
class Mutant:
  """A module in which one thing is another.

  Attributes:
    module: The module's name.
    line: Where the change is.
    before: What stood there.
    after: What stands there now.
    source: The whole module.
  """

  module: str
  line: int
  before: str
  after: str
  source: str

  def __str__(self) -> str:
    return f"{self.module}.py:{self.line}: `{self.before}` -> `{self.after}`"


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
  """Yields every mutant of a module."""
  tree = ast.parse(source)
  for parent, field, place, node in list(_places(tree)):
    for changed in _changes(node):
      _put(parent, field, place, changed)
      yield Mutant(
        module=module,
        line=node.lineno,
        before=_shown(node),
        after=_shown(changed),
        source=ast.unparse(ast.fix_missing_locations(tree)) + "\n",
      )
      _put(parent, field, place, node)


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, Any]]:
  """Yields all nodes that run, with where they stand: field, and index."""
  pending: list[ast.AST] = [tree]
  while pending:
    parent = pending.pop()
    for field, value in ast.iter_fields(parent):
      if field in ("annotation", "returns"):
        continue
      many = isinstance(value, list)
      for place, node in enumerate(value if many else [value]):
        if isinstance(node, ast.AST):
          pending.append(node)
          if hasattr(node, "lineno") and not _is_docstring(parent, node):
            yield parent, field, place if many else None, node


def _is_docstring(parent: ast.AST, node: ast.AST) -> bool:
  return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _put(parent: ast.AST, field: str, place: int | None, node: Any) -> None:
  if place is None:
    setattr(parent, field, node)
  else:
    getattr(parent, field)[place] = node


def _changes(node: Any) -> Iterator[Any]:
  """Yields other nodes to stand in a node's place."""
  match node:
    case ast.Compare(ops=[operator]) if type(operator) in _OPERATORS:
      yield _with(node, ops=[_OPERATORS[type(operator)]()])
    case ast.BoolOp(op=operator, values=values):
      yield _with(node, op=_OPERATORS[type(operator)]())
      for i in range(len(values)):
        kept = values[:i] + values[i + 1 :]
        yield _with(node, values=kept) if len(kept) > 1 else kept[0]
    case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
      yield _with(node, op=_OPERATORS[type(operator)]())
    case ast.UnaryOp(operand=operand):
      yield operand
    case ast.IfExp(body=body, orelse=orelse):
      yield from (body, orelse)
    case ast.Constant(value=bool(value)):
      yield ast.Constant(not value)
    case ast.Constant(value=int(value)):
      yield ast.Constant(value + 1)
    case ast.Constant(value=float(value)):
      yield ast.Constant(value * 10 or 1.0)
    case ast.Call(func=ast.Name(id=name)) if name in _FUNCTIONS:
      yield _with(node, func=ast.Name(_FUNCTIONS[name], ast.Load()))
    case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
      for i, generator in enumerate(node.generators):
        for j in range(len(generator.ifs)):
          changed = copy.deepcopy(node)
          del changed.generators[i].ifs[j]
          yield changed
  if isinstance(node, (ast.If, ast.While)):
    yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
  if isinstance(node, _STATEMENTS):
    yield ast.Pass()


def _with(node: Any, **fields: Any) -> Any:
  changed = copy.copy(node)
  for name, value in fields.items():
    setattr(changed, name, value)
  return changed


def _shown(node: ast.AST) -> str:
  text = ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]
  return text if len(text) <= 70 else f"{text[:67]}..."


def statements(source: str) -> dict[int, int]:
  """Returns the line of the innermost statement in a function, by each line."""
  found: dict[int, int] = {}
  for body in _bodies(ast.parse(source)):
    for statement in body:
      # Inner ones come later.
      lines = range(statement.lineno, (statement.end_lineno or 0) + 1)
      found |= dict.fromkeys(lines, statement.lineno)
  return found


def marked(module: str, source: str) -> str:
  """Returns a module whose statements in functions say that they are run.

  Args:
    module: Its name.
    source: The whole module.
  """
  tree = ast.parse(source)
  for body in list(_bodies(tree)):
    for statement in list(body):
      place = f"{module}:{statement.lineno}"
      call = f"__import__('builtins').__dict__.get('{MARK}', str)('{place}')"
      if not _is_docstring(tree, statement):
        body.insert(body.index(statement), *ast.parse(call).body)
  return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
  """Yields the blocks of statements in functions, outer ones first."""
  pending = [(tree, False)]
  while pending:
    node, inside = pending.pop(0)
    inside = inside or isinstance(node, ast.FunctionDef)
    for field in ("body", "orelse", "finalbody") if inside else ():
      block = getattr(node, field, None)
      if isinstance(block, list) and block:
        yield block
    pending += ((inner, inside) for inner in ast.iter_child_nodes(node))
