"""Has what was written survive a power cut, by `fsync`.

A file system keeps what it is told in memory for up to half a minute, and may
write a rename before the bytes of what was renamed. So everything is flushed
before it takes its place, and the names that lead to it afterwards.
"""

from collections.abc import Iterator
from concurrent import futures
import errno
import os
import stat

_AT_ONCE = 32
# Of file systems that flush no folders, or nothing.
_WITHOUT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)


def flush(root: str, *, linked: bool = True) -> None:
  """Flushes a directory with everything in it.

  Args:
    root: Its path.
    linked: Whether to flush files that have another name too.
  """
  # At once: a disk does not take longer for many than for one.
  with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
    for _ in pool.map(flush_one, _paths(root, linked=linked)):
      pass


def _paths(root: str, *, linked: bool) -> Iterator[str]:
  for folder, _, names in os.walk(root):
    yield folder
    for name in names:
      path = os.path.join(folder, name)
      status = os.lstat(path)
      # Not a pipe, which would be waited for.
      plain = stat.S_ISREG(status.st_mode)
      if plain and (linked or status.st_nlink == 1):
        yield path


def flush_names(path: str) -> None:
  """Flushes the folders that lead to a path, as far as its file system goes."""
  folder = os.path.dirname(os.path.abspath(path))
  device = os.stat(folder).st_dev
  while os.stat(folder).st_dev == device:
    try:
      flush_one(folder)
    except PermissionError:
      return  # Somebody else's, which was there before.
    if folder == os.path.dirname(folder):
      return
    folder = os.path.dirname(folder)


def flush_one(path: str) -> None:
  """Flushes a file, or the names in a folder."""
  file = os.open(path, os.O_RDONLY)
  try:
    os.fsync(file)
  except OSError as e:
    if e.errno not in _WITHOUT:
      raise OSError(e.errno, e.strerror, path) from e
  finally:
    os.close(file)
