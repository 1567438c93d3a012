"""The metadata of Kaggle Models, where tfhub.dev's models have moved.

Both files stand beside the SavedModel, as Kaggle's own client reads them.
https://github.com/Kaggle/kaggle-api/blob/main/docs/models_metadata.md
"""

import json
import os
import re

from exporters.errors import ExportError
from exporters.release import cards
from exporters.release import page as page_lib
from exporters.saved_model import description

MODEL, INSTANCE = "model-metadata.json", "model-instance-metadata.json"
FILES = (MODEL, INSTANCE)

FRAMEWORK = "tensorFlow2"
# tfhub.dev's names, Kaggle's. The others have none there.
_LICENSES = {
  "apache-2.0": "Apache 2.0",
  "bsd-3-clause": "BSD-3-Clause",
  "cc-by-nc-4.0": "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
  "cc-by-sa-4.0": "CC BY-SA 4.0",
  "gpl-2.0": "GPL 2",
  "gpl-3.0": "GPL 3",
  "lgpl-3.0": "GNU Lesser General Public License 3.0",
  "mit": "MIT",
}
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def refuse_invalid(page: page_lib.Page) -> None:
  """Raises `ExportError` where Kaggle would refuse a field."""
  kaggle = page.kaggle
  if page.license not in _LICENSES:
    raise ExportError(
      f"Kaggle has no name for the licence '{page.license}'; it knows "
      f"{', '.join(_LICENSES)}. Set page.Page.kaggle = None to go without."
    )
  for name, slug in (
    ("owner", kaggle.owner),
    ("slug", model_slug(page)),
    ("variation", variation_slug(page)),
  ):
    if not _SLUG.fullmatch(slug):
      raise ExportError(
        f"page.Kaggle.{name} = '{slug}' is no slug: lower-case letters, digits "
        "and hyphens between them."
      )
  if not kaggle.title.strip():
    raise ExportError("page.Kaggle.title is empty.")


def model_slug(page: page_lib.Page) -> str:
  return page.kaggle.slug or page_lib.slug(page.name)


def variation_slug(page: page_lib.Page) -> str:
  return page.kaggle.variation or "default"


def handle(page: page_lib.Page) -> str:
  """Returns what `kagglehub.model_upload` calls the model's variation."""
  return "/".join(
    (page.kaggle.owner, model_slug(page), FRAMEWORK, variation_slug(page))
  )


def write(
  page: page_lib.Page, described: description.Description, directory: str
) -> None:
  """Writes both files."""
  card = cards.card(page, described)
  files = {
    MODEL: {
      "ownerSlug": page.kaggle.owner,
      "title": page.kaggle.title,
      "slug": model_slug(page),
      "subtitle": "",
      "isPrivate": page.kaggle.is_private,
      "description": f"{page.description}\n\n{card}",
      "publishTime": "",
      "provenanceSources": "",
    },
    INSTANCE: {
      "ownerSlug": page.kaggle.owner,
      "modelSlug": model_slug(page),
      "instanceSlug": variation_slug(page),
      "framework": FRAMEWORK,
      "overview": page.description,
      "usage": card,
      "licenseName": _LICENSES[page.license],
      "fineTunable": bool(described.trainable_parameters),
      "trainingData": list(page.dataset),
      "modelInstanceType": "Unspecified",
      "baseModelInstance": "",
      "externalBaseModelUrl": "",
    },
  }
  for name, content in files.items():
    with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
      json.dump(content, f, indent=2, ensure_ascii=False)
      f.write("\n")
