"""Refuses macros that are left to the user, and those that nothing uses."""

from __future__ import annotations

import re

import gin

from exporters.errors import ExportError
from exporters.errors import did_you_mean

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def refuse_unset_and_unused() -> None:
  """Raises `ExportError` for macros that are not as the gin file needs them.

  One that nothing uses is probably misspelt.
  """
  text = _STRING.sub("''", gin.config_str())
  used = set(re.findall(r"%(\w+)(?![\w.])", text))
  values = dict(re.findall(r"^(\w+) = \\?\s*(\S+)", text, re.M))
  unset = sorted(n for n, v in values.items() if v.endswith("REQUIRED"))
  unused = sorted(values.keys() - used)
  lines = [
    f"Nothing in the gin file uses the macro {name}."
    f"{did_you_mean(name, used) or _others(used)}"
    for name in unused
  ]
  if unset:
    flags = " ".join(f"--gin_bindings=\"{name} = '...'\"" for name in unset)
    lines.append(
      f"The gin file leaves {' and '.join(unset)} to you. Pass {flags}"
    )
  if lines:
    raise ExportError("\n".join(lines))


def _others(used: set[str]) -> str:
  return f" It uses {', '.join(sorted(used))}." if used else ""
