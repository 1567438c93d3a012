"""Refuses macros that are left to the user, and those that nothing uses."""

from __future__ import annotations

import re

import gin

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.gin_files import wording

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def used() -> set[str]:
  """Returns the macros that the bindings use which gin has parsed so far."""
  return set(re.findall(r"%(\w+)(?![\w.])", _bindings()))


def refuse_unset_and_unused(
  used_before: set[str], source: str = wording.BINDINGS
) -> None:
  """Raises `ExportError` for macros that are not as the gin file needs them.

  One that nothing uses is probably misspelt.

  Args:
    used_before: Those that the gin file itself uses. A line of --gin_bindings
      may replace that use, which leaves the macro as it is.
    source: Where the bindings beside the gin file's own come from.
  """
  used_now = used()
  values = dict(re.findall(r"^(\w+) = \\?\s*(\S+)", _bindings(), re.M))
  unset = sorted(
    name
    for name, value in values.items()
    if value.endswith("REQUIRED")
    and (name in used_now or name not in used_before)
  )
  unused = sorted(values.keys() - used_now - used_before)
  lines = [
    f"Nothing in the gin file uses the macro {name}."
    f"{did_you_mean(name, used_now) or _others(used_now)}"
    for name in unused
  ]
  if unset:
    how = f"Set {('it', 'them')[len(unset) > 1]} in {source}."
    if source == wording.BINDINGS:
      flags = [f"{source}=\"{name} = '...'\"" for name in unset]
      how = f"Pass {' '.join(flags)}"
    lines.append(f"The gin file leaves {' and '.join(unset)} to you. {how}")
  if lines:
    raise ExportError("\n".join(lines))


def _bindings() -> str:
  return _STRING.sub("''", gin.config_str())


def _others(names: set[str]) -> str:
  return f" It uses {', '.join(sorted(names))}." if names else ""
