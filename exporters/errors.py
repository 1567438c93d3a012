"""The one error that is meant for people, and helpers that word it."""

from collections.abc import Iterable, Iterator
import contextlib
import difflib
import os

# How much of a message is shown, and how much of that is its end.
_LINES, _LAST_LINES = 10, 3
_LONGEST_LINE, _END = 900, 250


class ExportError(Exception):
  """An error that the caller can fix.

  Its message says what is wrong, where, and how to go on. The command line
  prints it as it is, without a traceback, and exits with code 1. Any other
  error that is raised is a defect of this code.

  Attributes:
    message: What it says, also where gin has put its own words around it.
  """

  def __init__(self, message: str):
    super().__init__(message)
    self.message = message


def refuse_all(mistakes: Iterable[str]) -> None:
  """Raises one `ExportError` for all mistakes, a line for each, if any."""
  found = list(dict.fromkeys(mistakes))
  if len(found) == 1:
    raise ExportError(found[0])
  if found:
    lines = "\n".join(f"  {mistake}" for mistake in found)
    raise ExportError(f"There are {len(found)} mistakes:\n{lines}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
  """Returns a sentence with the nearest of `names`, or "" if none is near."""
  nearest = difflib.get_close_matches(name, list(names), n=1)
  return f" Did you mean '{nearest[0]}'?" if nearest else ""


def unexpanded(path: str) -> str:
  """Returns a sentence if a path needs a shell to mean anything, or ""."""
  expanded = os.path.expandvars(os.path.expanduser(path))
  if expanded == path:
    return ""
  return f" Only a shell expands '~' and '$': write '{expanded}'."


def printable(text: str) -> str:
  """Escapes what would move the cursor of a terminal, or colour it.

  Names in files from others may hold anything.
  """
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
    for c in text
  )


def shortened(message: str) -> str:
  """Returns a message of ten lines at most: its beginning and its end.

  Errors of other packages can be long, and so can lists of names.
  """
  lines = [_short_line(line) for line in message.splitlines()]
  left_out = len(lines) - _LINES + 1
  if left_out > 1:
    last = lines[-_LAST_LINES:]
    lines = lines[: _LINES - _LAST_LINES - 1]
    lines += [f"  ... and {left_out} more lines; --traceback shows them", *last]
  return "\n".join(lines)


def _short_line(line: str) -> str:
  left_out = len(line) - _LONGEST_LINE
  if left_out <= 0:
    return line
  begin, end = line[: _LONGEST_LINE - _END], line[-_END:]
  return f"{begin} ... ({left_out:,} more characters) ... {end}"


def first_line(error: Exception) -> str:
  """Returns the first line of an error's message, without its full stop."""
  message = str(getattr(error, "message", error))
  return message.strip().partition("\n")[0].rstrip(".")


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
  """Turns any error that the block raises into an `ExportError`.

  For blocks that run code of others: given a bad value from a gin file, Model
  Garden, Keras and the exporters that people write raise errors of all types.

  Args:
    what: What the block does, to follow "Cannot".

  Raises:
    ExportError: The block raised an error.
  """
  try:
    yield
  except ExportError:
    raise
  except Exception as e:
    raise ExportError(
      f"Cannot {what}: {type(e).__name__}: {first_line(e)}. Fix the value that "
      "caused this, or the exporter; --traceback shows the line that raised it."
    ) from e
