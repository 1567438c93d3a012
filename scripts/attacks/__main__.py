"""Runs every attack and prints a table of them."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil

from exporters.command_line import program
from exporters.errors import ExportError

_ROOT = pathlib.Path(__file__).parents[2]
# The first sentence of what a command says is enough.
_LONGEST = 150
# Seconds are those of the whole command, imports included; megabytes are what
# all its processes held at most.
_HEAD = """| attack | command | what it says | seconds | MB |
|---|---|---|---|---|"""


def main() -> None:
  """Prints the table; raises `ExportError` if an attack got through."""
  program.prepare_tensorflow()
  from scripts import attacks

  print(_HEAD)
  through = []
  for name, attack in attacks.all_attacks().items():
    with tempfile.TemporaryDirectory() as folder:
      path = attack.write(pathlib.Path(folder))
      code, said, seconds, memory = _run(
        [attack.command, *attack.flags, str(path)]
      )
      said = said.replace(folder, "")
    if (attack.says is None) != (code == 0) or not re.search(
      attack.says or "", said
    ):
      through.append(name)
    told = _told(said) if code else "nothing: it does no harm"
    print(
      f"| {name} | `{attack.command.removeprefix('scripts.')}` | {told} | "
      f"{seconds:.0f} | "
      f"{memory / 1e6:.0f} |",
      flush=True,
    )
  if through:
    raise ExportError(f"These got through: {', '.join(through)}.")


def _run(arguments: list[str]) -> tuple[int, str, float, int]:
  """Returns the exit code, what was said, the seconds and the memory."""
  from exporters.bounds import groups

  started, most = time.monotonic(), 0
  with tempfile.TemporaryFile("w+") as output:
    process: Any = subprocess.Popen(
      [sys.executable, "-m", *arguments],
      cwd=_ROOT,
      stdout=output,
      stderr=subprocess.STDOUT,
      process_group=0,
    )
    while process.poll() is None:
      time.sleep(0.2)
      most = max(most, groups.memory(groups.members(process.pid)))
    seconds = time.monotonic() - started
    output.seek(0)
    said = output.read()
  if psutil.pid_exists(process.pid) or groups.members(process.pid):
    raise ExportError("Processes are left.")
  return process.returncode, said, seconds, most


def _told(said: str) -> str:
  """Returns the error, or the first check that failed, for a table."""
  lines = [line for line in said.splitlines() if line.startswith("  ! ")]
  text = (lines or said.strip().splitlines()[-1:])[0]
  text = text.removeprefix("  ! ").removeprefix("error: ")
  text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
  return text.replace("|", r"\|").replace("<", "&lt;")


if __name__ == "__main__":
  program.run(main, modules=[])
