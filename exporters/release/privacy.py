"""Texts to be published tell nothing of the machine that they were made on."""

from exporters.checks import privacy
from exporters.errors import ExportError
from exporters.life_cycle import checker


def refuse_private(text: str, what: str, advice: str) -> None:
  """Raises `ExportError` if a text to be published tells of this machine."""
  told = sorted(privacy.in_text(text, checker.private_strings()))
  if told:
    raise ExportError(
      f"The {what} would tell of this machine: it holds '{told[0]}'. {advice}"
    )
