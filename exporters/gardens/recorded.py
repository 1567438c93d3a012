"""Reads the record of a garden that was released."""

from __future__ import annotations

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
      record = json.load(f)
    if all(isinstance(leaf["models"], list) for leaf in record["leaves"]):
      return record
  except FileNotFoundError:
    return None
  except (ValueError, TypeError, KeyError):
    pass
  raise ExportError(
    f"'{path}' is not the record of a garden. If it should become one, move it "
    "away, and run again."
  )
