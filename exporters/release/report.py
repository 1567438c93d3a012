"""What a person looks at before and after publishing: one HTML file.

It needs no network and no script, which its own policy forbids it, and reads
well on a phone.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import io
import re

import markdown_it
import markupsafe
import matplotlib
from matplotlib import figure as figures

from exporters import checks
from exporters.release import cards
from exporters.release import kaggle
from exporters.release import privacy
from exporters.release import provenance
from exporters.release import statement as statement_lib
from exporters.release import tfhub
from exporters.release.released import Released
from exporters.saved_model import object_graph

SUFFIX = ".report.html"

# More parts than this make no chart that one could read.
_MOST_PARTS = 14
_COLOR = "#1a73e8"


@dataclasses.dataclass(frozen=True)
class Part:
  """Variables that belong together, by the beginning of their names."""

  name: str
  parameters: int
  size: int


def write(one: Released, seconds: Mapping[str, float]) -> str:
  """Writes the report beside the archive, and returns its path.

  Args:
    one: What is released.
    seconds: How long each stage of the export took.
  """
  described = one.description
  statement = statement_lib.read(f"{one.folder}{statement_lib.SUFFIX}")
  build = statement["predicate"]["buildDefinition"]
  with open(f"{one.root}/{one.page.docs_path}", encoding="utf-8") as f:
    page = tfhub.read(f.read())
  names = provenance.unnamed(build["externalParameters"]["recipe"])
  parts = grouped(described.variables)
  text = (
    cards.environment(autoescape=True)
    .get_template("report.html.jinja")
    .render(
      page=one.page,
      described=described,
      callables=[c for n, c in described.callables.items() if n],
      parts=parts,
      parts_chart=_bars(
        [(p.name, p.parameters, f"{p.parameters:,}") for p in parts]
      ),
      results=one.artifact.results,
      number=_number,
      passed=sum(r.status == checks.PASSED for r in one.artifact.results),
      differences=_bars(
        [(n, c, f"{c:,}") for n, c in _differences(one.artifact.results)]
      ),
      card=markupsafe.Markup(_html(page.body)),
      digests=statement_lib.digests(
        [
          *statement["subject"],
          *statement["predicate"]["runDetails"]["byproducts"],
        ]
      ),
      build=build,
      metadata=statement["predicate"]["runDetails"]["metadata"],
      bindings=[f"--gin_bindings=\"{name} = '...'\"" for name in names],
      kaggle_handle=kaggle.handle(one.page) if one.page.kaggle else None,
      seconds=seconds,
    )
  )
  privacy.refuse_private(text, "report", "Look at the recipe and the checks.")
  path = f"{one.folder}{SUFFIX}"
  with open(path, "w", encoding="utf-8") as f:
    f.write(text)
  return path


def grouped(variables: Sequence[object_graph.Variable]) -> list[Part]:
  """Returns the parts of a model: as fine as a chart can show."""
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


def _differences(results: Sequence[checks.Result]) -> list[tuple[str, int]]:
  for result in results:
    if result.check == checks.SAME_NUMBERS:
      return list(result.histogram.items())
  return []


def _number(value: float | None) -> str:
  if value is None:
    return ""
  return f"{value:,.0f}" if value == int(value) else f"{value:.2g}"


def _html(text: str) -> str:
  """Renders Markdown; HTML in it is shown, not obeyed."""
  parser = markdown_it.MarkdownIt("commonmark", {"html": False})
  html = parser.enable("table").render(text)
  # A table that is too wide scrolls, not the page.
  return re.sub(
    r"<table>.*?</table>",
    lambda match: f'<div class="wide">{match.group()}</div>',
    html,
    flags=re.S,
  )


def _bars(rows: Sequence[tuple[str, int, str]]) -> markupsafe.Markup | None:
  """Returns a chart of horizontal bars as SVG, as wide as its place allows.

  Args:
    rows: Name, length and label of each bar.
  """
  if not rows:
    return None
  names, lengths, labels = zip(*rows, strict=True)
  with matplotlib.rc_context(
    {"svg.fonttype": "none", "svg.hashsalt": "report"}
  ):
    figure = figures.Figure(figsize=(3.6, 0.42 * len(rows) + 0.2))
    axes = figure.add_axes((0, 0, 1, 1))
    bars = axes.barh(range(len(rows)), lengths, height=0.35, color=_COLOR)
    for bar, name, label in zip(bars, names, labels, strict=True):
      y = bar.get_y() - 0.12
      axes.text(0, y, name, fontsize=9, parse_math=False)
      axes.text(max(lengths), y, label, fontsize=9, horizontalalignment="right")
    axes.set_xlim(0, max(max(lengths), 1))
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.axis("off")
    file = io.StringIO()
    figure.savefig(
      file, format="svg", metadata={"Date": None}, transparent=True
    )
  svg = file.getvalue()
  svg = svg[svg.index("<svg") :]
  # Its size is that of its place; `viewBox` keeps the proportions.
  svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
  svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
  return markupsafe.Markup(svg)
