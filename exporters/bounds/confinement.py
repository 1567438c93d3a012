"""Keeps processes from the network, and from files that are not theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from exporters.bounds import groups
from exporters.bounds import limits
from exporters.errors import ExportError

_PROGRAM = (
  sys.executable,
  "-I",
  str(pathlib.Path(__file__).with_name("confined.py")),
)
# Set in the environment of a command that `repeated` runs.
REPEATED = "EXPORTERS_CONFINED"
_UNBOUNDED = {
  "files": "write files that they should not",
  "network": "reach the network",
}


def command(
  arguments: Sequence[str], folder: str, *, network: bool = False
) -> list[str]:
  """Returns a command that runs another as `confined.py` says.

  Args:
    arguments: The command; the first is a path.
    folder: Where it may write.
    network: Whether it may use the network.
  """
  return [*_PROGRAM, folder, "network" if network else "", *arguments]


def repeated(
  module: str, limit: Callable[[], limits.Limits], *, network: bool = False
) -> bool:
  """Runs this command once more, confined, and ends with it.

  Args:
    module: The command's.
    limit: Returns what it may take.
    network: Whether it may use the network.

  Returns:
    False in the one that is confined, which goes on. The other one does not
    return unless all is done.

  Raises:
    ExportError: It went beyond its limits.
  """
  if os.environ.pop(REPEATED, None):
    return False
  with (
    tempfile.TemporaryDirectory() as folder,
    subprocess.Popen(
      command(
        [sys.executable, "-m", module, *sys.argv[1:]], folder, network=network
      ),
      env={**os.environ, REPEATED: "1", "TMPDIR": folder},
      process_group=0,
    ) as process,
    limits.enforced(limit(), process.pid),
  ):
    try:
      code = process.wait()
    finally:
      groups.kill(process.pid)
    if code < 0:
      name = signal.Signals(-code).name
      raise ExportError(
        f"The process that reads it was killed ({name}), perhaps because "
        "memory ran out."
      )
  if code:
    sys.exit(code)
  return True


@functools.cache
def remarks() -> list[str]:
  """Returns a sentence if this system can't keep processes as it should."""
  done = subprocess.run(
    [*_PROGRAM, "/", ""], stdout=subprocess.PIPE, text=True, check=True
  )
  missing = [_UNBOUNDED[line] for line in done.stdout.split()]
  if not missing:
    return []
  return [
    "This system does not keep the processes that handle the model from an "
    f"attempt to {' or to '.join(missing)}. For models from people you have "
    "no reason to trust, use a container without network."
  ]
