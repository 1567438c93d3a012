"""Words gin's errors in the gin file's terms.

What is wrong, where, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Sequence
import importlib
import inspect
import re

import gin

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.errors import first_line

# The name of what stands on the command line.
BINDINGS = "--gin_bindings"
NOT_CLOSED = "A bracket or a quote is opened and not closed"


def of_parsing(
  error: Exception, bindings: Sequence[str], source: str = BINDINGS
) -> ExportError:
  """Returns the error for what gin raised while it read files or bindings.

  Args:
    error: What it raised.
    bindings: The lines of the bindings.
    source: Where these come from.
  """
  file, line, text = _place(error)
  if file == source:
    text = bindings[line - 1] if 0 < line <= len(bindings) else text
    where = f" ({source}: {text})"
    if source == BINDINGS:
      where = f' ({BINDINGS}="{text}")'
  else:
    where = f" ({file}, line {line})" if file else ""
  return ExportError(f"{_of_line(text, error) or _known(error)}{where}")


def of_building(error: Exception) -> ExportError:
  """Returns the error for what was raised while objects were made."""
  if isinstance(error, RecursionError):
    return ExportError(
      "The gin file goes in a circle: a macro or an object needs itself."
    )
  return ExportError(_known(error))


def _place(error: Exception) -> tuple[str, int, str]:
  """Returns the file, the line and its text where gin raised an error."""
  if isinstance(error, SyntaxError):
    text = (error.text or "").strip()
    return error.filename or "", error.lineno or 0, text
  # Of the file that is included, not of those that include it.
  match = re.search(
    r'\n  In file "(.+?)", line (\d+)\n +(.*)', str(error), re.MULTILINE
  )
  return (match[1], int(match[2]), match[3].strip()) if match else ("", 0, "")


def _of_line(text: str, error: Exception) -> str | None:
  """Returns what is wrong with a line that gin could not parse."""
  if not isinstance(error, SyntaxError):
    return None
  if error.msg == NOT_CLOSED:
    return f"{error.msg}."
  if re.search("[\u2018\u2019\u201c\u201d]", text):
    return "The quotes are typographic: write '...' or \"...\"."
  if text.count("'") % 2 or text.count('"') % 2:
    return "A quote is opened and not closed."
  if "expected ':' or '='" in str(error.msg):
    return "A line of a gin file is NAME = VALUE, or an import or include."
  if re.search(_UNPARSABLE, str(error.msg)):
    return _unparsable()
  return f"Cannot parse the line: {str(error.msg).rstrip('.')}."


def _known(error: Exception) -> str:
  message = str(error)
  for pattern, reword in _REWORDINGS:
    match = re.search(pattern, message, re.S)
    if match:
      return reword(*match.groups())
  first = first_line(ValueError(message.partition("\n  In ")[0]))
  if isinstance(error, (TypeError, ValueError)):
    return f"{first}."
  return f"{type(error).__name__}: {first}."


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


def _unknown_module(name: str) -> str:
  return (
    f"The gin file needs the module '{name}', which Python does not find. Its "
    "folder must be the working directory or be named in PYTHONPATH."
  )


def _missing_arguments(names: str, configurable: str) -> str:
  return f"The gin file must set {names} of {configurable}."


def _unset_macro(name: str) -> str:
  return (
    f"The gin file uses the macro %{name}, but nothing sets it. Pass "
    f"--gin_bindings=\"{name} = '...'\"."
  )


def _unknown_type(name: str) -> str:
  called = re.findall(r"^[\w.]+ = @[\w./]+$", gin.config_str(), re.M)
  if not called or name not in ("function", "gin.config.type", "type"):
    return f"A configuration of Model Garden takes no value of type {name}."
  return (
    "A configuration of Model Garden takes no class or function. Write it with "
    f"round brackets: {' or '.join(f'{line}()' for line in called)}."
  )


def _unparsable() -> str:
  return "Cannot parse a value. Write strings in quotes: NAME = '/a/path'."


def _no_recipe() -> str:
  return (
    "The gin file does not say what to export. It needs a line "
    "`recipe.Recipe.exporter = @...()`, as configs/low_level/multiply.gin has."
  )


_UNPARSABLE = r"malformed node|Unable to parse|Failed to parse token"
_REWORDINGS = (
  (
    r"Configurable '(.+?)' doesn't have a parameter named '(\w+)'",
    _unknown_parameter,
  ),
  (r"<module '([\w.]+)'.*?> has no attribute (\w+)", _unknown_attribute),
  (r"No configurable matching '(.+?)'", _unknown_configurable),
  (r"^Unknown type: <class '([\w.]+)'>", _unknown_type),
  (r"No module named '(.+?)'", _unknown_module),
  (r"Could not find <class 'exporters.recipe.Recipe'>", _no_recipe),
  (r"macro\(\) missing.*in scope '(\w+)'", _unset_macro),
  (
    r"missing \d+ required .*?: (.+?)\n.*configurable '(\w+)'",
    _missing_arguments,
  ),
  (_UNPARSABLE, _unparsable),
)
