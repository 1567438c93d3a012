"""Keeps what identifies this machine out of texts to be published."""

from exporters.checks import privacy
from exporters.errors import ExportError
from exporters.life_cycle import checker


def refuse_private(text: str, what: str, advice: str) -> None:
  """Raises `ExportError` if a text identifies this machine.

  Args:
    text: What is to be published.
    what: What the user calls it.
    advice: What the user can do about it.
  """
  found = sorted(privacy.in_text(text, checker.private_strings()))
  if found:
    raise ExportError(
      f"The {what} would identify this machine: it has '{found[0]}'. {advice}"
    )
