"""Files that were made to do harm, and what each command says of them.

  python -m scripts.attacks

writes each, runs the command that would meet it, and prints a table: what
happened, how long that took, and how much memory. docs/attacks.md tells of
them. Those that are refused before anything is loaded are tests too, in
`tests/test_attacks.py`. A new one is one more entry of an `ATTACKS`.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
  """A file, or a folder, that should do no harm.

  Attributes:
    command: The module that is run on it.
    write: Writes it into a folder; returns its path.
    says: A regular expression of the error. None: there is none, since nothing
      is wrong with it.
    flags: What the command is given besides.
    loads: Whether the model has to be loaded, or called, to find out.
  """

  command: str
  write: Callable[[pathlib.Path], pathlib.Path]
  says: str | None
  flags: tuple[str, ...] = ()
  loads: bool = False


def all_attacks() -> dict[str, Attack]:
  """Returns every attack by its name."""
  from scripts.attacks import archives
  from scripts.attacks import checkpoints
  from scripts.attacks import graphs

  return {**graphs.ATTACKS, **archives.ATTACKS, **checkpoints.ATTACKS}
