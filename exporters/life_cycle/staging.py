"""A directory that appears complete or not at all.

Work happens in a sibling of the target, `.NAME.staging-HOST-PID-XXXXXX`, so
that the last step is one rename on one file system. The process that owns a
staging directory holds a lock on it, which the kernel drops when the process
ends, for whatever reason. So a later run can tell what a dead run left behind,
which it removes, from what a concurrent run still needs. What is renamed has
been flushed to the disk; see `durable`.

On a network file system the lock may mean nothing to other hosts, so a run
removes only what runs on its own host left. Where there is no `flock`, it asks
whether the process is still there.
"""

from collections.abc import Callable, Iterator
import contextlib
import errno
import glob
import os
import re
import shutil
import tempfile

from exporters.errors import ExportError
from exporters.life_cycle import durable
from exporters.life_cycle import locks

_NEW = "new"  # What the caller writes.
_OLD = "old"  # What was at the target, while it is being replaced.
# What `rename` says if there is a directory with something in it.
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


class ChangedError(Exception):
  """Somebody else has replaced the target in the meantime."""


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
    durable.flush(new)
    refuse_existing(target, overwrite=overwrite)
    try:
      _swap(
        directory, target, lambda old: overwrite or not os.path.lexists(old)
      )
    except ChangedError as e:
      raise ExportError(
        f"Another process wrote '{target}' in the meantime; that is kept. "
        "Choose another export path, or run this again."
      ) from e


