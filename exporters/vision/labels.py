"""Reads the names of a classifier's classes."""

import dataclasses

import tensorflow as tf

from exporters.errors import ExportError
from exporters.saved_model import assets

_NAME = "labels.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """The names of classes, in the order of the logits.

  Attributes:
    path: The file, for messages.
    names: One for each class.
    background: Whether the first one is not from the file.
  """

  path: str
  names: tuple[str, ...]
  background: bool

  def require_size(self, classes: int) -> None:
    """Raises `ExportError` unless there is a name for each logit."""
    found = len(self.names) - self.background
    wanted = classes - self.background
    if found == wanted:
      return
    hint = "Take the file that the model was trained with."
    if found == wanted - 1 and not self.background:
      hint = (
        "If class 0 is a background class that the file leaves out, say so: "
        "background_label = 'background'."
      )
    elif found == wanted + 1 and self.background:
      hint = "If the file names class 0 itself, leave background_label out."
    besides = " besides the background class" if self.background else ""
    raise ExportError(
      f"The labels file '{self.path}' names {found} classes, but the model has "
      f"{wanted} logits{besides}. {hint}"
    )

  def asset(self) -> str:
    """Returns a path to the names that depends on nothing but them."""
    content = "".join(f"{name}\n" for name in self.names).encode()
    return assets.asset(content, "labels", _NAME)


def read_labels(path: str, background_label: str | None = None) -> Labels:
  """Reads a file of one name a line.

  Args:
    path: The file.
    background_label: What to name class 0, if the file begins with class 1.

  Raises:
    ExportError: The file is missing, empty, or not UTF-8.
  """
  if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
    raise ExportError(f"The labels file '{path}' does not exist.")
  _, text = assets.read(path, "labels file", encoding="utf-8-sig")
  names = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
  empty = [i + 1 for i, name in enumerate(names) if not name.strip()]
  if empty:
    raise ExportError(
      f"The labels file '{path}' has no name on line {empty[0]}. Each line "
      "names one class, in the order of the logits."
    )
  background = background_label is not None
  if background:
    names.insert(0, background_label)
  return Labels(path=path, names=tuple(names), background=background)
