"""What a garden's gin file says: which leaves, and where their files are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import glob
import os
import pathlib
import re
import string
from typing import Any

import gin

from exporters.errors import ExportError
from exporters.errors import did_you_mean
from exporters.fields import types
from exporters.gin_files import imports
from exporters.gin_files import macros
from exporters.gin_files import reading
from exporters.gin_files import wording
from exporters.release import page

_PACKAGE = "exporters.gardens"
_ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
  """One gin file of a garden, with what the garden binds in it.

  Attributes:
    name: The gin file's name without its folder and `.gin`.
    gin_files: The gin file, and those that all leaves share.
    bindings: Lines of gin.
    files: The macros that these lines bind to something in the garden's folder,
      which is left as `$folder`.
  """

  name: str
  gin_files: Sequence[str]
  bindings: Sequence[str]
  files: Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Garden:
  """A family of models.

  Attributes:
    leaves: What to bind in which gin files. A key is a path, relative to the
      working directory or to the repository's root; one `*` in it stands for
      part of a file's name, and matches no file that another match includes. A
      value has what to bind, by the name of a macro or of a parameter. In
      texts, also those in dicts and tuples, `$leaf` stands for the name of the
      gin file without `.gin`, `$part` for what the `*` stood for, `$slug` for
      that as Kaggle allows it, and `$folder` for the field of that name. If
      several keys match a file, later ones override single values of earlier
      ones.
    folder: Where the checkpoints and vocabularies are; it may be remote.
    shared: Gin files that are read after each leaf.
  """

  leaves: Mapping[str, Mapping[str, object]]
  folder: str = ""
  shared: Sequence[str] = ()

  def __post_init__(self):
    types.refuse_other_types(self)

  def expanded(self) -> list[Leaf]:
    """Returns the leaves, in the order of the keys and then of their names.

    Raises:
      ExportError: A key matches no file, or a text has another `$name`.
    """
    texts: dict[str, dict[str, Any]] = {}
    files: dict[str, dict[str, str]] = {}
    for pattern, values in self.leaves.items():
      for path, part in _matching(pattern):
        names = {
          "leaf": _name(path),
          "part": part,
          "slug": page.slug(part),
          "folder": self.folder,
        }
        texts.setdefault(path, {}).update(
          (key, _filled(value, names, pattern)) for key, value in values.items()
        )
        names["folder"] = "$folder"
        files.setdefault(path, {}).update(
          (key, _filled(value, names, pattern))
          for key, value in values.items()
          if "." not in key and "$folder" in str(value)
        )
    by_name: dict[str, str] = {}
    for path in texts:
      other = by_name.setdefault(_name(path), path)
      if other != path:
        raise ExportError(
          f"The garden has two leaves named '{_name(path)}': '{other}' and "
          f"'{path}'. Rename one."
        )
    return [
      Leaf(
        name=_name(path),
        gin_files=[path, *self.shared],
        bindings=[f"{key} = {value!r}" for key, value in values.items()],
        files=files[path],
      )
      for path, values in texts.items()
    ]


def load(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> Garden:
  """Returns the garden that gin files and bindings describe.

  Gin is left as if it had read nothing.

  Raises:
    ExportError: A file is missing, or there is a mistake in what it binds.
  """
  if not gin_files:
    raise ExportError(
      "Say what to release: --gin_file=FILE, a file below configs/gardens/ or "
      "your own."
    )
  # What is missing or cannot be parsed is told by who reads it.
  found = imports.modules(gin_files)
  if found and _PACKAGE not in found:
    raise ExportError(
      f"'{gin_files[0]}' is not the gin file of a garden: it does not bind "
      "gardens.Garden.leaves. One leaf is released by python -m "
      "scripts.release."
    )
  try:
    reading.parse(gin_files, ())
    used = macros.used()
    reading.parse((), gin_bindings)
    macros.refuse_unset_and_unused(used)
    return gin.get_configurable(Garden)()
  except ExportError as e:
    raise ExportError(e.message) from e
  except Exception as e:
    raise wording.of_building(e) from e
  finally:
    gin.clear_config()


def _matching(pattern: str) -> Iterator[tuple[str, str]]:
  """Yields the gin files that a pattern matches, with what its `*` stands for.

  A path is as gin takes it: what lies below the repository's root is relative
  to it.
  """
  before, star, after = pattern.partition("*")
  if "*" in after or "?" in pattern or "[" in pattern:
    raise ExportError(
      f"gardens.Garden.leaves: '{pattern}' may have one *, and no other "
      "wildcard."
    )
  here = sorted(glob.glob(pattern))
  there = sorted(glob.glob(pattern, root_dir=_ROOT))
  found = here or there
  if not found:
    folder, name = os.path.split(pattern)
    place = next(
      (f for f in (pathlib.Path(folder or "."), _ROOT / folder) if f.is_dir()),
      None,
    )
    names = [p.name for p in place.glob("*.gin")] if place else []
    raise ExportError(
      f"gardens.Garden.leaves: there is no gin file '{pattern}', neither below "
      "the working directory nor below the root of the repository."
      f"{did_you_mean(name, names)}"
    )
  included = _included(found) if star else set()
  for path in found:
    if path not in included:
      yield path, path[len(before) : len(path) - len(after)] if star else ""


def _included(paths: Sequence[str]) -> set[str]:
  """Returns the paths that gin files include, as they name them."""
  included: set[str] = set()
  for path in paths:
    place = pathlib.Path(path)
    text = (place if place.exists() else _ROOT / place).read_text("utf-8-sig")
    included |= {*re.findall(r"^include\s+['\"](.+?)['\"]", text, re.M)}
  return included


def _name(path: str) -> str:
  return os.path.basename(path).removesuffix(".gin")


def _filled(value: Any, names: Mapping[str, str], pattern: str) -> Any:
  if isinstance(value, Mapping):
    return {key: _filled(one, names, pattern) for key, one in value.items()}
  if isinstance(value, (list, tuple)):
    return type(value)(_filled(one, names, pattern) for one in value)
  if not isinstance(value, str):
    return value
  try:
    return string.Template(value).substitute(names)
  except (KeyError, ValueError) as e:
    raise ExportError(
      f"gardens.Garden.leaves['{pattern}']: in '{value}', a $ stands before "
      f"something else than {', '.join(names)}. Write $$ for a $."
    ) from e
