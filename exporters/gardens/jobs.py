"""What is to be done for a leaf, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from exporters.gardens.settings import Leaf

# What is known of a leaf before anything is made.
NEW, THERE, UNUSABLE = "new", "there", "unusable"
# Levels of checks, from the fewest to the most.
LEVELS = ("none", "basic", "all")
# What became of it; `THERE` too.
MADE, FAILED = "made", "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
  """What all releases of a garden have in common.

  Attributes:
    release_dir: The directory that they are added to.
    level: Which checks to run.
    commit: The commit of this checkout. None: it is none.
    changed: Files that differ from the commit.
    companions: Kinds of companions, in place of those of the gin files.
    sign_key: A private key to sign with. None: nothing is signed.
    seconds: How long one release may take.
  """

  release_dir: str
  level: str
  commit: str | None
  changed: Sequence[str] = ()
  companions: Sequence[str] | None = None
  sign_key: str | None = None
  seconds: float = 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """A leaf, with what is known of it before anything is made.

  Attributes:
    leaf: The leaf.
    state: NEW, THERE or UNUSABLE.
    handle: `publisher/name/version`. With several artifacts, each has a name
      of its own below it.
    size: Bytes of the files that it is made from.
    preprocessor: The handle of its preprocessor, if it states one.
    error: Why it is UNUSABLE.
    models: What is there, if it is THERE.
  """

  leaf: Leaf
  state: str
  handle: str = ""
  size: int = 0
  preprocessor: str = ""
  error: str = ""
  models: Sequence[Mapping[str, Any]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
  """What became of a leaf.

  Attributes:
    leaf: The leaf's name.
    state: MADE, THERE or FAILED.
    error: Why it failed.
    models: What is known of each artifact; see `work.model`.
    seconds: How long it took, with the time that its process waited.
    memory: Bytes that its processes held together at most, as a sample of them
      each second saw it.
    stages: How long each stage took.
    files: Where the leaf's files are, as `Leaf` has it.
  """

  leaf: str
  state: str
  error: str = ""
  models: Sequence[Mapping[str, Any]] = ()
  seconds: float = 0.0
  memory: int = 0
  stages: Mapping[str, float] = dataclasses.field(default_factory=dict)
  files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def without_doubles(jobs: Sequence[Job]) -> list[Job]:
  """Returns jobs; those of one handle, and what waits for them, as UNUSABLE."""
  by_handle: dict[str, list[str]] = {}
  for job in jobs:
    if job.handle:
      by_handle.setdefault(job.handle, []).append(f"'{job.leaf.name}'")
  errors = {
    handle: f"{' and '.join(names)} would {('both', 'all')[len(names) > 2]} be "
    f"{handle}. Give each a page.Page.name of its own."
    for handle, names in by_handle.items()
    if len(names) > 1
  }
  checked = []
  for job in jobs:
    error = errors.get(job.handle)
    if not error and job.state == NEW and job.preprocessor in errors:
      error = f"Two leaves would be its preprocessor {job.preprocessor}."
    if error:
      job = dataclasses.replace(job, state=UNUSABLE, error=error)
    checked.append(job)
  return checked
