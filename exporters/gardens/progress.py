"""Shows a person the progress of a garden."""

from __future__ import annotations

from collections.abc import Sequence
import threading
import time

from rich import progress as rich_progress
from rich.console import Console
from rich.filesize import decimal

from exporters.gardens.estimates import Estimates
from exporters.gardens.jobs import FAILED
from exporters.gardens.jobs import MADE
from exporters.gardens.jobs import Job
from exporters.gardens.jobs import Outcome

# Until the first stage.
_STARTING = "starting"


class Progress:
  """Progress on standard error.

  A line for each release that is done. On a terminal also a bar for the garden,
  and one for each release that is being made, with its stage.

  Attributes:
    released: How many are there.
  """

  def __init__(self, jobs: Sequence[Job], estimates: Estimates, seconds: float):
    self._console = Console(stderr=True, highlight=False, emoji=False)
    self._estimates = estimates
    self._jobs = {job.leaf.name: job for job in jobs}
    self._waiting = [*self._jobs]
    self._done = 0
    self.released = 0
    self._ends = time.monotonic() + seconds
    self._lock = threading.Lock()
    self._bars: dict[str, rich_progress.TaskID] = {}
    self._live: rich_progress.Progress | None = None

  def __enter__(self) -> Progress:
    if self._console.is_terminal and self._jobs:
      self._live = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(bar_width=20),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("{task.fields[stage]}", markup=False),
        console=self._console,
        transient=True,
      )
      self._total = self._live.add_task(
        self._counted(), total=len(self._jobs), stage=self._left()
      )
      self._live.start()
      threading.Thread(target=self._tick, daemon=True).start()
    return self

  def __exit__(self, *unused_exception) -> None:
    if self._live:
      self._live.stop()

  def begins(self, job: Job) -> None:
    """Shows that a release begins."""
    with self._lock:
      self._waiting.remove(job.leaf.name)
      if self._live:
        self._bars[job.leaf.name] = self._live.add_task(
          job.leaf.name,
          total=self._estimates.of(job).seconds,
          stage=_STARTING,
        )

  def stage(self, job: Job, stage: str) -> None:
    """Shows the stage of a release."""
    if self._live:
      # A path would not fit.
      self._live.update(
        self._bars[job.leaf.name],
        stage=stage.partition(" ")[0] or _STARTING,
      )

  def ends(self, job: Job, outcome: Outcome, seconds_left: float) -> None:
    """Shows what became of a release."""
    with self._lock:
      self._done += 1
      self.released += outcome.state != FAILED
      self._ends = time.monotonic() + seconds_left
      line = f"{self._counted()}  {told(job, outcome)}"
      if self._live:
        self._live.remove_task(self._bars.pop(job.leaf.name))
        self._live.update(
          self._total, completed=self._done, description=self._counted()
        )
      self._console.print(line, markup=False, soft_wrap=True)

  def _tick(self) -> None:
    """Moves the bars, once a second."""
    while self._live and self._live.live.is_started:
      with self._lock:
        for bar in self._bars.values():
          self._live.advance(bar)
        self._live.update(self._total, stage=self._left())
      time.sleep(1)

  def _counted(self) -> str:
    total = str(len(self._jobs))
    return f"{self._done:{len(total)}} of {total}"

  def _left(self) -> str:
    minutes = max(self._ends - time.monotonic(), 0) / 60
    left = "less than a minute left"
    if minutes >= 1:
      left = f"about {minutes:.0f} min left"
    following = f", next {self._waiting[0]}" if self._waiting else ""
    return left + following


def told(job: Job, outcome: Outcome) -> str:
  """Returns a line about what became of a leaf."""
  if outcome.state == FAILED:
    first = outcome.error.partition("\n")[0]
    return f"failed  {job.leaf.name}: {first}"
  line = f"{outcome.state:6}  {_handles(job, outcome)}"
  if outcome.state != MADE:
    return line
  size = decimal(sum(model["size"] for model in outcome.models))
  line += f"  {outcome.seconds:.1f} s, {size}"
  passed = sum(model["checks passed"] for model in outcome.models)
  if passed:
    line += f", {passed} checks passed"
  differences = [model["difference"] for model in outcome.models]
  if any(d is not None for d in differences):
    line += f", difference {max(d for d in differences if d is not None):.1g}"
  return line


def _handles(job: Job, outcome: Outcome) -> str:
  """Returns the handles of what a leaf made, such as a/b/{c,d}/1."""
  begin, _, version = job.handle.rpartition("/")
  names = [
    model["handle"].removeprefix(f"{begin}/").removesuffix(f"/{version}")
    for model in outcome.models
  ]
  if len(names) < 2:
    return job.handle
  return f"{begin}/{{{','.join(names)}}}/{version}"