@contextlib.contextmanager
def workspace(
  target: str,
  *,
  overwrite: bool = True,
  instead: str = "Choose another export path.",
) -> Iterator[str]:
  """Yields an empty directory beside `target`; removes it when the block ends.

  It is only the caller's, and on the same file system as `target`. If the
  process is killed, a later one removes it.

  Args:
    target: A path on the local file system.
    overwrite: Whether `target` may exist already.
    instead: What to do if its parent cannot be written to.

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
      f"Cannot write to '{parent}': {e.strerror}. {instead}"
    ) from e
  try:
    yield directory
  finally:
    # If the target is gone, what was there is the last copy.
    if not _moved_aside(directory) or os.path.lexists(target):
      shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)
    _remove_empty(absent)


def scratch(name: str) -> contextlib.AbstractContextManager[str]:
  """Returns a `workspace` for temporary files, by what they are for."""
  return workspace(
    os.path.join(tempfile.gettempdir(), f"exporters-{os.getuid()}-{name}"),
    instead="Free some space there, or set TMPDIR to another folder.",
  )


@contextlib.contextmanager
def replacement(target: str) -> Iterator[tuple[str, bool]]:
  """Yields an empty directory that takes the place of the directory `target`.

  And whether there is one to replace. Unlike `stage`, this replaces only what
  was at `target` when the block began. It is for holders of a lock on `target`,
  who may lose it; see `locks.Lock`. They flush what they write before they look
  at the lock for the last time.

  Raises:
    ChangedError: Something else is at `target` by now. It stays.
    ExportError: The parent of `target` cannot be written to.
  """
  with workspace(target) as directory:
    _put_back_any(target)
    new = os.path.join(directory, _NEW)
    os.mkdir(new)
    try:
      # While it is open, no other directory gets its number.
      replaced = os.open(target, os.O_RDONLY)
    except FileNotFoundError:
      replaced = None
    try:
      yield new, replaced is not None
      _swap(directory, target, lambda old: _is_same(old, replaced))
    finally:
      if replaced is not None:
        os.close(replaced)


def recover(target: str) -> None:
  """Puts back what dead runs moved aside; removes what they left on this host.

  For holders of a lock on `target`.
  """
  _put_back_any(target)
  _clear_up(target)


def _is_same(path: str, file: int | None) -> bool:
  """Returns whether an open file is at `path`, or None and nothing is there."""
  try:
    there = os.lstat(path)
  except FileNotFoundError:
    return file is None
  try:
    return file is not None and os.path.samestat(there, os.fstat(file))
  except OSError as e:
    if e.errno != errno.ESTALE:
      raise
    return False


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
    directory, lock = "", None
    try:
      directory = tempfile.mkdtemp(
        prefix=f"{_prefix(target)}{locks.host()}-{os.getpid()}-", dir=parent
      )
      lock = os.open(directory, os.O_RDONLY)
      # If it is not free, it is being removed.
      free = locks.flock(lock) is not False
      if free and os.path.isdir(directory):
        return directory, lock
      os.close(lock)
    except FileNotFoundError:
      continue
    except BaseException:
      if lock is not None:
        os.close(lock)
      with contextlib.suppress(OSError):
        os.rmdir(directory)
      raise
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
  if not overwrite and _exists(target):
    raise ExportError(
      f"'{target}' exists already. Choose another export path, or pass "
      "--overwrite to replace it once the new model has passed its checks."
    )


def _exists(target: str) -> bool:
  if "://" not in target:
    return os.path.lexists(target)
  # Commands that have others do the work are without it.
  import tensorflow as tf

  return tf.io.gfile.exists(target)


def _prefix(target: str) -> str:
  return f".{os.path.basename(target)}.staging-"


def _swap(directory: str, target: str, expects: Callable[[str], bool]) -> None:
  """Puts what is new in a staging directory at `target`; or raises, as it was.

  Args:
    directory: The staging directory.
    target: Where it goes.
    expects: Whether what was at `target` may be replaced, by where it is now.

  Raises:
    ChangedError: It may not, or somebody else has put something there.
  """
  new, old = os.path.join(directory, _NEW), os.path.join(directory, _OLD)
  os.chmod(new, 0o755)
  try:
    with contextlib.suppress(FileNotFoundError):
      os.rename(target, old)
    if not expects(old):
      raise ChangedError(target)
    os.rename(new, target)
  except BaseException as e:
    _put_back(directory, target)
    if isinstance(e, OSError) and e.errno in _OCCUPIED:
      raise ChangedError(target) from e
    raise
  # Before what it replaces is removed.
  durable.flush_names(target)


def _moved_aside(directory: str) -> bool:
  """Returns whether a run has removed its target and not yet replaced it."""
  return all(
    os.path.lexists(os.path.join(directory, name)) for name in (_NEW, _OLD)
  )


def _put_back(directory: str, target: str) -> None:
  """Puts back what a run moved aside, unless its target is there again."""
  if _moved_aside(directory) and not os.path.lexists(target):
    try:
      os.rename(os.path.join(directory, _OLD), target)
    except OSError as e:
      # Somebody else was faster.
      if e.errno not in (*_OCCUPIED, errno.ENOENT):
        raise


def _put_back_any(target: str) -> None:
  """Puts back what a run on any host moved aside before it died or stopped."""
  moved = [one for one in _staged(target) if _moved_aside(one)]
  if moved and not os.path.lexists(target):
    # A run that died later than that may have left an older one.
    latest = max(moved, key=_moved_at)
    _put_back(latest, target)


def _moved_at(directory: str) -> int:
  try:
    return os.lstat(os.path.join(directory, _OLD)).st_ctime_ns
  except FileNotFoundError:
    return 0


def _staged(target: str) -> list[str]:
  return glob.glob(
    os.path.join(
      glob.escape(os.path.dirname(target)), glob.escape(_prefix(target)) + "*"
    )
  )


def _clear_up(target: str) -> None:
  """Removes what dead runs left beside `target`; puts back what they moved.

  Only those of this host: others are in no place to tell.
  """
  for directory in _staged(target):
    owner = os.path.basename(directory).removeprefix(_prefix(target))
    parts = re.fullmatch(r"(.+)-(.+)-(\d+)-[^-]+", owner)
    if not parts or parts[1] != locks.host().rpartition("-")[0]:
      continue
    try:
      lock = os.open(directory, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
      continue  # Its owner has removed it, or is somebody else.
    try:
      free = locks.flock(lock)
      if free is None:
        boot = locks.host().rpartition("-")[2]
        free = parts[2] == boot and not _lives(int(parts[3]))
      if free:
        _put_back(directory, target)
        shutil.rmtree(directory, ignore_errors=True)
    finally:
      os.close(lock)


def _lives(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass  # Somebody else's.
  return True
