"""The rules of tfhub.dev for pages, as its own validator has them.

https://github.com/tensorflow/tfhub.dev says how a page is written; the lists
are those of its `tags` directory.
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
# What a value must be one of, by key.
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
    handle: What follows it in the first line.
    description: The line below.
    metadata: Values by key.
    body: From the first heading on.
  """

  kind: str
  handle: str
  description: str
  metadata: Mapping[str, Sequence[str]]
  body: str


def read(text: str) -> Parsed:
  """Reads a page by all the rules.

  Raises:
    ExportError: It breaks one.
  """
  if not text.endswith("\n"):
    raise _error("the last line must end in a newline")
  lines = text.split("\n")
  kind, handle = _first_line(lines[0])
  description = lines[1]
  if not re.fullmatch(r"[^\s<#].*\.", description):
    raise _error(
      f"line 2 must be a description, one sentence with a full stop, not "
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
    "line 1 must be `# Module PUBLISHER/NAME/VERSION`, with a publisher of "
    "lower-case letters, digits and '-', a name of letters, digits, '_', '.', "
    f"'-' and '/', and a version from 1 on, not {line!r}"
  )


def _refuse_metadata(kind: str, metadata: Mapping[str, Sequence[str]]) -> None:
  required = {"Module": _REQUIRED, "Collection": ("task",), "Publisher": ()}
  for key in required[kind]:
    if key not in metadata:
      raise _error(f"it lacks `<!-- {key}: ... -->`")
  for key, found in metadata.items():
    if key not in (*_REQUIRED, *_REPEATABLE, *_OPTIONAL):
      raise _error(f"there is no key '{key}'")
    if len(found) > 1 and key not in _REPEATABLE:
      raise _error(f"'{key}' may stand once, not {len(found)} times")
    if len(set(found)) < len(found):
      raise _error(f"'{key}' has a value twice")
    for value in found:
      _refuse_value(key, value)


def _refuse_value(key: str, value: str) -> None:
  known = _LISTS.get(key)
  if known is not None and value not in known:
    raise ExportError(
      f"tfhub.dev knows no {key} '{value}'.{did_you_mean(value, known)} Its "
      "list is in exporters/release/values.py."
    )
  if key == "asset-path":
    address = parse.urlsplit(value)
    if address.scheme not in ("https", "http", "gs") or not address.netloc:
      raise _error(f"asset-path '{value}' is no address")
    if not value.endswith(".tar.gz"):
      raise _error(f"asset-path '{value}' must end in .tar.gz")
    if re.fullmatch(r"(.*\.)?github\.com", address.hostname or ""):
      raise _error(f"asset-path '{value}' may not be on github.com")


def _error(what: str) -> ExportError:
  return ExportError(
    f"The page breaks a rule of tfhub.dev: {what}. Mend the page's fields in "
    "the gin file."
  )


def is_publisher_page(path: str) -> bool:
  """Whether a path below a release directory is that of a publisher's page."""
  return bool(re.fullmatch(rf"assets/docs/({_PUBLISHER})/\1\.md", path))
