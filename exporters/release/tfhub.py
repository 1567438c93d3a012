"""The rules of tfhub.dev for pages, as its own validator applies them.

https://github.com/tensorflow/tfhub.dev explains how to write a page; the lists
of values are those in its `tags` directory.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import re
from urllib import parse

from exporters.errors import did_you_mean
from exporters.errors import refuse_all
from exporters.release import values

FORMAT = "saved_model_2"
# The keys that a page must have, by its kind, and those that it may have.
_REQUIRED: Mapping[str, Sequence[str]] = {
  "Module": ("asset-path", "task", "fine-tunable", "format"),
  "Lite": ("asset-path", "parent-model"),
  "Collection": ("task",),
  "Publisher": (),
}
_REPEATABLE = ("dataset", "language", "task", "network-architecture")
_SHOWN = ("colab", "interactive-visualizer")
_OTHERS = (*_REQUIRED["Module"], *_REPEATABLE, "license", *_SHOWN)
_OPTIONAL: Mapping[str, Sequence[str]] = {
  "Module": _OTHERS,
  "Lite": _SHOWN,
  "Collection": _OTHERS,
  "Publisher": _OTHERS,
}
_ARCHIVES = {"Lite": ".tflite"}
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
_HANDLE = (
  rf"(?P<publisher>{_PUBLISHER})/(?P<name>{_NAME})/(?P<version>[1-9]\d*)"
)
_FIRST_LINES = {
  "Module": re.compile(f"# Module {_HANDLE}", re.ASCII),
  # A model for LiteRT, made from a module.
  "Lite": re.compile(f"# Lite {_HANDLE}", re.ASCII),
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
    kind: "Module", "Lite", "Publisher" or "Collection".
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
    ExportError: It breaks rules; the error names them all.
  """
  parsed, broken = _parsed(text)
  refuse_all(broken)
  return parsed


def mistakes(text: str) -> list[str]:
  """Returns a sentence for each rule that a page breaks."""
  return _parsed(text)[1]


def _parsed(text: str) -> tuple[Parsed, list[str]]:
  lines = [*text.split("\n"), ""]
  kind, handle, broken = _first_line(lines[0])
  if not text.endswith("\n"):
    broken.append("the last line must end in a newline")
  description = lines[1]
  if not re.fullmatch(r"[^\s<#].*\.", description):
    broken.append(
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
      broken.append(
        f"line {number + 1} must be empty or `<!-- key: value -->` before the "
        f"first heading, not {line!r}"
      )
    number += 1
  body = "\n".join(lines[number:-1])
  broken += _in_keys(kind, metadata)
  if kind != "Publisher" and not body.strip():
    broken.append("there is no heading")
  parsed = Parsed(
    kind=kind,
    handle=handle,
    description=description,
    metadata=metadata,
    body=body,
  )
  return parsed, [*map(_sentence, broken), *_unknown_values(metadata)]


def _first_line(line: str) -> tuple[str, str, list[str]]:
  """Returns the kind of page, its handle, and what is wrong with the line."""
  for kind, pattern in _FIRST_LINES.items():
    if pattern.fullmatch(line):
      return kind, line.removeprefix(f"# {kind} "), []
  wrong = (
    "line 1 must be `# Module PUBLISHER/NAME/VERSION`, with lower-case "
    "letters, digits and '-' in the publisher, letters, digits, '_', '.', '-' "
    f"and '/' in the name, and a version of 1 or more, not {line!r}"
  )
  return "Module", "", [wrong]


def _in_keys(kind: str, metadata: Mapping[str, Sequence[str]]) -> Iterator[str]:
  for key in _REQUIRED[kind]:
    if key not in metadata:
      yield f"`<!-- {key}: ... -->` is missing"
  for key, found in metadata.items():
    if key not in (*_REQUIRED[kind], *_OPTIONAL[kind]):
      yield f"there is no key '{key}'"
    if len(found) > 1 and key not in _REPEATABLE:
      yield f"'{key}' is allowed only once, not {len(found)} times"
    if len(set(found)) < len(found):
      yield f"'{key}' has the same value twice"
  for value in metadata.get("asset-path", ()):
    yield from _in_address(value, _ARCHIVES.get(kind, ".tar.gz"))
  for value in metadata.get("parent-model", ()):
    if not re.fullmatch(_HANDLE, value, re.ASCII):
      yield f"parent-model '{value}' is not a handle, PUBLISHER/NAME/VERSION"


def _in_address(value: str, suffix: str) -> Iterator[str]:
  address = parse.urlsplit(value)
  if address.scheme not in ("https", "http", "gs") or not address.netloc:
    yield f"asset-path '{value}' is not an address"
  if not value.endswith(suffix):
    yield f"asset-path '{value}' must end in {suffix}"
  if re.fullmatch(r"(.*\.)?github\.com", address.hostname or ""):
    yield f"asset-path '{value}' must not be on github.com"


def _unknown_values(metadata: Mapping[str, Sequence[str]]) -> Iterator[str]:
  for key, known in _LISTS.items():
    for value in metadata.get(key, ()):
      if value not in known:
        yield (
          f"tfhub.dev does not know the {key} '{value}'."
          f"{did_you_mean(value, known)} exporters/release/values.py lists all."
        )


def _sentence(what: str) -> str:
  return (
    f"The page breaks a rule of tfhub.dev: {what}. Fix the page's fields in "
    "the gin file."
  )
