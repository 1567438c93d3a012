"""Finds the files that a recipe names.

In its exporter, in its companions, and in functions:

  def model(weights: base.FilePath) -> tf_keras.Model:

A function that gin binds declares its paths as an exporter does.
"""

from collections.abc import Iterator
import dataclasses
import glob
import inspect
import os
import re
import typing
from typing import Any

import gin
import tensorflow as tf

from exporters.errors import ExportError
from exporters.fields import paths
from exporters.recipe import Recipe
from exporters.release import git_commit

_COMPANIONS = "companions.Companions"


def read(recipe: Recipe) -> list[paths.Path]:
  """Returns the paths that a recipe reads, in the order of the recipe.

  Raises:
    ExportError: A function gets a path that it does not declare as one.
  """
  return [
    *paths.declared(recipe.exporter),
    *_of_companions(recipe),
    *_of_functions(),
  ]


def _of_companions(recipe: Recipe) -> Iterator[paths.Path]:
  for found in paths.declared(recipe.companions) if recipe.companions else ():
    yield dataclasses.replace(found, field=f"{_COMPANIONS}.{found.field}")


def _of_functions() -> Iterator[paths.Path]:
  bound = re.findall(r"^([\w./]+)\.(\w+) = ", gin.config_str(), re.M)
  for selector, parameter in bound:
    value = _value(f"{selector}.{parameter}")
    texts = [x for x in tf.nest.flatten(value) if isinstance(x, str)]
    named = [text for text in texts if _files(text)]
    function = inspect.unwrap(gin.get_configurable(selector))
    if not named or not inspect.isfunction(function):
      continue
    declared = _declares(function, parameter)
    for path in named:
      if declared:
        yield paths.Path(
          field=f"{selector}.{parameter}",
          path=path,
          reads=paths.Reads(lambda exporter, path: _files(path)),
        )
      elif not git_commit.is_part(path):
        raise ExportError(
          f"{selector}.{parameter} = '{path}' names a file, which the "
          "provenance must have. Declare it in the function: "
          f"def {function.__name__}({parameter}: base.FilePath), with "
          "`from exporters import base`."
        )


def _value(binding: str) -> Any:
  """Returns what is bound; of a macro, its value."""
  value = gin.query_parameter(binding)
  return _value(str(value)) if str(value).startswith("%") else value


def _files(path: str) -> list[str]:
  """Returns the files at a path: it, those below it or those it begins."""
  path = os.path.expanduser(path)
  if os.sep in path and tf.io.gfile.isdir(path):
    return paths.files_at(path)
  if os.path.isfile(path):
    return [path]
  begun = glob.escape(path) + "."
  return sorted(glob.glob(f"{begun}index") and glob.glob(f"{begun}*"))


def _declares(function: Any, parameter: str) -> bool:
  hints = typing.get_type_hints(function, include_extras=True)
  return any(paths.declarations(hints.get(parameter)))
