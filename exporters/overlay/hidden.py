"""Imports modules of the wheel that modules of `official/` hide."""

import importlib.machinery
import importlib.util
import pathlib
import sys
from typing import Any

_ROOT = pathlib.Path(__file__).parents[2]


def module(name: str) -> Any:
  """Returns a module of the wheel, for the one of this repository at its name.

  Args:
    name: Such as "official.core.export_base".
  """
  package = sys.modules[name.rpartition(".")[0]]
  elsewhere = [
    p
    for p in package.__path__
    if _ROOT / "official" not in (pathlib.Path(p), *pathlib.Path(p).parents)
  ]
  spec = importlib.machinery.PathFinder.find_spec(name, elsewhere)
  if spec is None or spec.loader is None:
    raise ImportError(f"Model Garden's wheel has no module '{name}'.")
  found = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(found)
  return found
