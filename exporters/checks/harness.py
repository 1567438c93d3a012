"""What a check is, and how the checks of a level are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import time

from . import memory
from .candidate import Candidate
from .results import ALL
from .results import BLOCKED
from .results import DEVIATES
from .results import FAILED
from .results import NOT_APPLICABLE
from .results import PASSED
from .results import SAME_NUMBERS
from .results import Finding
from .results import NotApplicableError
from .results import Result

# The first check. Nothing is loaded before it has passed.
OPERATIONS = "operations"
LOADS = "loads"

# After how many seconds a check has left something to free.
_LONG = 0.5

# The checks of one unit run in one process, because they share what they load
# or compute. `OPERATIONS` is a unit of its own; `FILES` needs no loaded model.
FILES, CALLS = "files", "calls"


@dataclasses.dataclass(frozen=True)
class Check:
  """A named function of a `Candidate`.

  Attributes:
    name: Its name in results.
    function: Returns a `Finding`, or raises `NotApplicableError`.
    level: BASIC, or ALL for one that is expensive.
    needs: A check without which this one means nothing.
    unit: The unit that it belongs to.
    specification: Whether it asks for what a published specification says,
      which is asked only of those who claim to follow it.
  """

  name: str
  function: Callable[[Candidate], Finding]
  level: str
  needs: str | None
  unit: str
  specification: bool


CHECKS: list[Check] = []


def check(
  name: str,
  *,
  level: str = ALL,
  needs: str | None = SAME_NUMBERS,
  unit: str = CALLS,
  specification: bool = False,
):
  """Registers the decorated function as a check."""

  def register(function):
    CHECKS.append(Check(name, function, level, needs, unit, specification))
    return function

  return register


def of_level(level: str) -> list[Check]:
  """Returns the checks of a level, in the order that they are shown in."""
  return [entry for entry in CHECKS if level in (ALL, entry.level)]


def units(level: str) -> list[str]:
  """Returns the units that need the model loaded, in the order to run them.

  What others need comes first, then what takes long: the last should be short.
  """
  found = dict.fromkeys(entry.unit for entry in of_level(level))
  found.pop(OPERATIONS)
  found.pop(FILES)
  return list(found)


def run(
  candidate: Candidate, level: str, unit: str, made: Mapping[str, Result]
) -> dict[str, Result]:
  """Runs the checks of one unit; returns their results, and those `made`."""
  results = dict(made)
  for entry in of_level(level):
    if entry.unit == unit:
      blocked = _blocked(entry, results, candidate.stranger)
      results[entry.name] = blocked or _run_one(entry, candidate)
  return results


def complete(
  level: str, made: Mapping[str, Result], stranger: bool
) -> list[Result]:
  """Returns the results of all checks of a level, in their order.

  A check is blocked if the one that it needs did not pass, even if it was run,
  in another process: its figure means nothing. So is one that was not run
  because the model was not even loaded.
  """
  results: dict[str, Result] = {}
  for entry in of_level(level):
    blocked = _blocked(entry, results, stranger)
    results[entry.name] = blocked or made[entry.name]
  return list(results.values())


def _blocked(
  entry: Check, results: Mapping[str, Result], stranger: bool
) -> Result | None:
  """Returns the result of a check if the one that it needs did not pass.

  Of a stranger's model, everything is tried that can be: what can't be is to
  call one that does not load.
  """
  before = results.get(entry.needs) if entry.needs else None
  if before is None or before.status not in (FAILED, BLOCKED):
    return None
  tried = stranger and before.status == FAILED
  if tried and entry.needs not in (OPERATIONS, LOADS):
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
    if status == FAILED and entry.specification and candidate.stranger:
      status = DEVIATES
    measured = dataclasses.asdict(finding)
  except NotApplicableError as e:
    status, measured = NOT_APPLICABLE, {"detail": str(e)}
  except Exception as e:  # noqa: BLE001 - a consumer would see it.
    message = str(e).strip().partition("\n")[0]
    status = FAILED
    measured = {"detail": f"{type(e).__name__}: {message[:500]}"}
  finally:
    candidate.reset()
    if time.monotonic() - started > _LONG:
      memory.trim()
  return Result(
    check=entry.name,
    status=status,
    seconds=time.monotonic() - started,
    **measured,
  )
