"""What the commands at Model Garden's own paths take, and what they say."""

import sys
from typing import Any

import tensorflow as tf

from exporters.errors import ExportError


def note(text: str) -> None:
  """Says what is different from what Model Garden did."""
  print(f"note: {text}", file=sys.stderr)


def require(**values: Any) -> None:
  """Raises `ExportError` for flags that are not set, or name no file."""
  for name, value in values.items():
    if not value:
      raise ExportError(f"Set --{name}; see --help.")
    _refuse_absent(name, value)


def _refuse_absent(name: str, value: Any) -> None:
  if name.endswith("_file") and not tf.io.gfile.exists(value):
    raise ExportError(f"There is no file '{value}', which --{name} names.")


def require_one(**values: Any) -> Any:
  """Returns the value that is set; raises `ExportError` unless one is.

  And for a file that is not there.
  """
  found = {name: value for name, value in values.items() if value}
  if len(found) != 1:
    raise ExportError(
      f"Set one of {' and '.join(f'--{name}' for name in values)}."
    )
  ((name, value),) = found.items()
  _refuse_absent(name, value)
  return value
