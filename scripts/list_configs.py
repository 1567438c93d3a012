"""Prints configs/README.md: what each gin file publishes, from its header.

python -m scripts.list_configs > configs/README.md
"""

from collections.abc import Iterator
import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]

_INTRODUCTION = """\
# What the gin files publish

One file, one published model; the comment at its top has the command. Files
without a command hold what others include. Written from those comments by
`python -m scripts.list_configs > configs/README.md`.
"""
_COLUMNS = (
  "file",
  "handle",
  "architecture",
  "parameters",
  "checkpoint",
  "licence",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
  """The header of a gin file.

  Attributes:
    name: Its path below configs/, without the suffix.
    handle: The address under which the model was published, or "".
    architecture: What it is, in a sentence.
    parameters: How many, as the header writes it.
    checkpoint: Where its weights are.
    licence: That of the weights.
  """

  name: str
  handle: str
  architecture: str
  parameters: str
  checkpoint: str
  licence: str

  @classmethod
  def read(cls, path: pathlib.Path):
    """Reads the comment at the top of a gin file."""
    header = re.match(r"(#.*\n)+", path.read_text()).group()
    # Without the command, which is indented.
    text = " ".join(
      line.lstrip("# ") for line in re.sub(r"#   .*", "#", header).splitlines()
    )
    text = re.sub(r"\s+", " ", text)
    what, _, rest = text.partition(" Checkpoint: ")
    what, _, handle = what.partition(" Handle: ")
    checkpoint, parameters, licence = re.fullmatch(
      r"(.*?)\.? Parameters: (.*?)\. Licence: (.*?)\.? ?", rest
    ).groups()
    return cls(
      name=str(path.relative_to(ROOT / "configs").with_suffix("")),
      handle=handle,
      architecture=what.strip(),
      parameters=parameters,
      checkpoint=checkpoint,
      licence=licence,
    )

  def row(self) -> str:
    """Returns a line of the table."""
    handle = self.handle.removeprefix("https://tfhub.dev/")
    cells = (
      f"[`{self.name}`]({self.name}.gin)",
      f"[{handle}]({self.handle})" if handle else "",
      self.architecture.replace("*", r"\*"),
      self.parameters,
      self.checkpoint,
      self.licence,
    )
    return _row(cells)


def leaves() -> list[pathlib.Path]:
  """Returns the gin files with a command, by name."""
  paths = sorted((ROOT / "configs").rglob("*.gin"), key=_natural)
  return [path for path in paths if "--gin_file=" in path.read_text()]


def table() -> Iterator[str]:
  """Yields the lines of configs/README.md."""
  yield _INTRODUCTION
  yield _row(_COLUMNS)
  yield _row(["---"] * len(_COLUMNS))
  for path in leaves():
    yield Leaf.read(path).row()


def _row(cells) -> str:
  return f"| {' | '.join(cells)} |"


def _natural(path: pathlib.Path) -> list[str | int]:
  """Sorts L-2 before L-10."""
  parts = re.split(r"(\d+)", str(path))
  return [int(part) if part.isdigit() else part for part in parts]


if __name__ == "__main__":
  print("\n".join(table()))
