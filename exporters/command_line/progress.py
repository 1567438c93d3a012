"""Shows a person what a long command is doing."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner


class Progress:
  """Progress on standard error.

  On a terminal the stage that is going on is shown with a clock; elsewhere
  each stage is one line when it begins.
  """

  def __init__(self):
    self._progress = Console(stderr=True, highlight=False)
    self._live = None
    self._started = time.monotonic()

  def __enter__(self) -> Progress:
    if self._progress.is_terminal:
      self._live = Live(
        get_renderable=self._render,
        console=self._progress,
        transient=True,
        refresh_per_second=8,
      )
      self._stage = "read the recipe"
      self._spinner = Spinner("dots")
      self._live.__enter__()
    return self

  def __exit__(self, *exception) -> None:
    if self._live:
      self._live.__exit__(*exception)

  def _render(self) -> Spinner:
    elapsed = time.monotonic() - self._started
    self._spinner.update(text=f"{self._stage}  {elapsed:.0f} s")
    return self._spinner

  def announce(self, stage: str) -> None:
    if self._live:
      self._stage = stage
    else:
      elapsed = time.monotonic() - self._started
      self._progress.print(f"{elapsed:5.1f} s  {stage}", soft_wrap=True)
