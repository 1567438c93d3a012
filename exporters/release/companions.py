"""Makes the companions of what is released, and puts them beside it."""

from collections.abc import Iterator
import dataclasses
import os

from exporters import checks
from exporters.companions import Companions
from exporters.companions import kinds
from exporters.companions import making
from exporters.companions import parity
from exporters.companions.making import Companion
from exporters.errors import ExportError
from exporters.life_cycle import exporting
from exporters.release import page as page_lib
from exporters.release import texts as texts_lib
from exporters.release.place import Place
from exporters.saved_model import description


def made(
  wanted: Companions,
  page: page_lib.Page,
  artifact: exporting.Artifact,
  folder: str,
  level: str,
) -> making.Made:
  """Makes the companions of an artifact.

  Args:
    wanted: Which ones.
    page: The artifact's page.
    artifact: What was exported.
    folder: Where to write them.
    level: Which checks the release takes; without any, nothing is compared.

  Raises:
    ExportError: The artifact can have none, or one that is not optional cannot
      be made.
  """
  if not wanted.kinds:
    return making.Made()
  stream = artifact.stream
  os.mkdir(folder)
  try:
    return making.make(
      artifact.path,
      wanted,
      folder,
      samples=artifact.samples,
      stream=dataclasses.asdict(stream) if stream else None,
      prove=level != checks.NONE,
    )
  except ExportError as e:
    raise ExportError(
      f"{page.handle}: {e.message} --companions= (with nothing after it) "
      "releases the model without any."
    ) from e


def texts(
  page: page_lib.Page,
  described: description.Description,
  artifact: exporting.Artifact,
  companion: Companion,
  model: texts_lib.Texts,
) -> dict[str, str]:
  """Returns the texts about a companion, by path below a release directory.

  Args:
    page: The page of its SavedModel.
    described: What is in the SavedModel.
    artifact: What the export knows of it.
    companion: The companion.
    model: The texts about the SavedModel.
  """
  is_lite = companion.kind.runtime == kinds.LITE
  loaded = (parity.Lite if is_lite else parity.Onnx)(companion.path)
  inputs = {name: shape for name, (shape, _) in loaded.inputs.items()}
  return texts_lib.of_companion(
    page, described, artifact, companion, (inputs, loaded.outputs), model
  )


def put(
  companion: Companion,
  page: page_lib.Page,
  described: description.Description,
  tree: str,
) -> Iterator[str]:
  """Moves a companion to its place in a tree that has its SavedModel.

  Yields:
    The paths of what a consumer may want, below `tree`.
  """
  place = Place(model=page.handle, kind=companion.kind)
  target = os.path.join(tree, place.path)
  os.makedirs(os.path.dirname(target), exist_ok=True)
  os.rename(companion.path, target)
  yield place.path
  labels = described.assets.get("labels")
  if labels:
    os.link(
      os.path.join(tree, page.handle, "assets", labels),
      os.path.join(tree, place.labels),
    )
    yield place.labels
  if page.kaggle:
    os.mkdir(os.path.join(tree, place.handle))
    os.link(target, os.path.join(tree, place.kaggle_path))
