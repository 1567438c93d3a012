"""A directory that appears complete or not at all.

Work happens in a sibling of the target, `.NAME.staging-PID-XXXXXX`, so that
the last step is one rename on one file system. The process that owns a staging
directory holds a lock on it, which the kernel drops when the process ends, for
whatever reason. So a later run can tell what a dead run left behind, which it
removes, from what a concurrent run still needs.
"""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile

import tensorflow as tf

from exporters.errors import ExportError

_NEW = "new"  # What the caller writes.
_OLD = "old"  # What was at the target, while it is being replaced.


@contextlib.contextmanager
def stage(target: str, *, overwrite: bool = False) -> Iterator[str]:
  """Yields the path of an empty directory that becomes `target` at the end.

  The caller may keep other files beside it, in its parent; they are removed
  when the block ends. If the block raises, everything is as it was before.

  Args:
    target: A path on the local file system.
    overwrite: Whether to replace what is at `target`.

  Raises:
    ExportError: `target` exists, or its parent cannot be written to.
  """
  target = os.path.abspath(target)
  with workspace(target, overwrite=overwrite) as directory:
    new = os.path.join(directory, _NEW)
    os.mkdir(new)
    yield new
    _publish(new, target, os.path.join(directory, _OLD), overwrite)


@contextlib.contextmanager
def workspace(target: str, *, overwrite: bool = True) -> Iterator[str]:
  """Yields an empty directory beside `target`; removes it when the block ends.

  It is only the caller's, and on the same file system as `target`. If the
  process is killed, a later one removes it.

  Args:
    target: A path on the local file system.
    overwrite: Whether `target` may exist already.

  Raises:
    ExportError: `target` exists, or its parent cannot be written to.
  """
  target = os.path.abspath(target)
  parent = os.path.dirname(target)
  absent = _absent(parent)
  try:
    _clear_up(target)
    refuse_existing(target, overwrite=overwrite)
    directory, lock = _make_locked(target)
  except OSError as e:
    _remove_empty(absent)
    raise ExportError(
      f"Cannot write to '{parent}': {e.strerror}. Choose another export path."
    ) from e
  try:
    yield directory
  finally:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)
    _remove_empty(absent)


def _absent(folder: str) -> list[str]:
  """Returns which of a folder and its parents are missing, from it upwards."""
  found = []
  while not os.path.lexists(folder):
    found.append(folder)
    folder = os.path.dirname(folder)
  return found


def _make_locked(target: str) -> tuple[str, int]:
  """Makes a staging directory and its parents; returns it and its lock.

  Until it is locked, a concurrent run may take it for left behind and remove
  it; then another one is made.
  """
  parent = os.path.dirname(target)
  for _ in range(10):
    os.makedirs(parent, exist_ok=True)
    try:
      directory = tempfile.mkdtemp(
        prefix=f"{_prefix(target)}{os.getpid()}-", dir=parent
      )
      lock = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
      continue
    try:
      fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
      os.close(lock)
      os.rmdir(directory)
      raise
    if os.path.isdir(directory):
      return directory, lock
    os.close(lock)
  # Such as in /proc, whose folders take no files.
  raise OSError(errno.ENOENT, "no directory can be made there")


def _remove_empty(folders: list[str]) -> None:
  """Removes folders in turn, until one has something in it by now."""
  for folder in folders:
    try:
      os.rmdir(folder)
    except OSError as e:
      if e.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
        raise
      return


def refuse_existing(target: str, *, overwrite: bool) -> None:
  """Raises `ExportError` if `target` exists and may not be replaced."""
  if os.path.isfile(target):
    raise ExportError(
      f"'{target}' is a file, where a folder is to be written. Choose another "
      "path."
    )
  exists = tf.io.gfile.exists if "://" in target else os.path.lexists
  if exists(target) and not overwrite:
    raise ExportError(
      f"'{target}' exists already. Choose another export path, or pass "
      "--overwrite to replace it once the new model has passed its checks."
    )


def _prefix(target: str) -> str:
  return f".{os.path.basename(target)}.staging-"


def _publish(new: str, target: str, old: str, overwrite: bool) -> None:
  os.chmod(new, 0o755)
  refuse_existing(target, overwrite=overwrite)
  replaces = os.path.lexists(target)
  if replaces:
    os.rename(target, old)
  try:
    os.rename(new, target)
  except BaseException:
    if replaces:
      os.rename(old, target)
    raise


def _clear_up(target: str) -> None:
  """Removes what dead runs left beside `target`; puts back what they moved."""
  pattern = os.path.join(
    glob.escape(os.path.dirname(target)), glob.escape(_prefix(target)) + "*"
  )
  for directory in glob.glob(pattern):
    try:
      lock = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:  # Its owner has removed it.
      continue
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
      if e.errno not in (errno.EAGAIN, errno.EACCES):
        raise
      continue  # Its run is still going on.
    else:
      old = os.path.join(directory, _OLD)
      if os.path.lexists(old) and not os.path.lexists(target):
        os.rename(old, target)
      shutil.rmtree(directory, ignore_errors=True)
    finally:
      os.close(lock)
