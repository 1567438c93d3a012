"""Where a companion lies in a release: below its SavedModel's name."""

import dataclasses

from exporters.companions.kinds import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """Paths below a release directory.

  Attributes:
    model: The handle of the SavedModel, `publisher/name/version`.
    kind: The companion's kind.
  """

  model: str
  kind: Kind

  @property
  def handle(self) -> str:
    """The companion's own handle; also the folder with Kaggle's files."""
    name, _, version = self.model.rpartition("/")
    return f"{name}/{self.kind.folder}/{version}"

  @property
  def path(self) -> str:
    """The companion's file."""
    return f"{self.handle}{self.kind.suffix}"

  @property
  def labels(self) -> str:
    """The names of a classifier's classes."""
    return f"{self.handle}.labels.txt"

  @property
  def docs_path(self) -> str:
    """The page."""
    publisher, _, rest = self.handle.partition("/")
    name, _, version = rest.rpartition("/")
    return f"assets/docs/{publisher}/models/{name}/lite/{version}.md"

  @property
  def file_name(self) -> str:
    """A name that says what the file is when it lies elsewhere."""
    name = self.model.rpartition("/")[0].partition("/")[2].replace("/", "_")
    return f"{name}_{self.kind.precision}{self.kind.suffix}"

  @property
  def kaggle_path(self) -> str:
    """The file for the upload to Kaggle."""
    return f"{self.handle}/{self.file_name}"
