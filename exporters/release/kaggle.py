"""The metadata of Kaggle Models, which tfhub.dev's models moved to.

Both files are written beside the SavedModel, for Kaggle's own client.
https://github.com/Kaggle/kaggle-api/blob/main/docs/models_metadata.md
"""

from collections.abc import Iterator
import json
import re
from typing import Any

from exporters.release import page as page_lib

MODEL, INSTANCE = "model-metadata.json", "model-instance-metadata.json"

FRAMEWORK = "tensorFlow2"
# Kaggle's names by tfhub.dev's. Kaggle has no others.
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


def mistakes(page: page_lib.Page) -> Iterator[str]:
  """Yields a sentence for each field that Kaggle would refuse."""
  if page.kaggle is None:
    return
  if page.license not in _LICENSES:
    yield (
      f"Kaggle has no name for the licence '{page.license}'; it has "
      f"{', '.join(_LICENSES)}. Without page.Page.kaggle, no metadata for "
      "Kaggle is written."
    )
  for name, slug in _slugs(page, page.kaggle).items():
    if not _SLUG.fullmatch(slug):
      yield (
        f"page.Kaggle.{name} = '{slug}' is not a slug. Use lower-case letters, "
        "digits, and hyphens between them."
      )
  if not page.kaggle.title.strip():
    yield "page.Kaggle.title is empty."


def address(page: page_lib.Page) -> str | None:
  """Returns what `kagglehub.model_upload` takes, if the model goes there."""
  if page.kaggle is None:
    return None
  slugs = _slugs(page, page.kaggle)
  return "/".join(
    (slugs["owner"], slugs["slug"], FRAMEWORK, slugs["variation"])
  )


def metadata(
  page: page_lib.Page, card: str, *, fine_tunable: bool
) -> dict[str, str]:
  """Returns the texts of both files, by name; none if the page says nothing.

  Args:
    page: What the publisher says about the model.
    card: The text for the model's readers.
    fine_tunable: Whether it has variables to train.
  """
  if page.kaggle is None:
    return {}
  slugs = _slugs(page, page.kaggle)
  files: dict[str, dict[str, Any]] = {
    MODEL: {
      "ownerSlug": slugs["owner"],
      "title": page.kaggle.title,
      "slug": slugs["slug"],
      "subtitle": "",
      "isPrivate": page.kaggle.is_private,
      "description": f"{page.description}\n\n{card}",
      "publishTime": "",
      "provenanceSources": "",
    },
    INSTANCE: {
      "ownerSlug": slugs["owner"],
      "modelSlug": slugs["slug"],
      "instanceSlug": slugs["variation"],
      "framework": FRAMEWORK,
      "overview": page.description,
      "usage": card,
      "licenseName": _LICENSES[page.license],
      "fineTunable": fine_tunable,
      "trainingData": list(page.dataset),
      "modelInstanceType": "Unspecified",
      "baseModelInstance": "",
      "externalBaseModelUrl": "",
    },
  }
  return {
    name: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    for name, content in files.items()
  }


def _slugs(page: page_lib.Page, kaggle: page_lib.Kaggle) -> dict[str, str]:
  """Returns the parts of the model's address, by the field that sets each."""
  return {
    "owner": kaggle.owner,
    "slug": kaggle.slug or page_lib.slug(page.name),
    "variation": kaggle.variation or "default",
  }
