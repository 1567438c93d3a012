"""What a publisher says of a model: all that can't be read from the artifact.

A gin leaf binds it beside its exporter, as `recipe.Recipe.page`. What stands in
the artifact (shapes, sizes, outputs, hyperparameters) is no field here.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from exporters.release import tfhub


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kaggle:
  """Where the model goes on Kaggle Models.

  Attributes:
    owner: The slug of a user or an organization.
    title: The model's title.
    slug: The model's slug. None: made from the hub name.
    variation: The slug of the model's variation. None: "default", or made from
      the artifact's name where a recipe has several.
    is_private: Whether only the owner sees it.
  """

  owner: str
  title: str
  slug: str | None = None
  variation: str | None = None
  is_private: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
  """The publisher's part of a model's page.

  Where a recipe writes several artifacts, each is a model of its own, whose
  name is `name/artifact`; `description` and `task` then may be dicts by the
  artifact's name.

  Attributes:
    publisher: The id of the publisher, such as "tensorflow".
    publisher_name: As people know the publisher. None: the id.
    name: The model's name, such as "bert_en_uncased_L-12_H-768_A-12".
    version: Counts from 1. A published version never changes.
    description: One sentence.
    license: One of `tfhub.LICENSES`.
    task: One of `tfhub.TASKS`, or several.
    asset_root: The address below which the archive will lie, as
      `publisher/name/version.tar.gz`.
    changelog: What each version brought, by version.
    dataset: Of `tfhub.DATASETS`.
    language: Two-letter codes of ISO 639-1.
    network_architecture: Of `tfhub.ARCHITECTURES`.
    training: What the model was trained on and how, in sentences.
    optimizer_regularization: What the optimizer added to the loss, such as
      weight decay; a consumer has to add it again to train in the same way.
    classes: What the outputs of a classifier stand for.
    activation: What makes probabilities of its logits: "softmax" or "sigmoid".
    preprocessor: The handle `publisher/name/version` of the preprocessor that
      goes with an encoder.
    collection: The name of the collection that the model belongs to.
    kaggle: None: no Kaggle metadata is written.
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
    """Returns the page of one of the recipe's artifacts."""
    if not artifact:
      return self
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
    return f"{self.publisher}/{self.name}/{self.version}"

  @property
  def docs_path(self) -> str:
    """Where the page lies, below a release directory."""
    return f"assets/docs/{self.publisher}/models/{self.name}/{self.version}.md"

  @property
  def asset_path(self) -> str:
    return f"{self.asset_root.rstrip('/')}/{self.handle}.tar.gz"

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
  """Returns Kaggle's form of a hub name, which may hold `/`, `.` and `_`.

  Letters become lower case, and what Kaggle does not take a hyphen.
  """
  return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _of(value, artifact: str):
  return value.get(artifact, "") if isinstance(value, Mapping) else value


def _several(value: str | Sequence[str]) -> Sequence[str]:
  return [value] if isinstance(value, str) else value
