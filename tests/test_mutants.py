"""The mutants of `scripts.mutants`: one change each, in code that runs."""

import ast
import builtins
import pathlib

import pytest

from scripts.mutants import __main__ as mutants
from scripts.mutants import changes
from scripts.mutants import forks

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted((ROOT / "exporters/checks").glob("*.py"))


def changed(source: str) -> set[str]:
  """Returns what becomes of a line, without the first one."""
  return {mutant.source.strip() for mutant in changes.mutants_of("x", source)}


@pytest.mark.parametrize(
  ("source", "expected"),
  [
    ("a < b", {"a <= b", "pass"}),
    ("a not in b", {"a in b", "pass"}),
    ("a and b", {"a or b", "a", "b", "pass"}),
    ("x = a + 1", {"x = a - 1", "x = a + 2"}),
    ("x = True", {"x = False"}),
    ("x = 1e-05", {"x = 0.0001"}),
    ("x = not a", {"x = a"}),
    ("x = a if b else c", {"x = a", "x = c"}),
    ("x = any(a)", {"x = all(a)"}),
    ("x = [a for a in b if c]", {"x = [a for a in b]"}),
    ("raise a", {"pass"}),
    ("x += a", {"pass"}),
    ("x: a | b = c", set()),
    ("'Says what it does.'", set()),
    ("x = 'text'", set()),
  ],
)
def test_changes(source, expected):
  assert changed(source) == expected


def test_a_condition_is_turned_round_and_left_out():
  assert changed("if a:\n  x = b") == {"if not a:\n    x = b", "pass"}


def test_a_mutant_says_what_was_changed():
  (mutant,) = changes.mutants_of("numbers", "\nx = not a\n")
  assert str(mutant) == "numbers.py:2: `not a` -> `a`"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_mutant_compiles_and_differs(path):
  source = path.read_text()
  plain = ast.unparse(ast.parse(source)) + "\n"
  for mutant in changes.mutants_of(path.stem, source):
    compile(mutant.source, path, "exec")
    assert mutant.source != plain


def test_all_tests_that_are_named_exist():
  files = {test.partition("::")[0] for test in mutants.TESTS}
  assert all((ROOT / file).is_file() for file in files)


_SOURCE = """X = 1
def f(a):
  "Says what it does."
  def g():
    return 2
  if a:
    return [
      3
    ]
  elif g():
    return 4
  return 5
"""


def test_a_line_belongs_to_the_innermost_statement_of_a_function():
  found = changes.statements(_SOURCE)
  lines = [found.get(line) for line in range(1, 13)]
  assert lines == [None, None, 3, 4, 5, 6, 7, 7, 7, 10, 11, 12]


@pytest.mark.parametrize(
  ("argument", "expected"), [(1, [4, 6, 7]), (0, [4, 6, 10, 5, 11])]
)
def test_a_marked_module_says_which_statements_are_run(
  monkeypatch, argument, expected
):
  marks = []
  monkeypatch.setattr(builtins, changes.MARK, marks.append, raising=False)
  names = {}
  exec(changes.marked("x", _SOURCE), names)
  assert names["f"](argument) == ([3] if argument else 4)
  assert marks == [f"x:{line}" for line in expected]
  assert names["f"].__doc__ == "Says what it does."


def test_a_fork_tells_what_its_tests_reach(tmp_path):
  """Of a copy of the checks in which each statement is marked."""
  tree = mutants._copied(tmp_path)
  numbers = tree / "exporters/checks/numbers.py"
  source = numbers.read_text()
  (line,) = (
    number
    for number, text in enumerate(source.splitlines(), start=1)
    if "no call of it is known" in text
  )
  mark = f"numbers:{line}"
  numbers.write_text(changes.marked("numbers", source))
  worst = "tests/test_check_parts.py::TestWorst"
  of_nothing = f"{worst}::test_of_nothing_says_nothing"
  with forks.Forks(tree, tmp_path) as forked:
    assert forked.pytest([worst], seconds=300)
    known = forked.known
    reaching = [test for test in known if mark in known[test]["marks"]]
    assert reaching == [of_nothing]
    (mutant,) = (
      mutant
      for mutant in changes.mutants_of("numbers", source)
      if mutant.line == line and mutant.after == "pass"
    )
    numbers.write_text(mutant.source)
    assert not forked.pytest(reaching, seconds=300, mark=mark)
    assert "DID NOT RAISE" in forked.log.read_text()
    assert not forked.pytest([worst], seconds=0.0, mark=mark)
