"""Refuses, before the export, a page that tfhub.dev or Kaggle would refuse."""

from collections.abc import Iterator, Mapping, Sequence

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.errors import refuse_all
from exporters.release import kaggle
from exporters.release import page as page_lib
from exporters.release import tfhub


def validated(page: object) -> page_lib.Page:
  """Returns a recipe's page; raises `ExportError` if it breaks a rule."""
  if not isinstance(page, page_lib.Page):
    raise ExportError(
      "The gin file has no page. Bind recipe.Recipe.page = @page.Page() and "
      "describe the model and its publisher there, as in "
      "configs/low_level/multiply.gin."
    )
  # The names of the artifacts are only known once the model is built. Until
  # then, use those that the page has.
  names = list(_by_artifact(page)) or [""]
  refuse_all(m for name in names for m in _mistakes(page.of(name)))
  return page


def refuse_other_artifacts(page: page_lib.Page, names: Sequence[str]) -> None:
  """Raises `ExportError` unless a page suits the artifacts of a recipe.

  Args:
    page: The recipe's page.
    names: The names of its artifacts; [""] if there is one.
  """
  if list(names) != [""]:
    for name in _by_artifact(page):
      if name not in names:
        raise ExportError(
          f"page.Page says '{name}: ...', but the recipe writes no such "
          f"artifact, only {', '.join(map(repr, names))}."
          f"{did_you_mean(name, names)}"
        )
  refuse_all(m for name in names for m in _mistakes(page.of(name)))


def _by_artifact(page: page_lib.Page) -> dict[str, None]:
  """Returns the names of artifacts that a page's texts have, in order."""
  texts = (page.description, page.task)
  return {
    name: None for text in texts if isinstance(text, Mapping) for name in text
  }


def kaggle_handles(page: page_lib.Page) -> list[str]:
  """Returns the handles on Kaggle of a recipe's artifacts, if they go there.

  Args:
    page: The recipe's page. If it says nothing about single artifacts, it is
      taken for that of one.
  """
  pages = [page.of(name) for name in _by_artifact(page) or [""]]
  return [h for h in map(kaggle.address, pages) if h]


def refuse_invalid(page: page_lib.Page) -> None:
  """Raises `ExportError` if the page of one artifact breaks rules."""
  refuse_all(_mistakes(page))


def _mistakes(page: page_lib.Page) -> Iterator[str]:
  """Yields all mistakes, so that they can be fixed at once."""
  yield from tfhub.mistakes(_start_of_page(page.handle, page))
  if page.preprocessor:
    yield from tfhub.mistakes(_start_of_page(page.preprocessor, page))
  if page.version not in page.changelog:
    yield (
      f"The page's changelog does not mention version {page.version}. Add it: "
      f"page.Page.changelog = {{{page.version}: '...'}}."
    )
  if page.activation not in ("softmax", "sigmoid"):
    yield (
      f"page.Page.activation = '{page.activation}' must be 'softmax' or "
      "'sigmoid'."
    )
  yield from kaggle.mistakes(page)


def _start_of_page(handle: str, page: page_lib.Page) -> str:
  """Returns as much of a page as its fields decide, under some handle."""
  metadata = page.metadata(fine_tunable=True)
  lines = [
    f"# Module {handle}",
    f"{page.description}",
    *(f"<!-- {key}: {value} -->" for key, value in metadata),
    "## Overview",
    "",
  ]
  return "\n".join(lines)
