"""The one error that an exporter shows to a person."""

from collections.abc import Iterable, Iterator
import contextlib
import difflib


class ExportError(Exception):
  """Something that the caller can mend: what is wrong, where, how to go on.

  The command line prints the message as it stands, without a traceback, and
  exits with code 1. Anything else that is raised is a defect of this code.
  """


def did_you_mean(name: str, names: Iterable[str]) -> str:
  """Returns a sentence with the nearest of `names`; nothing if none is near."""
  nearest = difflib.get_close_matches(name, list(names), n=1)
  return f" Did you mean '{nearest[0]}'?" if nearest else ""


def first_line(error: Exception) -> str:
  """Returns what an error says in its first line, without the full stop."""
  message = str(getattr(error, "message", error))
  return message.strip().partition("\n")[0].rstrip(".")


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
  """Makes an `ExportError` of whatever is raised by code that has many owners.

  Model Garden, Keras and exporters that people write raise errors of all types
  over the values of a gin file.

  Args:
    what: What was tried, after "Cannot".
  """
  try:
    yield
  except ExportError:
    raise
  except Exception as e:
    raise ExportError(
      f"Cannot {what}: {type(e).__name__}: {first_line(e)}. Mend the value "
      "that this is about, or the exporter; --traceback shows the line that "
      "raised it."
    ) from e
