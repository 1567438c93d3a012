"""The version of this repository, which `--version` and provenances state."""

import functools
import pathlib
import tomllib

NAME = "model-garden-exporter"
_FILE = pathlib.Path(__file__).parents[2] / "pyproject.toml"


@functools.cache
def version() -> str:
  """Returns the version in pyproject.toml, such as "1.0.0".

  The repository runs from a checkout: there is no installed package to ask.
  """
  return tomllib.loads(_FILE.read_text())["project"]["version"]
