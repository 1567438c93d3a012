"""What a person sees of an export: its progress, and a summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
import time
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console as RichConsole
from rich.filesize import decimal
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

if TYPE_CHECKING:
  # Below the clock only, because with them comes TensorFlow.
  from exporters import base
  from exporters import checks


class Console:
  """Progress on standard error, the summary on standard output.

  On a terminal the stage that is going on is shown with a clock; elsewhere
  each stage is one line when it begins.
  """

  def __init__(self):
    self._progress = RichConsole(stderr=True, highlight=False)
    self._live = None
    self._started = time.monotonic()

  def __enter__(self) -> Console:
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

  def summarize(
    self, done: base.Export, more: Sequence[tuple[str, str]] = ()
  ) -> None:
    """Prints what was written and how well it fits its source.

    Args:
      done: The export.
      more: Further rows of the summary.
    """
    from exporters import checks

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for artifact in done.artifacts:
      table.add_row("SavedModel", artifact.path)
      table.add_row("size", decimal(artifact.size))
      if artifact.parameters:
        table.add_row(
          "parameters",
          f"{artifact.parameters:,}, of which {artifact.trainable:,} trainable",
        )
      table.add_row("checks", _checks(artifact.results))
      for result in artifact.results:
        if result.check == checks.SAME_NUMBERS and result.figure is not None:
          table.add_row(
            "largest difference",
            f"{result.figure:.1e} of scale from the source's own outputs "
            f"(bound {result.bound:.0e})",
          )
    if done.ignored:
      table.add_row("left alone", f"tensors of the checkpoint: {done.ignored}")
    for name, text in more:
      table.add_row(name, text)
    table.add_row(
      "seconds", ", ".join(f"{k} {v:.1f}" for k, v in done.seconds.items())
    )
    RichConsole(highlight=False).print(table)


def _checks(results: list[checks.Result]) -> str:
  from exporters import checks

  if not results:
    return "none were made"
  passed = sum(result.status == checks.PASSED for result in results)
  text = f"{passed} passed"
  reasons: dict[str, list[str]] = {}
  for result in results:
    if result.status == checks.NOT_APPLICABLE:
      reasons.setdefault(result.detail, []).append(result.check)
  if reasons:
    text += "; not applicable:"
  for reason, names in reasons.items():
    text += f"\n- {', '.join(names)}: {reason}"
  return text
