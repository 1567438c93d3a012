"""Makes a release: the files that a publisher uploads, and what proves them.

  <release_dir>/
    assets/docs/<publisher>/<publisher>.md
    assets/docs/<publisher>/models/<name>/<version>.md
    assets/docs/<publisher>/collections/<collection>/1.md
    <publisher>/<name>/<version>.tar.gz
    <publisher>/<name>/<version>/            the SavedModel, with Kaggle's files
    <publisher>/<name>/<version>.provenance.json
    <publisher>/<name>/<version>.report.html

Everything is written beside the release directory and then takes its place
together with what was there before, so that a version is there whole or not at
all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil

from exporters import recipe as recipe_lib
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.life_cycle import staging
from exporters.release import archive
from exporters.release import cards
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import privacy
from exporters.release import tfhub
from exporters.release.digests import file_digest
from exporters.release.released import Released
from exporters.saved_model import description
from exporters.saved_model import files


def release(
  recipe: recipe_lib.Recipe,
  *,
  release_dir: str,
  level: str,
  stages: exporting.Stages,
  finish: Callable[[Released], None],
) -> tuple[exporting.Export, list[Released]]:
  """Exports a recipe, checks it and adds it to a release directory.

  Args:
    recipe: With a page.
    release_dir: A local directory; it may hold other models and versions.
    level: Which checks a fresh process makes.
    stages: Is told of each stage.
    finish: Writes what else belongs beside a `Released`'s archive: all that
      need not be the same every time.

  Returns:
    What was exported, and what was released; their paths are below
    `release_dir`.

  Raises:
    ExportError: The page breaks a rule, the export fails, or the directory
      holds the version with other bytes.
  """
  whole = _page(recipe.page)
  with staging.workspace(release_dir) as work:
    exported = os.path.join(work, "saved_model")
    done = exporting.export(
      recipe.exporter, export_path=exported, level=level, stages=stages
    )
    tree = os.path.join(work, "tree")
    released = []
    for artifact in done.artifacts:
      name = os.path.relpath(artifact.path, exported)
      page = whole.of("" if name == os.curdir else name)
      with stages("pack", page.handle):
        one = _write(page, artifact, tree, release_dir)
      with stages("prove", page.handle):
        finish(one)
      released.append(one)
    with stages("publish", release_dir), _locked(release_dir):
      _add(tree, released, release_dir)
  moved = [dataclasses.replace(one, root=release_dir) for one in released]
  artifacts = [
    dataclasses.replace(one.artifact, path=one.folder) for one in moved
  ]
  return dataclasses.replace(done, artifacts=artifacts), moved


def _page(page: object) -> page_lib.Page:
  """Returns a recipe's page; raises `ExportError` if it breaks a rule."""
  if not isinstance(page, page_lib.Page):
    raise ExportError(
      "The gin file has no page. Bind recipe.Recipe.page = @page.Page() and "
      "say there who publishes the model and what it is; "
      "configs/low_level/multiply.gin shows how."
    )
  # An artifact's name is known after the export; any stands for it here.
  names = [""]
  for field in (page.description, page.task):
    if isinstance(field, Mapping):
      names = list(field)
  for name in names:
    cards.refuse_invalid(page.of(name))
    if page.kaggle:
      kaggle.refuse_invalid(page.of(name))
  return page


def _write(
  page: page_lib.Page, artifact: exporting.Artifact, tree: str, release_dir: str
) -> Released:
  """Writes everything of one artifact that has to be the same every time."""
  described = description.read(artifact.path)
  if page.preprocessor:
    refuse_other_vocabulary(page, artifact.path, release_dir)
  text = cards.model_page(page, described)
  privacy.refuse_private(
    text, "page", "Mend the page's fields in the gin file."
  )
  one = Released(
    page=page,
    artifact=artifact,
    description=described,
    root=tree,
  )
  _write_text(tree, page.docs_path, text)
  publisher = page.publisher
  _write_text(
    tree,
    f"assets/docs/{publisher}/{publisher}.md",
    cards.publisher_page(page),
  )
  os.makedirs(os.path.dirname(one.folder), exist_ok=True)
  archive.pack(artifact.path, f"{one.folder}.tar.gz")
  os.rename(artifact.path, one.folder)
  digests = {f"{page.handle}.tar.gz": file_digest(f"{one.folder}.tar.gz")}
  for file in described.files:
    digests[f"{page.handle}/{file}"] = file_digest(f"{one.folder}/{file}")
  tar_digest = hashlib.sha256()
  for piece in archive.tar_stream(one.folder):
    tar_digest.update(piece)
  if page.kaggle:
    kaggle.write(page, described, one.folder)
  return dataclasses.replace(
    one, digests=digests, tar_digest=tar_digest.hexdigest()
  )


