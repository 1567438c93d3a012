"""Reads a gin file into a recipe: everything that makes an artifact.

Gin files name Python classes directly (dynamic registration), so there is no
table of architectures here. Gin words its errors in its own terms; here they
are reworded in the file's: what is wrong, where, and what was probably meant.
"""

from collections.abc import Sequence
import dataclasses
import importlib
import importlib.util
import inspect
import re

import gin

from exporters import base
from exporters.errors import ExportError
from exporters.errors import did_you_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """The top of every gin file.

  Attributes:
    exporter: The model to export.
    page: What a release says about the model, an `exporters.release.page.Page`.
      An export needs none.
  """

  exporter: base.Exporter
  page: object | None = None


def load(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> Recipe:
  """Returns the recipe that the files and bindings describe.

  Args:
    gin_files: Paths, relative to the working directory or to the repository's
      root.
    gin_bindings: Further lines of gin, which override those of the files.

  Raises:
    ExportError: A file is missing, or there is a mistake in what it binds.
  """
  if not gin_files:
    raise ExportError(
      "Say what to export: --gin_file=FILE, a file below configs/ or your own."
    )
  try:
    gin.parse_config_files_and_bindings(
      list(gin_files),
      list(gin_bindings),
      # Macros without a value are reported below, all at once.
      finalize_config=False,
      print_includes_and_imports=False,
    )
  except Exception as e:
    raise _reworded(e) from e
  _refuse_unset_macros()
  try:
    return gin.get_configurable(Recipe)()
  except ExportError as e:
    # Without what gin appends to the message: which configurable it called.
    raise ExportError(*e.args) from e
  except (TypeError, ValueError) as e:
    raise _reworded(e) from e


def _refuse_unset_macros() -> None:
  unset = re.findall(
    r"^(\w+) = \\?\s*%(?:gin\.)?REQUIRED$", gin.config_str(), re.M
  )
  if unset:
    flags = " ".join(
      f"--gin_bindings=\"{name} = '...'\"" for name in sorted(unset)
    )
    raise ExportError(
      f"The gin file leaves {' and '.join(sorted(unset))} to you. Pass {flags}"
    )


def _reworded(error: Exception) -> ExportError:
  """Returns an error about the gin file in place of gin's own."""
  message = str(error)
  where = _where(message)
  for pattern, reword in _REWORDINGS:
    match = re.search(pattern, message, re.S)
    if match:
      return ExportError(f"{reword(*match.groups())}{where}")
  return ExportError(f"{message.partition(chr(10))[0]}{where}")


def _where(message: str) -> str:
  match = re.search(r'In (?:file "(.+?)",|bindings string) line (\d+)', message)
  line = re.search(r"line (\d+)", message)
  if match and match.group(1):
    return f" ({match.group(1)}, line {match.group(2)})"
  if match:
    return f" (--gin_bindings, line {match.group(2)})"
  return f" (line {line.group(1)})" if line else ""


def _unknown_parameter(configurable: str, name: str) -> str:
  initializer = gin.get_configurable(configurable).__init__
  parameters = inspect.signature(initializer).parameters
  return (
    f"{configurable} has no parameter '{name}'.{did_you_mean(name, parameters)}"
  )


def _unknown_attribute(module: str, name: str) -> str:
  names = vars(importlib.import_module(module))
  return f"{module} has no '{name}'.{did_you_mean(name, names)}"


def _unknown_configurable(name: str) -> str:
  bound = re.findall(r"^([\w.]+)\.\w+ =", gin.config_str(), re.M)
  hint = did_you_mean(name, bound)
  hint = hint or " Import its module in the gin file, above this line."
  return f"The gin file uses '{name}', but imports nothing of this name.{hint}"


def _missing_file(path: str) -> str:
  return (
    f"The gin file '{path}' does not exist, neither below the working "
    "directory nor below the root of the repository."
  )


def _missing_arguments(names: str, configurable: str) -> str:
  return f"The gin file must set {names} of {configurable}."


def _unset_macro(name: str) -> str:
  return (
    f"The gin file uses the macro %{name}, but nothing sets it. Pass "
    f"--gin_bindings=\"{name} = '...'\"."
  )


def _unparsable(*unused_groups: str) -> str:
  return "Cannot parse a value. Write strings in quotes: NAME = '/a/path'."


_REWORDINGS = (
  (
    r"Configurable '(.+?)' doesn't have a parameter named '(\w+)'",
    _unknown_parameter,
  ),
  (r"<module '([\w.]+)'.*?> has no attribute (\w+)", _unknown_attribute),
  (r"No configurable matching '(.+?)'", _unknown_configurable),
  (r"Unable to open file: (.+?)\. Searched", _missing_file),
  (r"macro\(\) missing.*in scope '(\w+)'", _unset_macro),
  (
    r"missing \d+ required .*?: (.+?)\n.*configurable '(\w+)'",
    _missing_arguments,
  ),
  (r"malformed node|Unable to parse|Failed to parse token", _unparsable),
)
