"""Adds finished versions to a release directory, all of them or none.

Everything is written beside the directory first. Then it takes its place,
together with links to what was there before.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import errno
import os
import re
import shutil

from exporters.companions.kinds import KINDS
from exporters.errors import ExportError
from exporters.life_cycle import durable
from exporters.life_cycle import locks
from exporters.life_cycle import staging
from exporters.release import texts
from exporters.release.digests import file_digest
from exporters.release.page import Page
from exporters.release.place import Place
from exporters.release.released import Released
from exporters.saved_model import files

_ATTEMPTS = 5
_WITHOUT_LINKS = (
  errno.EPERM,
  errno.EOPNOTSUPP,
  errno.ENOSYS,
  errno.EXDEV,
  errno.EMLINK,
)


def write_text(root: str, path: str, text: str) -> None:
  """Writes a text to a path below `root`, in UTF-8."""
  path = os.path.join(root, path)
  os.makedirs(os.path.dirname(path), exist_ok=True)
  # What is there may be a link to a file that has to stay as it is.
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)
  with open(path, "w", encoding="utf-8", newline="\n") as f:
    f.write(text)


def add(tree: str, released: Sequence[Released], release_dir: str) -> None:
  """Adds the files in `tree` to `release_dir`, all at once.

  Any number of processes on any number of hosts may do so at the same time.
  Pages of publishers and collections, which belong to several models, are
  written here too.

  Raises:
    ExportError: `release_dir` holds one of the versions with other bytes, or
      with a companion that is left out here.
  """
  # Now, since others will have to wait later.
  durable.flush(tree)
  for _ in range(_ATTEMPTS):
    try:
      _add(tree, released, release_dir)
    except (locks.LostError, staging.ChangedError):
      # This process stood still for so long that others went on without it:
      # again, with what they have added.
      continue
    return
  raise ExportError(
    f"'{release_dir}' has changed {_ATTEMPTS} times while "
    f"{released[0].page.handle} was being added. Release it again, when nobody "
    "else writes to that folder."
  )


def _add(tree: str, released: Sequence[Released], release_dir: str) -> None:
  # A link to it stays one, and all who come by it wait for each other.
  target = os.path.realpath(release_dir)
  with (
    locks.exclusive(target) as lock,
    staging.replacement(target) as (new, replaces),
  ):
    try:
      if replaces:
        # Links will do: a file of a release is replaced, never changed.
        shutil.copytree(target, new, copy_function=_link, dirs_exist_ok=True)
      for one in released:
        _refuse_other_bytes(one, new, release_dir)
        refuse_left_out(
          one,
          lambda path: os.path.exists(os.path.join(new, path)),
          release_dir,
        )
      _write(tree, released, new)
      # What has another name lies in `tree`, or was released before.
      durable.flush(new, linked=False)
    except (OSError, ExportError):
      # Once the lock is lost, the directory can vanish while it is read.
      lock.check()
      raise
    lock.check()


def replace(texts: Mapping[str, str], release_dir: str) -> None:
  """Writes texts at paths below `release_dir`, each whole or not at all."""
  target = os.path.realpath(release_dir)
  os.makedirs(os.path.dirname(target), exist_ok=True)
  with locks.exclusive(target):
    # Before there is a new one: a run that was killed may have moved the
    # directory aside.
    staging.recover(target)
    os.makedirs(target, exist_ok=True)
    for path, text in texts.items():
      # No version's file has such a name.
      write_text(release_dir, f"{path}.new", text)
      file = os.path.join(release_dir, path)
      durable.flush_one(f"{file}.new")
      os.replace(f"{file}.new", file)
      durable.flush_names(file)


def _write(tree: str, released: Sequence[Released], new: str) -> None:
  """Adds the files in `tree` to `new`; they stay in `tree` too."""
  for one in released:
    for folder in (
      one.page.handle,
      *(one.place(companion).handle for companion in one.companions),
    ):
      shutil.rmtree(os.path.join(new, folder), ignore_errors=True)
    # A provenance is another one each time.
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(new, f"{one.page.handle}.provenance.json.sig"))
  for file in files.listed(tree):
    target = os.path.join(new, file)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
      os.remove(target)
    _link(os.path.join(tree, file), target)
  for one in released:
    _write_shared_pages(new, one)


def _link(source: str, target: str) -> None:
  """Gives a file a second name, or copies it if it can have only one."""
  try:
    os.link(source, target)
  except OSError as e:
    if e.errno not in _WITHOUT_LINKS:
      raise
    shutil.copy2(source, target)


def _refuse_other_bytes(one: Released, copy: str, release_dir: str) -> None:
  """Raises `ExportError` if the copy of `release_dir` has other bytes."""
  path = os.path.join(copy, one.page.handle)
  if not os.path.exists(f"{path}.tar.gz") and not os.path.exists(path):
    return
  for file, digest in one.digests.items():
    there = os.path.join(copy, file)
    missing = not os.path.exists(there)
    # A companion may join its SavedModel later.
    if missing and not is_of_artifact(file, one.page):
      continue
    if missing or file_digest(there) != digest:
      raise other_bytes(file, one.page, release_dir)


def is_of_artifact(file: str, page: Page) -> bool:
  """Returns whether a file is a version's archive, or is in it."""
  return file.startswith((f"{page.handle}.", f"{page.handle}/"))


