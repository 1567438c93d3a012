"""Adds finished versions to a release directory at an address, as gs:// has.

An object store has no folders to move, no links and no locks. But a file there
is whole, and anyone who lists files sees all that have been written. So a
version is made in a local directory, and its files are copied. Its provenance
comes last: with it, the version is there. What was copied without one is copied
again by the next run.

A process that adds a version claims it first, by an empty file that has the
digest of all its files in its name. Of two that would add other bytes, each
sees the other's claim, or what the other has added; so one of them gives up, or
both do. A claim goes when its version is there. That of a process that was
killed stays, and lets only the same bytes in.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import json
import os
import secrets
import tempfile

import tensorflow as tf

from exporters.errors import ExportError
from exporters.life_cycle import remote
from exporters.release import digests
from exporters.release import directory
from exporters.release import kaggle
from exporters.release.page import Page
from exporters.release.released import Released
from exporters.saved_model import files

_CLAIM = ".claim"


@contextlib.contextmanager
def local_directory(page: Page, release_dir: str) -> Iterator[str]:
  """Yields a local release directory to make a version in.

  Args:
    page: The version's page. What it is compared with is copied: the vocabulary
      of its preprocessor, and where that goes on Kaggle.
    release_dir: An address, which errors name.
  """
  with tempfile.TemporaryDirectory() as folder:
    local = os.path.join(folder, "release")
    for name in ("assets/vocab.txt", kaggle.INSTANCE):
      file = os.path.join(page.preprocessor or "", name)
      source = os.path.join(release_dir, file)
      if page.preprocessor and tf.io.gfile.exists(source):
        _copy(source, os.path.join(local, file))
    try:
      yield local
    except ExportError as e:
      raise ExportError(e.message.replace(local, release_dir)) from e


def add(released: Sequence[Released], release_dir: str) -> None:
  """Copies versions from the local directory that they were released to.

  Pages of collections are left out; see `write_collections`.

  Args:
    released: Versions with a common root.
    release_dir: An address.

  Raises:
    ExportError: `release_dir` holds one of them with other bytes, or with a
      companion that is left out here; or somebody else is adding one.
  """
  with remote.reworded(release_dir):
    claims = [_Claim(one, release_dir) for one in released]
    try:
      for claim, one in zip(claims, released, strict=True):
        claim.make()
        _refuse_other_bytes(one, release_dir)
    except ExportError:
      for claim in claims:
        claim.withdraw()
      raise
    root = released[0].root
    last = [one.provenance for one in released]
    signatures = [f"{file}.sig" for file in last]
    for file in files.listed(root):
      source = os.path.join(root, file)
      if source not in (*last, *signatures) and _is_its_own(file, released):
        _copy(source, os.path.join(release_dir, file))
    for one in released:
      # As in `directory`: one that is there may say more.
      publisher = os.path.join(release_dir, directory.publisher_path(one.page))
      if not tf.io.gfile.exists(publisher):
        write(publisher, one.texts.publisher)
    for source in last:
      target = os.path.join(release_dir, os.path.relpath(source, root))
      # Never that of another provenance.
      _remove(f"{target}.sig")
      _copy(source, target)
      if os.path.exists(f"{source}.sig"):
        _copy(f"{source}.sig", f"{target}.sig")
    for claim in claims:
      claim.fulfil()


def write_collections(
  pages: Sequence[tuple[Page, Sequence[str]]], release_dir: str
) -> None:
  """Adds models to the pages of their collections.

  Only one process may do so at a time.

  Args:
    pages: The pages of models, each with the handles of its artifacts.
    release_dir: An address.
  """
  known: dict[str, str | None] = {}

  def text_at(path: str) -> str | None:
    if path not in known:
      known[path] = read(os.path.join(release_dir, path))
    return known[path]

  changed = {}
  for page, handles in pages:
    if page.collection and handles:
      path = directory.collection_path(page)
      changed[path] = directory.collection(page, handles, text_at)
      known[path] = changed[path]
  for path, text in changed.items():
    write(os.path.join(release_dir, path), text)


def read(path: str) -> str | None:
  """Returns a text, or None if it is not there."""
  with (
    contextlib.suppress(tf.errors.NotFoundError),
    tf.io.gfile.GFile(path, "rb") as f,
  ):
    return f.read().decode()
  return None


def write(path: str, text: str) -> None:
  """Writes a text, whole or not at all."""
  _make_parent(path)
  with tf.io.gfile.GFile(path, "wb") as f:
    f.write(text.encode())


def _make_parent(path: str) -> None:
  # There, folders exist by what is in them; and TensorFlow would try for ever
  # to make one in a bucket that does not exist.
  if not path.startswith("gs://"):
    tf.io.gfile.makedirs(os.path.dirname(path))


def _copy(source: str, target: str) -> None:
  _make_parent(target)
  tf.io.gfile.copy(source, target, overwrite=True)


def _is_its_own(file: str, released: Sequence[Released]) -> bool:
  """Returns whether a file belongs to these versions, not to others as well."""
  pages = [one.page for one in released]
  return not file.startswith(
    tuple(f"{page.preprocessor}/" for page in pages)
  ) and file not in (
    *(directory.publisher_path(page) for page in pages),
    *(directory.collection_path(page) for page in pages),
  )


class _Claim:
  """Says that a version is being added.

  Args:
    one: The version.
    release_dir: An address.
  """

  def __init__(self, one: Released, release_dir: str):
    self._version = one.page.version
    self._handle = one.page.handle
    self._release_dir = release_dir
    self._folder = os.path.dirname(os.path.join(release_dir, self._handle))
    digest = digests.stream_digest([json.dumps(one.digests).encode()])
    self._begin = f"{self._version}.{digest[:16]}-"
    self._name = f"{self._begin}{secrets.token_hex(8)}{_CLAIM}"

  def make(self) -> None:
    """Claims the version.

    Raises:
      ExportError: Somebody has claimed it for other bytes.
    """
    write(os.path.join(self._folder, self._name), "")
    others = [n for n in self._all() if not n.startswith(self._begin)]
    if others:
      left = os.path.join(self._folder, others[0])
      raise ExportError(
        f"Somebody else is adding {self._handle} to '{self._release_dir}', "
        "with other bytes. If nobody is, a run that was killed has left "
        f"'{left}': delete it."
      )

  def withdraw(self) -> None:
    """Ends this claim, and no other for the same bytes."""
    _remove(os.path.join(self._folder, self._name))

  def fulfil(self) -> None:
    """Ends all claims for the bytes that are there by now."""
    for name in self._all():
      if name.startswith(self._begin):
        _remove(os.path.join(self._folder, name))

  def _all(self) -> list[str]:
    return [
      name
      for name in tf.io.gfile.listdir(self._folder)
      if name.startswith(f"{self._version}.") and name.endswith(_CLAIM)
    ]


def _remove(path: str) -> None:
  with contextlib.suppress(tf.errors.NotFoundError):
    tf.io.gfile.remove(path)


def _refuse_other_bytes(one: Released, release_dir: str) -> None:
  """Does what `directory` does, by the provenance that is there."""
  provenance = read(
    os.path.join(release_dir, f"{one.page.handle}.provenance.json")
  )
  if provenance is None:
    return
  there: Mapping[str, str] = {
    subject["name"]: subject["digest"]["sha256"]
    for subject in json.loads(provenance)["subject"]
  }
  for file, digest in one.digests.items():
    if there.get(file, digest) != digest or (
      file not in there and directory.is_of_artifact(file, one.page)
    ):
      raise directory.other_bytes(file, one.page, release_dir)
  for file in there:
    if file not in one.digests and directory.is_of_artifact(file, one.page):
      raise directory.other_bytes(file, one.page, release_dir)
  directory.refuse_left_out(one, there.__contains__, release_dir)
