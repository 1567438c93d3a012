"""Explains why a checkpoint does not fit a model, by names and shapes only."""

from collections.abc import Sequence, Set
import dataclasses

from exporters.errors import ExportError

# More names than this say nothing new.
_SHOWN = 20


def shape_difference(
  name: str, checkpoint: Sequence[int], model: Sequence[int]
) -> str:
  """Returns a line of `Mismatch.shapes`."""
  return f"{name}: checkpoint {tuple(checkpoint)}, model {tuple(model)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mismatch:
  """How a checkpoint and a model differ.

  Attributes:
    missing: Names of variables that the model wants and the checkpoint lacks.
    unexpected: The reverse, within the parts of the checkpoint that were to be
      restored. A head or an optimizer beside them is no mismatch.
    shapes: `name: checkpoint (2, 3), model (4, 3)` for each that differs.
    restorable: How many variables would have fitted.
    parts: The names under which the checkpoint holds what is restored.
  """

  missing: Sequence[str]
  unexpected: Sequence[str]
  shapes: Sequence[str]
  restorable: int
  parts: Set[str] = frozenset()

  def __bool__(self) -> bool:
    return bool(self.missing or self.unexpected or self.shapes)

  def error(self, path: str, kind: str) -> ExportError:
    lines = [f"The checkpoint '{path}' ({kind}) is not one of this model:"]
    for sign, names in (
      ("-", self.missing),
      ("+", self.unexpected),
      ("!", self.shapes),
    ):
      names = sorted(names)
      lines += [f"  {sign} {name}" for name in names[:_SHOWN]]
      if len(names) > _SHOWN:
        lines.append(f"  {sign} ... and {len(names) - _SHOWN} more")
    lines.append(
      "(- the model wants it and the checkpoint lacks it, + the reverse, "
      "! the shapes differ)"
    )
    lines.append(f"Likely cause: {self.likely_cause()}")
    return ExportError("\n".join(lines))

  def likely_cause(self) -> str:
    """Returns a sentence that says what to do."""
    heads = [name for name in self.missing if "cls/predictions" in name]
    if heads and len(heads) == len(self.missing) and not self.shapes:
      return (
        "this is a checkpoint of the encoder alone, without the head of the "
        "masked language model. Take the pretrainer's checkpoint, or set "
        "`with_mlm = False`."
      )
    if self.missing and all("pooler" in name for name in self.missing):
      return (
        "this model was saved without a pooler, as one of the masked language "
        "model alone is. Take a checkpoint that has it."
      )
    if self.parts == {"backbone"} and not self.shapes and not self.unexpected:
      return (
        "this is a checkpoint of the backbone alone, without the head of the "
        "classifier. Take the classifier's checkpoint, or publish what the "
        "backbone has: `artifacts = ['feature_vector']`."
      )
    if self.shapes:
      return (
        "this is a checkpoint of another size of model. Compare the shapes "
        "with the sizes in the gin file."
      )
    if not self.restorable:
      return (
        "it holds nothing of this model, but perhaps an optimizer's state, "
        "another architecture, or the model under another name than "
        "`encoder=`, `model=` or `backbone=`."
      )
    if self.missing and self.unexpected:
      return (
        "this is a checkpoint of another architecture, or of the same one "
        "written by another version of its code."
      )
    return (
      "the model is of another depth than the checkpoint, or it has a part "
      "that the checkpoint was written without. Compare the number of layers "
      "in the gin file."
    )
