"""Finds out which code makes a release: the git commit of this checkout."""

import dataclasses
import os
import subprocess

from exporters.errors import ExportError

ROOT = os.path.dirname(
  os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)


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
  """Whether `path` is relative, and in every clone of this repository."""
  if os.path.isabs(path) or path.startswith(os.pardir):
    return False
  tracked = _git("ls-files", "--", path)
  if tracked is None:
    return os.path.exists(os.path.join(ROOT, path))
  return bool(tracked)


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
