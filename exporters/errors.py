"""The one error that an exporter shows to a person."""

from collections.abc import Iterator
import contextlib


class ExportError(Exception):
  """Something that the caller can mend: what is wrong, where, how to go on.

  The command line prints the message as it stands, without a traceback, and
  exits with code 1. Anything else that is raised is a defect of this code.
  """


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
    message = str(getattr(e, "message", e)).strip().partition("\n")[0]
    raise ExportError(
      f"Cannot {what}: {type(e).__name__}: {message.rstrip('.')}. Mend the "
      "value that this is about, or the exporter; --traceback shows the line "
      "that raised it."
    ) from e
