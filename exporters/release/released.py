"""One artifact of a release, with what is known about it."""

from collections.abc import Mapping, Sequence
import dataclasses
import os

from exporters.companions.making import Companion
from exporters.life_cycle import exporting
from exporters.release import page as page_lib
from exporters.release.place import Place
from exporters.release.texts import Texts
from exporters.saved_model import description


@dataclasses.dataclass(frozen=True, kw_only=True)
class Released:
  """One artifact of a release.

  Attributes:
    page: What the publisher says about it.
    artifact: What was exported and checked.
    description: What is in it.
    texts: What people read about it.
    root: The directory that holds its files.
    digests: sha256, by path below `root`, of the archive, the files in it and
      the companions.
    byproducts: sha256 of what must be the same every time too: the archive
      before compression, and the texts that belong to this version.
    companions: The files for other runtimes that lie beside it.
    missing: Why an optional companion does not.
    together: The handles of all artifacts that are released with it, its own
      too.
  """

  page: page_lib.Page
  artifact: exporting.Artifact
  description: description.Description
  texts: Texts
  root: str
  digests: Mapping[str, str]
  byproducts: Mapping[str, str]
  companions: Sequence[Companion] = ()
  missing: Sequence[str] = ()
  together: Sequence[str] = ()

  @property
  def folder(self) -> str:
    """The SavedModel, with Kaggle's metadata beside its files."""
    return os.path.join(self.root, self.page.handle)

  @property
  def archive(self) -> str:
    """The archive's path."""
    return f"{self.folder}.tar.gz"

  def place(self, companion: Companion) -> Place:
    """Returns where a companion is below `root`."""
    return Place(model=self.page.handle, kind=companion.kind)

  def path(self, companion: Companion) -> str:
    """Returns a companion's path."""
    return os.path.join(self.root, self.place(companion).path)

  @property
  def provenance(self) -> str:
    """The provenance's path."""
    return f"{self.folder}.provenance.json"

  @property
  def report(self) -> str:
    """The report's path."""
    return f"{self.folder}.report.html"
