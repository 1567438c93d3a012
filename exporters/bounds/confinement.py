"""Keeps processes from the network, and from files that are not theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
import json
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
# How long a command that is told to stop may take to clean up.
_CLEAN_UP = 5.0
# Set in the environment of a command that `repeated` runs.
REPEATED = "EXPORTERS_CONFINED"
_UNBOUNDED = {
  "files": "write files that they should not",
  "network": "reach the network",
}


def command(
  arguments: Sequence[str], *folders: str, network: bool = False
) -> list[str]:
  """Returns a command that runs another as `confined.py` says.

  Args:
    arguments: The command; the first is a path.
    *folders: Where it may write.
    network: Whether it may use the network.
  """
  return [
    *_PROGRAM,
    json.dumps(folders),
    "network" if network else "",
    *arguments,
  ]


def repeated(
  module: str,
  limit: Callable[[], limits.Limits],
  *folders: str,
  network: bool = False,
) -> bool:
  """Runs this command once more, confined, and ends with it.

  So whatever a command does with what may come from anyone has bounds, from its
  first byte on.

  Args:
    module: The command's.
    limit: Returns what it may take.
    *folders: Where it may write, beside a folder for its temporary files.
    network: Whether it may use the network.

  Returns:
    False in the one that is confined, which goes on. In the other one, True
    when all is done; it exits if the confined one failed.

  Raises:
    ExportError: It went beyond its limits, or was killed.
  """
  if os.environ.pop(REPEATED, None):
    # The other one says why.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    return False
  for remark in _remarks():
    print(f"note: {remark}", file=sys.stderr)
  with (
    tempfile.TemporaryDirectory() as folder,
    subprocess.Popen(
      command(
        [sys.executable, "-m", module, *sys.argv[1:]],
        folder,
        *folders,
        network=network,
      ),
      env={**os.environ, REPEATED: "1", "TMPDIR": folder},
      process_group=0,
    ) as process,
    limits.enforced(limit(), process.pid),
  ):
    try:
      code = process.wait()
    except (KeyboardInterrupt, SystemExit):
      process.terminate()
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_CLEAN_UP)
      raise
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


def _remarks() -> list[str]:
  """Returns a sentence if this system can't keep processes as it should."""
  done = subprocess.run(
    [*_PROGRAM, "[]", ""], stdout=subprocess.PIPE, text=True, check=True
  )
  missing = [_UNBOUNDED[line] for line in done.stdout.split()]
  if not missing:
    return []
  return [
    "This system does not keep the processes that handle the model from an "
    f"attempt to {' or to '.join(missing)}. For models from people you have "
    "no reason to trust, use a container without network."
  ]
