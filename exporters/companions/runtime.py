"""Runs companions in processes that have their runtime alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from exporters.bounds import confinement
from exporters.bounds import groups
from exporters.bounds import limits
from exporters.errors import ExportError

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parity.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
  """What happened when a companion was called with made-up inputs.

  Attributes:
    inputs: The shapes of the inputs.
    outputs: The shapes of the outputs.
    seconds: The median time of a call.
  """

  inputs: Mapping[str, Sequence[int]]
  outputs: Mapping[str, Sequence[int]]
  seconds: float


def measure(
  companion: str, folder: str, limit: limits.Limits = limits.NONE
) -> dict[str, Any]:
  """Compares a companion with the reference in a folder; see `parity.py`.

  Raises:
    ExportError: It does not run, or not within the limits; or its inputs or
      outputs are other ones.
  """
  found = _run([companion, folder], limit)
  if "error" in found:
    raise ExportError(
      f"It does not run as the SavedModel does: {found['error']}."
    )
  return found


def attempt(companion: str, limit: limits.Limits = limits.NONE) -> Trial:
  """Calls a companion with made-up inputs.

  Args:
    companion: A `.tflite` or a `.onnx`.
    limit: What the process may take.

  Raises:
    ExportError: It does not run, or not within the limits.
  """
  found = _run([companion], limit)
  if "error" in found:
    raise ExportError(
      "The companion cannot be called with inputs that were made up for the "
      f"shapes that it states: {found['error']}. It may run with its own; "
      "--checks=none leaves the call out."
    )
  return Trial(**found)


def ended(
  command: Sequence[str],
  *,
  environment: Mapping[str, str] | None = None,
  limit: limits.Limits = limits.NONE,
  folder: str | None = None,
) -> subprocess.CompletedProcess[str]:
  """Runs a command to its end.

  If this process is told to stop before, so are the command and its children.

  Args:
    command: The command's arguments.
    environment: Its environment. None: this process's.
    limit: What it may take.
    folder: Where alone it may write, without network. None: it may do what
      this process may.

  Raises:
    ExportError: It was killed, for its limits or otherwise.
  """
  environment = os.environ if environment is None else environment
  if folder is not None:
    command = confinement.command(command, folder)
    environment = {**environment, "TMPDIR": folder}
  with (
    subprocess.Popen(
      command,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      errors="replace",
      env=environment,
      process_group=0,
    ) as process,
    limits.enforced(limit, process.pid),
  ):
    try:
      said, complained = process.communicate()
    finally:
      groups.kill(process.pid)
    if process.returncode < 0:
      name = signal.Signals(-process.returncode).name
      raise ExportError(
        f"The process that runs it was killed ({name}), perhaps because memory "
        "ran out."
      )
  return subprocess.CompletedProcess(
    command, process.returncode, said, complained
  )


def _run(arguments: Sequence[str], limit: limits.Limits) -> dict[str, Any]:
  """Returns what the process says, a line of JSON."""
  with tempfile.TemporaryDirectory() as folder:
    done = ended(
      [sys.executable, "-I", _PROGRAM, *arguments], limit=limit, folder=folder
    )
  if done.returncode:
    raise ExportError(
      "The process that runs it ended early. "
      f"{done.stderr.strip().rpartition(chr(10))[2]}".strip()
    )
  return json.loads(done.stdout.strip().rpartition("\n")[2])