def _write_text(tree: str, path: str, text: str) -> None:
  path = os.path.join(tree, path)
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "w", encoding="utf-8", newline="\n") as f:
    f.write(text)


def refuse_other_vocabulary(
  page: page_lib.Page, encoder: str, release_dir: str
) -> None:
  """Raises `ExportError` if an encoder and its preprocessor don't agree.

  Args:
    page: The encoder's.
    encoder: Its SavedModel.
    release_dir: Where its preprocessor is, if it was released there.
  """
  vocabularies = [
    os.path.join(root, "assets", "vocab.txt")
    for root in (encoder, os.path.join(release_dir, page.preprocessor))
  ]
  if not all(os.path.exists(path) for path in vocabularies):
    return
  if len({file_digest(path) for path in vocabularies}) > 1:
    raise ExportError(
      f"The preprocessor '{page.preprocessor}' in '{release_dir}' has another "
      "vocabulary than this encoder. Name the one that was made with it: "
      "page.Page.preprocessor."
    )


@contextlib.contextmanager
def _locked(release_dir: str) -> Iterator[None]:
  """Lets one release at a time take its place."""
  parent = os.path.dirname(os.path.abspath(release_dir))
  lock = os.open(parent, os.O_RDONLY)
  try:
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
  finally:
    os.close(lock)


def _add(tree: str, released: Sequence[Released], release_dir: str) -> None:
  """Puts what `tree` holds into `release_dir`, at once.

  Raises:
    ExportError: It holds one of the versions with other bytes.
  """
  for one in released:
    _refuse_other_bytes(one, release_dir)
  with staging.stage(release_dir, overwrite=True) as new:
    if os.path.isdir(release_dir):
      # Links: a file of a release is replaced, never changed.
      shutil.copytree(
        release_dir, new, copy_function=os.link, dirs_exist_ok=True
      )
    for one in released:
      shutil.rmtree(os.path.join(new, one.page.handle), ignore_errors=True)
    for file in files.listed(tree):
      target = os.path.join(new, file)
      # What was there may say more of the publisher.
      keep = tfhub.is_publisher_page(file)
      if not (keep and os.path.exists(target)):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(os.path.join(tree, file), target)
    for one in released:
      if one.page.collection:
        _write_collection(new, one.page)


def _refuse_other_bytes(one: Released, release_dir: str) -> None:
  path = os.path.join(release_dir, one.page.handle)
  if not os.path.exists(f"{path}.tar.gz") and not os.path.exists(path):
    return
  for file, digest in one.digests.items():
    there = os.path.join(release_dir, file)
    if not os.path.exists(there) or file_digest(there) != digest:
      raise ExportError(
        f"'{release_dir}' holds {one.page.handle} already, with another "
        f"'{os.path.relpath(there, release_dir)}'. A published version never "
        f"changes: set page.Page.version = {one.page.version + 1}."
      )


def _write_collection(tree: str, page: page_lib.Page) -> None:
  """Lists the model in its collection's page, beside those that are there."""
  docs = os.path.join(tree, "assets", "docs", page.publisher)
  path = os.path.join(docs, "collections", page.collection, "1.md")
  handles = {page.handle}
  if os.path.exists(path):
    with open(path, encoding="utf-8") as f:
      handles |= set(re.findall(r"^\| \[(.+?)\]", f.read(), re.M))
  texts = []
  for handle in sorted(handles):
    publisher, _, rest = handle.partition("/")
    model = os.path.join(tree, f"assets/docs/{publisher}/models/{rest}.md")
    with open(model, encoding="utf-8") as f:
      texts.append(f.read())
  _write_text(
    tree, os.path.relpath(path, tree), cards.collection_page(page, texts)
  )