def other_bytes(file: str, page: Page, release_dir: str) -> ExportError:
  """Returns the error that a file of a version is another one there."""
  return ExportError(
    f"'{release_dir}' already holds {page.handle}, with a different "
    f"'{file}'. A published version never changes: set page.Page.version = "
    f"{page.version + 1}."
  )


def refuse_left_out(
  one: Released, exists: Callable[[str], bool], release_dir: str
) -> None:
  """Raises `ExportError` if a companion that is there would stay behind.

  Args:
    one: What is to be added.
    exists: Whether a path below the release directory is there.
    release_dir: What an error calls it.
  """
  places = {
    name: Place(model=one.page.handle, kind=kind).path
    for name, kind in KINDS.items()
  }
  here = {companion.kind.name for companion in one.companions}
  there = {name for name, path in places.items() if exists(path)}
  left_out = [name for name in KINDS if name in there - here]
  if left_out:
    every = ",".join(name for name in KINDS if name in there | here)
    raise ExportError(
      f"'{release_dir}' already holds {one.page.handle} with the companion "
      f"'{places[left_out[0]]}', which this release leaves out. A published "
      f"version never changes: add --companions={every}."
      f"{''.join(f' {remark}' for remark in one.missing)}"
    )


def _write_shared_pages(tree: str, one: Released) -> None:
  publisher = publisher_path(one.page)
  # A page that is there may say more about the publisher.
  if not os.path.exists(os.path.join(tree, publisher)):
    write_text(tree, publisher, one.texts.publisher)

  def text_at(path: str) -> str | None:
    with (
      contextlib.suppress(FileNotFoundError),
      open(os.path.join(tree, path), encoding="utf-8") as f,
    ):
      return f.read()
    return None

  if one.page.collection:
    text = collection(one.page, [one.page.handle], text_at)
    write_text(tree, collection_path(one.page), text)


def publisher_path(page: Page) -> str:
  """Returns where the publisher's page is, below a release directory."""
  return f"assets/docs/{page.publisher}/{page.publisher}.md"


def collection_path(page: Page) -> str:
  """Returns where the page of a model's collection is, if it has one."""
  return f"assets/docs/{page.publisher}/collections/{page.collection}/1.md"


def collection(
  page: Page,
  handles: Sequence[str],
  text_at: Callable[[str], str | None],
) -> str:
  """Returns a collection's page with models added to those on it.

  Args:
    page: The page of one of them.
    handles: Their handles.
    text_at: Returns the text at a path below the release directory, or None.
  """
  there = text_at(collection_path(page)) or ""
  models = []
  for handle in sorted({*handles, *re.findall(r"^\| \[(.+?)\]", there, re.M)}):
    publisher, _, rest = handle.partition("/")
    text = text_at(f"assets/docs/{publisher}/models/{rest}.md")
    if text is None:
      raise ExportError(
        f"The page of the collection '{page.collection}' has {handle}, whose "
        "own page is gone."
      )
    models.append(text)
  return texts.collection_page(page, models)
