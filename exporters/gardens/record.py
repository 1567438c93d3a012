"""Records what became of a garden: for programs, and for a person.

NAME.garden.json and NAME.garden.html stand at the top of the release directory.
What an earlier run recorded stays, unless this run knows better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
import os
from typing import Any

from rich.filesize import decimal

from exporters.gardens import recorded
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import MADE
from exporters.gardens.jobs import THERE
from exporters.gardens.jobs import Outcome
from exporters.life_cycle import checker
from exporters.release import directory
from exporters.release import texts

_HTML = ".garden.html"
_UNKNOWN = ""


def write(
  name: str, level: str, outcomes: Sequence[Outcome], release_dir: str
) -> dict[str, str]:
  """Writes both files; returns their paths, by what they are.

  Args:
    name: The garden's name.
    level: Which checks its models went through.
    outcomes: What became of the leaves in this run.
    release_dir: Where the models are.
  """
  made = any(outcome.state != FAILED for outcome in outcomes)
  if not made and not os.path.isdir(release_dir):
    return {}  # There is nothing to report on.
  before = recorded.read(os.path.join(release_dir, name + recorded.SUFFIX)) or {
    "leaves": []
  }
  leaves = {leaf["leaf"]: leaf for leaf in before["leaves"]}
  for outcome in outcomes:
    leaves[outcome.leaf] = _merged(
      dataclasses.asdict(outcome), leaves.get(outcome.leaf)
    )
  record = {
    "name": name,
    "checks": level,
    "leaves": [leaves[leaf] for leaf in sorted(leaves)],
  }
  text = _without_private(json.dumps(record, indent=2, ensure_ascii=False))
  directory.replace(
    {
      name + recorded.SUFFIX: text + "\n",
      name + _HTML: _rendered(json.loads(text)),
    },
    release_dir,
  )
  return {
    "report": os.path.join(release_dir, name + _HTML),
    "record": os.path.join(release_dir, name + recorded.SUFFIX),
  }


def _merged(
  now: dict[str, Any], before: Mapping[str, Any] | None
) -> Mapping[str, Any]:
  """Returns what to record of a leaf, given what was recorded before."""
  if now["state"] != THERE or not before or before["state"] == FAILED:
    return now
  digests = [model["sha256"] for model in now["models"]]
  same = digests == [model["sha256"] for model in before["models"]]
  return before if same else now


def _without_private(text: str) -> str:
  """Returns a text without what identifies this machine.

  Errors name the paths that they are about.
  """
  for private in checker.private_strings():
    text = text.replace(json.dumps(private)[1:-1], "")
  return text


def _rendered(record: Mapping[str, Any]) -> str:
  leaves = record["leaves"]
  models = [model for leaf in leaves for model in leaf["models"]]
  differences = [
    model["difference"]
    for model in models
    if model.get("difference") is not None
  ]
  environment = texts.environment(autoescape=True)
  return environment.get_template("garden.html.jinja").render(
    name=record["name"],
    checks=record["checks"],
    failed=[leaf for leaf in leaves if leaf["state"] == FAILED],
    size=decimal(sum(model.get("size", 0) for model in models)),
    difference=_share(max(differences, default=None)),
    models=[row for leaf in leaves for row in _rows(leaf)],
  )


def _rows(leaf: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
  """Yields what the table says of the models of a leaf."""
  for position, model in enumerate(leaf["models"]):
    first = position == 0 and leaf["state"] == MADE
    yield {
      "handle": model["handle"],
      "report": model["archive"].removesuffix(".tar.gz") + ".report.html",
      "parameters": f"{model['parameters']:,}" if "size" in model else _UNKNOWN,
      "size": decimal(model["size"]) if "size" in model else _UNKNOWN,
      "checks": model.get("checks passed", _UNKNOWN),
      "difference": _share(model.get("difference")),
      "companions": [c["file"] for c in model.get("companions", ())],
      "seconds": f"{leaf['seconds']:.1f} s" if first else _UNKNOWN,
      "memory": decimal(leaf["memory"]) if first else _UNKNOWN,
      "sha256": model["sha256"],
    }


def _share(difference: float | None) -> str:
  if difference is None:
    return _UNKNOWN
  return f"{difference:.1e}" if difference else "0"
