"""Lists the modules that gin files import, without importing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import os
import pathlib
import tokenize

from gin import config_parser
from typing_extensions import override

from exporters.gin_files import reading

_ROOT = pathlib.Path(__file__).parents[2]


class _Unresolved(config_parser.ParserDelegate):
  """Leaves names in values as they are."""

  @override
  def configurable_reference(self, scoped_configurable_name, evaluate):
    return scoped_configurable_name

  @override
  def macro(self, macro_name):
    return macro_name


def modules(files: Sequence[str]) -> list[str]:
  """Returns the modules that gin files and those that they include import.

  A file that cannot be parsed is left to who reads it for what it binds.

  Args:
    files: Paths, relative to the working directory or the repository's root.
  """
  return sorted(set(_modules(files, set())))


def _modules(files: Sequence[str], seen: set[str]) -> Iterator[str]:
  for file in files:
    path = file if os.path.exists(file) else str(_ROOT / file)
    if path in seen or not os.path.isfile(path):
      continue
    seen.add(path)
    included = []
    try:
      text = pathlib.Path(path).read_text("utf-8-sig")
      if reading.too_many_parts(text):
        continue
      for statement in config_parser.ConfigParser(text, _Unresolved()):
        if isinstance(statement, config_parser.ImportStatement):
          yield statement.module
        elif isinstance(statement, config_parser.IncludeStatement):
          included.append(statement.filename)
    except (
      MemoryError,
      RecursionError,
      SyntaxError,
      UnicodeDecodeError,
      tokenize.TokenError,
    ):
      continue
    yield from _modules(included, seen)
