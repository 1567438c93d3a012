"""What a publisher says about a model that the artifact does not say itself.

A leaf binds it beside its exporter, as `recipe.Recipe.page`. Shapes, sizes,
outputs and hyperparameters are read from the artifact, so they have no field.
"""

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import re

from exporters.errors import ExportError
from exporters.release import tfhub


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kaggle:
  """Where the model goes on Kaggle Models.

  Attributes:
    owner: The slug of a user or an organization.
    title: The model's title.
    slug: The model's slug. None: derived from `Page.name`.
    variation: The slug of the model's variation. None: "default", or derived
      from the artifact's name if the recipe has several.
    is_private: Whether only the owner sees it.
    subtitle: A line below the title.
    base_model: What the model was made from: `OWNER/MODEL/FRAMEWORK/VARIATION`
      on Kaggle, or an address elsewhere.
    provenance_sources: Where its weights and data come from, in sentences.
    preprocessor: The handle `OWNER/MODEL/tensorFlow2/VARIATION` on Kaggle of
      `Page.preprocessor`. None: derived from its name, if it has the same
      publisher.
  """

  owner: str
  title: str
  slug: str | None = None
  variation: str | None = None
  is_private: bool = True
  subtitle: str = ""
  base_model: str = ""
  provenance_sources: str = ""
  preprocessor: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
  """The publisher's part of a model's page.

  If a recipe writes several artifacts, each is a model of its own and is called
  `name/artifact`. Then `description` and `task` may be dicts by the artifact's
  name.

  Attributes:
    publisher: The publisher's id, such as "tensorflow".
    publisher_name: The publisher's usual name. None: the id.
    name: The model's name, such as "bert_en_uncased_L-12_H-768_A-12".
    version: It counts from 1. A published version never changes.
    description: One sentence.
    license: One of `values.LICENSES`.
    task: One or several of `values.TASKS`.
    asset_root: The address that the archive will be below, as
      `publisher/name/version.tar.gz`.
    changelog: What is new in each version, by version.
    dataset: Any of `values.DATASETS`.
    language: Two-letter codes of ISO 639-1.
    network_architecture: Any of `values.ARCHITECTURES`.
    training: How and on what the model was trained, in sentences.
    optimizer_regularization: What the optimizer added to the loss, such as
      weight decay, in sentences. A consumer has to add it again to train in the
      same way.
    classes: What the outputs of a classifier mean, in sentences.
    activation: What turns its logits into probabilities: "softmax" or
      "sigmoid".
    preprocessor: The handle `publisher/name/version` of an encoder's
      preprocessor.
    collection: The name of the collection that the model belongs to.
    kaggle: Where it goes on Kaggle. None: write no metadata for Kaggle.
  """

  publisher: str
  publisher_name: str | None = None
  name: str
  version: int
  description: str | Mapping[str, str]
  license: str
  task: str | Sequence[str] | Mapping[str, str]
  asset_root: str
  changelog: Mapping[int, str]
  dataset: Sequence[str] = ()
  language: Sequence[str] = ()
  network_architecture: Sequence[str] = ()
  training: str = ""
  optimizer_regularization: str = ""
  classes: str = ""
  activation: str = "softmax"
  preprocessor: str | None = None
  collection: str | None = None
  kaggle: Kaggle | None = None

  def of(self, artifact: str) -> "Page":
    """Returns the page of one of the recipe's artifacts, by its name."""
    if not artifact:
      return dataclasses.replace(
        self, description=_only(self.description), task=_only(self.task)
      )
    return dataclasses.replace(
      self,
      name=f"{self.name}/{artifact}",
      description=_of(self.description, artifact),
      task=_of(self.task, artifact),
      kaggle=self.kaggle
      and dataclasses.replace(
        self.kaggle,
        slug=self.kaggle.slug or slug(self.name),
        variation=self.kaggle.variation or slug(artifact),
      ),
    )

  @property
  def handle(self) -> str:
    """The address below tfhub.dev."""
    return f"{self.publisher}/{self.name}/{self.version}"

  @property
  def docs_path(self) -> str:
    """The page's path below a release directory."""
    return f"assets/docs/{self.publisher}/models/{self.name}/{self.version}.md"

  @property
  def asset_path(self) -> str:
    """The address that the archive will have."""
    return self.address(f"{self.handle}.tar.gz")

  def address(self, path: str) -> str:
    """Returns the address that a file of the release will have."""
    return f"{self.asset_root.rstrip('/')}/{path}"

  def metadata(self, *, fine_tunable: bool) -> list[tuple[str, str]]:
    """Returns the page's `<!-- key: value -->` lines, in order."""
    lines = [
      ("asset-path", self.asset_path),
      *(("task", value) for value in _several(self.task)),
      ("fine-tunable", str(fine_tunable).lower()),
      ("format", tfhub.FORMAT),
      ("license", self.license),
    ]
    for key in ("dataset", "language", "network_architecture"):
      for value in _several(getattr(self, key)):
        lines.append((key.replace("_", "-"), value))
    return lines


def slug(name: str) -> str:
  """Returns a model's name as Kaggle allows it.

  Letters become lower case; `/`, `.` and `_` become hyphens.
  """
  return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _only(value):
  """Returns what is said about the one artifact of a recipe.

  Raises:
    ExportError: It is said about several.
  """
  if not isinstance(value, Mapping):
    return value
  if len(value) != 1:
    raise ExportError(
      f"page.Page says '{next(iter(value), '')}: ...' by the name of an "
      "artifact, but the recipe writes one artifact only. Bind a text, or a "
      "dict with one entry."
    )
  return next(iter(value.values()))


def _of(value, artifact: str):
  return value.get(artifact, "") if isinstance(value, Mapping) else value


def _several(value: str | Collection[str]) -> Collection[str]:
  return [value] if isinstance(value, str) else value
