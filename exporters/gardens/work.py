"""What is done in a fork: it may import TensorFlow, and does.

Each function has the process to itself: gin has read nothing, and TensorFlow
has done nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
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
  from exporters.life_cycle import consumer as consumer_lib
  from exporters.recipe import Recipe
  from exporters.release.released import Released


def survey(leaves: Sequence[Leaf], terms: Terms) -> list[Job]:
  """Returns what is known of leaves before anything is made."""
  return [_surveyed(leaf, terms) for leaf in leaves]


def release(
  leaf: Leaf,
  terms: Terms,
  announce: Callable[[str], None],
  consumer: consumer_lib.Consumer | None,
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
  from exporters.life_cycle import remote
  from exporters.release import complete
  from exporters.release import git_commit
  from exporters.release import object_store

  recipe = _recipe(leaf, terms)
  with remote.reworded(terms.release_dir):
    there = _there(recipe, terms)
  if there:
    return Outcome(leaf=leaf.name, state=THERE, models=there, files=leaf.files)
  stages = exporting.Stages(announce)
  page: Any = recipe.page
  with contextlib.ExitStack() as stack:
    release_dir = terms.release_dir
    if "://" in release_dir:
      release_dir = stack.enter_context(
        object_store.local_directory(page, release_dir)
      )
    _, released = complete.release(
      recipe,
      git_commit.Commit(terms.commit, tuple(terms.changed)),
      release_dir=release_dir,
      level=terms.level,
      stages=stages,
      sign_key=terms.sign_key,
      consumer=consumer,
    )
    if "://" in terms.release_dir:
      with stages("publish", terms.release_dir):
        object_store.add(released, terms.release_dir)
  return Outcome(
    leaf=leaf.name,
    state=MADE,
    models=[model(one, terms) for one in released],
    stages=stages.seconds,
    files=leaf.files,
  )


def conclude(
  name: str,
  terms: Terms,
  leaves: Sequence[Leaf],
  outcomes: Sequence[Outcome],
) -> dict[str, str]:
  """Records what became of a garden; see `record.write`.

  At an address, it also adds the models to the pages of their collections.
  """
  from exporters.gardens import record
  from exporters.life_cycle import remote
  from exporters.release import object_store

  with remote.reworded(terms.release_dir):
    if "://" in terms.release_dir:
      by_name = {leaf.name: leaf for leaf in leaves}
      pages = [
        (
          _page(by_name[outcome.leaf], terms),
          [m["handle"] for m in outcome.models],
        )
        for outcome in outcomes
        if outcome.models
      ]
      object_store.write_collections(pages, terms.release_dir)
    return record.write(name, terms.level, outcomes, terms.release_dir)


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
    "archive": os.path.relpath(one.archive, one.root),
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

  from exporters.life_cycle import remote
  from exporters.release import validation

  job = Job(leaf=leaf, state=UNUSABLE)
  try:
    recipe = _loaded(leaf, terms)
    page: Any = recipe.page
    # Known even of what cannot be made, for the sake of others.
    job = dataclasses.replace(
      job,
      handle=page.handle,
      preprocessor=page.preprocessor or "",
      kaggle=validation.kaggle_handles(page),
    )
    _refuse_missing(recipe)
    with remote.reworded(terms.release_dir):
      models = _there(recipe, terms)
    return dataclasses.replace(
      job,
      state=THERE if models else NEW,
      size=_size(recipe),
      models=models,
    )
  except ExportError as e:
    return dataclasses.replace(job, error=e.message)
  finally:
    gin.clear_config()


def _page(leaf: Leaf, terms: Terms) -> Any:
  import gin

  try:
    return _loaded(leaf, terms).page
  finally:
    gin.clear_config()


def _recipe(leaf: Leaf, terms: Terms) -> Recipe:
  recipe = _loaded(leaf, terms)
  _refuse_missing(recipe)
  return recipe


def _loaded(leaf: Leaf, terms: Terms) -> Recipe:
  from exporters import recipe as recipe_lib
  from exporters.release import validation

  recipe = recipe_lib.load(
    leaf.gin_files,
    leaf.bindings,
    terms.companions,
    source=f"gardens.Garden.leaves['{leaf.gin_files[0]}']",
  )
  return dataclasses.replace(recipe, page=validation.validated(recipe.page))


def _refuse_missing(recipe: Recipe) -> None:
  from exporters.fields import paths

  for part in filter(None, (recipe.exporter, recipe.companions)):
    paths.refuse_missing(part)


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
  import tensorflow as tf

  from exporters.release import provenance

  page: Any = recipe.page
  root = terms.release_dir
  # Of its own name, and of those below it.
  begin = os.path.join(root, page.publisher, page.name)
  found = [
    os.path.join(folder, name)
    for folder, _, names in tf.io.gfile.walk(begin)
    for name in names
    if name == f"{page.version}.provenance.json"
  ]
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
  import tensorflow as tf

  with (
    contextlib.suppress(tf.errors.OpError, OSError, ValueError),
    tf.io.gfile.GFile(path, "rb") as f,
  ):
    return json.loads(f.read())
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
    """Whether signatures lie beside the archive and the provenance."""
    import tensorflow as tf

    begin = os.path.join(self.root, self.handle)
    return all(
      tf.io.gfile.exists(f"{begin}{suffix}.sig")
      for suffix in (".tar.gz", ".provenance.json")
    )

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
    """Raises `ExportError` unless its files are as they were released.

    An object store is only asked whether they are there.
    """
    import tensorflow as tf

    from exporters.release import digests

    for name, digest in self._digests.items():
      path = os.path.join(self.root, name)
      exists = tf.io.gfile.exists(path)
      if exists and ("://" in path or digests.file_digest(path) == digest):
        continue
      what = "is not as it was released" if exists else "is gone"
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
