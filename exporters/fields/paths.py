"""Fields that name what an export reads: a declaration, not a guess.

  vocab_file: paths.FilePath | None = None

From the declaration follow the early refusal of a path where nothing is, the
digests in a release's provenance, and what must not show in an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import os
import typing
from typing import Annotated, Any

import tensorflow as tf

from exporters.errors import ExportError


@dataclasses.dataclass(frozen=True)
class Reads:
  """Marks a field as the path of something that an export reads.

  Attributes:
    files: From the exporter and the path, the files that are read.
    checked: Whether an early look at the path tells if it can be used. A
      checkpoint's path may be a prefix of several files' names; opening it
      tells more.
  """

  files: Callable[[Any, str], Sequence[str]]
  checked: bool = True


def files_at(path: str) -> list[str]:
  """Returns the file at `path`, or all files below the folder there."""
  if not tf.io.gfile.isdir(path):
    return [path]
  return sorted(
    os.path.join(folder, name)
    for folder, _, names in tf.io.gfile.walk(path)
    for name in names
  )


FilePath = Annotated[str, Reads(lambda exporter, path: files_at(path))]
CheckpointPath = Annotated[
  str, Reads(lambda exporter, path: exporter.opened.files, checked=False)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Path:
  """A declared field of an exporter, with its value.

  Attributes:
    field: Its name.
    path: Its value.
    reads: Its declaration.
  """

  field: str
  path: str
  reads: Reads

  def files(self, exporter: Any) -> Sequence[str]:
    return self.reads.files(exporter, self.path)


def declared(exporter: Any) -> Iterator[Path]:
  """Yields the fields of a dataclass that name what it reads, if set."""
  hints = typing.get_type_hints(type(exporter), include_extras=True)
  for field in dataclasses.fields(exporter):
    value = getattr(exporter, field.name)
    for reads in _declarations(hints[field.name]):
      if value:
        yield Path(field=field.name, path=value, reads=reads)


def refuse_missing(exporter: Any) -> None:
  """Raises `ExportError` for a field that names what is not there."""
  for found in declared(exporter):
    if found.reads.checked and not tf.io.gfile.exists(found.path):
      raise ExportError(
        f"{type(exporter).__name__}.{found.field} = '{found.path}' does not "
        "exist. A relative path starts at the working directory, "
        f"'{os.getcwd()}'."
      )


def _declarations(annotation: Any) -> Iterator[Reads]:
  if typing.get_origin(annotation) is Annotated:
    yield from (m for m in annotation.__metadata__ if isinstance(m, Reads))
  else:
    for argument in typing.get_args(annotation):
      yield from _declarations(argument)
