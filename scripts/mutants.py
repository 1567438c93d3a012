r"""Changes the checks of the contract one by one: do the tests notice?

  python -m scripts.mutants --minutes=60
  python -m scripts.mutants --minutes=10 --modules=privacy,numbers --seed=1

A mutant is a copy of the repository in which one thing of `exporters/checks/`
is another: a comparison, a condition, a number, a statement that is left out.
Those tests run that matter to its module. Mutants come in random order until
the time is over. What survived is printed: write a test that kills it, or say
in docs/checks.md why nobody could.

The files are changed on disk, since the checks run in processes of their own.
"""

from __future__ import annotations

import ast
import collections
from collections.abc import Iterator
import contextlib
import copy
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from exporters.command_line import program
from exporters.errors import ExportError

_MINUTES = flags.DEFINE_float("minutes", 60.0, "How long to go on.")
_SEED = flags.DEFINE_integer("seed", 0, "Chooses the mutants.")
_MODULES = flags.DEFINE_list(
  "modules", [], "Modules of exporters/checks. Default: all."
)
_ROOT = pathlib.Path(__file__).parents[1]
_CHECKS = pathlib.PurePath("exporters/checks")
# By module, the tests that break an artifact in just the way that it looks for.
_OTHERS = ("tests/test_checks.py",)
_PARTS = ("tests/test_check_parts.py", *_OTHERS)
_TESTS = {
  "__main__": ("tests/test_checks.py", "tests/test_check_command.py"),
  "harness": _PARTS,
  "nests": _PARTS,
  "numbers": _PARTS,
  "results": _PARTS,
  "detections": ("tests/test_detection.py",),
  "images": ("tests/test_checks.py", "tests/test_images.py"),
  "loader_files": ("tests/test_opened_files.py", "tests/test_operations.py"),
  "masks": ("tests/test_segmentation.py",),
  "memory": ("tests/test_check_memory.py",),
  "opened_files": ("tests/test_opened_files.py", "tests/test_operations.py"),
  "operations": ("tests/test_operations.py", "tests/test_opened_files.py"),
  "privacy": ("tests/test_privacy.py",),
  "scopes": ("tests/test_operations.py", "tests/test_opened_files.py"),
  "specification": ("tests/test_check_command.py",),
  "videos": ("tests/test_checks.py", "tests/test_video_classification.py"),
}
# A mutant may go on for ever. So many seconds are for the slowest tests.
_HANGS_AFTER = 400.0
_KILLED, _SURVIVED = "killed", "survived"

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


def main() -> None:
  """Runs the tests on mutants, and prints what survived."""
  end = time.monotonic() + _MINUTES.value * 60
  sources = {
    path.stem: path.read_text("utf-8")
    for path in sorted((_ROOT / _CHECKS).glob("*.py"))
  }
  wanted = _MODULES.value or list(sources)
  if unknown := set(wanted) - sources.keys():
    raise ExportError(f"There are no modules {sorted(unknown)} of checks.")
  mutants = [m for name in wanted for m in mutants_of(name, sources[name])]
  random.Random(_SEED.value).shuffle(mutants)
  found = collections.defaultdict(list)
  with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
    tree = _copied(pathlib.Path(folder))
    for mutant in mutants:
      if time.monotonic() > end:
        break
      file = tree / _CHECKS / f"{mutant.module}.py"
      file.write_text(mutant.source, "utf-8")
      state = _tried(tree, _TESTS.get(mutant.module, _OTHERS))
      file.write_text(sources[mutant.module], "utf-8")
      found[mutant.module, state].append(mutant)
      print(f"{state}  {mutant}", file=sys.stderr, flush=True)
  _tell(wanted, mutants, found)


def _copied(folder: pathlib.Path) -> pathlib.Path:
  """Copies what git tracks; links the rest that the tests need."""
  tree = folder / "repository"
  names = subprocess.run(
    ["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True
  ).stdout
  for name in names.decode().split("\0"):
    if name and (_ROOT / name).is_file():
      (tree / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(_ROOT / name, tree / name)
  for name in (".venv", ".cache"):
    if (_ROOT / name).exists():
      (tree / name).symlink_to((_ROOT / name).resolve())
  return tree


def _tried(tree: pathlib.Path, tests: tuple[str, ...]) -> str:
  """Returns whether a test fails."""
  # Compiled files are told apart by the second: a mutant may come sooner.
  environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
  environment.pop("PYTHONPATH", None)
  with subprocess.Popen(
    [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *tests],
    cwd=tree,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
  ) as process:
    try:
      return _KILLED if process.wait(_HANGS_AFTER) else _SURVIVED
    except subprocess.TimeoutExpired:
      return _KILLED
    finally:
      # With what it started.
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _tell(wanted: list[str], mutants: list[Mutant], found: Any) -> None:
  print("| module | mutants | tried | killed |\n|---|---|---|---|")
  survivors = []
  for name in wanted:
    number = sum(mutant.module == name for mutant in mutants)
    killed, survived = found[name, _KILLED], found[name, _SURVIVED]
    survivors += survived
    print(
      f"| `{name}` | {number} | {len(killed) + len(survived)} | {len(killed)} |"
    )
  for mutant in survivors:
    print(f"- {mutant}")


if __name__ == "__main__":
  program.run(main, modules=[])
