"""Small gardens to test with: models of one number each."""

from collections.abc import Mapping, Sequence
import pathlib

MULTIPLY = "configs/low_level/multiply.gin"


def plant(
  folder: pathlib.Path,
  names: Sequence[str],
  exporters: Mapping[str, str] | None = None,
) -> pathlib.Path:
  """Writes a leaf for each name, and the garden; returns the garden's gin file.

  Args:
    folder: Where to write them.
    names: The models' names.
    exporters: Other exporters, of `tests.awkward_exporters`, by name.
  """
  exporters = exporters or {}
  for position, name in enumerate(names):
    lines = [
      "from __gin__ import dynamic_registration",
      f"include '{MULTIPLY}'",
      "from exporters import low_level",
    ]
    kind = exporters.get(name)
    if kind:
      lines += [
        "from exporters import recipe",
        "from tests import awkward_exporters",
        f"recipe.Recipe.exporter = @awkward_exporters.{kind}()",
        f"awkward_exporters.{kind}.factor = 1.0",
        f"awkward_exporters.{kind}.l2 = 0.5",
      ]
    else:
      lines.append(f"low_level.LowLevelExporter.factor = {position + 2.0}")
    (folder / f"{name}.gin").write_text("\n".join(lines) + "\n")
  garden = folder / "plot.gin"
  leaves = {
    str(folder / f"{name}.gin"): {"page.Page.name": "$leaf"} for name in names
  }
  garden.write_text(
    "from __gin__ import dynamic_registration\n"
    "from exporters import gardens\n"
    f"gardens.Garden.leaves = {leaves!r}\n"
  )
  return garden
