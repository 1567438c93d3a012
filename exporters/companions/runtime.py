"""Runs companions in processes that have their runtime alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import json
import os
import signal
import subprocess
import sys
from typing import Any

from exporters.bounds import groups
from exporters.errors import ExportError

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parity.py")
# A model that takes longer for one small input is of no use, or an attack.
_LONGEST_TRIAL = 300
# For all the calls of a comparison.
_LONGEST_COMPARISON = 3600


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


def measure(companion: str, folder: str) -> dict[str, Any]:
  """Compares a companion with the reference in a folder; see `parity.py`.

  Raises:
    ExportError: It does not run, or its inputs or outputs are other ones.
  """
  found = _run([companion, folder], _LONGEST_COMPARISON)
  if "error" in found:
    raise ExportError(
      f"It does not run as the SavedModel does: {found['error']}."
    )
  return found


def attempt(companion: str, longest: float = _LONGEST_TRIAL) -> Trial:
  """Calls a companion with made-up inputs.

  Args:
    companion: A `.tflite` or a `.onnx`.
    longest: How many seconds that may take.

  Raises:
    ExportError: It does not run, or not in that time.
  """
  found = _run([companion], longest)
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
  longest: float | None = None,
) -> subprocess.CompletedProcess[str]:
  """Runs a command to its end.

  If this process is told to stop before, so are the command and its children.

  Args:
    command: The command's arguments.
    environment: Its environment. None: this process's.
    longest: How many seconds it may take.

  Raises:
    subprocess.TimeoutExpired: It takes longer.
  """
  with subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    errors="replace",
    env=environment,
    process_group=0,
  ) as process:
    try:
      said, complained = process.communicate(timeout=longest)
    finally:
      groups.kill(process.pid)
  return subprocess.CompletedProcess(
    command, process.returncode, said, complained
  )


def _run(arguments: Sequence[str], longest: float) -> dict[str, Any]:
  """Returns what the process says, a line of JSON."""
  try:
    done = ended([sys.executable, "-I", _PROGRAM, *arguments], longest=longest)
  except subprocess.TimeoutExpired as e:
    raise ExportError(
      f"The companion was stopped: it ran for more than {longest:g} s."
    ) from e
  if done.returncode < 0:
    name = signal.Signals(-done.returncode).name
    raise ExportError(
      f"The process that runs it was killed ({name}), perhaps because memory "
      "ran out."
    )
  if done.returncode:
    raise ExportError(
      "The process that runs it ended early. "
      f"{done.stderr.strip().rpartition(chr(10))[2]}".strip()
    )
  return json.loads(done.stdout.strip().rpartition("\n")[2])
