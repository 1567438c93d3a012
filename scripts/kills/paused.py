"""Runs a command that stops before each change of files, until it may go on.

  python -m scripts.kills.paused ASKS ANSWERS FOLDER MODULE ARGUMENTS...

It writes a line to the file descriptor ASKS before each change below FOLDER,
and waits for a byte from ANSWERS. So a moment can be met exactly, such as the
one between two renames. Only what Python does is seen, in the main thread.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import os
import runpy
import sys
import threading
from typing import Any

_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
  """Becomes the command."""
  asks, answers, folder, module, *arguments = sys.argv[1:]
  sys.addaudithook(_hook(int(asks), int(answers), folder))
  sys.argv[:] = [module, *arguments]
  runpy.run_module(module, run_name="__main__", alter_sys=True)


def _hook(
  asks: int, answers: int, folder: str
) -> Callable[[str, tuple[Any, ...]], None]:
  main_thread = threading.get_ident()

  def ask(event: str, arguments: tuple[Any, ...]) -> None:
    if threading.get_ident() != main_thread:
      return
    if event == "open":
      path, _, how = arguments
      if not isinstance(how, int) or not how & _WRITES:
        return
    elif event in _CHANGES:
      path = arguments[0]
    else:
      return
    # `shutil.rmtree` has the folder open, and names what is in it.
    within = isinstance(arguments[-1], int) and arguments[-1] >= 0
    if event == "open" or not within:
      within = isinstance(path, str) and path.startswith(folder)
    if within:
      # Nobody asks any more once the moment has come.
      with contextlib.suppress(OSError):
        os.write(asks, f"{event} {path}\n".encode())
        os.read(answers, 1)

  return ask


if __name__ == "__main__":
  main()
