"""What a person reads of companions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import os

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from exporters.companions.making import Companion

Row = tuple[str, str]


def show(companions: Sequence[Companion]) -> None:
  """Prints how large companions are, and how close to their SavedModel."""
  console = Console(highlight=False)
  for companion in companions:
    console.print()
    table = [*rows(companion)]
    width = max(len(name) for name, _ in table)
    for name, text in table:
      # Neither folded nor cropped: a path is there to be copied.
      console.print(
        Text.assemble((f"{name:{width}}", "bold"), f"  {text}"), soft_wrap=True
      )
  console.print()


def moved(companion: Companion, folder: str) -> Companion:
  """Returns a companion whose file was moved to a folder."""
  name = os.path.basename(companion.path)
  return dataclasses.replace(companion, path=os.path.join(folder, name))


def rows(companion: Companion) -> Iterator[Row]:
  """Yields what is known of one companion."""
  yield "companion", companion.path
  yield "is", companion.kind.description
  yield "size", decimal(os.path.getsize(companion.path))
  parity = companion.parity
  if not parity:
    return
  output, largest = parity.largest
  calls = "1 call" if parity.calls == 1 else f"{parity.calls} calls"
  yield (
    "largest difference",
    f"{largest:.2g} of scale from the SavedModel (at most "
    f"{companion.bound:.2g}), in '{output}', of {calls}",
  )
  if parity.cosine is not None:
    yield "smallest cosine", f"{parity.cosine:.6f}"
  if parity.top_1 is not None:
    same, rows_ = parity.top_1
    yield "same top class", f"{same} of {rows_}"
  yield (
    "time of a call",
    f"{parity.seconds * 1000:.3g} ms (SavedModel "
    f"{parity.saved_model_seconds * 1000:.3g} ms)",
  )
