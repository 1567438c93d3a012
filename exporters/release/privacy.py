"""Texts to be published tell nothing of the machine that they were made on."""

import os
import re

from exporters.errors import ExportError
from exporters.life_cycle import checker


def refuse_private(text: str, what: str, advice: str) -> None:
  """Raises `ExportError` if a text to be published tells of this machine."""
  for private in checker.private_strings():
    # "bert" may well be the name of a machine; after a path comes anything.
    end = "" if os.sep in private else r"(?![\w-])"
    if re.search(rf"(?<![\w-]){re.escape(private)}{end}", text):
      raise ExportError(
        f"The {what} would tell of this machine: it holds '{private}'. {advice}"
      )
