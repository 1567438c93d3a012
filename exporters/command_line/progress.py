"""Shows a person what a long command is doing."""

from __future__ import annotations

import time

from rich import progress
from rich.console import Console
from rich.table import Column


class Progress:
  """Progress on standard error.

  On a terminal, the current stage is shown with a clock. Elsewhere each stage
  is one line when it begins.
  """

  def __init__(self):
    self._console = Console(stderr=True, highlight=False, emoji=False)
    self._started = time.monotonic()
    self._live: progress.Progress | None = None

  def __enter__(self) -> Progress:
    if self._console.is_terminal:
      self._live = progress.Progress(
        progress.SpinnerColumn(),
        # A long path takes a second line and leaves room for the clock.
        progress.TextColumn(
          "{task.description}", markup=False, table_column=Column()
        ),
        progress.TimeElapsedColumn(),
        console=self._console,
        transient=True,
      )
      self._task = self._live.add_task("read the recipe", total=None)
      self._live.start()
    return self

  def __exit__(self, *unused_exception) -> None:
    if self._live:
      self._live.stop()

  def announce(self, stage: str) -> None:
    """Says that a stage begins."""
    if self._live:
      self._live.update(self._task, description=stage)
    else:
      elapsed = time.monotonic() - self._started
      self._console.print(
        f"{elapsed:5.1f} s  {stage}", soft_wrap=True, markup=False
      )
