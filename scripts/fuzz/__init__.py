"""Feeds the parsers of other people's files with what nobody meant to write.

  python -m scripts.fuzz --minutes=60

docs/attacks.md tells of it. A parser is a `Target`: an entry of a `TARGETS` in
one of the modules here. Given any bytes, it returns something or raises an
`ExportError`, soon and in little memory. All else is a defect. The files that
showed one are kept in tests/testdata/fuzz, and `tests/test_fuzz.py` reads them
all again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
import random

# Of one execution, on a machine that is busy with other work.
MOST_SECONDS = 10.0
MOST_BYTES = 1 << 30

Mutate = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
  """A parser to be fed.

  Attributes:
    read: Parses bytes; may write them into the folder, which is empty at first
      and the same each time.
    seeds: Makes the files to begin with.
    mutate: Changes one at random, given the random numbers and all seeds.
    parts: The modules that make up the parser, whose lines are counted.
  """

  read: Callable[[bytes, pathlib.Path], object]
  seeds: Callable[[], Sequence[bytes]]
  mutate: Mutate
  parts: tuple[str, ...]


def all_targets() -> dict[str, Target]:
  """Returns every target by its name."""
  from scripts.fuzz import checkpoints
  from scripts.fuzz import models
  from scripts.fuzz import releases
  from scripts.fuzz import texts

  return {
    **checkpoints.TARGETS,
    **texts.TARGETS,
    **models.TARGETS,
    **releases.TARGETS,
  }
