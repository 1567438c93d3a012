"""Finds out which code makes a release: the git commit of this checkout."""

import dataclasses
import functools
import os
import pathlib
import subprocess

from exporters.errors import ExportError

ROOT = os.path.dirname(
  os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)
_REAL_ROOT = os.path.realpath(ROOT)


@dataclasses.dataclass(frozen=True)
class Commit:
  """The state of a git checkout.

  Attributes:
    commit: The commit's hash. None: this is not a git checkout.
    changed: Files that differ from the commit.
  """

  commit: str | None
  changed: tuple[str, ...]

  def refuse_dirty(self) -> None:
    """Raises `ExportError` unless the commit says what all of the code is."""
    if self.commit is None:
      raise ExportError(
        "--strict: this is not a git checkout, so nobody could tell which code "
        "made the release. Clone the repository."
      )
    if self.changed:
      shown = ", ".join(self.changed[:5])
      raise ExportError(
        f"--strict: the git tree is not clean: {shown}. Commit or stash first."
      )


def read_commit() -> Commit:
  """Returns the state of this checkout."""
  commit = _git("rev-parse", "HEAD")
  if commit is None:
    return Commit(None, ())
  status = _git("status", "--porcelain") or ""
  return Commit(commit.strip(), tuple(line[3:] for line in status.splitlines()))


def is_part(path: str) -> bool:
  """Whether `path` means the same file in every clone of this repository.

  It does if it starts at the repository's root, and so does the working
  directory.
  """
  if os.path.isabs(path):
    return False
  here = os.path.join(_REAL_ROOT, os.path.normpath(path))
  return os.path.realpath(path) == here and is_tracked(path)


def is_tracked(path: str) -> bool:
  """Whether this repository has a file, or files below a folder.

  Without git, everything below the root counts.
  """
  inside = os.path.relpath(os.path.realpath(path), _REAL_ROOT)
  if inside.split(os.sep)[0] == os.pardir:
    return False
  names = _tracked()
  if names is None:
    return os.path.exists(os.path.join(_REAL_ROOT, inside))
  return inside in names


@functools.cache
def _tracked() -> frozenset[str] | None:
  """Returns the files in git's index, with their folders."""
  listed = _git("ls-files", "-z")
  if listed is None:
    return None
  files = [pathlib.PurePath(name) for name in listed.split("\0") if name]
  return frozenset(str(p) for file in files for p in (file, *file.parents))


def _git(*arguments: str) -> str | None:
  try:
    done = subprocess.run(
      ["git", "-C", ROOT, *arguments],
      capture_output=True,
      text=True,
      check=False,
    )
  except FileNotFoundError:  # There is no git.
    return None
  return done.stdout if done.returncode == 0 else None
