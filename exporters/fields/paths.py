"""Declares which fields of an exporter are paths of what it reads.

  vocab_file: paths.FilePath | None = None

Three things follow from such an annotation: a path to nothing is refused early,
a release's provenance has the digests of the files, and the path must not show
in an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import os
import typing
from typing import Annotated, Any

import tensorflow as tf

from exporters.bounds import special_files
from exporters.errors import ExportError
from exporters.errors import first_line
from exporters.errors import unexpanded


@dataclasses.dataclass(frozen=True)
class Reads:
  """Marks a field as the path of something that an export reads.

  Attributes:
    files: A function of the exporter and the path that returns the paths of the
      files that are read.
    checked: Whether the path must exist. A checkpoint's path need not: it may
      be the prefix of several files, and opening it gives the better error.
  """

  files: Callable[[Any, str], Sequence[str]]
  checked: bool = True


def files_at(path: str) -> list[str]:
  """Returns `path` if it is a file, or all files below the folder, sorted."""
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
  """A field of an exporter that is declared as a path, with its value.

  Attributes:
    field: The field's name.
    path: The field's value.
    reads: The field's declaration.
  """

  field: str
  path: str
  reads: Reads

  def files(self, exporter: Any) -> Sequence[str]:
    """Returns the paths of the files that `exporter` reads from here."""
    return self.reads.files(exporter, self.path)


def declared(exporter: Any) -> Iterator[Path]:
  """Yields the fields of a dataclass that are declared as paths and are set."""
  hints = typing.get_type_hints(type(exporter), include_extras=True)
  for field in dataclasses.fields(exporter):
    value = getattr(exporter, field.name)
    for reads in declarations(hints[field.name]):
      if value:
        yield Path(field=field.name, path=value, reads=reads)


def refuse_missing(exporter: Any) -> None:
  """Raises `ExportError` for a field whose path does not exist."""
  for found in declared(exporter):
    name = f"{type(exporter).__name__}.{found.field}"
    try:
      exists = tf.io.gfile.exists(found.path)
    except tf.errors.OpError as e:
      raise ExportError(
        f"{name} = '{found.path}' cannot be read: {first_line(e)}. Copy it to "
        "this machine."
      ) from e
    special_files.refuse(found.path)
    if found.reads.checked and not exists:
      raise ExportError(
        f"{name} = '{found.path}' does not exist. A relative path starts at "
        f"the working directory, '{os.getcwd()}'.{unexpanded(found.path)}"
      )


def declarations(annotation: Any) -> Iterator[Reads]:
  """Yields what an annotation declares of paths."""
  if typing.get_origin(annotation) is Annotated:
    yield from (m for m in annotation.__metadata__ if isinstance(m, Reads))
  else:
    for argument in typing.get_args(annotation):
      yield from declarations(argument)
