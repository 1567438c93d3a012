"""Where temporary files go: those of all processes, and those of one export.

TensorFlow and others tidy up when a process ends, which one that is killed does
not do. So an export keeps theirs in a folder that a later one removes.
"""

from collections.abc import Iterator
import contextlib
import os
import tempfile

# Names the directory that all processes of this host share, in the environment
# of a process that has another one now.
SHARED = "EXPORTERS_SHARED_TMPDIR"


def shared() -> str:
  """Returns the temporary directory that all processes of this host share."""
  return os.environ.get(SHARED) or tempfile.gettempdir()


def move(folder: str) -> None:
  """Has this process, and all that it starts, write temporary files there."""
  os.environ.setdefault(SHARED, tempfile.gettempdir())
  os.environ["TMPDIR"] = tempfile.tempdir = folder


@contextlib.contextmanager
def moved(folder: str) -> Iterator[None]:
  """Does what `move` does, until the block ends."""
  names = ("TMPDIR", SHARED)
  before = {name: os.environ[name] for name in names if name in os.environ}
  directory = tempfile.tempdir
  move(folder)
  try:
    yield
  finally:
    tempfile.tempdir = directory
    for name in names:
      os.environ.pop(name, None)
    os.environ.update(before)
