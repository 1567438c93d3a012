"""The commands that `scripts.inspect` tells people to run."""

import re
import shlex


def command_line(module: str, gin_file: str, *bindings: str) -> str:
  """Returns the command that exports a model, as one types it."""
  quoted = [
    f'"{b}"' if re.fullmatch(r"[\w ./:=\'-]+", b) else shlex.quote(b)
    for b in bindings
  ]
  return " \\\n".join(
    [
      f"python -m {module}",
      f"  --gin_file={gin_file}",
      *(f"  --gin_bindings={binding}" for binding in quoted),
      "  --export_path=/tmp/model",
    ]
  )


def as_comment(module: str, gin_file: str, *bindings: str) -> str:
  """Returns the same command as lines of comment in a gin file."""
  lines = command_line(module, gin_file, *bindings).splitlines()
  return "\n".join(f"#   {line}" for line in lines)
