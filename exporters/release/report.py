"""One HTML file about a release, for a person to look at before publishing.

It needs no network and no script, which its own policy forbids, and fits a
phone.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import os
import re
from typing import Any

import markdown_it
import markupsafe

from exporters import checks
from exporters.companions.making import Companion
from exporters.release import kaggle
from exporters.release import privacy
from exporters.release import statement as statement_lib
from exporters.release import texts
from exporters.release.released import Released
from exporters.saved_model import object_graph

# A chart with more parts than this is hard to read.
_MOST_PARTS = 14


@dataclasses.dataclass(frozen=True)
class Part:
  """Variables whose names begin in the same way."""

  name: str
  parameters: int
  size: int


@dataclasses.dataclass(frozen=True)
class Bar:
  """One bar of a chart; `share` is its length in percent of the longest."""

  name: str
  value: int
  share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """What a table says about a companion."""

  path: str
  size: int
  companion: Companion


def write(
  one: Released, statement: Mapping[str, Any], seconds: Mapping[str, float]
) -> None:
  """Writes the report beside the archive.

  Args:
    one: What is released.
    statement: Its provenance.
    seconds: How long each stage took.
  """
  build = statement["predicate"]["buildDefinition"]
  details = statement["predicate"]["runDetails"]
  names = statement_lib.unnamed(build["externalParameters"]["recipe"])
  parts = grouped(one.description.variables)
  results = one.artifact.results
  template = texts.environment(autoescape=True).get_template(
    "report.html.jinja"
  )
  text = template.render(
    page=one.page,
    described=one.description,
    callables=[c for n, c in one.description.callables.items() if n],
    parts=parts,
    parts_chart=[*_bars({p.name: p.parameters for p in parts})],
    differences_chart=[*_bars(_differences(results))],
    results=results,
    companions=[_companion(one, c) for c in one.companions],
    missing=one.missing,
    number=_number,
    passed=sum(r.status == checks.PASSED for r in results),
    card=markupsafe.Markup(_html(one.texts.card)),
    digests=statement_lib.digests(
      [*statement["subject"], *details["byproducts"]]
    ),
    build=build,
    metadata=details["metadata"],
    bindings=[f"--gin_bindings=\"{name} = '...'\"" for name in names],
    kaggle_address=kaggle.address(one.page),
    seconds=seconds,
  )
  privacy.refuse_private(text, "report", "Look at the recipe and the checks.")
  with open(one.report, "w", encoding="utf-8") as f:
    f.write(text)


def grouped(variables: Sequence[object_graph.Variable]) -> list[Part]:
  """Returns the parts of a model, as small as a chart can show."""
  for depth in (2, 1):
    parts: dict[str, Part] = {}
    for variable in variables:
      name = "/".join(variable.name.split("/")[:-1][:depth]) or variable.name
      before = parts.get(name, Part(name, 0, 0))
      parts[name] = Part(
        name,
        before.parameters + variable.parameters,
        before.size + variable.size,
      )
    if len(parts) <= _MOST_PARTS:
      break
  largest = sorted(parts.values(), key=lambda p: (-p.parameters, p.name))
  rest = largest[_MOST_PARTS - 1 :]
  if len(rest) <= 1:
    return largest
  return [
    *largest[: _MOST_PARTS - 1],
    Part(
      f"{len(rest)} more",
      sum(p.parameters for p in rest),
      sum(p.size for p in rest),
    ),
  ]


def _companion(one: Released, companion: Companion) -> Row:
  return Row(
    path=one.place(companion).path,
    size=os.path.getsize(one.path(companion)),
    companion=companion,
  )


def _differences(results: Sequence[checks.Result]) -> Mapping[str, int]:
  for result in results:
    if result.check == checks.SAME_NUMBERS:
      return result.histogram
  return {}


def _bars(values: Mapping[str, int]) -> Iterator[Bar]:
  longest = max(values.values(), default=0) or 1
  for name, value in values.items():
    yield Bar(name, value, round(100 * value / longest, 2))


def _number(value: float | None) -> str:
  if value is None:
    return ""
  return f"{value:,.0f}" if value == int(value) else f"{value:.2g}"


def _html(text: str) -> str:
  """Renders Markdown; HTML in it is shown as text."""
  parser = markdown_it.MarkdownIt("commonmark", {"html": False})
  html = parser.enable("table").render(text)
  # A table that is too wide scrolls by itself.
  return re.sub(
    r"<table>.*?</table>",
    lambda match: f'<div class="wide">{match.group()}</div>',
    html,
    flags=re.S,
  )
