"""The one error that is meant for people, and helpers that word it."""

from collections.abc import Iterable, Iterator
import contextlib
import difflib


class ExportError(Exception):
  """An error that the caller can fix.

  Its message says what is wrong, where, and how to go on. The command line
  prints it as it is, without a traceback, and exits with code 1. Any other
  error that is raised is a defect of this code.
  """


def did_you_mean(name: str, names: Iterable[str]) -> str:
  """Returns a sentence with the nearest of `names`, or "" if none is near."""
  nearest = difflib.get_close_matches(name, list(names), n=1)
  return f" Did you mean '{nearest[0]}'?" if nearest else ""


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
