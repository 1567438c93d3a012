"""What a person reads when an export is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from exporters.checks import numbers
from exporters.checks import results
from exporters.life_cycle import exporting

Row = tuple[str, str]

_FIRST = "SavedModel"


def show(
  done: exporting.Export,
  *,
  verbose: bool,
  more: Sequence[Sequence[Row]] = (),
) -> None:
  """Prints what was written, and how close it is to its reference.

  Args:
    done: The export.
    verbose: Whether to list what is otherwise only counted.
    more: Further rows for each artifact.
  """
  console = Console(highlight=False)
  rows = [*_rows(done, verbose, more), ("time", _time(done))]
  width = max(len(name) for name, _ in rows)
  for name, text in rows:
    if name == _FIRST:
      console.print()
    line = Text.assemble((f"{name:{width}}", "bold"), f"  {text}")
    # Neither folded nor cropped: a path is there to be copied.
    console.print(line, soft_wrap=True)
  console.print()


def _rows(
  done: exporting.Export, verbose: bool, more: Sequence[Sequence[Row]]
) -> Iterator[Row]:
  more = more or [()] * len(done.artifacts)
  for artifact, further in zip(done.artifacts, more, strict=True):
    yield _FIRST, artifact.path
    yield "size", decimal(artifact.size)
    if artifact.parameters:
      trainable = f"{artifact.trainable:,}"
      if artifact.trainable == artifact.parameters:
        trainable = "all"
      yield "parameters", f"{artifact.parameters:,} ({trainable} trainable)"
    yield from _checks(artifact.results, verbose)
    yield from (("note", remark) for remark in artifact.remarks)
    yield from further
  if done.ignored:
    count = len(done.ignored)
    were = "1 tensor was" if count == 1 else f"{count} tensors were"
    yield "checkpoint", f"{were} not needed{_hint(verbose)}"
    if verbose:
      yield from (("", name) for name in done.ignored)


def _checks(made: Sequence[results.Result], verbose: bool) -> Iterator[Row]:
  if not made:
    yield "checks", "none (--checks=none)"
    return
  passed = sum(result.status == results.PASSED for result in made)
  others = [r for r in made if r.status == results.NOT_APPLICABLE]
  text = f"{passed} passed"
  if others:
    text += f", {len(others)} not applicable{_hint(verbose)}"
  yield "checks", text
  if verbose:
    yield from (("", f"{r.check}: {r.detail}") for r in others)
  for result in made:
    if result.check == results.SAME_NUMBERS and result.figure is not None:
      yield (
        "largest difference",
        f"{result.figure:.2g} of scale from the reference (at most "
        f"{result.bound:.0e})",
      )
      if result.bound != numbers.TOLERANCE:
        yield "", result.detail


def _hint(verbose: bool) -> str:
  return "" if verbose else " (--verbose lists them)"


def _time(done: exporting.Export) -> str:
  total = sum(done.seconds.values())
  stages = [
    f"{stage} {seconds:.1f}"
    for stage, seconds in done.seconds.items()
    if seconds >= max(total / 100, 0.05)
  ]
  return f"{total:.1f} s ({', '.join(stages)})"
