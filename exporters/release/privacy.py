"""Keeps what identifies this machine out of texts to be published."""

import os
import re

from exporters.errors import ExportError
from exporters.life_cycle import checker


def refuse_private(text: str, what: str, advice: str) -> None:
  """Raises `ExportError` if a text identifies this machine.

  Args:
    text: What is to be published.
    what: What the user calls it.
    advice: What the user can do about it.
  """
  for private in checker.private_strings():
    # As a whole word, because a machine may well be called "bert". A path may
    # be followed by anything.
    end = "" if os.sep in private else r"(?![\w-])"
    if re.search(rf"(?<![\w-]){re.escape(private)}{end}", text):
      raise ExportError(
        f"The {what} would identify this machine: it has '{private}'. {advice}"
      )
