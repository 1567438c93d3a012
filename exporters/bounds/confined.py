"""Runs a command that may neither write files nor reach the network.

  python -I exporters/bounds/confined.py FOLDERS NETWORK COMMAND...

The command, and whatever it starts, writes below FOLDERS alone, a JSON list,
and to what it has open. Unless NETWORK is "network", it has no network, not
even to this machine. Without a COMMAND it says, a line each, what this system
does not withhold: "files", "network". It is a program of its own because both
have to be given up before a process has threads.

Files: https://docs.kernel.org/userspace-api/landlock.html (Linux 5.13). The
network: user_namespaces(7) and network_namespaces(7).
"""

from collections.abc import Iterable
import contextlib
import ctypes
import json
import os
import signal
import sys

# Of landlock.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
# Removing, and making: folders, files, sockets, pipes and links.
_CHANGE_FOLDER = sum(1 << bit for bit in (4, 5, 7, 8, 9, 10, 12))
_MAKE_DEVICES = 1 << 6 | 1 << 11
_MOVE = 1 << 13
# In which version of Landlock these came.
_SINCE = {_MOVE: 2, _TRUNCATE: 3}
# Of prctl.h and sched.h.
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
# What semaphores and the standard streams need.
_ALWAYS = ("/dev/shm", "/dev/null")

_libc = ctypes.CDLL(None, use_errno=True)


class _PathBeneath(ctypes.Structure):
  _pack_ = 1
  _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def withhold_files(folders: Iterable[str]) -> bool:
  """Has this process write below folders alone; returns whether it does."""
  version = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
  if version < 1:
    return False
  allowed = _WRITE_FILE | _CHANGE_FOLDER
  allowed |= sum(right for right in _SINCE if version >= _SINCE[right])
  handled = ctypes.c_uint64(allowed | _MAKE_DEVICES)
  ruleset = _libc.syscall(
    _CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0
  )
  for path in (*folders, *_ALWAYS):
    _allow(ruleset, path, allowed)
  _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
  done = _libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
  os.close(ruleset)
  return done


def _allow(ruleset: int, path: str, allowed: int) -> None:
  with contextlib.suppress(FileNotFoundError):
    parent = os.open(path, os.O_PATH)
    if not os.path.isdir(path):
      allowed &= _WRITE_FILE | _TRUNCATE
    rule = _PathBeneath(allowed, parent)
    _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(parent)


def withhold_network() -> bool:
  """Takes the network from this process; returns whether it is gone."""
  user, group = os.getuid(), os.getgid()
  if _libc.unshare(_NEW_USER | _NEW_NETWORK):
    return False
  # The same user as before, by name too.
  with contextlib.suppress(OSError):
    for name, text in (
      ("setgroups", "deny"),
      ("uid_map", f"{user} {user} 1"),
      ("gid_map", f"{group} {group} 1"),
    ):
      with open(f"/proc/self/{name}", "w") as f:
        f.write(text)
  return True


def main() -> None:
  """Withholds what it can, and becomes the command."""
  folders, network, *command = sys.argv[1:]
  linux = sys.platform == "linux"
  withheld = {
    # First, because the maps of users are files.
    "network": network == "network" or (linux and withhold_network()),
    "files": linux and withhold_files(json.loads(folders)),
  }
  if linux:
    # Otherwise it would go on without the one that watches it.
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
  if command:
    os.execv(command[0], command)
  for what, done in withheld.items():
    if not done:
      print(what)


if __name__ == "__main__":
  main()
