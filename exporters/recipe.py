"""Reads a gin file into a recipe: everything that makes an artifact.

Gin files name Python classes directly (dynamic registration), so there is no
table of architectures here.
"""

from collections.abc import Sequence
import dataclasses

import gin

from exporters import base
from exporters.companions import Companions
from exporters.errors import ExportError
from exporters.fields import types
from exporters.gin_files import macros
from exporters.gin_files import reading
from exporters.gin_files import wording


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """The top of every gin file.

  Attributes:
    exporter: The model to export.
    page: What a release says about the model, an `exporters.release.page.Page`.
      An export needs none.
    companions: The files for other runtimes that a release has beside each
      SavedModel.
  """

  exporter: base.Exporter
  page: object | None = None
  companions: Companions | None = None

  def __post_init__(self):
    types.refuse_other_types(self)


def load(
  gin_files: Sequence[str],
  gin_bindings: Sequence[str],
  companions: Sequence[str] | None = None,
  source: str = wording.BINDINGS,
) -> Recipe:
  """Returns the recipe that the files and bindings describe.

  Args:
    gin_files: Paths, relative to the working directory or to the repository's
      root.
    gin_bindings: Further lines of gin, which override those of the files.
    companions: Kinds of companions, in place of those of the files; [] for
      none. None: those of the files.
    source: Where the bindings come from, for errors.

  Raises:
    ExportError: A file is missing, or there is a mistake in what it binds.
  """
  if not gin_files:
    raise ExportError(
      "Say what to export: --gin_file=FILE, a file below configs/ or your own."
    )
  reading.parse(gin_files, ())
  used = macros.used()
  if companions is not None:
    reading.parse((), _of_companions(companions))
  reading.parse((), gin_bindings, source)
  macros.refuse_unset_and_unused(used, source)
  try:
    return gin.get_configurable(Recipe)()
  except ExportError as e:
    # Without what gin appends to the message: which configurable it called.
    raise ExportError(e.message) from e
  # Functions that a gin file names raise errors of all types.
  except Exception as e:
    raise wording.of_building(e) from e


def _of_companions(kinds: Sequence[str]) -> list[str]:
  """Returns lines of gin that ask for companions."""
  lines = [
    "from __gin__ import dynamic_registration",
    "from exporters import companions",
    "from exporters import recipe",
  ]
  if not kinds:
    return [*lines, "recipe.Recipe.companions = None"]
  return [
    *lines,
    "recipe.Recipe.companions = @companions.Companions()",
    f"companions.Companions.kinds = {list(kinds)}",
  ]
