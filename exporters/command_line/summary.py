"""What a person reads of an export when it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from exporters.checks import results
from exporters.life_cycle import exporting

_SAME_NUMBERS = results.SAME_NUMBERS


def show(
  done: exporting.Export,
  *,
  verbose: bool,
  more: Sequence[tuple[str, str]] = (),
) -> None:
  """Prints what was written and how well it fits its reference.

  Args:
    done: The export.
    verbose: Whether to list what is otherwise a count.
    more: Further rows.
  """
  console = Console(highlight=False)
  rows = [*_rows(done, verbose), *more]
  seconds = ", ".join(f"{stage} {s:.1f}" for stage, s in done.seconds.items())
  rows.append(("seconds", seconds))
  width = max(len(name) for name, _ in rows)
  console.print()
  for name, text in rows:
    line = Text.assemble((f"{name:{width}}", "bold"), f"  {text}")
    # Neither folded nor cropped: a path is there to be copied.
    console.print(line, soft_wrap=True)
  console.print()


def _rows(done: exporting.Export, verbose: bool) -> Iterator[tuple[str, str]]:
  for artifact in done.artifacts:
    yield "SavedModel", artifact.path
    yield "size", decimal(artifact.size)
    if artifact.parameters:
      trainable = f"{artifact.trainable:,} trainable"
      yield "parameters", f"{artifact.parameters:,}, of which {trainable}"
    yield from _checks(artifact.results, verbose)
  if done.ignored:
    hint = "" if verbose else " (name them with --verbose)"
    count = len(done.ignored)
    tensors = "1 tensor" if count == 1 else f"{count} tensors"
    was = "was" if count == 1 else "were"
    yield "not needed", f"{tensors} of the checkpoint {was} not used{hint}"
    if verbose:
      yield from (("", name) for name in done.ignored)


def _checks(
  made: Sequence[results.Result], verbose: bool
) -> Iterator[tuple[str, str]]:
  if not made:
    yield "checks", "none (--checks=none)"
    return
  passed = sum(result.status == results.PASSED for result in made)
  others = [r for r in made if r.status == results.NOT_APPLICABLE]
  text = f"{passed} passed"
  if others:
    hint = "" if verbose else " (name them with --verbose)"
    text += f", {len(others)} not applicable{hint}"
  yield "checks", text
  if verbose:
    yield from (("", f"{r.check}: {r.detail}") for r in others)
  for result in made:
    if result.check == _SAME_NUMBERS and result.figure is not None:
      yield (
        "largest difference",
        f"{result.figure:.1e} of scale from the reference's outputs "
        f"(bound {result.bound:.0e})",
      )
