"""Judges a release directory that disturbed runs have left."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import json
import os
import pathlib
import tarfile

from exporters.errors import ExportError

_PUBLISHER = "example"


@dataclasses.dataclass(frozen=True)
class Directory:
  """A release directory, wherever a killed run left it.

  Attributes:
    path: Where it belongs.
  """

  path: pathlib.Path

  @property
  def root(self) -> pathlib.Path:
    """Where it is: a run may have died just after it moved it aside."""
    if self.path.exists():
      return self.path
    aside = self.path.parent.glob(".release.staging-*/old")
    return next(aside, self.path)

  def of_runs(self) -> set[pathlib.Path]:
    """Returns what runs have beside it while they make models."""
    beside = self.path.parent
    return {*beside.glob(".release.lock/*"), *beside.glob(".release.staging-*")}

  def stage(self, of_dead: set[pathlib.Path]) -> str:
    """Returns the latest stage that any model is in; "" if none is made.

    Args:
      of_dead: What `of_runs` returned when the run began.
    """
    beside = self.path.parent
    patterns = {
      "publish": (".release.lock/*", ".release.staging-*/new"),
      "pack": (".release.staging-*/tree",),
      "check": (".release.staging-*/.saved_model.staging-*/new/*.pb",),
      "build": (".release.staging-*",),
    }
    for stage, names in patterns.items():
      found = {path for name in names for path in beside.glob(name)}
      if any(of_dead.isdisjoint((p, *p.parents)) for p in found):
        return stage
    return ""

  def leftovers(self) -> list[str]:
    """Returns what runs have left beside or in it."""
    return [
      *(path.name for path in self.path.parent.glob(".*")),
      *(path.name for path in self.path.glob("*.new")),
    ]

  def names(self) -> list[str]:
    """Returns the models of which anything is there."""
    return sorted(
      {
        path.name
        for folder in (
          self.root / _PUBLISHER,
          self.root / f"assets/docs/{_PUBLISHER}/models",
        )
        for path in folder.glob("*")
      }
    )

  def faults(self, name: str, reference: Directory) -> Iterator[str]:
    """Yields what is wrong with a version."""
    files = self._files(name)
    for file in sorted(files ^ reference._files(name)):
      yield f"'{file}' is {'not expected' if file in files else 'missing'}"
    for file in sorted(files & reference._files(name)):
      # These have dates and times, or random numbers.
      if file.endswith((".provenance.json", ".report.html", ".sig")):
        continue
      expected = (reference.path / file).read_bytes()
      if (self.root / file).read_bytes() != expected:
        yield f"'{file}' has other bytes"
    yield from self.faults_of_proofs(name)

  def faults_of_proofs(self, name: str) -> Iterator[str]:
    """Yields where provenance, archive, folder and report disagree."""
    from exporters.release import digests

    begin = self.root / _PUBLISHER / name / "1"
    try:
      provenance = json.loads(begin.with_name("1.provenance.json").read_text())
      for subject in provenance["subject"]:
        digest = digests.file_digest(str(self.root / subject["name"]))
        if digest != subject["digest"]["sha256"]:
          yield f"the provenance has another digest of '{subject['name']}'"
      with tarfile.open(begin.with_name("1.tar.gz")) as archive:
        for member in archive:
          content = archive.extractfile(member)
          if content and content.read() != (begin / member.name).read_bytes():
            yield f"the archive has another '{member.name}'"
      report = begin.with_name("1.report.html").read_text()
      if not report.rstrip().endswith("</html>"):
        yield "the report has no end"
    except (OSError, ValueError, KeyError, tarfile.TarError) as e:
      yield f"{type(e).__name__}: {e}"

  def _files(self, name: str) -> set[str]:
    root = self.root
    docs = f"assets/docs/{_PUBLISHER}"
    return {
      str(path.relative_to(root))
      for folder in (f"{_PUBLISHER}/{name}", f"{docs}/models/{name}")
      for path in (root / folder).rglob("*")
      if path.is_file()
    } | {f"{docs}/{_PUBLISHER}.md"}

  def faults_of_record(self) -> Iterator[str]:
    """Yields what is wrong with the garden's record, if there is one."""
    from exporters.gardens import whole

    record = self.root / "plot.garden.json"
    if not record.exists():
      return
    try:
      leaves = json.loads(record.read_text())["leaves"]
      if any(leaf["models"] for leaf in leaves):
        for model in whole.models(str(record)):
          if not os.path.exists(model.archive):
            yield f"the record names '{model.handle}', which is not there"
    except (ExportError, ValueError, KeyError) as e:
      yield f"the record: {e}"
