"""One artifact of a release, and what is known of it."""

from collections.abc import Mapping
import dataclasses
import os

from exporters.life_cycle import exporting
from exporters.release import page as page_lib
from exporters.saved_model import description


@dataclasses.dataclass(frozen=True, kw_only=True)
class Released:
  """One artifact of a release, while its files are being written.

  Attributes:
    page: What the publisher says of it.
    artifact: What was exported and checked.
    description: What stands in it.
    root: The tree that the files are written to.
    digests: sha256 by path below `root`, of the archive and all that is in it.
    tar_digest: sha256 of the archive before compression.
  """

  page: page_lib.Page
  artifact: exporting.Artifact
  description: description.Description
  root: str
  digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
  tar_digest: str = ""

  @property
  def folder(self) -> str:
    return os.path.join(self.root, self.page.handle)
