"""Writes what a small instance is exported from, and prints the command.

python -m scripts.small_instances mobilenet /tmp/small
"""

import pathlib
import shlex

from exporters.command_line import program
from exporters.errors import ExportError
from exporters.errors import did_you_mean
from scripts.small_instances import INSTANCES


def main(name: str, directory: str) -> None:
  """Writes the instance called `name` into `directory`."""
  if name not in INSTANCES:
    raise ExportError(
      f"There is no small instance '{name}'.{did_you_mean(name, INSTANCES)} "
      f"There are {', '.join(INSTANCES)}."
    )
  folder = pathlib.Path(directory).expanduser().resolve()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise ExportError(f"Cannot write to '{directory}': {e.strerror}.") from e
  program.prepare_tensorflow()
  instance = INSTANCES[name]
  bindings = instance.write_inputs(folder)
  flags = [
    f"--gin_file={instance.leaf}",
    *(f"--gin_bindings={binding}" for binding in bindings),
    f"--export_path={folder / 'model'}",
  ]
  print(f"python -m {instance.module} \\")
  print(" \\\n".join(f"  {shlex.quote(flag)}" for flag in flags))


if __name__ == "__main__":
  program.run(main, modules=[], arguments=["NAME", "DIRECTORY"])
