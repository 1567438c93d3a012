"""Refuses what is in place of a file but has no end, or none to wait for."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
import os
import stat

from exporters.errors import ExportError

# A model has few files, in a folder and in those below it.
_MOST, _DEEPEST = 10_000, 1


def refuse(path: str) -> None:
  """Raises `ExportError` if a pipe, a socket or a device would be read.

  Args:
    path: Of a file or a folder, or what the names of several files begin with.
      Links count as what they lead to.
  """
  if "://" in path:
    return
  for file in itertools.islice(_files(path, _DEEPEST), _MOST):
    try:
      mode = os.stat(file).st_mode
    except OSError:
      continue  # A link to nothing; who reads it will say so.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
      raise ExportError(
        f"'{file}' is not a file but {_kind(mode)}, which may never end. Copy "
        "what it is meant to hold into a file."
      )


def refuse_linked_folders(path: str) -> None:
  """Raises `ExportError` if a link below a folder leads to another folder.

  Through two such links that lead upwards, a folder has no end.
  """
  for folder, names, _ in os.walk(path):
    for name in names:
      file = os.path.join(folder, name)
      if os.path.islink(file):
        raise ExportError(
          f"'{file}' is a link to a folder, which a SavedModel does not have. "
          "Copy the folder to its place."
        )


def _files(path: str, deep: int) -> Iterator[str]:
  if not os.path.isdir(path):
    yield path
    folder, start = os.path.split(path)
    deep = 0
  else:
    folder, start = path, ""
  try:
    names = os.listdir(folder or ".")
  except OSError:
    return
  for name in names:
    file = os.path.join(folder, name)
    if not name.startswith(start):
      continue
    if os.path.isdir(file):
      # What is mounted there, such as /dev, is not part of a model.
      if deep and not os.path.ismount(file):
        yield from _files(file, deep - 1)
    else:
      yield file


def _kind(mode: int) -> str:
  if stat.S_ISFIFO(mode):
    return "a pipe"
  return "a socket" if stat.S_ISSOCK(mode) else "a device"
