"""File systems that fill up, turn read-only or lose power.

They are mounted in a namespace of this process, so nobody else sees them, and
they go with it: a tmpfs, or an ext4 in a file, which the kernel mounts for root
alone. What is in that file is what has reached the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

_IN_NAMESPACE = "KILLS_NAMESPACE"
_MEGABYTES = 24


def enter_namespace() -> None:
  """Runs this command once more, where it may mount, if it may."""
  if _IN_NAMESPACE in os.environ:
    return
  user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
  command = ["unshare", *user, "--mount"]
  with contextlib.suppress(OSError):
    if _runs(*command, "true"):
      os.environ[_IN_NAMESPACE] = "1"
      os.execvp(
        command[0],
        [*command, sys.executable, "-m", "scripts.kills", *sys.argv[1:]],
      )


def can_mount() -> bool:
  """Returns whether a tmpfs can be mounted here."""
  return _IN_NAMESPACE in os.environ


def make_image(path: pathlib.Path) -> bool:
  """Makes a file with an empty ext4; returns whether it can be mounted."""
  with open(path, "wb") as f:
    f.truncate(_MEGABYTES << 20)
  folder = path.with_suffix(".tried")
  folder.mkdir()
  try:
    if not can_mount() or not _runs("mkfs.ext4", "-q", str(path)):
      return False
    with Disk(folder, path).mounted():
      return True
  except (OSError, subprocess.CalledProcessError):
    return False
  finally:
    folder.rmdir()


class Disk:
  """A folder, on a file system of its own where that can be.

  Args:
    path: An empty folder.
    image: A file with an ext4. None: a tmpfs.
  """

  def __init__(self, path: pathlib.Path, image: pathlib.Path | None = None):
    self.path = path
    self._image = image

  @contextlib.contextmanager
  def mounted(self) -> Iterator[None]:
    """Mounts it while the block runs."""
    if not can_mount():
      yield
      return
    self._mount()
    try:
      yield
    finally:
      self._unmount()

  def fill(self, free: int) -> None:
    """Takes all room but so many bytes."""
    block = b"\1" * 4096
    with (
      open(self._filler, "wb", buffering=0) as f,
      contextlib.suppress(OSError),
    ):
      while f.write(block):
        pass
    size = self._filler.stat().st_size
    os.truncate(self._filler, max(0, size - free))

  def turn_read_only(self, seconds: float) -> bool:
    """Takes the right to write; returns whether it could in so many seconds.

    The kernel refuses it as long as a file is open for writing.
    """
    latest = time.monotonic() + seconds
    while time.monotonic() < latest:
      if _runs("mount", "-o", "remount,ro", str(self.path)):
        return True
      time.sleep(0.001)
    return False

  def repair(self) -> None:
    """Gives back the room, and the right to write."""
    if can_mount():
      subprocess.run(["mount", "-o", "remount,rw", self.path], check=True)
    self._filler.unlink(missing_ok=True)

  def copy_image(self) -> pathlib.Path:
    """Copies what has reached the disk; returns the copy."""
    assert self._image
    copy = self._image.with_suffix(".cut")
    shutil.copyfile(self._image, copy)
    return copy

  def lose_power(self, copy: pathlib.Path) -> None:
    """Goes on with what had reached the disk when it was copied."""
    assert self._image
    self._unmount()
    copy.replace(self._image)
    self._mount()

  def settle(self) -> None:
    """Has all that was written reach the disk."""
    subprocess.run(["sync", "-f", self.path], check=True)

  @property
  def _filler(self) -> pathlib.Path:
    return self.path / "filler"

  def _mount(self) -> None:
    what = ["-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "tmpfs"]
    if self._image:
      # Nothing gets there by itself: the kernel commits every ten minutes.
      what = ["-t", "ext4", "-o", "loop,commit=600", str(self._image)]
    subprocess.run(["mount", *what, self.path], check=True)

  def _unmount(self) -> None:
    subprocess.run(["umount", self.path], check=True)


def _runs(*command: str) -> bool:
  done = subprocess.run(
    command,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    check=False,
  )
  return done.returncode == 0
