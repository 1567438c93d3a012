"""What a check is, and how the checks of a level are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import time

from .candidate import Candidate
from .results import ALL
from .results import BLOCKED
from .results import FAILED
from .results import NOT_APPLICABLE
from .results import PASSED
from .results import SAME_NUMBERS
from .results import Finding
from .results import NotApplicable
from .results import Result

# Before it has passed, nothing is loaded.
OPERATIONS = "operations"

# Units of work. The checks of one are made in one process, for they share what
# they load or compute. `OPERATIONS` is one too, and goes first, before anything
# is loaded; the unit `FILES` needs nothing loaded.
FILES, CALLS = "files", "calls"


@dataclasses.dataclass(frozen=True)
class Check:
  """A named function of a `Candidate`.

  Attributes:
    name: What it is called in results.
    function: Raises `NotApplicable`, or returns a `Finding`.
    level: BASIC, or ALL for one that is dear.
    needs: A check that must have passed for this one to mean anything.
    unit: What it is made together with.
  """

  name: str
  function: Callable[[Candidate], Finding]
  level: str
  needs: str | None
  unit: str


CHECKS: list[Check] = []


def check(
  name: str,
  *,
  level: str = ALL,
  needs: str | None = SAME_NUMBERS,
  unit: str = CALLS,
):
  """Registers the function that it decorates."""

  def register(function):
    CHECKS.append(Check(name, function, level, needs, unit))
    return function

  return register


def of_level(level: str) -> list[Check]:
  """Returns the checks of a level, in the order in which they are shown."""
  return [entry for entry in CHECKS if level in (ALL, entry.level)]


def units(level: str) -> list[str]:
  """Returns the units that need the model loaded, those that others need first.

  The dear ones follow: what is taken up last should be short.
  """
  found = dict.fromkeys(entry.unit for entry in of_level(level))
  found.pop(OPERATIONS)
  found.pop(FILES)
  return list(found)


def run(
  candidate: Candidate, level: str, unit: str, made: Mapping[str, Result]
) -> dict[str, Result]:
  """Makes the checks of one unit; returns them with those that are `made`."""
  results = dict(made)
  for entry in of_level(level):
    if entry.unit == unit:
      before = results.get(entry.needs)
      results[entry.name] = _after(before, entry) or _run_one(entry, candidate)
  return results


def complete(level: str, made: Mapping[str, Result]) -> list[Result]:
  """Returns the results of all checks of a level, in their order.

  A check that was made although the one that it needs did not pass, in another
  process, is blocked all the same: its figure means nothing. So is one that was
  not made, because the model was not even loaded.
  """
  results: dict[str, Result] = {}
  for entry in of_level(level):
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


def _run_one(entry: Check, candidate: Candidate) -> Result:
  started = time.monotonic()
  try:
    finding = entry.function(candidate)
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
    candidate.reset()
  return Result(
    check=entry.name,
    status=status,
    seconds=time.monotonic() - started,
    **measured,
  )
