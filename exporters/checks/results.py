"""What a check finds, and its result."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses

# Most others build on it, and a summary shows its figure.
SAME_NUMBERS = "same numbers as the reference"

ALL, BASIC, NONE = "all", "basic", "none"
LEVELS = (ALL, BASIC, NONE)

PASSED, FAILED = "passed", "failed"
NOT_APPLICABLE, BLOCKED = "not applicable", "blocked"
# Of a specification that nobody said the model would follow.
DEVIATES = "does not follow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
  """The result of one check.

  Attributes:
    check: The name of the check.
    status: PASSED, FAILED, DEVIATES, NOT_APPLICABLE or BLOCKED.
    figure: What was measured. None: nothing was.
    bound: What the figure must not exceed.
    detail: What the figure counts, where it was found, or why there is none.
    seconds: How long it took.
    histogram: How many numbers fall in each range of differences, if counted.
  """

  check: str
  status: str
  figure: float | None = None
  bound: float | None = None
  detail: str = ""
  seconds: float = 0.0
  histogram: Mapping[str, int] = dataclasses.field(default_factory=dict)

  def __str__(self) -> str:
    text = f"{self.check}: {self.status}"
    if self.figure is not None:
      text += f", {self.figure:.3g} (at most {self.bound:.3g})"
    return f"{text}; {self.detail}" if self.detail else text


@dataclasses.dataclass(frozen=True)
class Finding:
  """A figure, the bound that it must not exceed, and what it means.

  Attributes:
    figure: What was measured.
    bound: What the figure must not exceed.
    detail: What the figure counts, or where it was found.
    histogram: How many numbers fall in each range of differences, if counted.
  """

  figure: float
  bound: float
  detail: str = ""
  histogram: Mapping[str, int] = dataclasses.field(default_factory=dict)


class NotApplicableError(Exception):
  """The candidate has nothing that the check could test."""
