"""Reads a gin file into a recipe: everything that makes an artifact.

Gin names Python's own classes (dynamic registration), so there is no table of
architectures here. What gin says of a mistake is about gin; here it is reworded
to be about the file: what is wrong, where, and what was probably meant.
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
    page: What a release says of it, an `exporters.release.page.Page`; an export
      alone needs none.
  """

  exporter: base.Exporter
  page: object | None = None


def load(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> Recipe:
  """Returns what the files, and then the bindings, describe.

  Args:
    gin_files: Paths, from the working directory or from the repository's root.
    gin_bindings: Further lines of gin.

  Raises:
    ExportError: A file is missing, or says something that can't be.
  """
  if not gin_files:
    raise ExportError(
      "Say what to export: --gin_file=FILE, one below configs/ or your own."
    )
  try:
    gin.parse_config_files_and_bindings(
      list(gin_files),
      list(gin_bindings),
      # What is unset is found below, all at once.
      finalize_config=False,
      print_includes_and_imports=False,
    )
  except Exception as e:
    raise _reworded(e) from e
  _refuse_unset_macros()
  try:
    return gin.get_configurable(Recipe)()
  except ExportError as e:
    # Gin appends to the message where it called what raised it.
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


def _parameter(configurable: str, name: str) -> str:
  initializer = gin.get_configurable(configurable).__init__
  parameters = inspect.signature(initializer).parameters
  return (
    f"{configurable} has no parameter '{name}'.{did_you_mean(name, parameters)}"
  )


def _attribute(module: str, name: str) -> str:
  names = vars(importlib.import_module(module))
  return f"{module} has no '{name}'.{did_you_mean(name, names)}"


def _unknown(name: str) -> str:
  bound = re.findall(r"^([\w.]+)\.\w+ =", gin.config_str(), re.M)
  hint = did_you_mean(name, bound)
  hint = hint or " A gin file must import its module first."
  return f"The gin file knows no '{name}'.{hint}"


def _missing_file(path: str) -> str:
  return (
    f"The gin file '{path}' does not exist, neither from the working directory "
    "nor from the root of the repository."
  )


def _missing_arguments(names: str, configurable: str) -> str:
  return f"The gin file must set {names} of {configurable}."


def _unset_macro(name: str) -> str:
  return (
    f"The gin file uses the macro %{name}, but nothing sets it. Pass "
    f"--gin_bindings=\"{name} = '...'\"."
  )


def _unquoted(*unused_groups: str) -> str:
  return "A value does not parse. Write strings in quotes: NAME = '/a/path'."


_REWORDINGS = (
  (r"Configurable '(.+?)' doesn't have a parameter named '(\w+)'", _parameter),
  (r"<module '([\w.]+)'.*?> has no attribute (\w+)", _attribute),
  (r"No configurable matching '(.+?)'", _unknown),
  (r"Unable to open file: (.+?)\. Searched", _missing_file),
  (r"macro\(\) missing.*in scope '(\w+)'", _unset_macro),
  (
    r"missing \d+ required .*?: (.+?)\n.*configurable '(\w+)'",
    _missing_arguments,
  ),
  (r"malformed node|Unable to parse|Failed to parse token", _unquoted),
)
