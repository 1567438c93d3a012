"""Prints configs/README.md: what each gin file publishes, from its header.

python -m scripts.list_configs > configs/README.md
"""

from collections.abc import Iterator
import dataclasses
import math
import pathlib
import re

from exporters.command_line import program

ROOT = pathlib.Path(__file__).parents[1]

_INTRODUCTION = """\
# What the gin files publish

Each file listed here is a leaf: it publishes one model under one handle, and
the comment at its top gives the command. Files without a command are included
by others. `python -m scripts.list_configs > configs/README.md` writes this
table from those comments.

[Gardens](#gardens) release families of these models by one command.
"""
_GARDENS = """
## Gardens

Each file releases many leaves by one command, `python -m scripts.garden`; the
comment at its top says which, and where their checkpoints must lie. See
[Gardens](../docs/gardens.md).
"""
_GARDEN_COLUMNS = ("file", "releases")
_COLUMNS = (
  "file",
  "handles",
  "architecture",
  "parameters",
  "checkpoint",
  "licence",
)

_OTHER_HANDLES = """
## Other handles

These pages of the publishers `google` and `tensorflow` name code of Model
Garden's `official/`, or their collection does, and no gin file here publishes
their handles. Only the newest version of a handle is listed.

The list was made from the documentation files in the repository
`tensorflow/tfhub.dev`: from the collections of both publishers and the families
of pages that these link to, and from the folders named after Model Garden's
projects. A page that no collection links to may be missing. Detectors
(`tensorflow/efficientdet/*` and the like) are not in it because their pages
name `research/object_detection`, nor is EfficientNet-Lite, whose code is Cloud
TPU's.
"""
_OTHER_COLUMNS = ("handles", "number", "code below `official/`", "why not here")
_EDGETPU = "projects/edgetpu"
_NOT_IN_WHEEL = "tf-models-official does not contain this code"
_EDGETPU_LITE = (
  "nlp/mobilebert-edgetpu/{xs,s,m}/lite/1",
  "vision/autoseg-edgetpu/{default_argmax,fused_argmax}/{xs,s}/lite/1",
  "vision/deeplab-edgetpu/{default_argmax,fused_argmax}/{xs,s,m}/lite/1",
  "vision/mobilenet-edgetpu-v2/{tiny,xs,s,m,l}/lite/1",
)
# Handles, where {a,b} stands for a or b; the code; why there is no leaf.
OTHER_HANDLES = (
  (
    "google/edgetpu/vision/mobilenet-edgetpu-v2/{tiny,xs,s,m,l}/1",
    f"{_EDGETPU}/vision",
    _NOT_IN_WHEEL,
  ),
  (
    "google/edgetpu/vision/mobilenet-edgetpu-v2-feature-vector/{tiny,xs,s,m,l}/2",
    f"{_EDGETPU}/vision",
    _NOT_IN_WHEEL,
  ),
  (
    "google/edgetpu/vision/deeplab-edgetpu/{default_argmax,fused_argmax}/{xs,s,m}/1",
    f"{_EDGETPU}/vision",
    _NOT_IN_WHEEL,
  ),
  (
    "google/edgetpu/vision/autoseg-edgetpu/{default_argmax,fused_argmax}/{xs,s}/1",
    f"{_EDGETPU}/vision",
    _NOT_IN_WHEEL,
  ),
  (
    "google/edgetpu/nlp/mobilebert-edgetpu/{xs,s,m}/1",
    f"{_EDGETPU}/nlp",
    _NOT_IN_WHEEL,
  ),
  *(
    (f"google/edgetpu/{handle}", _EDGETPU, f"TFLite; {_NOT_IN_WHEEL}")
    for handle in _EDGETPU_LITE
  ),
  (
    "google/{MuRIL,MuRIL-Large}/1",
    "nlp/bert/tokenization.py",
    "the pages name the tokenizer alone; `exporters.bert` exports a BERT of "
    "these sizes with one's own vocabulary",
  ),
  (
    "tensorflow/movinet/{a0,a1,a2}/stream/kinetics-600/classification/tflite/"
    "float16/lite/{1,2}",
    "projects/movinet",
    "TFLite, without a SavedModel",
  ),
  (
    "tensorflow/movinet/{a0,a1,a2}/stream/kinetics-600/classification/tflite/"
    "int8/lite/1",
    "projects/movinet",
    "TFLite, without a SavedModel",
  ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
  """The header of a gin file.

  Attributes:
    name: Its path below configs/, without the suffix.
    handles: The addresses at which its artifacts were published, if they were.
    architecture: What it is, in a sentence.
    parameters: The number of parameters, as the header has it.
    checkpoint: Where to get the weights.
    licence: The licence of the weights.
  """

  name: str
  handles: tuple[str, ...]
  architecture: str
  parameters: str
  checkpoint: str
  licence: str

  @classmethod
  def read(cls, path: pathlib.Path):
    """Reads the comment at the top of a gin file."""
    (header,) = re.findall(r"\A(?:#.*\n)+", path.read_text())
    # Without the command, which is indented.
    text = " ".join(
      line.lstrip("# ") for line in re.sub(r"#   .*", "#", header).splitlines()
    )
    text = re.sub(r"\s+", " ", text)
    what, _, rest = text.partition(" Checkpoint: ")
    what, *handles = re.split(r" Handles?: ", what)
    ((checkpoint, parameters, licence),) = re.findall(
      r"\A(.*?)\.? Parameters: (.*?)\. Licence: (.*?)\.? ?\Z", rest
    )
    return cls(
      name=str(path.relative_to(ROOT / "configs").with_suffix("")),
      handles=tuple(" ".join(handles).split()),
      architecture=what.strip(),
      parameters=parameters,
      checkpoint=checkpoint,
      licence=licence,
    )

  def row(self) -> str:
    """Returns its row of the table."""
    handles = (
      f"[{handle.removeprefix('https://tfhub.dev/')}]({handle})"
      for handle in self.handles
    )
    cells = (
      f"[`{self.name}`]({self.name}.gin)",
      ", ".join(handles),
      self.architecture.replace("*", r"\*"),
      self.parameters,
      self.checkpoint,
      self.licence,
    )
    return _row(cells)


def leaves() -> list[pathlib.Path]:
  """Returns the gin files that have a command, in the order of their names."""
  return [path for path in _commands() if path.parent.name != "gardens"]


def gardens() -> list[pathlib.Path]:
  """Returns the gin files of gardens, in the order of their names."""
  return [path for path in _commands() if path.parent.name == "gardens"]


def _commands() -> list[pathlib.Path]:
  paths = sorted((ROOT / "configs").rglob("*.gin"), key=_natural)
  return [path for path in paths if "--gin_file=" in path.read_text()]


def _garden_row(path: pathlib.Path) -> str:
  """Returns the row of a garden: what its header says above the command."""
  lines = path.read_text().partition("\n#\n")[0].splitlines()
  what = " ".join(line.lstrip("# ") for line in lines)
  return _row((f"[`gardens/{path.stem}`](gardens/{path.name})", what))


def table() -> Iterator[str]:
  """Yields the lines of configs/README.md."""
  yield _INTRODUCTION
  yield _row(_COLUMNS)
  yield _row(["---"] * len(_COLUMNS))
  for path in leaves():
    yield Leaf.read(path).row()
  yield _GARDENS
  yield _row(_GARDEN_COLUMNS)
  yield _row(["---"] * len(_GARDEN_COLUMNS))
  for path in gardens():
    yield _garden_row(path)
  yield _OTHER_HANDLES
  yield _row(_OTHER_COLUMNS)
  yield _row(["---"] * len(_OTHER_COLUMNS))
  for handles, code, reason in OTHER_HANDLES:
    yield _row((f"`{handles}`", str(_number(handles)), f"`{code}`", reason))


def _number(handles: str) -> int:
  """Returns how many handles a pattern stands for."""
  choices = re.findall(r"{(.*?)}", handles)
  return math.prod(choice.count(",") + 1 for choice in choices)


def _row(cells) -> str:
  return f"| {' | '.join(cells)} |"


def _natural(path: pathlib.Path) -> list[str | int]:
  """Sorts L-2 before L-10."""
  parts = re.split(r"(\d+)", str(path))
  return [int(part) if part.isdigit() else part for part in parts]


def main() -> None:
  """Prints the table."""
  print("\n".join(table()))


if __name__ == "__main__":
  program.run(main, modules=[])
