"""Lets one process at a time change what is at a path, on any host.

On a network file system `flock` may exclude only the processes of one host, or
be refused. So there are two locks:

1. `flock` on a file in the local temporary directory. It excludes processes of
   this host, and the kernel drops it when its holder ends.
2. A folder `.NAME.lock` beside the path, with one file in it, which is named
   after its holder. It excludes all others.

A process takes the second by renaming a folder with its own file to
`.NAME.lock`, which fails while there is a file in it. It breaks the lock of a
dead process by deleting that process's file by its name. So it never breaks a
lock that somebody else took in the meantime.

A holder rewrites its file every second. It counts as dead if

- it was the last one to hold both locks, as the local file says, and the first
  one is free; or
- its file has stayed the same for half a minute. A waiter counts how often it
  has looked, so the clocks of hosts need not agree, and a file server that
  hangs for a minute makes nobody dead.

A holder that was stopped for that long has lost the lock. `Lock.check` tells
it, right before its last step.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import os
import pathlib
import secrets
import shutil
import socket
import threading
import time

from exporters.errors import ExportError
from exporters.life_cycle import temporary

# NFS reports ESTALE for what another host has removed.
_GONE = (errno.ENOENT, errno.ESTALE)
# What `rename` reports while there is a holder; ENOENT too, if a successor of
# this host has cleared up.
_HELD = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)
# `flock` on file systems that do not have it; NFS: EBADF.
_WITHOUT_FLOCK = (
  errno.ENOLCK,
  errno.EOPNOTSUPP,
  errno.ENOSYS,
  errno.EINVAL,
  errno.EBADF,
)


class LostError(Exception):
  """Others took this process for dead, and took the lock over."""


@dataclasses.dataclass(frozen=True)
class Lock:
  """A lock that this process holds, unless it was stopped for long.

  Attributes:
    file: What only its holder writes to.
  """

  file: str

  def check(self) -> None:
    """Renews the lock, so that nobody takes it over soon.

    Raises:
      LostError: Somebody has.
    """
    try:
      # By its name, so that NFS asks the server; never made anew.
      file = os.open(self.file, os.O_WRONLY)
      try:
        os.pwrite(file, secrets.token_hex(8).encode(), 0)
      finally:
        os.close(file)
    except OSError as e:
      if e.errno not in _GONE:
        raise
      raise LostError(self.file) from e

  def keep(self, seconds: float, ended: threading.Event) -> None:
    """Renews the lock again and again."""
    while not ended.wait(seconds):
      with contextlib.suppress(OSError, LostError):
        self.check()


@contextlib.contextmanager
def exclusive(
  path: str,
  *,
  renew: float = 1.0,
  stale: float = 30.0,
  patience: float = 1800.0,
  poll: float = 0.2,
) -> Iterator[Lock]:
  """Holds a lock on `path`, which need not exist, while the block runs.

  Args:
    path: A path whose parent exists and can be written to.
    renew: After how many seconds a holder shows that it is alive.
    stale: For how many seconds a holder must not have, to be taken for dead.
    patience: For how many seconds to wait for one and the same holder.
    poll: How many seconds lie between two looks at the lock.

  Raises:
    ExportError: Another process keeps the lock, or there can be none.
  """
  folder = _folder(path)
  lock = Lock(
    os.path.join(folder, f"{host()}-{os.getpid()}-{secrets.token_hex(8)}")
  )
  local = _open_local(path)
  try:
    try:
      _acquire(lock.file, local, stale / poll, patience / poll, poll)
    except OSError as e:
      raise ExportError(
        f"Cannot lock '{path}' by '{folder}': {e.strerror}. Choose another "
        "path, or remove what is in the way."
      ) from e
    ended = threading.Event()
    thread = threading.Thread(target=lock.keep, args=(renew, ended))
    thread.daemon = True
    thread.start()
    try:
      yield lock
    finally:
      ended.set()
      thread.join()
      with contextlib.suppress(OSError):
        os.remove(lock.file)
        os.rmdir(folder)
  finally:
    if local is not None:
      # Closing it would not do if a child process has it open too.
      with contextlib.suppress(OSError):
        fcntl.flock(local, fcntl.LOCK_UN)
      os.close(local)


def flock(file: int) -> bool | None:
  """Locks an open file until it is closed, without waiting.

  Returns:
    Whether that worked, or None if the file system does not have `flock`.
  """
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as e:
    if e.errno in (errno.EAGAIN, errno.EACCES):
      return False
    if e.errno in _WITHOUT_FLOCK:
      return None
    raise
  return True


@functools.cache
def host() -> str:
  """Returns `NAME-BOOT`, which tells where a process id means something.

  Containers may share a host's name, but not its process ids; and a host that
  has started again has new ones.
  """
  boot = ""
  with contextlib.suppress(OSError):
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    boot += os.readlink("/proc/self/ns/pid")
  digest = hashlib.sha256(boot.encode()).hexdigest()
  return f"{socket.gethostname()}-{digest[:8]}"


def _folder(path: str) -> str:
  parent, name = os.path.split(os.path.realpath(path))
  return os.path.join(parent, f".{name}.lock")


def _open_local(path: str) -> int | None:
  """Opens the file in the local temporary directory.

  Everything works without it; only a dead process is found out later.
  """
  key = hashlib.sha256(f"{host()} {os.path.realpath(path)}".encode())
  name = f"exporters-{os.getuid()}-{key.hexdigest()[:16]}.lock"
  try:
    file = os.open(
      os.path.join(temporary.shared(), name),
      os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
      0o600,
    )
  except OSError:
    return None
  if os.fstat(file).st_uid == os.getuid():
    return file
  os.close(file)  # Others may have written anything to it.
  return None


def _acquire(
  file: str, local: int | None, stale: float, patience: float, poll: float
) -> None:
  """Waits for both locks; `stale` and `patience` count looks at the second."""
  folder, me = os.path.split(file)
  alone = local is None  # Whether this process has the first lock.
  before = ""  # Who had both before, if this process has the first.
  last: tuple[str, bytes | None] = "", None
  unchanged = waited = 0
  while True:
    if local is not None and not alone:
      locked = flock(local)
      alone = locked is not False
      if locked:
        before = _read(local)
        # It may have died in `_take`.
        shutil.rmtree(f"{folder}-{before}", ignore_errors=True)
    holder = _holder(folder)
    # Only one process of a host opens the file, because NFS keeps a file that
    # its own host has open.
    sign = _sign(os.path.join(folder, holder)) if alone and holder else None
    unchanged = unchanged + 1 if (holder, sign) == last else 0
    waited = waited + 1 if holder == last[0] else 0
    last = holder, sign
    dead = holder and alone and (holder == before or unchanged >= stale)
    if dead:
      _remove(os.path.join(folder, holder))
    if alone and (dead or sign is None):
      if local is not None:
        # A full disk is no reason not to go on.
        with contextlib.suppress(OSError):
          os.ftruncate(local, 0)
          os.pwrite(local, me.encode(), 0)
      if _take(folder, me):
        return
    if waited >= patience:
      who = holder or (_read(local) if local is not None else "")
      raise ExportError(
        f"'{folder}' has been locked for {waited * poll / 60:.0f} minutes by "
        f"{_named(who)}. Wait until it ends, or end it, and run this again. If "
        "it does not exist, delete that folder first."
      )
    time.sleep(poll)


def _take(folder: str, me: str) -> bool:
  """Takes the second lock if nobody has it."""
  attempt = f"{folder}-{me}"
  os.mkdir(attempt)
  try:
    pathlib.Path(attempt, me).write_text(me)
    os.rename(attempt, folder)
  except OSError as e:
    if e.errno not in _HELD:
      raise
  finally:
    shutil.rmtree(attempt, ignore_errors=True)
  # NFS may report an error for what it has done, if its first reply was lost.
  return os.path.lexists(os.path.join(folder, me))


def _holder(folder: str) -> str:
  """Returns who has the second lock, or "" if nobody does."""
  try:
    return min(os.listdir(folder), default="")
  except OSError as e:
    if e.errno not in _GONE:
      raise
    return ""


def _sign(file: str) -> bytes | None:
  """Returns a holder's last sign of life, or None if it holds no more."""
  try:
    # NFS asks the server when a file is opened.
    with open(file, "rb") as f:
      return f.read()
  except OSError as e:
    if e.errno not in _GONE:
      raise
    return None


def _remove(file: str) -> None:
  try:
    os.remove(file)
  except OSError as e:
    if e.errno not in (*_GONE, errno.EBUSY):
      raise


def _read(local: int) -> str:
  return os.pread(local, 1000, 0).decode(errors="replace")


def _named(holder: str) -> str:
  if not holder:
    return "another process of this host"
  name, *rest = holder.rsplit("-", 3)
  return f"process {rest[1]} on {name}" if len(rest) == 3 else f"'{holder}'"
