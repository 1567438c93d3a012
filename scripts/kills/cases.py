"""The commands that are struck, and what each may leave."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import glob
import hashlib
import pathlib
import shutil

from exporters.errors import ExportError
from scripts.kills import directories

# What `prepare` and `places` name: a model, and a release directory.
_MODEL, _RELEASE = "model", "release"
_NAME = "multiply"
START, END = "start", "end"
STAGES = (START, "build", "check", "pack", "publish", END)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """A command, and what is there before it and after it.

  Attributes:
    name: For people.
    module: The command.
    flags: Its own.
    before: The state that it finds, a name in `State.NAMES`. None: nothing.
    after: The one that it leaves.
    signs: Whether it signs.
  """

  name: str
  module: str
  after: str
  before: str | None = None
  flags: tuple[str, ...] = ()
  signs: bool = False

  @property
  def releases(self) -> bool:
    """Whether it adds to a release directory."""
    return self.module == "scripts.release"

  def arguments(
    self, disk: pathlib.Path, key: pathlib.Path, *, again: bool
  ) -> list[str]:
    """Returns what follows `python -m`.

    Args:
      disk: Where it writes.
      key: What it signs with.
      again: Whether its result may be there already.
    """
    where = "release_dir" if self.releases else "export_path"
    draft = ["--draft"] if self.releases else []
    replace = ["--overwrite"] if again and not self.releases else []
    signature = [f"--sign_key={key}"] if self.signs else []
    return [
      self.module,
      "--gin_file=configs/low_level/multiply.gin",
      f"--{where}={self.place(disk)}",
      *draft,
      *signature,
      *replace,
      *self.flags,
    ]

  def place(self, disk: pathlib.Path) -> pathlib.Path:
    """Returns the path that it writes to."""
    return disk / (_RELEASE if self.releases else _MODEL)

  def prepare(self, states: pathlib.Path, disk: pathlib.Path) -> None:
    """Copies what the command finds."""
    if self.before:
      shutil.copytree(states / self.before, disk, dirs_exist_ok=True)

  def stage(self, disk: pathlib.Path, asked: str, replaced: int | None) -> str:
    """Returns what the command does.

    Args:
      disk: Where it does it.
      asked: The change of files that it is about to make, if it is paused.
      replaced: The number of what was there before.
    """
    place = self.place(disk)
    if asked.startswith("os.rename ") and (
      asked.endswith("/new") or asked.split()[1] == str(place)
    ):
      return "publish"
    if self.releases:
      found = directories.Directory(place).stage(set())
    else:
      found = self._stage_of_export(disk, replaced)
    if found:
      return found
    return START if number(place) == replaced else END

  def _stage_of_export(self, disk: pathlib.Path, replaced: int | None) -> str:
    for staged in disk.glob(f".{_MODEL}.staging-*"):
      if number(self.place(disk)) != replaced or (staged / "old").exists():
        return "publish"
      return "check" if (staged / "new/saved_model.pb").exists() else "build"
    return ""

  def leftovers(self, disk: pathlib.Path) -> list[str]:
    """Returns what is beside the result, or in it, and does not belong."""
    mine = {self.place(disk).name, "tmp", "lost+found"}
    return [
      *(p.name for p in disk.iterdir() if p.name not in mine),
      *(str(p) for p in self.place(disk).rglob("*.new")),
    ]

  def faults(
    self,
    disk: pathlib.Path,
    states: pathlib.Path,
    public_key: pathlib.Path,
    *,
    finished: bool,
  ) -> Iterator[str]:
    """Yields what is wrong with what is there.

    Args:
      disk: Where it is.
      states: What should be there.
      public_key: The one of what is signed.
      finished: Whether the command has said that it is done.
    """
    there = self._there(disk)
    before = digests(states / self.before) if self.before else {}
    if not finished and there == before:
      return
    if not self.releases:
      after = digests(states / self.after)
      if there != after:
        yield _difference(there, after)
      return
    reference = directories.Directory(states / self.after / _RELEASE)
    directory = directories.Directory(self.place(disk))
    yield from directory.faults(_NAME, reference)
    after = digests(reference.path.parent)
    if there.keys() != after.keys():
      yield _difference(there, after)
    for file in before:
      if f"/{_NAME}/" not in file and there.get(file) != before[file]:
        yield f"'{file}' of another model has changed"
    yield from _faults_of_signatures(directory.root, public_key)

  def _there(self, disk: pathlib.Path) -> dict[str, str]:
    """Returns the digests of what is there, or was moved aside."""
    place = self.place(disk)
    if not place.exists():
      aside = glob.glob(str(disk / f".{place.name}.staging-*/old"))
      if aside:
        return digests(pathlib.Path(aside[0]), place.name)
    return digests(place, place.name)


CASES = (
  Case(name="export", module="exporters.low_level", after="model"),
  Case(
    name="overwrite",
    module="exporters.low_level",
    flags=("--overwrite",),
    before="old_model",
    after="model",
  ),
  Case(
    name="release", module="scripts.release", before="other", after="released"
  ),
  Case(
    name="signed release",
    module="scripts.release",
    before="other",
    after="signed",
    signs=True,
  ),
  Case(
    name="release again",
    module="scripts.release",
    before="released",
    after="released",
  ),
  Case(
    name="sign",
    module="scripts.release",
    before="released",
    after="signed",
    signs=True,
  ),
)

# What makes the states that the cases find. Those of the second line need those
# of the first.
MAKERS = (
  (
    Case(
      name="an old model",
      module="exporters.low_level",
      flags=("--gin_bindings=low_level.LowLevelExporter.factor = 3.0",),
      after="old_model",
    ),
    Case(
      name="another release",
      module="scripts.release",
      flags=("--gin_bindings=page.Page.name = 'other'",),
      after="other",
    ),
    CASES[0],
  ),
  (CASES[2], CASES[3]),
)


def number(path: pathlib.Path) -> int | None:
  """Returns what tells a folder from another one at its path."""
  try:
    return path.stat().st_ino
  except FileNotFoundError:
    return None


def digests(folder: pathlib.Path, prefix: str = "") -> dict[str, str]:
  """Returns the digests of all files in a folder, by their paths."""
  return {
    str(prefix / path.relative_to(folder)): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for path in folder.rglob("*")
    if path.is_file()
  }


def _difference(there: dict[str, str], expected: dict[str, str]) -> str:
  names = sorted(
    n for n in there.keys() | expected.keys() if there.get(n) != expected.get(n)
  )
  what = []
  for name in names[:5]:
    kind = "damaged" if name in there else "missing"
    what.append(f"{name} is {kind if name in expected else 'not expected'}")
  return ", ".join(what)


def _faults_of_signatures(
  root: pathlib.Path, public_key: pathlib.Path
) -> Iterator[str]:
  from exporters.release import signing

  for path in root.rglob(f"*{signing.SUFFIX}"):
    try:
      signing.verify(str(path.with_suffix("")), str(public_key))
    except ExportError as e:
      yield e.message
