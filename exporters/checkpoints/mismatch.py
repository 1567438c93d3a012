"""Explains by names and shapes why a checkpoint does not fit a model."""

from collections.abc import Sequence, Set
import dataclasses

from exporters.errors import ExportError

# How many names of a kind are listed; more of them say nothing new.
_SHOWN = 20


def shape_difference(
  name: str, checkpoint: Sequence[int], model: Sequence[int]
) -> str:
  """Returns an entry of `Mismatch.shapes`."""
  return f"{name}: checkpoint {tuple(checkpoint)}, model {tuple(model)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mismatch:
  """How a checkpoint and a model differ.

  Attributes:
    missing: The names of variables that the checkpoint lacks.
    unexpected: The names of tensors that the model lacks, within the parts of
      the checkpoint that were to be restored. A head or an optimizer beside
      these parts is not a mismatch.
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
    """Returns the error that lists the differences and their likely cause.

    Args:
      path: The checkpoint's path.
      kind: The name of its format.
    """
    lines = [f"The checkpoint '{path}' ({kind}) does not fit this model:"]
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
      "(- missing from the checkpoint, + extra in the checkpoint, ! shapes "
      "differ)"
    )
    lines.append(f"Likely cause: {self.likely_cause()}")
    return ExportError("\n".join(lines))

  def likely_cause(self) -> str:
    """Returns the likely cause of the difference, and what to do about it."""
    heads = [name for name in self.missing if "cls/predictions" in name]
    if heads and len(heads) == len(self.missing) and not self.shapes:
      return (
        "this is a checkpoint of the encoder alone, without the head of the "
        "masked language model. Use the pretrainer's checkpoint, or set "
        "`with_mlm = False`."
      )
    if self.missing and set(self.missing) == set(self.unexpected):
      return (
        "the checkpoint is of another task, with the same layers in other "
        "places: of a tagger, say, not of a model for question answering. Use "
        "the exporter of its task."
      )
    if self.missing and all("pooler" in name for name in self.missing):
      return (
        "this model was saved without a pooler, which a masked language model "
        "does not need. Use a checkpoint that has one."
      )
    if self.parts == {"backbone"} and not self.shapes and not self.unexpected:
      return (
        "this is a checkpoint of the backbone alone, without the classifier's "
        "head. Use the classifier's checkpoint, or publish only the feature "
        "vector of an image classifier: `artifacts = ['feature_vector']`."
      )
    if self.shapes:
      return (
        "the checkpoint's model has another size. Compare the shapes with the "
        "sizes in the gin file."
      )
    if not self.restorable:
      return (
        "it holds no part of this model. Perhaps it holds only an optimizer's "
        "state, another architecture, or the model under a name other than "
        "`encoder=`, `model=` or `backbone=`."
      )
    if self.missing and self.unexpected:
      return (
        "this is a checkpoint of another architecture, or of the same one "
        "written by another version of its code."
      )
    return (
      "the model and the checkpoint differ in the number of layers, or one of "
      "them has a part that the other lacks. Compare the number of layers in "
      "the gin file."
    )
