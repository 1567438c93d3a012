"""Reads the record of a garden that was released."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from exporters.errors import ExportError

SUFFIX = ".garden.json"


def read(path: str) -> dict[str, Any] | None:
  """Returns a garden's record; None if there is none.

  Raises:
    ExportError: It is not a record of a garden.
  """
  try:
    with open(path, encoding="utf-8") as f:
      return parsed(f.read(), path)
  except FileNotFoundError:
    return None
  except UnicodeDecodeError:
    return parsed("", path)


def parsed(text: str, path: str) -> dict[str, Any]:
  """Returns the record that a text is, which was read from a path.

  Raises:
    ExportError: It is not a record of a garden.
  """
  with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
    record = json.loads(text)
    if all(isinstance(leaf["models"], list) for leaf in record["leaves"]):
      return record
  raise ExportError(
    f"'{path}' is not the record of a garden. If it should become one, move it "
    "away, and run again."
  )
