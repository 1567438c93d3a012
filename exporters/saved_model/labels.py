"""Reads the names of a classifier's classes."""

import dataclasses

import tensorflow as tf

from exporters.errors import ExportError
from exporters.fields import paths
from exporters.saved_model import assets

_NAME = "labels.txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """The names of a classifier's classes.

  Attributes:
    path: The file, for messages.
    names: One for each class, in the order of the logits.
    background: Whether the first name, of the background, is not in the file.
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
    hint = "Use the file with which the model was trained."
    if found == wanted - 1 and not self.background:
      hint = (
        "If class 0 is a background class that the file leaves out, set "
        "background_label = 'background'."
      )
    elif found == wanted + 1 and self.background:
      hint = "If the file names class 0 itself, leave background_label out."
    without = ", not counting the background" if self.background else ""
    raise ExportError(
      f"The labels file '{self.path}' names {found} classes, but the model has "
      f"{wanted} logits{without}. {hint}"
    )

  def asset(self) -> str:
    """Returns a path to the names that depends only on the names."""
    content = "".join(f"{name}\n" for name in self.names).encode()
    return assets.asset(content, "labels", _NAME)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
  """The fields of an exporter of classifiers that name the classes.

  Attributes:
    labels_file: A file with the names of the classes, one on each line, in the
      order of the logits. None: the artifact has no `.labels`.
    background_label: The name of class 0 if the labels file leaves it out, such
      as 'background' for 1,000 names and 1,001 logits. None: the file names all
      classes.
  """

  labels_file: paths.FilePath | None = None
  background_label: str | None = None

  def refuse_background_alone(self) -> None:
    """Raises `ExportError` if the background is the only class with a name."""
    if self.background_label and not self.labels_file:
      raise ExportError(
        f"background_label = '{self.background_label}' needs a labels_file "
        "with the names of the other classes."
      )

  def labels(self, classes: int) -> dict[str, str]:
    """Returns what `Published.assets` is to hold: `labels`, if there is a file.

    Args:
      classes: How many logits there are.

    Raises:
      ExportError: The file does not name so many classes, or cannot be read.
    """
    if not self.labels_file:
      return {}
    names = read_labels(self.labels_file, self.background_label)
    names.require_size(classes)
    return {"labels": names.asset()}


def read_labels(path: str, background_label: str | None = None) -> Labels:
  """Reads a file with the name of one class on each line.

  Args:
    path: The file.
    background_label: The name of class 0, if the file starts with class 1.

  Raises:
    ExportError: The file is missing, has an empty line, or is not UTF-8.
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
  if background_label is not None:
    names.insert(0, background_label)
  return Labels(
    path=path, names=tuple(names), background=background_label is not None
  )
