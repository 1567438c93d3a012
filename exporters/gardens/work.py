"""What is done in a fork: it may import TensorFlow, and does.

Each function has the process to itself: gin has read nothing, and TensorFlow
has done nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import glob
import json
import os
from typing import TYPE_CHECKING, Any

from exporters.errors import ExportError
from exporters.gardens.jobs import MADE
from exporters.gardens.jobs import NEW
from exporters.gardens.jobs import THERE
from exporters.gardens.jobs import UNUSABLE
from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome
from exporters.gardens.jobs import Terms
from exporters.gardens.settings import Leaf

if TYPE_CHECKING:
  from exporters.life_cycle import checker
  from exporters.recipe import Recipe
  from exporters.release.released import Released


def survey(leaves: Sequence[Leaf], terms: Terms) -> list[Job]:
  """Returns what is known of leaves before anything is made."""
  return [_surveyed(leaf, terms) for leaf in leaves]


def release(
  leaf: Leaf,
  terms: Terms,
  announce: Callable[[str], None],
  consumer: checker.Consumer | None,
) -> Outcome:
  """Makes the release of a leaf, unless it is there already.

  Args:
    leaf: The leaf.
    terms: What it has in common with others.
    announce: Is told of each stage.
    consumer: The process that checks the model. None: it is not checked.

  Raises:
    ExportError: It cannot be made.
  """
  from exporters.life_cycle import exporting
  from exporters.release import complete
  from exporters.release import git_commit

  recipe = _recipe(leaf, terms)
  there = _there(recipe, terms.release_dir)
  if there:
    return Outcome(leaf=leaf.name, state=THERE, models=there, files=leaf.files)
  stages = exporting.Stages(announce)
  _, released = complete.release(
    recipe,
    git_commit.Commit(terms.commit, tuple(terms.changed)),
    release_dir=terms.release_dir,
    level=terms.level,
    stages=stages,
    sign_key=terms.sign_key,
    consumer=consumer,
  )
  return Outcome(
    leaf=leaf.name,
    state=MADE,
    models=[model(one, terms.release_dir) for one in released],
    stages=stages.seconds,
    files=leaf.files,
  )


def conclude(
  name: str, level: str, outcomes: Sequence[Outcome], release_dir: str
) -> dict[str, str]:
  """Records what became of a garden; see `record.write`."""
  from exporters.gardens import record

  return record.write(name, level, outcomes, release_dir)


def reproduce(provenance: str, bindings: Sequence[str]) -> Any:
  """Makes a release again; see `exporters.release.reproduce`."""
  from exporters.life_cycle import exporting
  from exporters.release import reproduce as reproduce_lib

  return reproduce_lib.reproduce(provenance, bindings, exporting.Stages())


def model(one: Released, release_dir: str) -> dict[str, Any]:
  """Returns what a garden's report says of an artifact, as JSON has it."""
  from exporters import checks

  statuses = [result.status for result in one.artifact.results]
  same = [
    result.figure
    for result in one.artifact.results
    if result.check == checks.SAME_NUMBERS and result.figure is not None
  ]
  return {
    "handle": one.page.handle,
    "archive": os.path.relpath(one.archive, release_dir),
    "sha256": one.digests[f"{one.page.handle}.tar.gz"],
    "size": one.artifact.size,
    "parameters": one.artifact.parameters,
    "checks passed": statuses.count(checks.PASSED),
    "difference": max(same, default=None),
    "companions": [
      {
        "file": one.place(companion).path,
        "difference": companion.parity and companion.parity.largest[1],
      }
      for companion in one.companions
    ],
  }


def _surveyed(leaf: Leaf, terms: Terms) -> Job:
  import gin

  try:
    recipe = _recipe(leaf, terms)
    page: Any = recipe.page
    return Job(
      leaf=leaf,
      state=THERE if (models := _there(recipe, terms.release_dir)) else NEW,
      handle=page.handle,
      size=_size(recipe),
      preprocessor=page.preprocessor or "",
      models=models,
    )
  except ExportError as e:
    return Job(leaf=leaf, state=UNUSABLE, error=e.message)
  finally:
    gin.clear_config()


def _recipe(leaf: Leaf, terms: Terms) -> Recipe:
  from exporters import recipe as recipe_lib
  from exporters.fields import paths
  from exporters.release import validation

  recipe = recipe_lib.load(
    leaf.gin_files,
    leaf.bindings,
    terms.companions,
    source=f"gardens.Garden.leaves['{leaf.gin_files[0]}']",
  )
  for part in filter(None, (recipe.exporter, recipe.companions)):
    paths.refuse_missing(part)
  return dataclasses.replace(recipe, page=validation.validated(recipe.page))


def _size(recipe: Recipe) -> int:
  """Returns how many bytes the files have that an exporter reads.

  Raises:
    ExportError: The checkpoint cannot be opened.
  """
  import tensorflow as tf

  from exporters.fields import paths

  files = [
    file
    for path in paths.declared(recipe.exporter)
    for file in path.files(recipe.exporter)
  ]
  return sum(tf.io.gfile.stat(file).length for file in files)


def _there(recipe: Recipe, release_dir: str) -> list[dict[str, Any]]:
  """Returns the models that were released from just this recipe and its files.

  Several artifacts of a recipe appear at the same time.
  """
  from exporters.release import provenance

  page: Any = recipe.page
  begin = os.path.join(glob.escape(release_dir), page.publisher, page.name)
  found = [
    *glob.glob(f"{begin}/{page.version}.provenance.json"),
    *glob.glob(f"{begin}/**/{page.version}.provenance.json", recursive=True),
  ]
  statements = {path: _read(path) for path in dict.fromkeys(found)}
  if not any(statements.values()):
    return []
  text = provenance.recipe_text(recipe, provenance.materials(recipe))
  return [
    _described(path, statement, release_dir)
    for path, statement in statements.items()
    if _recorded_recipe(statement) == text
    and all(
      os.path.exists(os.path.join(release_dir, subject["name"]))
      for subject in statement["subject"]
    )
  ]


def _read(path: str) -> Mapping[str, Any]:
  """Returns a provenance; {} if it is none."""
  with contextlib.suppress(OSError, ValueError), open(path) as f:
    return json.load(f)
  return {}


def _recorded_recipe(statement: Mapping[str, Any]) -> str | None:
  try:
    build = statement["predicate"]["buildDefinition"]
    return build["externalParameters"]["recipe"]
  except (KeyError, TypeError):
    return None


def _described(
  provenance: str, statement: Mapping[str, Any], release_dir: str
) -> dict[str, Any]:
  """Returns what `model` does, as far as a release says it by itself."""
  archive = provenance.removesuffix(".provenance.json") + ".tar.gz"
  path = os.path.relpath(archive, release_dir)
  return {
    "handle": path.removesuffix(".tar.gz"),
    "archive": path,
    "sha256": next(
      subject["digest"]["sha256"]
      for subject in statement["subject"]
      if subject["name"] == path
    ),
  }
