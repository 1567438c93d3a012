"""Chooses when a command is struck, and waits for that moment.

It is the one right before a change of files, one while a process loads the
model to check it, or any other.
"""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import random
import select
import sys

from scripts.kills import victims

# How long a command may take, in seconds.
_LONGEST = 180.0


@dataclasses.dataclass
class Moment:
  """A moment of a command that is about to be started.

  Attributes:
    change: Right before this change of files, counted from 0. None: any time.
    of_child: Whether a process that checks has to be there first.
    seconds: How long to wait, after that.
  """

  change: int | None = None
  of_child: bool = False
  seconds: float = 0.0
  _ends: list[int] = dataclasses.field(default_factory=list)

  def command(
    self, arguments: Sequence[str], folder: pathlib.Path
  ) -> tuple[list[str], list[int]]:
    """Returns the command to start, and the files that it inherits.

    Args:
      arguments: What follows `python -m`.
      folder: Whose changes count.
    """
    inherited: list[int] = []
    if self.change is not None:
      asks, answers = os.pipe(), os.pipe()
      self._ends = [asks[0], answers[1]]
      inherited = [asks[1], answers[0]]
      numbers = map(str, inherited)
      arguments = ["scripts.kills.paused", *numbers, str(folder), *arguments]
    return [sys.executable, "-m", *arguments], inherited

  def wait(self, run: victims.Run) -> str:
    """Waits until it has come, or the command has ended.

    Returns:
      The change that the command is about to make, or "".
    """
    if self.change is not None:
      return self._await_change(self.change)
    if self.of_child:
      victims.await_checkers_child(run, _LONGEST)
    run.wait(self.seconds)
    return ""

  def _await_change(self, change: int) -> str:
    for _ in range(change):
      if not self._next_change():
        return ""
    return self._next_change(answer=False)

  def count(self) -> int:
    """Returns how many changes there are until the command ends."""
    return sum(1 for _ in iter(self._next_change, ""))

  def _next_change(self, *, answer: bool = True) -> str:
    """Waits for the next change; returns it, or "" if there is none."""
    asks, answers = self._ends
    line = b""
    # The command writes nothing else until it is answered.
    while not line.endswith(b"\n"):
      piece = select.select([asks], [], [], _LONGEST)[0] and os.read(asks, 4096)
      if not piece:
        return ""
      line += piece
    if answer:
      with contextlib.suppress(BrokenPipeError):
        os.write(answers, b"\n")
    return line.decode().strip()

  def pass_by(self) -> None:
    """Lets the command go on, to its end."""
    for end in self._ends:
      os.close(end)
    self._ends = []


def choose(
  chance: random.Random,
  seconds: float,
  changes: int,
  *,
  checked: bool,
  of_child: bool,
  late: bool,
) -> Moment:
  """Returns a moment.

  Args:
    chance: Chooses.
    seconds: How long the command takes.
    changes: How many changes of files it makes. 0: none shall count.
    checked: Whether the command has the model checked.
    of_child: Whether a process that does so should be there.
    late: Whether to wait for the end of the command too.
  """
  kind = chance.random()
  if late and kind < 0.4:
    return Moment(seconds=_LONGEST)
  if checked and kind < (0.8 if of_child else 0.25):
    return Moment(of_child=True, seconds=chance.uniform(0, seconds / 10))
  if changes and not of_child and kind < 0.75:
    return Moment(change=chance.randrange(changes))
  return Moment(seconds=chance.uniform(0, seconds))
