"""Small gardens to test with: models of one number each."""

from collections.abc import Mapping, Sequence
import pathlib
import signal
import subprocess
import sys

from tests import command

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


def grow(
  gin_file: pathlib.Path,
  release_dir: pathlib.Path,
  *flags: str,
  check: bool = True,
) -> subprocess.CompletedProcess:
  """Runs `python -m scripts.garden`, on all cores."""
  with command.all_cores():
    return command.run(
      "scripts.garden",
      f"--gin_file={gin_file}",
      f"--release_dir={release_dir}",
      *flags,
      check=check,
      fresh=True,
    )


def start(
  gin_file: pathlib.Path, release_dir: pathlib.Path, *flags: str
) -> subprocess.Popen:
  """Starts a garden of four with basic checks, all at once."""
  return subprocess.Popen(
    [
      *(sys.executable, "-m", "scripts.garden"),
      *(f"--gin_file={gin_file}", f"--release_dir={release_dir}"),
      *("--draft", "--checks=basic", "--at_once=4", *flags),
    ],
    cwd=command.ROOT,
    env=command.environment(),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
    # As in a terminal, also where the tests run in the background.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )
