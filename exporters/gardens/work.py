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
from exporters.gardens.jobs import LEVELS
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
  there = _there(recipe, terms)
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
    models=[model(one, terms) for one in released],
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


def model(one: Released, terms: Terms) -> dict[str, Any]:
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
    "archive": os.path.relpath(one.archive, terms.release_dir),
    "sha256": one.digests[f"{one.page.handle}.tar.gz"],
    "size": one.artifact.size,
    "parameters": one.artifact.parameters,
    "checks": terms.level,
    "checks passed": statuses.count(checks.PASSED),
    "difference": max(same, default=None),
    "companions": [
      {
        "file": one.place(companion).path,
        "sha256": one.digests[one.place(companion).path],
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
      state=THERE if (models := _there(recipe, terms)) else NEW,
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


def _there(recipe: Recipe, terms: Terms) -> list[dict[str, Any]]:
  """Returns the models that were released from just this recipe and its files.

  None, if they have been through fewer checks than they are to go through, if
  one of them is absent, or if they are to be signed and are not.

  Raises:
    ExportError: A file of theirs is not as it was released.
  """
  from exporters.release import provenance

  page: Any = recipe.page
  root = terms.release_dir
  begin = os.path.join(glob.escape(root), page.publisher, page.name)
  # Of its own name, and of those below it.
  found = glob.glob(
    f"{begin}/**/{page.version}.provenance.json", recursive=True
  )
  records = {
    _handle(path, root): _Version(root, _handle(path, root), _read(path))
    for path in found
  }
  if not any(record.recipe for record in records.values()):
    return []
  text = provenance.recipe_text(recipe, provenance.materials(recipe))
  same = {h: r for h, r in records.items() if r.recipe == text}
  wanted = {handle for record in same.values() for handle in record.together}
  if not same or wanted != same.keys():
    return []
  for record in same.values():
    record.refuse_damaged()
  if any(
    LEVELS.index(record.level) < LEVELS.index(terms.level)
    or (terms.sign_key and not record.signed)
    for record in same.values()
  ):
    return []
  return [record.described() for record in same.values()]


def _handle(provenance: str, release_dir: str) -> str:
  path = os.path.relpath(provenance, release_dir)
  return path.removesuffix(".provenance.json")


def _read(path: str) -> Mapping[str, Any]:
  """Returns a provenance; {} if it is none."""
  with contextlib.suppress(OSError, ValueError), open(path) as f:
    return json.load(f)
  return {}


@dataclasses.dataclass(frozen=True)
class _Version:
  """A version that is there, as its provenance has it.

  Attributes:
    root: The release directory.
    handle: `publisher/name/version`.
    statement: The provenance.
  """

  root: str
  handle: str
  statement: Mapping[str, Any]

  @property
  def _build(self) -> Mapping[str, Any]:
    return self.statement.get("predicate", {}).get("buildDefinition", {})

  @property
  def recipe(self) -> str | None:
    """The recipe that it was made from."""
    return self._build.get("externalParameters", {}).get("recipe")

  @property
  def level(self) -> str:
    """Which checks it went through."""
    return self._build.get("internalParameters", {}).get("checks", "none")

  @property
  def together(self) -> Sequence[str]:
    """What was released with it."""
    parameters = self._build.get("internalParameters", {})
    return parameters.get("released together", [self.handle])

  @property
  def signed(self) -> bool:
    """Whether a signature lies beside the archive."""
    return os.path.exists(os.path.join(self.root, self._archive + ".sig"))

  @property
  def _archive(self) -> str:
    return f"{self.handle}.tar.gz"

  @property
  def _digests(self) -> Mapping[str, str]:
    return {
      subject["name"]: subject["digest"]["sha256"]
      for subject in self.statement["subject"]
    }

  def refuse_damaged(self) -> None:
    """Raises `ExportError` unless its files are as they were released."""
    from exporters.release import digests

    for name, digest in self._digests.items():
      path = os.path.join(self.root, name)
      if os.path.exists(path) and digests.file_digest(path) == digest:
        continue
      what = "is not as it was released" if os.path.exists(path) else "is gone"
      raise ExportError(
        f"{self.handle} is in '{self.root}', but its file '{name}' {what}. "
        f"Delete '{os.path.join(self.root, self.handle)}*' to make it again."
      )

  def described(self) -> dict[str, Any]:
    """Returns what `model` does, as far as a release says it by itself."""
    from exporters.companions import kinds

    digests = self._digests
    return {
      "handle": self.handle,
      "archive": self._archive,
      "sha256": digests[self._archive],
      "checks": self.level,
      "companions": [
        {"file": name, "sha256": digest, "difference": None}
        for name, digest in digests.items()
        if name.endswith(kinds.SUFFIXES)
      ],
    }
