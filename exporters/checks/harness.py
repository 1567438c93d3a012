"""What a check is, and how the checks of a level are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import dataclasses
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from .subject import Subject

ALL, BASIC, NONE = "all", "basic", "none"
LEVELS = (ALL, BASIC, NONE)

# What most others build upon; a summary shows its figure.
SAME_NUMBERS = "same numbers as the source"

PASSED, FAILED = "passed", "failed"
NOT_APPLICABLE, BLOCKED = "not applicable", "blocked"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
  """What became of one check.

  Attributes:
    check: Its name.
    status: PASSED, FAILED, NOT_APPLICABLE or BLOCKED.
    figure: What was measured, None where nothing was.
    bound: What the figure must not exceed.
    detail: What the figure counts or where it was found; or why not measured.
    seconds: How long it took.
  """

  check: str
  status: str
  figure: float | None = None
  bound: float | None = None
  detail: str = ""
  seconds: float = 0.0

  def __str__(self) -> str:
    text = f"{self.check}: {self.status}"
    if self.figure is not None:
      text += f", {self.figure:.3g} (at most {self.bound:.3g})"
    return f"{text}; {self.detail}" if self.detail else text


@dataclasses.dataclass(frozen=True)
class Finding:
  """A figure, the bound that it must not exceed, and what it is."""

  figure: float
  bound: float
  detail: str = ""


class NotApplicable(Exception):
  """The subject has nothing that the check could look at."""


@dataclasses.dataclass(frozen=True)
class Check:
  """A named function of a `Subject`.

  Attributes:
    name: What it is called in results.
    function: Raises `NotApplicable`, or returns a `Finding`.
    level: BASIC, or ALL for one that is dear.
    needs: A check that must have passed for this one to mean anything.
    alone: Whether it loads the model for itself. Such checks run in a second
      process, beside those that share one load.
  """

  name: str
  function: Callable[[Subject], Finding]
  level: str
  needs: str | None
  alone: bool


CHECKS: list[Check] = []


def check(
  name: str,
  *,
  level: str = ALL,
  needs: str | None = SAME_NUMBERS,
  alone: bool = False,
):
  """Registers the function that it decorates."""

  def register(function):
    CHECKS.append(Check(name, function, level, needs, alone))
    return function

  return register


def run(subject: Subject, level: str, *, alone: bool) -> list[Result]:
  """Makes one process's share of the checks of a level, in order."""
  results: dict[str, Result] = {}
  for entry in CHECKS:
    if entry.alone == alone and (level == ALL or entry.level == level):
      before = results.get(entry.needs)
      results[entry.name] = _after(before, entry) or _run_one(entry, subject)
  return list(results.values())


def merge(shares: Iterable[list[Result]]) -> list[Result]:
  """Joins the processes' results in the order of the checks.

  A check that ran although the one that it needs did not pass, in the other
  process, is blocked all the same: its figure means nothing.
  """
  made = {result.check: result for share in shares for result in share}
  results: dict[str, Result] = {}
  for entry in CHECKS:
    if entry.name in made:
      before = results.get(entry.needs)
      results[entry.name] = _after(before, entry) or made[entry.name]
  return list(results.values())


def _after(before: Result | None, entry: Check) -> Result | None:
  """Returns the result that follows from that of the check before, if one."""
  if before is None or before.status in (PASSED, NOT_APPLICABLE):
    return None
  return Result(
    check=entry.name,
    status=BLOCKED,
    detail=f"it needs '{entry.needs}' to pass first",
  )


def _run_one(entry: Check, subject: Subject) -> Result:
  started = time.monotonic()
  try:
    finding = entry.function(subject)
    # Not `figure > bound`: NaN fails.
    status = PASSED if finding.figure <= finding.bound else FAILED
    measured = dataclasses.asdict(finding)
  except NotApplicable as e:
    status, measured = NOT_APPLICABLE, {"detail": str(e)}
  except Exception as e:  # noqa: BLE001 - what a consumer would see.
    message = str(e).strip().partition("\n")[0]
    status = FAILED
    measured = {"detail": f"{type(e).__name__}: {message[:500]}"}
  finally:
    subject.reset()
  return Result(
    check=entry.name,
    status=status,
    seconds=time.monotonic() - started,
    **measured,
  )
