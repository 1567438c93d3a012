"""The rules of tfhub.dev for pages, as its own validator applies them.

https://github.com/tensorflow/tfhub.dev explains how to write a page; the lists
of values are those in its `tags` directory.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re
from urllib import parse

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.release import values

FORMAT = "saved_model_2"
_REQUIRED = ("asset-path", "task", "fine-tunable", "format")
_REPEATABLE = ("dataset", "language", "task", "network-architecture")
_OPTIONAL = ("license", "colab", "interactive-visualizer")
# The values allowed, by key.
_LISTS: Mapping[str, Sequence[str]] = {
  "task": values.TASKS,
  "dataset": values.DATASETS,
  "language": values.LANGUAGES,
  "network-architecture": values.ARCHITECTURES,
  "license": values.LICENSES,
  "fine-tunable": ("true", "false"),
  "format": (FORMAT,),
}

_PUBLISHER = r"[a-z\d-]+"
_NAME = r"[\w.-]+(?:/[\w.-]+)*"
_FIRST_LINES = {
  "Module": re.compile(
    rf"# Module (?P<publisher>{_PUBLISHER})/(?P<name>{_NAME})"
    r"/(?P<version>[1-9]\d*)",
    re.ASCII,
  ),
  "Publisher": re.compile(
    rf"# Publisher (?P<publisher>{_PUBLISHER})", re.ASCII
  ),
  "Collection": re.compile(
    rf"# Collection (?P<publisher>{_PUBLISHER})/(?P<name>{_NAME})"
    r"/(?P<version>1)",
    re.ASCII,
  ),
}
_METADATA = re.compile(r"<!-- (?P<key>[a-z-]+): (?P<value>\S(?:.*\S)?) -->")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parsed:
  """A page that follows the rules.

  Attributes:
    kind: "Module", "Publisher" or "Collection".
    handle: The rest of the first line.
    description: The second line.
    metadata: Values by key.
    body: Everything from the first heading on.
  """

  kind: str
  handle: str
  description: str
  metadata: Mapping[str, Sequence[str]]
  body: str


def read(text: str) -> Parsed:
  """Parses a page.

  Raises:
    ExportError: It breaks a rule.
  """
  if not text.endswith("\n"):
    raise _error("the last line must end in a newline")
  lines = text.split("\n")
  kind, handle = _first_line(lines[0])
  description = lines[1]
  if not re.fullmatch(r"[^\s<#].*\.", description):
    raise _error(
      "line 2 must be a description, one sentence with a full stop, not "
      f"{description!r}"
    )
  metadata: dict[str, list[str]] = {}
  number = 2
  while number < len(lines) and not lines[number].startswith("#"):
    line = lines[number]
    match = _METADATA.fullmatch(line)
    if match:
      metadata.setdefault(match["key"], []).append(match["value"])
    elif line:
      raise _error(
        f"line {number + 1} must be empty or `<!-- key: value -->` before the "
        f"first heading, not {line!r}"
      )
    number += 1
  body = "\n".join(lines[number:])
  _refuse_metadata(kind, metadata)
  if kind != "Publisher" and not body.strip():
    raise _error("there is no heading")
  return Parsed(
    kind=kind,
    handle=handle,
    description=description,
    metadata=metadata,
    body=body,
  )


def _first_line(line: str) -> tuple[str, str]:
  for kind, pattern in _FIRST_LINES.items():
    if pattern.fullmatch(line):
      return kind, line.removeprefix(f"# {kind} ")
  raise _error(
    "line 1 must be `# Module PUBLISHER/NAME/VERSION`, with lower-case "
    "letters, digits and '-' in the publisher, letters, digits, '_', '.', '-' "
    f"and '/' in the name, and a version of 1 or more, not {line!r}"
  )


def _refuse_metadata(kind: str, metadata: Mapping[str, Sequence[str]]) -> None:
  required = {"Module": _REQUIRED, "Collection": ("task",), "Publisher": ()}
  for key in required[kind]:
    if key not in metadata:
      raise _error(f"`<!-- {key}: ... -->` is missing")
  for key, found in metadata.items():
    if key not in (*_REQUIRED, *_REPEATABLE, *_OPTIONAL):
      raise _error(f"there is no key '{key}'")
    if len(found) > 1 and key not in _REPEATABLE:
      raise _error(f"'{key}' is allowed only once, not {len(found)} times")
    if len(set(found)) < len(found):
      raise _error(f"'{key}' has the same value twice")
    for value in found:
      _refuse_value(key, value)


def _refuse_value(key: str, value: str) -> None:
  known = _LISTS.get(key)
  if known is not None and value not in known:
    raise ExportError(
      f"tfhub.dev does not know the {key} '{value}'."
      f"{did_you_mean(value, known)} exporters/release/values.py lists all."
    )
  if key == "asset-path":
    address = parse.urlsplit(value)
    if address.scheme not in ("https", "http", "gs") or not address.netloc:
      raise _error(f"asset-path '{value}' is not an address")
    if not value.endswith(".tar.gz"):
      raise _error(f"asset-path '{value}' must end in .tar.gz")
    if re.fullmatch(r"(.*\.)?github\.com", address.hostname or ""):
      raise _error(f"asset-path '{value}' must not be on github.com")


def _error(what: str) -> ExportError:
  return ExportError(
    f"The page breaks a rule of tfhub.dev: {what}. Fix the page's fields in "
    "the gin file."
  )
