"""Checks the flags of the commands at Model Garden's own paths."""

import sys
from typing import Any

import tensorflow as tf

from exporters.errors import ExportError


def note(text: str) -> None:
  """Prints what is different from Model Garden's own command."""
  print(f"note: {text}", file=sys.stderr)


def require(**values: Any) -> None:
  """Raises `ExportError` for a flag that is not set, or whose file is missing.

  Args:
    **values: The flags' values by name. One that ends in `_file` is a path.
  """
  for name, value in values.items():
    if not value:
      raise ExportError(f"Set --{name}; see --help.")
    _refuse_absent(name, value)


def _refuse_absent(name: str, value: Any) -> None:
  if name.endswith("_file") and not tf.io.gfile.exists(value):
    raise ExportError(f"There is no file '{value}', which --{name} names.")


def require_one(**values: Any) -> Any:
  """Returns the value of the one flag that is set.

  Args:
    **values: The flags' values by name. One that ends in `_file` is a path.

  Raises:
    ExportError: Not exactly one flag is set, or its file is missing.
  """
  found = {name: value for name, value in values.items() if value}
  if len(found) != 1:
    raise ExportError(
      f"Set exactly one of {' and '.join(f'--{name}' for name in values)}."
    )
  ((name, value),) = found.items()
  _refuse_absent(name, value)
  return value
