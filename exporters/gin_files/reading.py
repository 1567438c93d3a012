"""Reads gin files as people write them, and bindings as they pass them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import io
import os
import tokenize

from absl import logging
import gin

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.errors import unexpanded
from exporters.gin_files import wording

# Of the parts of one text.
_MOST_PARTS = 200


def parse(
  files: Sequence[str],
  bindings: Sequence[str],
  source: str = wording.BINDINGS,
) -> None:
  """Has gin parse files, and then bindings.

  Args:
    files: Paths, relative to the working directory or the repository's root.
    bindings: Further lines of gin.
    source: Where these come from, for errors.

  Raises:
    ExportError: A file cannot be read, or a line is not right.
  """
  lines = "\n".join(bindings)
  try:
    with _readers():
      for file in files:
        gin.parse_config_file(file)
      with _text(lines, source) as text:
        gin.parse_config(text)
  except ExportError as e:
    # Without what gin appends to the message.
    raise ExportError(e.message) from e
  except Exception as e:
    raise wording.of_parsing(e, lines.splitlines(), source) from e


def too_many_parts(text: str) -> bool:
  """Says whether a text of gin has a value of so many texts in a row.

  The time that gin takes for them grows by the square of their number.
  """
  row = 0
  with contextlib.suppress(SyntaxError, tokenize.TokenError):
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
      if token.type == tokenize.STRING:
        row += 1
      elif token.type not in (tokenize.NL, tokenize.COMMENT):
        row = 0
      if row > _MOST_PARTS:
        return True
  return False


@contextlib.contextmanager
def _text(text: str, name: str) -> Iterator[io.StringIO]:
  """Yields a text as a file with the name that gin has for it in errors."""
  if too_many_parts(text):
    raise ExportError(
      f"A value in '{name}' has more than {_MOST_PARTS} texts in a row. Write "
      "fewer and longer ones."
    )
  file = io.StringIO(text)
  file.name = name
  try:
    yield file
  except tokenize.TokenError as e:
    place = (name, e.args[1][0], 0, "")
    raise SyntaxError(wording.NOT_CLOSED, place) from e


@contextlib.contextmanager
def _readers() -> Iterator[None]:
  """Lets gin read files by `_open`.

  It has no public way to put a reader before its own.
  """
  before = list(gin.config._FILE_READERS)
  opened: list[str] = []

  @contextlib.contextmanager
  def reader(path: str) -> Iterator[io.StringIO]:
    if path in opened:
      names = " -> ".join(f"'{p}'" for p in (*opened, path))
      raise ExportError(f"The gin files include each other: {names}.")
    opened.append(path)
    with _text(_read(path), path) as text:
      yield text
    opened.remove(path)

  def refuse(path: str) -> bool:
    raise ExportError(_missing(path))

  # The next one finds files below the root of the repository, from anywhere;
  # it logs what it doesn't find.
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)
  gin.config._FILE_READERS[:] = [
    (reader, os.path.isfile),
    *before[1:],
    (reader, refuse),
  ]
  try:
    yield
  finally:
    gin.config._FILE_READERS[:] = before
    logging.set_verbosity(verbosity)


def _read(path: str) -> str:
  """Returns the text of a gin file, without a byte-order mark."""
  try:
    with open(path, "rb") as f:
      content = f.read()
    return content.decode("utf-8-sig")
  except OSError as e:
    raise ExportError(
      f"Cannot read the gin file '{path}': {e.strerror}."
    ) from e
  except UnicodeDecodeError as e:
    line = content[: e.start].count(b"\n") + 1
    raise ExportError(
      f"The gin file '{path}' is not UTF-8: line {line} has the byte "
      f"0x{content[e.start]:02x}. Save it as UTF-8."
    ) from e


def _missing(path: str) -> str:
  if os.path.isdir(path):
    return f"The gin file '{path}' is a folder. Name a file in it."
  folder, name = os.path.split(path)
  names = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
  return (
    f"The gin file '{path}' does not exist, neither below the working "
    "directory nor below the root of the repository."
    f"{unexpanded(path) or did_you_mean(name, names)}"
  )
