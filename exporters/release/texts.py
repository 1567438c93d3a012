"""Renders the texts that people read about an artifact, each of them once.

A template has what is the same for all models of a kind. The page's fields and
the description of the artifact have the rest.
"""

from collections.abc import Sequence
import dataclasses
import os
import re
from typing import Any

import jinja2

from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import tfhub
from exporters.saved_model import description

PREPROCESSOR, ENCODER = "preprocessor", "encoder"
CLASSIFIER, FEATURE_VECTOR = "classifier", "feature vector"
OTHER = "model"

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
_POSITIONS = re.compile(r"position_embeddings?/embeddings$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
  """What people read about one artifact.

  Attributes:
    page: Its page on tfhub.dev, in Markdown.
    card: The page's body, without the lines that only tfhub.dev reads.
    publisher: The publisher's page on tfhub.dev.
    kaggle: The metadata files of Kaggle Models, by name, if it goes there.
  """

  page: str
  card: str
  publisher: str
  kaggle: dict[str, str]


def rendered(page: page_lib.Page, described: description.Description) -> Texts:
  """Returns the texts about an artifact.

  Args:
    page: What the publisher says about it.
    described: What is in it.

  Raises:
    ExportError: A page would break a rule of tfhub.dev.
  """
  model = _render("model.md.jinja", **_values(page, described))
  card = tfhub.read(model).body
  publisher = _render("publisher.md.jinja", page=page)
  tfhub.read(publisher)
  return Texts(
    page=model,
    card=card,
    publisher=publisher,
    kaggle=kaggle.metadata(
      page, card, fine_tunable=bool(described.trainable_parameters)
    ),
  )


def collection_page(page: page_lib.Page, models: Sequence[str]) -> str:
  """Returns the page of the collection that a model belongs to.

  Args:
    page: The page of one of its models.
    models: The texts of the pages of all its models.
  """
  parsed = sorted((tfhub.read(text) for text in models), key=_order)
  text = _render("collection.md.jinja", page=page, models=parsed)
  tfhub.read(text)
  return text


def environment(**options: Any) -> jinja2.Environment:
  """Returns what renders the templates; an unknown name is an error."""
  return jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES, encoding="utf-8"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    extensions=["jinja2.ext.do"],
    **options,
  )


def kind(described: description.Description) -> str:
  """Returns the kind of model, judged by its inputs and outputs."""
  if not described.model.inputs:
    return OTHER
  inputs = described.model.inputs[0]
  if inputs[0].dtype == "string":
    return PREPROCESSOR
  if any(tensor.name == "input_word_ids" for tensor in inputs):
    return ENCODER
  shape = inputs[0].shape or ()
  if len(shape) == 4 and shape[-1] == 3:
    _, outputs = described.signatures["serving_default"]
    logits = any(tensor.name == "logits" for tensor in outputs)
    return CLASSIFIER if logits else FEATURE_VECTOR
  return OTHER


def _values(
  page: page_lib.Page, described: description.Description
) -> dict[str, Any]:
  """Returns the values of the names in a model's template."""
  kind_ = kind(described)
  lengths = [
    variable.shape[0]
    for variable in described.variables
    if _POSITIONS.search(variable.name)
  ]
  return {
    "page": page,
    "url": f"https://tfhub.dev/{page.handle}",
    "preprocessor_url": f"https://tfhub.dev/{page.preprocessor}",
    "described": described,
    "model": described.model,
    "kind": kind_,
    "metadata": page.metadata(
      fine_tunable=bool(described.trainable_parameters)
    ),
    "signature": described.signatures.get("serving_default"),
    "longest": min(lengths, default=None),
    "image_size": (
      _image_size(described) if kind_ in (CLASSIFIER, FEATURE_VECTOR) else None
    ),
  }


def _image_size(described: description.Description) -> tuple[int, int] | None:
  """Returns the only size that an image model takes; None for any."""
  height, width = (described.model.inputs[0][0].shape or ())[1:3]
  return (height, width) if height and width else None


def _render(template: str, **values: Any) -> str:
  text = environment().get_template(template).render(**values)
  # Parts that a model lacks leave empty lines behind.
  return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def _order(parsed: tfhub.Parsed) -> list[Any]:
  """Sorts handles by name, and versions as numbers."""
  name, _, version = parsed.handle.rpartition("/")
  return [name, int(version)]
