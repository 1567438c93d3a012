"""Writes the pages that people read, from templates.

A template says what is the same for all models of a kind; the page's fields and
the description of the artifact say the rest.
"""

from collections.abc import Sequence
import os
import re
from typing import Any

import jinja2

from exporters.errors import ExportError
from exporters.release import page as page_lib
from exporters.release import tfhub
from exporters.saved_model import description

PREPROCESSOR, ENCODER = "preprocessor", "encoder"
CLASSIFIER, FEATURE_VECTOR = "classifier", "feature vector"
OTHER = "model"

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
_POSITIONS = re.compile(r"position_embeddings?/embeddings$")


def environment(**options: Any) -> jinja2.Environment:
  """Returns what renders the templates; a name they lack is an error."""
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
  """Returns which kind of model it is, by what it takes and gives."""
  if not described.model.inputs:
    return OTHER
  inputs = described.model.inputs[0]
  if inputs[0].dtype == "string":
    return PREPROCESSOR
  if any(tensor.name == "input_word_ids" for tensor in inputs):
    return ENCODER
  if len(inputs[0].shape or ()) == 4 and inputs[0].shape[-1] == 3:
    _, outputs = described.signatures["serving_default"]
    logits = any(tensor.name == "logits" for tensor in outputs)
    return CLASSIFIER if logits else FEATURE_VECTOR
  return OTHER


def model_page(page: page_lib.Page, described: description.Description) -> str:
  """Returns the page of a model for tfhub.dev.

  Raises:
    ExportError: It would break a rule of tfhub.dev.
  """
  refuse_invalid(page)
  text = _render("model.md.jinja", **_values(page, described))
  tfhub.read(text)
  return text


def card(page: page_lib.Page, described: description.Description) -> str:
  """Returns the page's text without what only tfhub.dev reads."""
  return tfhub.read(model_page(page, described)).body


def publisher_page(page: page_lib.Page) -> str:
  text = _render("publisher.md.jinja", page=page)
  tfhub.read(text)
  return text


def collection_page(page: page_lib.Page, models: Sequence[str]) -> str:
  """Returns the page of the collection that a model belongs to.

  Args:
    page: A page of one of its models.
    models: Texts of the pages of all of them.
  """
  parsed = sorted((tfhub.read(text) for text in models), key=_order)
  text = _render("collection.md.jinja", page=page, models=parsed)
  tfhub.read(text)
  return text


def refuse_invalid(page: page_lib.Page) -> None:
  """Raises `ExportError` where a field breaks a rule, before any export."""
  lines = [
    f"# Module {page.handle}",
    page.description,
    *(f"<!-- {k}: {v} -->" for k, v in page.metadata(fine_tunable=True)),
    "## Overview",
    "",
  ]
  tfhub.read("\n".join(lines))
  if page.version not in page.changelog:
    raise ExportError(
      f"The page's changelog says nothing of version {page.version}. Add it: "
      f"page.Page.changelog = {{{page.version}: '...'}}."
    )
  if page.activation not in ("softmax", "sigmoid"):
    raise ExportError(
      f"page.Page.activation = '{page.activation}' must be 'softmax' or "
      "'sigmoid'."
    )
  if page.preprocessor:
    tfhub.read("\n".join([f"# Module {page.preprocessor}", *lines[1:]]))


def _values(
  page: page_lib.Page, described: description.Description
) -> dict[str, Any]:
  model = described.model
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
    "model": model,
    "kind": kind(described),
    "metadata": page.metadata(
      fine_tunable=bool(described.trainable_parameters)
    ),
    "signature": described.signatures.get("serving_default"),
    "longest": min(lengths, default=None),
    "image_size": _image_size(described),
  }


def _image_size(described: description.Description) -> tuple[int, int] | None:
  """Returns the one size that an image model takes; None for any."""
  if kind(described) not in (CLASSIFIER, FEATURE_VECTOR):
    return None
  _, height, width, _ = described.model.inputs[0][0].shape
  return (height, width) if height and width else None


def _render(template: str, **values: Any) -> str:
  text = environment().get_template(template).render(**values)
  # Parts that a model lacks leave their empty lines behind.
  return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def _order(parsed: tfhub.Parsed) -> list[Any]:
  """Sorts handles by name, and versions as numbers."""
  name, _, version = parsed.handle.rpartition("/")
  return [name, int(version)]
