"""Records what became of a garden: for programs, and for a person.

NAME.garden.json and NAME.garden.html stand at the top of the release directory.
What an earlier run recorded stays, unless this run knows better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import json
import os
import re
from typing import Any

from rich.filesize import decimal
import tensorflow as tf

from exporters.gardens import recorded
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import MADE
from exporters.gardens.jobs import THERE
from exporters.gardens.jobs import Outcome
from exporters.life_cycle import checker
from exporters.release import directory
from exporters.release import object_store
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
  if not made and not tf.io.gfile.isdir(release_dir):
    return {}  # There is nothing to report on.
  before = _before(name, release_dir) or {"leaves": []}
  leaves = {leaf["leaf"]: leaf for leaf in before["leaves"]}
  for outcome in outcomes:
    now = dataclasses.asdict(outcome)
    now["error"] = _without_private(outcome.error)
    leaves[outcome.leaf] = _merged(now, leaves.get(outcome.leaf), release_dir)
  record = {
    "name": name,
    "checks": level,
    "leaves": [leaves[leaf] for leaf in sorted(leaves)],
  }
  texts_by_name = {
    name + recorded.SUFFIX: json.dumps(record, indent=2, ensure_ascii=False)
    + "\n",
    name + _HTML: _rendered(record),
  }
  if "://" in release_dir:
    for file, text in texts_by_name.items():
      object_store.write(os.path.join(release_dir, file), text)
  else:
    directory.replace(texts_by_name, release_dir)
  return {
    "report": os.path.join(release_dir, name + _HTML),
    "record": os.path.join(release_dir, name + recorded.SUFFIX),
  }


def _before(name: str, release_dir: str) -> dict[str, Any] | None:
  """Returns what earlier runs recorded."""
  path = os.path.join(release_dir, name + recorded.SUFFIX)
  if "://" not in path:
    return recorded.read(path)
  text = object_store.read(path)
  return None if text is None else recorded.parsed(text, path)


def _merged(
  now: dict[str, Any], before: Mapping[str, Any] | None, release_dir: str
) -> Mapping[str, Any]:
  """Returns what to record of a leaf, given what was recorded before.

  What is still there stays: other versions, and models of a leaf that failed.
  """
  if not before:
    return now
  handles = {model["handle"]: model["sha256"] for model in now["models"]}
  known = {model["handle"]: model for model in before["models"]}
  made = now["state"] == MADE
  if now["state"] == THERE and before["state"] != FAILED:
    now |= {
      key: before[key] for key in ("state", "seconds", "memory", "stages")
    }
  models = [
    known[model["handle"]]
    if not made
    and known.get(model["handle"], {}).get("sha256") == model["sha256"]
    and known[model["handle"]]["checks"] == model["checks"]
    else model
    for model in now["models"]
  ]
  kept = [
    model
    for handle, model in known.items()
    if handle not in handles
    and tf.io.gfile.exists(os.path.join(release_dir, model["archive"]))
  ]
  return now | {"models": [*kept, *models]}


def _without_private(error: str) -> str:
  """Returns an error without what identifies this machine.

  Errors name the paths that they are about, and may name the host.
  """
  for private in checker.private_strings():
    if private.endswith(os.sep):
      error = error.replace(private, "<path>/")
    else:
      error = re.sub(rf"\b{re.escape(private)}\b", "<host>", error)
  return error


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
    checks=", ".join(sorted({model["checks"] for model in models})),
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
      "checks": _checks(model),
      "difference": _share(model.get("difference")),
      "companions": [c["file"] for c in model.get("companions", ())],
      "seconds": f"{leaf['seconds']:.1f} s" if first else _UNKNOWN,
      "memory": decimal(leaf["memory"]) if first else _UNKNOWN,
      "sha256": model["sha256"],
    }


def _checks(model: Mapping[str, Any]) -> str:
  """Returns how many checks a model has passed, if it is known, and which."""
  level = model.get("checks", "")
  passed = model.get("checks passed")
  told = level if passed is None else f"{passed}"
  return told if level == "all" else f"{told} (draft: {level})"


def _share(difference: float | None) -> str:
  if difference is None:
    return _UNKNOWN
  return f"{difference:.1e}" if difference else "0"
