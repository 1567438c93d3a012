"""The metadata of Kaggle Models, which tfhub.dev's models moved to.

Both files are written beside the SavedModel, and beside each companion, which
is a variation of the same model, for Kaggle's own client.
https://github.com/Kaggle/kaggle-api/blob/main/docs/models_metadata.md
"""

from collections.abc import Iterator
import json
import os
import re
from typing import Any

from exporters.companions import kinds
from exporters.release import page as page_lib

MODEL, INSTANCE = "model-metadata.json", "model-instance-metadata.json"

FRAMEWORK = "tensorFlow2"
_FRAMEWORKS = {kinds.LITE: "tfLite", kinds.ONNX: "onnx"}
_VARIATION = "default"
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
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_OWNER = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_HANDLE = re.compile(
  rf"{_OWNER.pattern}/{_SLUG.pattern}/[A-Za-z0-9]+/{_SLUG.pattern}"
)


def mistakes(page: page_lib.Page) -> Iterator[str]:
  """Yields a sentence for each field that Kaggle would refuse."""
  kaggle = page.kaggle
  if kaggle is None:
    return
  if page.license not in _LICENSES:
    yield (
      f"Kaggle has no name for the licence '{page.license}'; it has "
      f"{', '.join(_LICENSES)}. Without page.Page.kaggle, no metadata for "
      "Kaggle is written."
    )
  for name, slug in _slugs(page, kaggle).items():
    if not (_OWNER if name == "owner" else _SLUG).fullmatch(slug):
      yield (
        f"page.Kaggle.{name} = '{slug}' is not a slug. Use lower-case letters "
        "and digits, with single hyphens between them."
      )
  if not kaggle.title.strip():
    yield "page.Kaggle.title is empty."
  if kaggle.preprocessor and not _HANDLE.fullmatch(kaggle.preprocessor):
    yield (
      f"page.Kaggle.preprocessor = '{kaggle.preprocessor}' is not a handle "
      "of Kaggle's: OWNER/MODEL/tensorFlow2/VARIATION."
    )
  base = kaggle.base_model
  if base and not _is_address(base) and not _HANDLE.fullmatch(base):
    yield (
      f"page.Kaggle.base_model = '{base}' is neither a handle of Kaggle's, "
      "OWNER/MODEL/FRAMEWORK/VARIATION, nor an address, https://..."
    )


def address(
  page: page_lib.Page, companion: kinds.Kind | None = None
) -> str | None:
  """Returns the handle that kagglehub takes, if the model goes to Kaggle.

  Args:
    page: The model's page.
    companion: The kind of a companion of it. None: the SavedModel.
  """
  if page.kaggle is None:
    return None
  slugs = _slugs(page, page.kaggle)
  framework, variation = FRAMEWORK, slugs["variation"]
  if companion:
    framework = _FRAMEWORKS[companion.runtime]
    variation = f"{variation}-{companion.precision}".removeprefix(
      f"{_VARIATION}-"
    )
  return "/".join((slugs["owner"], slugs["slug"], framework, variation))


def preprocessor(page: page_lib.Page) -> str | None:
  """Returns the handle of a model's preprocessor, if it is on Kaggle.

  Unless it is stated, the publisher's other models have handles like those that
  `address` derives.
  """
  if page.kaggle is None or not page.preprocessor:
    return None
  if page.kaggle.preprocessor:
    return page.kaggle.preprocessor
  publisher, _, name = page.preprocessor.rpartition("/")[0].partition("/")
  if publisher != page.publisher:
    return None
  return f"{page.kaggle.owner}/{page_lib.slug(name)}/{FRAMEWORK}/{_VARIATION}"


def released_handle(folder: str) -> str | None:
  """Returns the handle of a released model, if its folder has metadata."""
  try:
    with open(os.path.join(folder, INSTANCE), encoding="utf-8") as f:
      found = json.load(f)
  except FileNotFoundError:
    return None
  names = ("ownerSlug", "modelSlug", "framework", "instanceSlug")
  return "/".join(found[name] for name in names)


def url(handle: str, version: str | int) -> str:
  """Returns the address of a version, which `hub.load` takes too."""
  owner, model, _, variation = handle.split("/")
  return (
    f"https://www.kaggle.com/models/{owner}/{model}/TensorFlow2/{variation}/"
    f"{version}"
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
  return {
    MODEL: _text(
      {
        "ownerSlug": slugs["owner"],
        "title": page.kaggle.title,
        "slug": slugs["slug"],
        "subtitle": page.kaggle.subtitle,
        "isPrivate": page.kaggle.is_private,
        "description": f"{page.description}\n\n{card}",
        "publishTime": "",
        "provenanceSources": page.kaggle.provenance_sources,
      }
    ),
    INSTANCE: instance(
      page, card, fine_tunable=fine_tunable, base=page.kaggle.base_model
    ),
  }


def instance(
  page: page_lib.Page,
  card: str,
  *,
  fine_tunable: bool,
  base: str,
  companion: kinds.Kind | None = None,
) -> str:
  """Returns the metadata of a variation.

  Args:
    page: What the publisher says about the model, which goes to Kaggle.
    card: The text for the variation's readers.
    fine_tunable: Whether it has variables to train.
    base: What it was made from, as `page.Kaggle.base_model` has it.
    companion: The kind of a companion. None: the SavedModel.
  """
  handle = address(page, companion)
  assert handle  # It goes to Kaggle.
  owner, model, framework, variation = handle.split("/")
  elsewhere = _is_address(base)
  return _text(
    {
      "ownerSlug": owner,
      "modelSlug": model,
      "instanceSlug": variation,
      "framework": framework,
      "overview": page.description,
      "usage": card,
      "licenseName": _LICENSES[page.license],
      "fineTunable": fine_tunable,
      "trainingData": list(page.dataset),
      "modelInstanceType": (
        "ExternalVariant"
        if elsewhere
        else "KaggleVariant"
        if base
        else "Unspecified"
      ),
      "baseModelInstance": "" if elsewhere else base,
      "externalBaseModelUrl": base if elsewhere else "",
    }
  )


def _text(content: dict[str, Any]) -> str:
  return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _slugs(page: page_lib.Page, kaggle: page_lib.Kaggle) -> dict[str, str]:
  """Returns the parts of the model's address, by the field that sets each."""
  return {
    "owner": kaggle.owner,
    "slug": kaggle.slug or page_lib.slug(page.name),
    "variation": kaggle.variation or _VARIATION,
  }


def _is_address(text: str) -> bool:
  return text.startswith(("https://", "http://"))
