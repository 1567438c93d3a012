"""Goes through a garden that was released, to verify it or make it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
import dataclasses
import os
import string
from typing import Any

from exporters.errors import ExportError
from exporters.gardens import processes as processes_lib
from exporters.gardens import recorded
from exporters.gardens import work


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
  """A model of a garden's record.

  Attributes:
    handle: Its handle.
    archive: The archive's path.
    sha256: The archive's digest, as the record has it.
    companions: The paths of its companions, with their digests.
    files: Where the leaf's files were, by the macro that names them; `$folder`
      stands for the garden's folder.
  """

  handle: str
  archive: str
  sha256: str
  companions: Mapping[str, str]
  files: Mapping[str, str]

  @property
  def provenance(self) -> str:
    """The provenance's path."""
    return self.archive.removesuffix(".tar.gz") + ".provenance.json"

  def bindings(self, folder: str) -> list[str]:
    """Returns lines of gin that say where the files are now."""
    return [
      f"{macro} = {string.Template(path).safe_substitute(folder=folder)!r}"
      for macro, path in self.files.items()
    ]


def models(path: str) -> list[Model]:
  """Returns the models of a garden's record.

  Raises:
    ExportError: It is not a record of a garden, or names a file elsewhere.
  """
  found = recorded.read(path)
  if found is None:
    raise ExportError(f"There is no garden's record at '{path}'.")
  root = os.path.realpath(os.path.dirname(os.path.abspath(path)))

  def inside(name: Any) -> str:
    found = os.path.join(root, _text(name))
    if not os.path.realpath(found).startswith(root + os.sep):
      raise ExportError(f"'{path}' names '{name}', which lies elsewhere.")
    return found

  listed = []
  try:
    for leaf in found["leaves"]:
      for model in leaf["models"]:
        listed.append(
          Model(
            handle=_text(model["handle"]),
            archive=inside(model["archive"]),
            sha256=_text(model["sha256"]),
            companions={
              inside(companion["file"]): _text(companion["sha256"])
              for companion in model["companions"]
            },
            files={
              macro: _text(file) for macro, file in dict(leaf["files"]).items()
            },
          )
        )
  except (KeyError, TypeError, ValueError) as e:
    raise ExportError(f"'{path}' is not the record of a garden.") from e
  if not listed:
    raise ExportError(f"'{path}' has no models.")
  return listed


def _text(value: Any) -> str:
  # The name of a file has no null byte.
  if not isinstance(value, str) or "\0" in value:
    raise TypeError(f"{value!r} is not a text")
  return value


def reproduce(
  listed: Sequence[Model],
  folder: str,
  listener: Callable[[Model, processes_lib.Done], None],
  *,
  at_once: int,
  seconds: float = 3600.0,
) -> None:
  """Makes models again, each in a process of its own.

  Args:
    listed: The models.
    folder: Where the files are that they were made from.
    listener: Is told what came of each: the result is a
      `release.reproduce.Reproduction`.
    at_once: How many to make at the same time.
    seconds: How long one may take.
  """
  with (
    processes_lib.Processes([], checked=False) as processes,
    futures.ThreadPoolExecutor(at_once) as pool,
  ):
    running = {
      pool.submit(
        processes.run,
        work.reproduce,
        [model.provenance, model.bindings(folder)],
        seconds=seconds,
      ): model
      for model in listed
    }
    for future in futures.as_completed(running):
      listener(running[future], future.result())
