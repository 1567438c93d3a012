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
    kaggle: The handles on Kaggle of what it makes, as far as its page says it.
    error: Why it is UNUSABLE.
    models: What is there, if it is THERE.
  """

  leaf: Leaf
  state: str
  handle: str = ""
  size: int = 0
  preprocessor: str = ""
  kaggle: Sequence[str] = ()
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


def checked(jobs: Sequence[Job]) -> list[Job]:
  """Returns jobs; those that the others rule out, as UNUSABLE."""
  errors = _doubles(jobs)
  unusable = {
    job.handle: "cannot be made" for job in jobs if job.state == UNUSABLE
  }
  for job in jobs:
    if job.leaf.name in errors:
      unusable[job.handle] = "would be several leaves"
  return [
    dataclasses.replace(job, state=UNUSABLE, error=error)
    if (error := errors.get(job.leaf.name) or _of_preprocessor(job, unusable))
    and not job.error
    else job
    for job in jobs
  ]


def _of_preprocessor(job: Job, unusable: Mapping[str, str]) -> str:
  """Returns why the preprocessor of a job rules it out, or ""."""
  if job.state != NEW or not job.preprocessor:
    return ""
  reason = unusable.get(job.preprocessor)
  return f"Its preprocessor {job.preprocessor} {reason}." if reason else ""


def _doubles(jobs: Sequence[Job]) -> dict[str, str]:
  """Returns errors by the names of leaves that would be the same model."""
  here: dict[str, list[Job]] = {}
  on_kaggle: dict[str, list[Job]] = {}
  for job in jobs:
    if job.handle:
      here.setdefault(job.handle, []).append(job)
    for handle in job.kaggle:
      on_kaggle.setdefault(handle, []).append(job)
  errors: dict[str, str] = {}
  for found, where, field in (
    (here, "", "page.Page.name"),
    (on_kaggle, " on Kaggle", "page.Kaggle.variation"),
  ):
    for handle, same in found.items():
      names = {job.handle.rpartition("/")[0] for job in same}
      # Versions of a model are one model on Kaggle.
      if len(same) < 2 or (found is on_kaggle and len(names) < 2):
        continue
      leaves = " and ".join(f"'{job.leaf.name}'" for job in same)
      error = (
        f"{leaves} would {('both', 'all')[len(same) > 2]} be {handle}{where}. "
        f"Give each a {field} of its own."
      )
      errors = {job.leaf.name: error for job in same} | errors
  return errors
