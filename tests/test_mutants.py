"""The mutants of `scripts.mutants`: one change each, in code that runs."""

import ast
import pathlib

import pytest

from scripts import mutants

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted((ROOT / "exporters/checks").glob("*.py"))


def changes(source: str) -> set[str]:
  """Returns what becomes of a line, without the first one."""
  return {mutant.source.strip() for mutant in mutants.mutants_of("x", source)}


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
  assert changes(source) == expected


def test_a_condition_is_turned_round_and_left_out():
  assert changes("if a:\n  x = b") == {"if not a:\n    x = b", "pass"}


def test_a_mutant_says_what_was_changed():
  (mutant,) = mutants.mutants_of("numbers", "\nx = not a\n")
  assert str(mutant) == "numbers.py:2: `not a` -> `a`"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_mutant_compiles_and_differs(path):
  source = path.read_text()
  plain = ast.unparse(ast.parse(source)) + "\n"
  for mutant in mutants.mutants_of(path.stem, source):
    compile(mutant.source, path, "exec")
    assert mutant.source != plain


def test_all_tests_that_are_named_exist():
  files = {file for files in mutants._TESTS.values() for file in files}
  assert all((ROOT / file).is_file() for file in files)
  stems = {path.stem for path in MODULES}
  assert mutants._TESTS.keys() <= stems
